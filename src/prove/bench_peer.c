/*
 * One bench on two hosts: what the two kvpaths say to each other. The initiator names an engine,
 * the target says that it is ready, a link is made and given to the two probes, and when theirs has
 * ended the target says how it went there. Of what comes from the other host only strings and
 * numbers of known names are kept.
 */
#include "prove/bench.h"

#define TALK_S   20 /* for an answer that takes no measuring */
#define GRACE_S  5  /* for the target's result, after the initiator's own end */
#define IDLE_S   120
#define DEVICES  1024
#define TEXT_MAX 2048

static int64_t in_seconds(unsigned s)
{
	return kv_peer_now() + (int64_t)s * 1000;
}

static const char *text_of(struct kv_arena *a, const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s && *s ? kv_strndup(a, s, strnlen(s, TEXT_MAX)) : NULL;
}

/* An object of nothing but what may be printed. */
static json_t *plain(const json_t *o)
{
	static const char *const texts[] = { "name",    "kernel", "machine", "cpu",    "load",
					     "version", "target", "nixl",    "address" };
	static const char *const numbers[] = { "cores", "cores_allowed" };
	json_t *out = json_object();

	for (size_t i = 0; i < KV_ARRAY_SIZE(texts); i++) {
		const char *s = json_string_value(json_object_get(o, texts[i]));

		if (s && strlen(s) <= TEXT_MAX)
			json_object_set_new(out, texts[i], json_string(s));
	}
	for (size_t i = 0; i < KV_ARRAY_SIZE(numbers); i++) {
		json_t *v = json_object_get(o, numbers[i]);

		if (json_is_integer(v))
			json_object_set(out, numbers[i], v);
	}
	return out;
}

static bool is_kind(const json_t *doc, const char *kind)
{
	return kv_streq(json_string_value(json_object_get(doc, "kind")), kind);
}

int kv_bench_meet(struct kv_bench_session *s, json_t *self, int64_t end, struct kv_err *err)
{
	json_t *doc = NULL;
	int r;

	json_object_set_new(self, "kind", json_string("host"));
	r = kv_peer_send(&s->control, self, end, err);
	if (r == 0)
		r = kv_peer_recv(&s->control, end, &doc, err);
	if (r < 0)
		return r;
	if (is_kind(doc, "host")) {
		s->peer = plain(doc);
		json_object_set_new(s->peer, "address", json_string(s->control.address));
	}
	json_decref(doc);
	return s->peer ? 0 : kv_err(err, -EPROTO, "%s: does not say who it is", s->control.address);
}

static const char *name_of(const struct kv_bench_session *s)
{
	const char *name = json_string_value(json_object_get(s->peer, "name"));

	return name ? name : s->control.address;
}

/* ---- two results ---- */

static void take_counters(struct kv_arena *a, const json_t *theirs, struct kv_bench_engine *mine)
{
	const json_t *list = json_object_get(theirs, "devices"), *d;
	size_t i;

	json_array_foreach(list, i, d)
	{
		const char *device = text_of(a, d, "name"), *counter = text_of(a, d, "counter");
		const json_t *delta = json_object_get(d, "delta");

		if (i < DEVICES && device && counter && json_is_integer(delta))
			kv_vec_push(a, &mine->peer_counters,
				    ((struct kv_prove_counter){ kv_strdup(a, device),
								kv_strdup(a, counter),
								json_integer_value(delta) }));
	}
}

static bool is_one_of(const char *cause, const char *x, const char *y)
{
	return cause && (kv_streq(cause, x) || kv_streq(cause, y));
}

/* Whether the failure there is the cause, and the one here what follows from it. */
static bool theirs_counts(const struct kv_bench_engine *mine, const json_t *theirs)
{
	bool hung = json_is_true(json_object_get(theirs, "hung"));

	if (json_is_true(json_object_get(theirs, "good")))
		return false;
	if (mine->good || mine->echo)
		return true;
	if (json_is_true(json_object_get(theirs, "echo")))
		return false;
	/* It ended there first; what a library here makes of that is not the cause. */
	if (is_one_of(mine->cause, "library", "nixl") &&
	    is_one_of(json_string_value(json_object_get(theirs, "cause")), "crash", "deadline"))
		return true;
	/* Both ran out of time: the one that hung kept the other waiting. */
	return hung && !mine->hung;
}

void kv_bench_merge(struct kv_arena *a, struct kv_bench_engine *mine, const json_t *theirs,
		    const char *host, const char *lost)
{
	const char *what;

	if (!theirs) {
		mine->clean_end = false;
		if (mine->good)
			return;
		mine->side = "target";
		mine->error =
			kv_strf(a, "initiator: %s; and the target, on %s, says nothing more (%s)",
				mine->error, host, lost);
		return;
	}
	mine->peer_provider = text_of(a, theirs, "provider");
	take_counters(a, theirs, mine);
	mine->clean_end = mine->clean_end && json_is_true(json_object_get(theirs, "clean_end"));
	if (theirs_counts(mine, theirs)) {
		what = text_of(a, theirs, "error");
		mine->good = false;
		mine->side = "target";
		mine->cause = text_of(a, theirs, "cause");
		mine->error = kv_strf(a, "target, on %s: %s", host,
				      what ? what : "failed without a reason");
	} else if (!mine->good) {
		mine->error = kv_strf(a, "initiator: %s", mine->error);
	}
}

/* ---- the initiator ---- */

static int ask(struct kv_bench_session *s, const struct kv_bench_request *req, const char *engine,
	       struct kv_err *err)
{
	json_t *doc = NULL;
	int r = kv_peer_send(&s->control,
			     json_pack("{s:s,s:s,s:s,s:i}", "kind", "run", "engine", engine, "mem",
				       req->where.mem, "deadline_s", (int)req->where.deadline_s),
			     in_seconds(TALK_S), err);

	if (r == 0)
		r = kv_peer_recv(&s->control, in_seconds(TALK_S), &doc, err);
	if (r < 0)
		return r;
	r = is_kind(doc, "ready") ? 0 : -EPROTO;
	if (r < 0)
		kv_err(err, r, "%s: is not ready for %s", s->control.address, engine);
	json_decref(doc);
	return r;
}

/* The target's last word on an engine; NULL with err filled where there is none. */
static json_t *result_of(struct kv_bench_session *s, struct kv_err *err)
{
	json_t *doc = NULL;

	if (kv_peer_recv(&s->control, in_seconds(GRACE_S), &doc, err) < 0) {
		s->lost = true;
		return NULL;
	}
	if (is_kind(doc, "result"))
		return doc;
	json_decref(doc);
	s->lost = true;
	kv_err(err, -EPROTO, "it says something else than its result");
	return NULL;
}

/* A connection whose handshake's last packet was lost may be one for this side alone: that is told
 * by silence only, and the next one comes about. */
static int connect_link(struct kv_bench_session *s, struct kv_peer_conn *ret, struct kv_err *err)
{
	int64_t end = in_seconds(TALK_S);
	int r;

	do
		r = kv_peer_connect(&s->place, &s->control.session, KV_PEER_LINK, end, ret, err);
	while (r == -ETIMEDOUT && kv_peer_left(end));
	return r;
}

int kv_bench_with(struct kv_arena *a, struct kv_bench_session *s,
		  const struct kv_bench_request *req, const char *engine,
		  struct kv_bench_engine *ret, struct kv_err *err)
{
	struct kv_bench_request mine = *req;
	_peer_ struct kv_peer_conn link = { .fd = -EBADF };
	struct kv_err lost = { 0 };
	json_t *theirs;
	int r = ask(s, req, engine, err);

	if (r == 0)
		r = connect_link(s, &link, err);
	if (r < 0) {
		s->lost = true;
		return kv_err(err, r, "the target, on %s, is lost: %s", name_of(s),
			      kv_strdup(a, err->msg));
	}
	mine.remote = "initiator";
	mine.link = link.fd;
	r = kv_bench(a, &mine, engine, ret, err);
	/* The target's probe must see the end, also where this one's never began. */
	kv_peer_close(&link);
	theirs = result_of(s, &lost);
	if (r == 0)
		kv_bench_merge(a, ret, theirs, name_of(s), lost.msg);
	json_decref(theirs);
	return r;
}

void kv_bench_part(struct kv_bench_session *s, int status)
{
	struct kv_err err;

	if (!s->lost)
		kv_peer_send(&s->control, json_pack("{s:s,s:i}", "kind", "end", "status", status),
			     in_seconds(1), &err);
	kv_peer_close(&s->control);
	json_decref(s->peer);
	s->peer = NULL;
}

/* ---- the target ---- */

static json_t *result_json(const struct kv_bench_engine *e)
{
	json_t *devices = json_array();

	for (size_t i = 0; i < e->counters.n && i < DEVICES; i++)
		json_array_append_new(devices,
				      json_pack("{s:s,s:s,s:I}", "name", e->counters.v[i].device,
						"counter", e->counters.v[i].counter, "delta",
						(json_int_t)e->counters.v[i].delta));
	return json_pack("{s:s,s:b,s:b,s:b,s:b,s:s?,s:s?,s:s?,s:o}", "kind", "result", "good",
			 e->good, "echo", e->echo, "hung", e->hung, "clean_end", e->clean_end,
			 "cause", e->cause, "error", e->error, "provider", e->provider, "devices",
			 devices);
}

/* One engine, as the other side asked. */
static int serve_run(struct kv_arena *a, struct kv_bench_session *s, struct kv_peer_gate *gate,
		     const struct kv_bench_request *req, const json_t *asked, struct kv_err *err)
{
	const json_t *deadline = json_object_get(asked, "deadline_s");
	_peer_ struct kv_peer_conn link = { .fd = -EBADF };
	struct kv_bench_engine e = { .name = text_of(a, asked, "engine") };
	struct kv_bench_request mine = *req;
	int r;

	if (!e.name || !json_is_integer(deadline) || json_integer_value(deadline) < 1 ||
	    json_integer_value(deadline) > 86400)
		return kv_err(err, -EPROTO, "%s: asks for a run that cannot be",
			      s->control.address);
	mine.where.deadline_s = (unsigned)json_integer_value(deadline);
	mine.where.mem = kv_streq(text_of(a, asked, "mem"), "vram") ? "vram" : "dram";
	mine.remote = "target";
	r = kv_peer_send(&s->control, json_pack("{s:s}", "kind", "ready"), in_seconds(TALK_S), err);
	if (r == 0)
		r = kv_peer_accept(gate, &s->control.session, KV_PEER_LINK, in_seconds(TALK_S),
				   &link, err);
	if (r < 0)
		return r;
	mine.link = link.fd;
	r = kv_bench(a, &mine, e.name, &e, err);
	if (r < 0) {
		e.cause = "environment";
		e.error = kv_strdup(a, err->msg);
	} else if (req->took_log) {
		req->took_log(req->took_log_arg, e.log);
	}
	r = kv_peer_send(&s->control, result_json(&e), in_seconds(TALK_S), err);
	json_decref(e.runs);
	return r;
}

static int initiator_lost(struct kv_arena *a, const struct kv_bench_session *s, int r,
			  struct kv_err *err)
{
	return kv_err(err, r, "the initiator, on %s, is lost: %s", name_of(s),
		      kv_strdup(a, err->msg));
}

int kv_bench_serve(struct kv_arena *a, struct kv_bench_session *s, struct kv_peer_gate *gate,
		   const struct kv_bench_request *req, int *ret_status, struct kv_err *err)
{
	for (;;) {
		json_t *doc = NULL;
		bool is_end;
		int r = kv_peer_recv(&s->control, in_seconds(IDLE_S), &doc, err);

		if (r < 0)
			return initiator_lost(a, s, r, err);
		is_end = is_kind(doc, "end");
		if (is_end)
			*ret_status = (int)json_integer_value(json_object_get(doc, "status"));
		else if (is_kind(doc, "run"))
			r = serve_run(a, s, gate, req, doc, err);
		else
			r = kv_err(err, -EPROTO, "%s: asks for something unknown",
				   s->control.address);
		json_decref(doc);
		if (r < 0)
			return initiator_lost(a, s, r, err);
		if (is_end)
			return 0;
	}
}
