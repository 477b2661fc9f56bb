/*
 * Batches. The initiator says how many transfers come, the source fills, the transfers are timed,
 * and the receiver checks them all; only then do their times count.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "probe/bench/bench.h"

#define POLLS_PER_LOOK    1024 /* at the clock and the link, while something is under way */
#define POLLS_PER_REST    16
#define PROGRESS_PER_REST 32
/* Between looks at the link: system calls, and data that come meanwhile wait for them. */
#define LOOK_NS 200000
#define NAP_NS  5000
/* Of so many transfers one's completion is looked at; no divisor of a batch: not always the first.
 */
#define TRANSFERS_PER_COMPLETED 7

struct run {
	struct bench_side *s;
	const struct bench_order *order;
	uint64_t *times, n;
	uint64_t *local, n_local, until_local; /* until complete for the initiator; of some */
	uint64_t test, batch, total;
	bool bare;
	uint64_t bare_ns; /* of the last batch */
};

/*
 * With fewer free cores than threads that spin, the other side, or a library's own thread, needs
 * this one's: then in naps. Where nobody wants it, a nap would be time that the transfer takes:
 * libfabric's providers over sockets move bytes only while they are asked. When it is now.
 */
static uint64_t rest(struct bench_side *s, uint64_t since)
{
	uint64_t now = probe_now_ns();

	if (bench_crowded(&s->crowd, now, since))
		nanosleep(&(struct timespec){ .tv_nsec = NAP_NS }, NULL);
	return now;
}

/*
 * One transfer from the tick start on; the one when it ended, or 0 with the failure recorded. That
 * is the next one's start: to ask for it is time, too.
 */
static uint64_t transfer(struct bench_side *s, uint64_t slot, uint64_t start)
{
	const struct bench_engine *e = s->engine;
	uint64_t polls = 0, since = 0, end;
	int r;

	s->completed = 0;
	if (e->post(s, slot) < 0)
		return 0;
	while ((r = e->poll(s)) == 0) {
		polls++;
		if (polls == POLLS_PER_REST)
			since = probe_now_ns();
		else if (polls % POLLS_PER_REST == 0)
			rest(s, since);
		if (polls % POLLS_PER_LOOK == 0 && bench_alive(s) < 0)
			return 0;
	}
	if (r < 0)
		return 0;
	end = bench_tick(&s->ticks);
	return end > start ? end : start + 1;
}

/* What the other side has to say, while this one keeps the engine going. */
static int await(struct bench_side *s, unsigned kind, void **ret, size_t *ret_n)
{
	uint64_t seen = s->events, since = probe_now_ns();

	while (!link_poll(s->link, 0)) {
		uint64_t looked = probe_now_ns(), now = looked;
		int r = 0;

		while (now - looked < LOOK_NS) {
			for (unsigned i = 0; i < PROGRESS_PER_REST && r == 0; i++)
				r = s->engine->progress(s);
			if (r)
				break;
			if (s->events != seen) {
				seen = s->events;
				since = now;
			}
			now = rest(s, since);
		}
		if (r < 0)
			return -1;
		if (!probe_left_ms(&s->plan, 1))
			break;
	}
	return bench_recv(s, kind, ret, ret_n);
}

static int check_read(struct bench_side *s, const struct bench_batch *b, const void *sums, size_t n)
{
	if (n != b->n * s->test->count * sizeof(uint32_t))
		return bench_fail(s, PROBE_CAUSE_PEER, "%zu bytes of checksums came", n);
	return bench_mem_check(s, b, sums);
}

/* The source's sums: made here for a write, sent by the target for a read. */
static int batch_fill(struct bench_side *s, const struct bench_batch *b, void **ret_sums,
		      size_t *ret_n)
{
	uint32_t *sums = NULL;

	if (bench_send(s, BENCH_BATCH, b, sizeof(*b)) < 0)
		return -1;
	if (s->test->read)
		return await(s, BENCH_SUMS, ret_sums, ret_n);
	if (bench_mem_fill(s, b, &sums) < 0)
		return -1;
	/* Data may overtake the link: the target must know what they are. */
	if (await(s, LINK_READY, NULL, NULL) < 0) {
		free(sums);
		return -1;
	}
	*ret_sums = sums;
	*ret_n = b->n * s->test->count * sizeof(*sums);
	return 0;
}

static int batch_check(struct bench_side *s, const struct bench_batch *b, const void *sums,
		       size_t n)
{
	if (s->test->read && check_read(s, b, sums, n) < 0)
		return -1;
	/* Of a read the target only says that all notifications came. */
	if (bench_send(s, BENCH_SUMS, sums, s->test->read ? 0 : n) < 0)
		return -1;
	bench_doing(s, "the wait for the target's check");
	return await(s, BENCH_CHECKED, NULL, NULL);
}

static void to_ns(uint64_t *ticks, uint64_t n, double ns_per_tick)
{
	for (uint64_t i = 0; i < n; i++)
		ticks[i] = (uint64_t)((double)ticks[i] * ns_per_tick) ?: 1;
}

static int transfers(struct run *r, uint64_t n, bool timed, uint64_t *kept)
{
	const uint64_t had = *kept, had_local = r->n_local;
	struct bench_side *s = r->s;
	uint64_t start = bench_tick(&s->ticks);
	double ns_per_tick;

	for (uint64_t i = 0; i < n * r->order->again; i++) {
		uint64_t end;

		s->wants_completed = timed && r->until_local == 0;
		r->until_local = (r->until_local ?: TRANSFERS_PER_COMPLETED) - 1;
		end = transfer(s, i % n, start);
		if (!end)
			return -1;
		if (s->completed && r->n_local < r->order->iters)
			r->local[r->n_local++] = s->completed - start;
		if (timed && *kept < r->order->iters)
			r->times[(*kept)++] = end - start;
		start = end;
	}
	ns_per_tick = bench_ns_per_tick(&s->ticks);
	to_ns(r->times + had, *kept - had, ns_per_tick);
	to_ns(r->local + had_local, r->n_local - had_local, ns_per_tick);
	return 0;
}

static int transfers_bare(struct run *r, uint64_t n)
{
	uint64_t start = probe_now_ns();
	int ret = r->s->engine->bare(r->s, n);

	r->bare_ns = probe_now_ns() - start;
	return ret;
}

static int batch_run(struct run *r, uint64_t n, bool timed)
{
	struct bench_batch b = { .test = r->test, .batch = r->batch++, .n = n, .bare = r->bare };
	struct bench_side *s = r->s;
	uint64_t kept = r->n;
	void *sums = NULL;
	size_t n_sums = 0;
	int ret = -1;

	b.total = r->total += r->bare ? n : n * r->order->again;
	if (batch_fill(s, &b, &sums, &n_sums) < 0)
		return -1;
	bench_doing(s, "a transfer");
	if ((r->bare ? transfers_bare(r, n) : transfers(r, n, timed, &kept)) == 0)
		ret = batch_check(s, &b, sums, n_sums);
	if (ret == 0)
		r->n = kept;
	free(sums);
	return ret;
}

/* As many as fit the buffer, but no more than the time that is left allows at the pace so far. */
static uint64_t batch_size(const struct run *r, uint64_t want, uint64_t left_ns)
{
	uint64_t n = r->s->test->slots, sum = 0, pace;

	if (n > want)
		n = want;
	if (!r->n)
		return n < 2 ? n : 2;
	/* The pace may have been luck: a batch that was begun is carried through. */
	if (n > 4 * r->n)
		n = 4 * r->n;
	for (uint64_t i = 0; i < r->n; i++)
		sum += r->times[i];
	pace = sum / r->n + 1;
	if (n > left_ns / pace)
		n = left_ns / pace;
	return n ? n : 1;
}

static int warm_up(struct run *r)
{
	for (uint64_t done = 0; done < r->order->warmup;) {
		uint64_t n = r->order->warmup - done;

		if (n > r->s->test->slots)
			n = r->s->test->slots;
		if (batch_run(r, n, false) < 0)
			return -1;
		done += n;
	}
	return 0;
}

/* One block of transfers, and the time that all of them took. */
static int block_run(struct run *r, uint64_t n, bool bare, uint64_t *ret_ns)
{
	int ret;

	r->n = 0;
	r->bare = bare;
	ret = batch_run(r, n, true);
	*ret_ns = bare ? r->bare_ns : 0;
	for (uint64_t i = 0; i < r->n; i++)
		*ret_ns += r->times[i];
	r->bare = false;
	return ret;
}

/*
 * What the engine adds to the library: the same transfers of the same endpoints and memory, by
 * turns with the engine and bare, E B B E, so that what changes slowly is the same for both.
 */
static int overhead_run(struct run *r)
{
	const struct bench_order *o = r->order;
	const uint64_t n = o->iters < r->s->test->slots ? o->iters : r->s->test->slots;
	uint64_t *ns[2] = { calloc((size_t)o->overhead * 2, sizeof(**ns)),
			    calloc((size_t)o->overhead * 2, sizeof(**ns)) };
	int ret = 0;

	if (!r->s->engine->bare || r->s->remote || r->s->test->read || r->s->test->count != 1)
		ret = bench_fail(
			r->s, PROBE_CAUSE_ENVIRONMENT,
			"--overhead is for single blocks that libfabric writes on one host");
	if (!ns[0] || !ns[1])
		ret = bench_fail(r->s, PROBE_CAUSE_ENVIRONMENT, "out of memory");
	for (uint64_t i = 0; i < o->overhead * 4 && ret == 0; i++) {
		bool bare = i % 4 == 1 || i % 4 == 2;

		ret = block_run(r, n, bare, &ns[bare][i / 2]);
	}
	if (ret == 0)
		bench_print_overhead(r->s, o, n, ns[0], ns[1]);
	free(ns[0]);
	free(ns[1]);
	return ret;
}

static int test_run(struct run *r)
{
	const struct bench_order *o = r->order;
	uint64_t budget = (uint64_t)(o->seconds * 1e9), start, waited;
	struct bench_stats st = { 0 };

	if (r->s->engine->prepare && r->s->engine->prepare(r->s) < 0)
		return -1;
	if (warm_up(r) < 0)
		return -1;
	if (o->overhead)
		return overhead_run(r);
	start = probe_now_ns();
	waited = bench_waited(r->s);
	r->n_local = r->until_local = 0;
	for (r->n = 0; r->n < o->iters;) {
		uint64_t used = probe_now_ns() - start;

		if (r->n && used >= budget)
			break;
		if (batch_run(r, batch_size(r, o->iters - r->n, used < budget ? budget - used : 0),
			      true) < 0)
			return -1;
		st.batches++;
	}
	st.waited_ns = bench_waited(r->s) - waited;
	st.local_p50_ns = bench_percentile(r->local, r->n_local, 50);
	bench_stats_make(r->times, r->n, &st);
	bench_print_run(r->s, o, &st);
	return 0;
}

int bench_initiate(struct bench_side *s, const struct bench_order *order)
{
	struct run r = { .s = s, .order = order };
	int ret = 0;

	r.times = malloc((size_t)order->iters * sizeof(*r.times));
	r.local = malloc((size_t)order->iters * sizeof(*r.local));
	if (!r.times || !r.local)
		ret = bench_fail(s, PROBE_CAUSE_ENVIRONMENT, "out of memory");
	for (r.test = 0; r.test < s->spec.n_tests && ret == 0; r.test++) {
		s->test = &s->spec.test[r.test];
		ret = test_run(&r);
	}
	free(r.times);
	free(r.local);
	return ret < 0 ? ret : bench_send(s, LINK_BYE, NULL, 0);
}

/* ---- the target ---- */

static int serve_batch(struct bench_side *s, const struct bench_batch *b)
{
	uint32_t *mine = NULL;
	void *sums = NULL;
	size_t n = 0, want = b->n * s->test->count * sizeof(*mine);
	int r = -1;

	if (s->test->read && bench_mem_fill(s, b, &mine) < 0)
		goto out;
	if (bench_send(s, s->test->read ? (unsigned)BENCH_SUMS : LINK_READY, mine,
		       s->test->read ? want : 0) < 0)
		goto out;
	bench_doing(s, "the wait for transfers");
	if (b->bare && s->engine->bare(s, b->n) < 0)
		goto out;
	if (await(s, BENCH_SUMS, &sums, &n) < 0)
		goto out;
	bench_doing(s, "the wait for notifications");
	while (s->engine->arrived) {
		int came = s->engine->arrived(s, b->total);

		if (came < 0 || bench_alive(s) < 0)
			goto out;
		if (came)
			break;
	}
	if (!s->test->read && n != want) {
		bench_fail(s, PROBE_CAUSE_PEER, "%zu bytes of checksums came", n);
		goto out;
	}
	if (!s->test->read && bench_mem_check(s, b, sums) < 0)
		goto out;
	bench_waited(s);
	r = bench_send(s, BENCH_CHECKED, NULL, 0);
out:
	free(mine);
	free(sums);
	return r;
}

static bool batch_ok(const struct bench_side *s, const struct bench_batch *b, size_t n)
{
	return n == sizeof(*b) && b->test < s->spec.n_tests && b->n &&
	       (!b->bare || s->engine->bare) && b->n <= s->spec.test[b->test].slots &&
	       b->total >= b->n;
}

int bench_serve(struct bench_side *s)
{
	for (;;) {
		struct bench_batch b;
		void *data = NULL;
		size_t n = 0;
		int r;

		bench_doing(s, "the wait for the next batch");
		/* LINK_BYE ends it: no data. */
		r = await(s, BENCH_BATCH, &data, &n);
		if (r != 0)
			return r < 0 ? r : 0;
		memset(&b, 0, sizeof(b));
		memcpy(&b, data, n < sizeof(b) ? n : sizeof(b));
		free(data);
		if (!batch_ok(s, &b, n))
			return bench_fail(s, PROBE_CAUSE_PEER,
					  "the initiator asks for a batch that cannot be");
		s->test = &s->spec.test[b.test];
		if (serve_batch(s, &b) < 0)
			return -1;
	}
}
