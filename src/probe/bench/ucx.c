/*
 * Transfers by ucp_put_nbx and ucp_get_nbx, as NIXL's UCX backend makes them: all blocks, a flush
 * of the endpoint after puts, then an active message that tells the target. The target's knowledge
 * is part of the time.
 */
#include <sched.h>

#include "probe/bench/ucx.h"

#define MAX_PENDING 4096 /* beyond it libucp would only queue */

/* 1 while requests go on, 0 where all are done. */
static int pending(struct bench_side *s, struct ucx *x, const char *call)
{
	x->ucp_worker_progress(x->worker);
	if (x->failed != UCS_OK)
		return ucx_fail(s, x, call, x->failed);
	return x->pending > 0;
}

static int tell(struct bench_side *s, struct ucx *x)
{
	return ucx_begun(s, x, "ucp_am_send_nbx",
			 x->ucp_am_send_nbx(x->ep, 0, NULL, 0, NULL, 0, &x->plain));
}

/* A message both ways: what connects on first use does it now. */
static int ucx_ready(struct bench_side *s)
{
	struct ucx *x = s->state;
	int r = 1;

	bench_doing(s, "the first messages over UCX");
	if (tell(s, x) < 0)
		return -1;
	for (uint64_t i = 1; r || !x->msgs; i++) {
		r = pending(s, x, "ucp_am_send_nbx");
		if (r < 0 || (i % 64 == 0 && bench_alive(s) < 0))
			return -1;
		sched_yield();
	}
	x->msgs = 0;
	ucx_name_transports(s);
	return 0;
}

static int ucx_prepare(struct bench_side *s)
{
	struct ucx *x = s->state;

	x->expected = atomic_load_explicit(&s->shared->notified, memory_order_acquire);
	x->step = bench_peer_step(s->test) % s->test->count;
	return 0;
}

static ucs_status_ptr_t operate(struct bench_side *s, struct ucx *x)
{
	const struct bench_test *t = s->test;
	void *here = (void *)(uintptr_t)(s->addr + bench_block(t, x->slot, x->block));
	uint64_t there = s->peer.addr + bench_block(t, x->slot, x->peer);

	if (t->read)
		return x->ucp_get_nbx(x->ep, here, t->size, there, x->rkey, &x->move);
	return x->ucp_put_nbx(x->ep, here, t->size, there, x->rkey, &x->move);
}

static int pump(struct bench_side *s, struct ucx *x)
{
	const struct bench_test *t = s->test;

	for (; x->block < t->count && x->pending < MAX_PENDING; x->block++) {
		if (ucx_begun(s, x, t->read ? "ucp_get_nbx" : "ucp_put_nbx", operate(s, x)) < 0)
			return -1;
		x->peer += x->step;
		if (x->peer >= t->count)
			x->peer -= t->count;
	}
	return 0;
}

static int ucx_post(struct bench_side *s, uint64_t slot)
{
	struct ucx *x = s->state;

	x->slot = slot;
	x->block = 0;
	x->peer = slot % s->test->count;
	x->stage = UCX_MOVING;
	x->expected++;
	return pump(s, x);
}

static const char *stage_call(const struct bench_side *s, const struct ucx *x)
{
	if (x->stage == UCX_MOVING)
		return s->test->read ? "ucp_get_nbx" : "ucp_put_nbx";
	return x->stage == UCX_FLUSHING ? "ucp_ep_flush_nbx" : "ucp_am_send_nbx";
}

/* The stage is over: begins the next one. A flush needs no end of the puts before it. */
static int next_stage(struct bench_side *s, struct ucx *x)
{
	if (x->stage == UCX_MOVING && !s->test->read) {
		x->stage = UCX_FLUSHING;
		return ucx_begun(s, x, "ucp_ep_flush_nbx", x->ucp_ep_flush_nbx(x->ep, &x->plain));
	}
	if (x->stage == UCX_TELLING) {
		x->stage = UCX_TOLD;
		return 0;
	}
	bench_completed(s);
	x->stage = UCX_TELLING;
	return tell(s, x);
}

/* A put need not be complete for the flush behind it. */
static bool stage_done(const struct bench_side *s, const struct ucx *x)
{
	return !x->pending || (x->stage == UCX_MOVING && !s->test->read);
}

static int ucx_poll(struct bench_side *s)
{
	struct ucx *x = s->state;

	if (pending(s, x, stage_call(s, x)) < 0 || (x->block < s->test->count && pump(s, x) < 0))
		return -1;
	if (x->block < s->test->count)
		return 0;
	while (x->stage < UCX_TOLD && stage_done(s, x))
		if (next_stage(s, x) < 0)
			return -1;
	if (x->stage < UCX_TOLD)
		return 0;
	return s->remote ||
	       atomic_load_explicit(&s->shared->notified, memory_order_acquire) >= x->expected;
}

static int ucx_progress(struct bench_side *s)
{
	struct ucx *x = s->state;

	if (pending(s, x, "ucp_worker_progress") < 0)
		return -1;
	if (s->role != PROBE_TARGET || !x->msgs)
		return 0;
	s->events += x->msgs;
	atomic_fetch_add_explicit(&s->shared->notified, x->msgs, memory_order_release);
	x->msgs = 0;
	return 0;
}

static int ucx_arrived(struct bench_side *s, uint64_t total)
{
	if (ucx_progress(s) < 0)
		return -1;
	return atomic_load_explicit(&s->shared->notified, memory_order_relaxed) >= total;
}

const struct bench_engine bench_ucx = {
	.name = "ucx",
	.open = ucx_open,
	.hello = ucx_hello,
	.meet = ucx_meet,
	.ready = ucx_ready,
	.prepare = ucx_prepare,
	.post = ucx_post,
	.poll = ucx_poll,
	.progress = ucx_progress,
	.arrived = ucx_arrived,
	.close = ucx_close,
};
