/*
 * Transfers by fi_write and fi_read on registered memory. As many operations are under way as the
 * provider takes. Each write carries remote CQ data, which the target counts; after a read, or
 * where a provider has no CQ data, a message of a few bytes tells the target. The target's
 * knowledge is part of the time, as with NIXL; between hosts, whose clocks differ, a transfer ends
 * when it is complete for the initiator.
 */
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "probe/bench/ofi.h"

struct hello {
	uint32_t rails, cq_data;
	uint64_t max_msg;
	char provider[64];
};

struct hello_rail {
	uint64_t base, key;
	uint8_t name[OFI_MAX_NAME];
};

static int ofi_open(struct bench_side *s)
{
	struct ofi *x = calloc(1, sizeof(*x));

	if (!x)
		return bench_fail(s, PROBE_CAUSE_ENVIRONMENT, "out of memory");
	s->state = x;
	s->notified = s->remote ? "counted" : "timed";
	return ofi_rails_open(s, x);
}

static int ofi_hello(struct bench_side *s, void **ret, size_t *ret_n)
{
	struct ofi *x = s->state;
	struct hello h = { .rails = x->n_rails, .cq_data = x->cq_data, .max_msg = x->max_msg };
	size_t n = sizeof(h) + x->n_rails * sizeof(struct hello_rail);
	uint8_t *blob = calloc(1, n);

	if (!blob)
		return bench_fail(s, PROBE_CAUSE_ENVIRONMENT, "out of memory");
	memcpy(h.provider, s->provider, sizeof(h.provider));
	memcpy(blob, &h, sizeof(h));
	for (unsigned i = 0; i < x->n_rails; i++) {
		struct ofi_rail *r = &x->rail[i];
		struct hello_rail hr = { .key = fi_mr_key(r->mr) };
		size_t len = OFI_MAX_NAME;
		int e = fi_getname(&r->ep->fid, hr.name, &len);

		if (e) {
			free(blob);
			return ofi_fail(s, x, "fi_getname", e);
		}
		hr.base = r->info->domain_attr->mr_mode & FI_MR_VIRT_ADDR ? s->addr : 0;
		memcpy(blob + sizeof(h) + i * sizeof(hr), &hr, sizeof(hr));
	}
	*ret = blob;
	*ret_n = n;
	return 0;
}

static int meet_rail(struct bench_side *s, struct ofi *x, struct ofi_rail *r,
		     const struct hello_rail *hr)
{
	int n = fi_av_insert(r->av, hr->name, 1, &r->peer, 0, NULL);

	if (n != 1)
		return ofi_fail(s, x, "fi_av_insert", n < 0 ? n : -FI_EADDRNOTAVAIL);
	r->peer_base = hr->base;
	r->peer_key = hr->key;
	return 0;
}

static int ofi_meet(struct bench_side *s, const void *blob, size_t n)
{
	struct ofi *x = s->state;
	struct hello_rail hr;
	struct hello h;

	bench_doing(s, "fi_av_insert");
	if (n < sizeof(h))
		return bench_fail(s, PROBE_CAUSE_PEER, "no address came");
	memcpy(&h, blob, sizeof(h));
	h.provider[sizeof(h.provider) - 1] = '\0';
	if (strcmp(h.provider, s->provider) != 0)
		return bench_fail(s, PROBE_CAUSE_LIBRARY,
				  "the other side's provider is %s, not %s: use the same libfabric",
				  h.provider, s->provider);
	if (h.rails != x->n_rails || n != sizeof(h) + h.rails * sizeof(hr))
		return bench_fail(
			s, PROBE_CAUSE_LIBRARY,
			"the other side has %u domains of %s, this one %u (%s): name them, "
			"as in ofi:PROVIDER/DOMAIN+DOMAIN",
			h.rails, s->provider, x->n_rails, s->rail_names);
	x->cq_data = x->cq_data && h.cq_data;
	if (!h.max_msg)
		return bench_fail(s, PROBE_CAUSE_PEER, "the other side takes no messages");
	if (x->max_msg > h.max_msg)
		x->max_msg = h.max_msg;
	for (unsigned i = 0; i < h.rails; i++) {
		memcpy(&hr, (const uint8_t *)blob + sizeof(h) + i * sizeof(hr), sizeof(hr));
		if (meet_rail(s, x, &x->rail[i], &hr) < 0)
			return -1;
	}
	return 0;
}

/* 1 where it is sent, 0 where the provider can not take it yet. */
static int tell(struct bench_side *s, struct ofi *x, struct ofi_rail *r)
{
	uint64_t word = 1;
	ssize_t e = fi_inject(r->ep, &word, sizeof(word), r->peer);

	if (e == -FI_EAGAIN)
		return 0;
	return e < 0 ? ofi_fail(s, x, "fi_inject", e) : 1;
}

static int greet(struct bench_side *s, struct ofi *x)
{
	for (unsigned i = 0; i < x->n_rails; i++) {
		int r = x->rail[i].greeted ? 1 : tell(s, x, &x->rail[i]);

		if (r < 0)
			return -1;
		x->rail[i].greeted = r;
	}
	return ofi_reap(s, x);
}

static bool greeted(const struct ofi *x)
{
	for (unsigned i = 0; i < x->n_rails; i++)
		if (!x->rail[i].greeted)
			return false;
	return x->msgs >= x->n_rails;
}

/* A word both ways on every rail: what connects on first use does it now. */
static int ofi_ready(struct bench_side *s)
{
	struct ofi *x = s->state;

	bench_doing(s, "the first messages over libfabric");
	for (uint64_t i = 1; !greeted(x); i++) {
		if (greet(s, x) < 0 || (i % 64 == 0 && bench_alive(s) < 0))
			return -1;
		sched_yield();
	}
	x->msgs -= x->n_rails;
	return 0;
}

static void stripe_for(struct bench_side *s, struct ofi *x)
{
	if (x->striped == s->test)
		return;
	stripe_make(s->test, x->n_rails, x->max_msg, &x->stripe);
	x->striped = s->test;
}

static int ofi_prepare(struct bench_side *s)
{
	struct ofi *x = s->state;

	stripe_for(s, x);
	x->expected = atomic_load_explicit(&s->shared->notified, memory_order_acquire);
	return 0;
}

static ssize_t operate(struct ofi *x, struct ofi_rail *r, const struct stripe_op *op, void *buf,
		       bool read)
{
	uint64_t addr = r->peer_base + op->there;

	if (read)
		return fi_read(r->ep, buf, op->len, r->desc, r->peer, addr, r->peer_key, &x->tx);
	if (!x->cq_data)
		return fi_write(r->ep, buf, op->len, r->desc, r->peer, addr, r->peer_key, &x->tx);
	return fi_writedata(r->ep, buf, op->len, r->desc, 1, r->peer, addr, r->peer_key, &x->tx);
}

static const char *operation(const struct ofi *x, bool read)
{
	return read ? "fi_read" : x->cq_data ? "fi_writedata" : "fi_write";
}

/* As many as are taken now. */
static int pump(struct bench_side *s, struct ofi *x)
{
	uint8_t *base = (uint8_t *)(uintptr_t)s->addr;
	bool read = s->test->read;
	struct stripe_op op;

	for (; x->at.left; stripe_next(&x->at)) {
		struct ofi_rail *r;
		ssize_t e;

		stripe_get(&x->at, &op);
		r = &x->rail[op.rail];
		if (r->out >= r->depth)
			return 0;
		e = operate(x, r, &op, base + op.here, read);
		if (e == -FI_EAGAIN)
			return 0;
		if (e < 0)
			return ofi_fail(s, x, operation(x, read), e);
		r->out++;
	}
	return 0;
}

static int ofi_post(struct bench_side *s, uint64_t slot)
{
	struct ofi *x = s->state;

	stripe_start(&x->stripe, s->test, slot, &x->at);
	x->done = 0;
	x->told = !s->test->read && x->cq_data;
	x->expected++;
	return pump(s, x);
}

static int ofi_poll(struct bench_side *s)
{
	struct ofi *x = s->state;
	int r;

	if (ofi_reap(s, x) < 0 || (x->at.left && pump(s, x) < 0))
		return -1;
	if (x->done < x->stripe.ops)
		return 0;
	bench_completed(s);
	if (!x->told) {
		r = tell(s, x, &x->rail[0]);
		if (r <= 0)
			return r;
		x->told = true;
	}
	return s->remote ||
	       atomic_load_explicit(&s->shared->notified, memory_order_acquire) >= x->expected;
}

/* The target: as many transfers have come as their parts are here. */
static void count(struct bench_side *s, struct ofi *x)
{
	uint64_t came;

	if (!s->test)
		return;
	stripe_for(s, x);
	if (s->test->read || !x->cq_data) {
		came = x->msgs;
		x->msgs = 0;
	} else {
		came = x->data / x->stripe.ops;
		x->data -= came * x->stripe.ops;
	}
	if (!came)
		return;
	s->events += came;
	atomic_fetch_add_explicit(&s->shared->notified, came, memory_order_release);
}

static int ofi_progress(struct bench_side *s)
{
	struct ofi *x = s->state;

	if (ofi_reap(s, x) < 0)
		return -1;
	if (s->role == PROBE_TARGET && (x->msgs || x->data))
		count(s, x);
	return 0;
}

static int ofi_arrived(struct bench_side *s, uint64_t total)
{
	if (ofi_progress(s) < 0)
		return -1;
	return atomic_load_explicit(&s->shared->notified, memory_order_relaxed) >= total;
}

static void ofi_close(struct bench_side *s)
{
	ofi_rails_close(s->state);
	free(s->state);
}

const struct bench_engine bench_ofi = {
	.name = "ofi",
	.has_arg = true,
	.open = ofi_open,
	.hello = ofi_hello,
	.meet = ofi_meet,
	.ready = ofi_ready,
	.prepare = ofi_prepare,
	.post = ofi_post,
	.poll = ofi_poll,
	.progress = ofi_progress,
	.arrived = ofi_arrived,
	.bare = ofi_bare,
	.close = ofi_close,
};
