/* The life of a worker, the same for both roles up to the tests; and the frames between the two. */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "probe/bench/bench.h"

#define PARTING_MS 5000 /* for the other side to see the end of what is measured */

void bench_doing(struct bench_side *s, const char *what)
{
	snprintf(s->rep->doing, sizeof(s->rep->doing), "%s", what);
}

int bench_fail(struct bench_side *s, enum probe_cause cause, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return probe_fail(s->rep, cause, "%s", text);
}

int bench_send(struct bench_side *s, unsigned kind, const void *p, size_t n)
{
	return link_send(s->link, &s->plan, (enum link_kind)kind, p, n, NULL, 0, s->rep);
}

/* The peer's failure is what matters; this side's would only be its echo. */
static int peer_failed(struct bench_side *s, const void *data, size_t n)
{
	struct bench_fail f = { 0 };

	memcpy(&f, data, n < sizeof(f) ? n : sizeof(f));
	f.call[sizeof(f.call) - 1] = f.error[sizeof(f.error) - 1] = '\0';
	if (f.cause >= _PROBE_CAUSES)
		f.cause = PROBE_CAUSE_PEER;
	if (!s->rep->cause)
		s->rep->peers = true;
	probe_fail(s->rep, (enum probe_cause)f.cause, "%s", f.error);
	if (s->rep->peers)
		snprintf(s->rep->call, sizeof(s->rep->call), "%s", f.call);
	return -1;
}

int bench_recv(struct bench_side *s, unsigned kind, void **ret, size_t *ret_n)
{
	void *data = NULL;
	unsigned got = 0;
	size_t n = 0;

	if (link_recv_any(s->link, &s->plan, &got, &data, &n, s->rep) < 0)
		return -1;
	if (got == kind && ret) {
		*ret = data;
		*ret_n = n;
		return 0;
	}
	if (got == BENCH_FAIL)
		peer_failed(s, data, n);
	free(data);
	if (got == kind || got == BENCH_FAIL)
		return got == kind ? 0 : -1;
	if (got == LINK_BYE && kind == BENCH_BATCH)
		return 1;
	return bench_fail(s, PROBE_CAUSE_PEER, "frame %u of %zu bytes instead of %u", got, n, kind);
}

int bench_alive(struct bench_side *s)
{
	struct pollfd p = { .fd = s->link, .events = POLLIN };
	char c;

	if (!probe_left_ms(&s->plan, 1))
		return bench_fail(s, PROBE_CAUSE_DEADLINE, "the deadline of %u s passed in %s",
				  s->plan.deadline_s, s->rep->doing);
	if (poll(&p, 1, 0) <= 0)
		return 0;
	if (recv(s->link, &c, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
		return bench_fail(s, PROBE_CAUSE_PEER, "the other side ended");
	/* Inside a transfer the target has nothing to say but that it failed. */
	return s->role == PROBE_TARGET ? 0 : bench_recv(s, LINK_READY, NULL, NULL);
}

static int send_hello(struct bench_side *s)
{
	struct link_hello hello = { .addr = s->addr, .dev = s->dev };
	void *blob = NULL;
	size_t n = 0;
	int r;

	if (s->engine->hello(s, &blob, &n) < 0)
		return -1;
	r = link_send(s->link, &s->plan, LINK_HELLO, &hello, sizeof(hello), blob, n, s->rep);
	free(blob);
	return r;
}

static int recv_hello(struct bench_side *s)
{
	void *data = NULL;
	size_t n = 0;
	int r;

	bench_doing(s, "the wait for the other side's address");
	if (bench_recv(s, LINK_HELLO, &data, &n) < 0)
		return -1;
	if (n < sizeof(s->peer)) {
		free(data);
		return bench_fail(s, PROBE_CAUSE_PEER, "the other side's address is %zu bytes long",
				  n);
	}
	memcpy(&s->peer, data, sizeof(s->peer));
	r = s->engine->meet(s, (char *)data + sizeof(s->peer), n - sizeof(s->peer));
	free(data);
	return r;
}

static int meet(struct bench_side *s)
{
	bool first = s->role == PROBE_INITIATOR;

	if (first ? send_hello(s) < 0 || recv_hello(s) < 0 : recv_hello(s) < 0 || send_hello(s) < 0)
		return -1;
	bench_doing(s, "the wait for the other side to be ready");
	if (bench_send(s, LINK_READY, NULL, 0) < 0)
		return -1;
	return bench_recv(s, LINK_READY, NULL, NULL);
}

/* What a peer sends is checked before it is believed. */
static bool spec_ok(const struct bench_spec *sp)
{
	/* A backend's name reaches the file name of its plugin. */
	if (!memchr(sp->engine, '\0', sizeof(sp->engine)) ||
	    (strncmp(sp->engine, "nixl:", 5) == 0 && strchr(sp->engine, '/')) || !sp->n_tests ||
	    sp->n_tests > BENCH_MAX_TESTS || sp->buffer > BENCH_MAX_BUFFER || !sp->deadline_s ||
	    sp->deadline_s > 86400)
		return false;
	for (size_t i = 0; i < sp->n_tests; i++) {
		const struct bench_test *t = &sp->test[i];

		if (!t->count || t->count > BENCH_MAX_COUNT || !t->size || !t->slots ||
		    t->slots > BENCH_MAX_SLOTS || t->size > sp->buffer / t->count / t->slots)
			return false;
	}
	return true;
}

/* The initiator's word counts; a target only knows where its libraries lie. */
static int agree(struct bench_side *s)
{
	void *data = NULL;
	size_t n = 0;

	if (s->role == PROBE_INITIATOR)
		return bench_send(s, BENCH_SPEC, &s->spec, sizeof(s->spec));
	bench_doing(s, "the wait for what is to be measured");
	if (bench_recv(s, BENCH_SPEC, &data, &n) < 0)
		return -1;
	if (n == sizeof(s->spec))
		memcpy(&s->spec, data, n);
	free(data);
	if (n != sizeof(s->spec) || !spec_ok(&s->spec))
		return bench_fail(s, PROBE_CAUSE_PEER, "what is to be measured makes no sense");
	s->plan.deadline_s = (unsigned)s->spec.deadline_s;
	s->plan.end_ns = probe_now_ns() + s->spec.deadline_s * UINT64_C(1000000000);
	s->plan.vram = s->spec.vram;
	return 0;
}

static int run(struct bench_side *s, const struct bench_order *order)
{
	if (agree(s) < 0)
		return -1;
	s->engine = bench_engine_find(s->spec.engine, &s->arg);
	if (!s->engine)
		return bench_fail(s, PROBE_CAUSE_ENVIRONMENT, "%s: no such engine here",
				  s->spec.engine);
	if (bench_mem_open(s) < 0 || s->engine->open(s) < 0)
		return -1;
	s->rep->registers = true;
	if (meet(s) < 0 || (s->engine->ready && s->engine->ready(s) < 0))
		return -1;
	return s->role == PROBE_INITIATOR ? bench_initiate(s, order) : bench_serve(s);
}

/*
 * The initiator's word that all is measured and the end of what carries the data come by different
 * connections: on a link that loses packets the end may come first, and is a failure then. So what
 * carries the data stays until the target has taken the word, which it says by closing.
 */
static void let_target_end(struct bench_side *s)
{
	struct pollfd p = { .fd = s->link, .events = POLLIN };

	bench_doing(s, "the wait for the other side's end");
	poll(&p, 1, probe_left_ms(&s->plan, PARTING_MS));
}

void bench_worker(struct bench_side *s, const struct bench_order *order)
{
	int r;

	/* Naps of microseconds, not of the default slack of 50. */
	prctl(PR_SET_TIMERSLACK, 1UL);
	bench_ticks_start(&s->ticks);
	r = run(s, order);

	s->rep->intact = r == 0;
	s->rep->done = true;
	if (r < 0 && s->rep->cause != PROBE_CAUSE_PEER && !s->rep->peers) {
		struct bench_fail f = { .cause = s->rep->cause };

		memcpy(f.call, s->rep->call, sizeof(f.call));
		memcpy(f.error, s->rep->error, sizeof(f.error));
		bench_send(s, BENCH_FAIL, &f, sizeof(f));
	}
	/* The peer must not wait for a clean-up that hangs. */
	shutdown(s->link, SHUT_WR);
	if (r == 0 && s->role == PROBE_INITIATOR)
		let_target_end(s);
	if (s->engine && s->state) {
		bench_doing(s, "the engine's clean-up");
		s->engine->close(s);
	}
	bench_mem_close(s);
	bench_doing(s, "");
}
