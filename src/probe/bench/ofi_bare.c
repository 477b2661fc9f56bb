/*
 * libfabric's calls alone, as a loop that is written for nothing else would make them: writes of
 * one block on one rail, each until the target knows. To hold the engine against; see bench.h.
 */
#include "probe/bench/ofi.h"

#define CQ_BATCH 64

/* How many of this side's writes, or of the other side's at the target, are complete. */
static ssize_t reap(struct bench_side *s, struct ofi *x, struct ofi_rail *r)
{
	struct fi_cq_data_entry e[CQ_BATCH];
	ssize_t n = fi_cq_read(r->cq, e, CQ_BATCH);

	if (n == -FI_EAGAIN)
		return 0;
	return n < 0 ? ofi_fail(s, x, "fi_cq_read", n) : n;
}

static int serve(struct bench_side *s, struct ofi *x, struct ofi_rail *r, uint64_t n)
{
	_Atomic uint64_t *notified = &s->shared->notified;
	uint64_t base = atomic_load_explicit(notified, memory_order_relaxed), came = 0;

	while (came < n) {
		ssize_t got = reap(s, x, r);

		if (got < 0)
			return -1;
		if (!got)
			continue;
		came += (uint64_t)got;
		atomic_store_explicit(notified, base + came, memory_order_release);
	}
	return 0;
}

static int initiate(struct bench_side *s, struct ofi *x, struct ofi_rail *r, uint64_t n)
{
	_Atomic uint64_t *notified = &s->shared->notified;
	const struct bench_test *t = s->test;
	uint64_t done = 0;

	for (uint64_t i = 0; i < n; i++) {
		uint8_t *from = (uint8_t *)(uintptr_t)s->addr + bench_block(t, i, 0);
		uint64_t to = r->peer_base + bench_peer_block(t, i, 0);
		bool posted = false;

		x->expected++;
		while (done <= i ||
		       atomic_load_explicit(notified, memory_order_acquire) < x->expected) {
			ssize_t e = posted ? 0
					   : fi_writedata(r->ep, from, t->size, r->desc, 1, r->peer,
							  to, r->peer_key, &x->tx);
			ssize_t got = reap(s, x, r);

			if (got < 0)
				return -1;
			if (e < 0 && e != -FI_EAGAIN)
				return ofi_fail(s, x, "fi_writedata", e);
			posted = posted || e == 0;
			done += (uint64_t)got;
		}
	}
	return 0;
}

int ofi_bare(struct bench_side *s, uint64_t n)
{
	struct ofi *x = s->state;
	struct ofi_rail *r = &x->rail[0];

	if (x->n_rails != 1 || !x->cq_data || s->test->size > x->max_msg)
		return bench_fail(s, PROBE_CAUSE_ENVIRONMENT,
				  "one rail with remote CQ data, and blocks that it takes whole, "
				  "are what is measured bare");
	return s->role == PROBE_TARGET ? serve(s, x, r, n) : initiate(s, x, r, n);
}
