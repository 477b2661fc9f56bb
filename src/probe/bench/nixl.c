/*
 * NIXL's backends through its C API. A request for each slot is made before the tests, posted in
 * them. On one host a transfer ends when the target has taken its notification: a serving process
 * can do nothing with a KV cache before that. Between hosts, whose clocks differ, it ends when it
 * is complete for the initiator, and that all notifications came is seen at the end of a batch.
 */
#include <stdlib.h>
#include <string.h>

#include "probe/bench/bench.h"
#include "probe/capi.h"

#define NOTIF "kvpath bench"

struct nixl {
	struct capi api;
	void *agent, *backend, *args, *reg, *notifs;
	bool registered;
	char *peer;
	void *local[BENCH_MAX_SLOTS], *remote[BENCH_MAX_SLOTS], *req[BENCH_MAX_SLOTS];
	uint64_t current, expected;
	bool complete;
	int threads; /* before there was an agent */
};

static int check(struct bench_side *s, const char *call, int status)
{
	if (status >= 0)
		return status;
	bench_doing(s, call);
	return bench_fail(s, PROBE_CAUSE_NIXL, "%s: %s (%d)", call, capi_status_name(status),
			  status);
}

/* Set-up says what it does, for a call that never returns; the timed calls do not. */
#define NIXL(s, x, fn, ...)                                                                        \
	(bench_doing((s), "nixl_capi_" #fn), check((s), "nixl_capi_" #fn, (x)->api.fn(__VA_ARGS__)))
#define FAST(s, x, fn, ...) check((s), "nixl_capi_" #fn, (x)->api.fn(__VA_ARGS__))

/* With a progress thread, as serving engines have it by NIXL's default; or without. */
static int make_agent(struct bench_side *s, struct nixl *x)
{
	const char *name = s->role == PROBE_TARGET ? "kvpath-target" : "kvpath-initiator";
	static const uint64_t config[CAPI_CONFIG_ROOM / sizeof(uint64_t)];

	x->threads = bench_threads();
	if (!s->spec.no_thread)
		return NIXL(s, x, create_agent, name, &x->agent);
	if (!x->api.create_configured_agent || x->threads < 0)
		return bench_fail(s, PROBE_CAUSE_ENVIRONMENT,
				  "an agent without a progress thread cannot be made here: %s",
				  x->threads < 0 ? "/proc does not list this process's threads"
						 : "this NIXL's C API has no "
						   "nixl_capi_create_configured_agent");
	return NIXL(s, x, create_configured_agent, name, config, &x->agent);
}

/* What was asked for is no proof; the threads that came since are. */
static int see_progress(struct bench_side *s, const struct nixl *x)
{
	int n = bench_threads(), came = n < 0 || x->threads < 0 ? -1 : n - x->threads;

	if (s->spec.no_thread && came != 0)
		return bench_fail(s, PROBE_CAUSE_ENVIRONMENT,
				  "nixl:%s has threads that are not known (%d), though none was to "
				  "move its transfers: what is measured could not be named",
				  s->arg, came);
	s->progress = s->spec.no_thread ? "none" : came > 0 ? "thread" : NULL;
	if (s->progress)
		snprintf(s->detail, sizeof(s->detail), "%s",
			 came ? "NIXL's progress thread beside the caller"
			      : "no progress thread: NIXL moves on when it is called");
	return 0;
}

static int open_backend(struct bench_side *s, struct nixl *x)
{
	void *mems = NULL, *params = NULL;
	int r;

	if (make_agent(s, x) < 0 ||
	    NIXL(s, x, get_plugin_params, x->agent, s->arg, &mems, &params) < 0)
		return -1;
	s->rep->loads = true;
	r = NIXL(s, x, create_backend, x->agent, s->arg, params, &x->backend);
	x->api.destroy_mem_list(mems);
	x->api.destroy_params(params);
	if (r < 0)
		return -1;
	s->rep->instantiates = true;
	if (NIXL(s, x, create_opt_args, &x->args) < 0 ||
	    NIXL(s, x, opt_args_add_backend, x->args, x->backend) < 0)
		return -1;
	return NIXL(s, x, create_notif_map, &x->notifs);
}

static int nixl_open(struct bench_side *s)
{
	struct nixl *x = calloc(1, sizeof(*x));

	if (!x)
		return bench_fail(s, PROBE_CAUSE_ENVIRONMENT, "out of memory");
	s->state = x;
	s->rails = 1;
	s->notified = s->spec.no_notify ? NULL : s->remote ? "counted" : "timed";
	if (!s->libs.capi)
		return bench_fail(s, PROBE_CAUSE_ENVIRONMENT,
				  "this NIXL has no libnixl_capi.so (wheels have it since 0.10.1)");
	if (capi_open(&x->api, s->libs.capi, s->rep) < 0) {
		/* Not one function of it is to be called. */
		free(x);
		s->state = NULL;
		return -1;
	}
	if (open_backend(s, x) < 0 ||
	    NIXL(s, x, create_reg_dlist, s->spec.vram ? NIXL_MEM_VRAM : NIXL_MEM_DRAM, &x->reg) <
		    0 ||
	    NIXL(s, x, reg_dlist_add_desc, x->reg, s->addr, s->spec.buffer, s->dev, NULL, 0) < 0 ||
	    NIXL(s, x, register_mem, x->agent, x->reg, x->args) < 0)
		return -1;
	x->registered = true;
	return 0;
}

static int nixl_hello(struct bench_side *s, void **ret, size_t *ret_n)
{
	struct nixl *x = s->state;

	return NIXL(s, x, get_local_md, x->agent, ret, ret_n);
}

static int nixl_meet(struct bench_side *s, const void *blob, size_t n)
{
	struct nixl *x = s->state;

	return NIXL(s, x, load_remote_md, x->agent, blob, n, &x->peer);
}

static int nixl_ready(struct bench_side *s)
{
	return see_progress(s, s->state);
}

static void drop_request(struct nixl *x, uint64_t slot)
{
	if (x->req[slot] && x->api.release_xfer_req(x->agent, x->req[slot]) >= 0)
		x->api.destroy_xfer_req(x->req[slot]);
	if (x->local[slot])
		x->api.destroy_xfer_dlist(x->local[slot]);
	if (x->remote[slot])
		x->api.destroy_xfer_dlist(x->remote[slot]);
	x->req[slot] = x->local[slot] = x->remote[slot] = NULL;
}

static void drop_requests(struct nixl *x)
{
	for (size_t i = 0; i < BENCH_MAX_SLOTS; i++)
		drop_request(x, i);
}

static int make_request(struct bench_side *s, struct nixl *x, uint64_t slot)
{
	int kind = s->spec.vram ? NIXL_MEM_VRAM : NIXL_MEM_DRAM;
	const struct bench_test *t = s->test;

	if (FAST(s, x, create_xfer_dlist, kind, &x->local[slot]) < 0 ||
	    FAST(s, x, create_xfer_dlist, kind, &x->remote[slot]) < 0)
		return -1;
	for (uint64_t k = 0; k < t->count; k++)
		if (FAST(s, x, xfer_dlist_add_desc, x->local[slot],
			 s->addr + bench_block(t, slot, k), t->size, s->dev) < 0 ||
		    FAST(s, x, xfer_dlist_add_desc, x->remote[slot],
			 s->peer.addr + bench_peer_block(t, slot, k), t->size, s->peer.dev) < 0)
			return -1;
	return FAST(s, x, create_xfer_req, x->agent, t->read ? NIXL_OP_READ : NIXL_OP_WRITE,
		    x->local[slot], x->remote[slot], x->peer, &x->req[slot], x->args);
}

static int nixl_prepare(struct bench_side *s)
{
	struct nixl *x = s->state;
	uint64_t start;

	drop_requests(x);
	x->expected = atomic_load_explicit(&s->shared->notified, memory_order_acquire);
	if (!s->spec.no_notify &&
	    (NIXL(s, x, opt_args_set_notif_msg, x->args, NOTIF, strlen(NOTIF)) < 0 ||
	     NIXL(s, x, opt_args_set_has_notif, x->args, true) < 0))
		return -1;
	bench_doing(s, "nixl_capi_create_xfer_req");
	start = probe_now_ns();
	for (uint64_t slot = 0; slot < s->test->slots; slot++)
		if (make_request(s, x, slot) < 0)
			return -1;
	s->prep_us = (double)(probe_now_ns() - start) / 1000.0 / (double)s->test->slots;
	return 0;
}

static int nixl_post(struct bench_side *s, uint64_t slot)
{
	struct nixl *x = s->state;
	int st;

	if (s->spec.fresh) {
		drop_request(x, slot);
		if (make_request(s, x, slot) < 0)
			return -1;
	}
	st = FAST(s, x, post_xfer_req, x->agent, x->req[slot], x->args);
	x->current = slot;
	x->expected++;
	x->complete = st == NIXL_SUCCESS;
	if (x->complete && !s->remote)
		bench_completed(s);
	return st < 0 ? -1 : 0;
}

static int nixl_poll(struct bench_side *s)
{
	struct nixl *x = s->state;

	if (!x->complete) {
		int st = FAST(s, x, get_xfer_status, x->agent, x->req[x->current]);

		if (st < 0)
			return -1;
		x->complete = st == NIXL_SUCCESS;
		if (x->complete && !s->remote)
			bench_completed(s);
	}
	if (!x->complete)
		return 0;
	if (s->remote || s->spec.no_notify)
		return 1;
	if (atomic_load_explicit(&s->shared->notified, memory_order_acquire) >= x->expected)
		return 1;
	/* The notification is still here, and moves on when NIXL is called, or its thread wakes. */
	return FAST(s, x, get_notifs, x->agent, x->notifs, NULL) < 0 ? -1 : 0;
}

static int count_notifs(struct bench_side *s, struct nixl *x)
{
	const char *from = NULL;
	size_t agents = 0, count = 0;
	uint64_t came = 0;

	if (FAST(s, x, get_notifs, x->agent, x->notifs, x->args) < 0 ||
	    FAST(s, x, notif_map_size, x->notifs, &agents) < 0)
		return -1;
	if (!agents)
		return 0;
	for (size_t i = 0; i < agents; i++) {
		if (FAST(s, x, notif_map_get_agent_at, x->notifs, i, &from) < 0 ||
		    FAST(s, x, notif_map_get_notifs_size, x->notifs, from, &count) < 0)
			return -1;
		came += count;
	}
	if (FAST(s, x, notif_map_clear, x->notifs) < 0)
		return -1;
	s->events += came;
	atomic_fetch_add_explicit(&s->shared->notified, came, memory_order_release);
	return 0;
}

static int nixl_progress(struct bench_side *s)
{
	struct nixl *x = s->state;

	if (s->role == PROBE_TARGET)
		return count_notifs(s, x);
	/* Backends without a progress thread move on only when they are called. */
	return FAST(s, x, get_notifs, x->agent, x->notifs, NULL) < 0 ? -1 : 0;
}

static int nixl_arrived(struct bench_side *s, uint64_t total)
{
	if (count_notifs(s, s->state) < 0)
		return -1;
	if (s->spec.no_notify)
		return 1;
	return atomic_load_explicit(&s->shared->notified, memory_order_relaxed) >= total;
}

static void nixl_close(struct bench_side *s)
{
	struct nixl *x = s->state;

	drop_requests(x);
	if (x->registered)
		x->api.deregister_mem(x->agent, x->reg, x->args);
	if (x->reg)
		x->api.destroy_reg_dlist(x->reg);
	if (x->peer)
		x->api.invalidate_remote_md(x->agent, x->peer);
	if (x->notifs)
		x->api.destroy_notif_map(x->notifs);
	if (x->args)
		x->api.destroy_opt_args(x->args);
	if (x->backend)
		x->api.destroy_backend(x->backend);
	if (x->agent)
		x->api.destroy_agent(x->agent);
	free(x->peer);
	free(x);
}

const struct bench_engine bench_nixl = {
	.name = "nixl",
	.has_arg = true,
	.open = nixl_open,
	.hello = nixl_hello,
	.meet = nixl_meet,
	.ready = nixl_ready,
	.prepare = nixl_prepare,
	.post = nixl_post,
	.poll = nixl_poll,
	.progress = nixl_progress,
	.arrived = nixl_arrived,
	.close = nixl_close,
};
