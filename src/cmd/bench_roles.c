/* bench on two hosts: the options or the ranks, the token, the meeting, and the target's whole
 * life. */
#include <sys/stat.h>
#include <time.h>

#include "cmd/bench_roles.h"

#define WAIT_S    600 /* for the other side to start, unless --deadline says */
#define RETRY_MS  200
#define TOKEN_MAX 4096

static int no_token(const struct kv_opts *o)
{
	return kv_fail(KV_STATUS_USAGE,
		       "bench %s needs a secret that both hosts share, in KVPATH_TOKEN or a file "
		       "for --token-file: head -c 32 /dev/urandom | base64",
		       o->listen ? "--listen" : "--connect");
}

static int use_token(struct kv_bench_part *p, const char *from, const char *token, size_t n)
{
	while (n && strchr("\r\n \t", token[n - 1]))
		n--;
	if (n < KV_PEER_TOKEN_MIN)
		return kv_fail(KV_STATUS_USAGE,
			       "%s: a token of %zu bytes can be guessed: it needs at least %d "
			       "(head -c 32 /dev/urandom | base64)",
			       from, n, KV_PEER_TOKEN_MIN);
	kv_peer_key_make(token, n, &p->auth.key);
	p->auth.keyed = true;
	return KV_STATUS_OK;
}

static int read_token(const struct kv_opts *o, struct kv_bench_part *p)
{
	const char *env = getenv("KVPATH_TOKEN");
	struct kv_err err = { 0 };
	struct kv_span text;
	struct stat st;

	if (!o->token_file)
		return env ? use_token(p, "KVPATH_TOKEN", env, strlen(env)) : no_token(o);
	if (stat(o->token_file, &st) == 0 && S_ISREG(st.st_mode) && st.st_mode & 077)
		return kv_fail(KV_STATUS_USAGE,
			       "--token-file %s: others can read it: chmod 600 it, and make a new "
			       "token",
			       o->token_file);
	if (kv_read_file(o->arena, o->token_file, TOKEN_MAX, &text, &err) < 0)
		return kv_fail(KV_STATUS_USAGE, "--token-file %s", err.msg);
	return use_token(p, o->token_file, (const char *)text.p, text.n);
}

static bool read_number(const char *s, bool may_be_zero, uint16_t *ret)
{
	unsigned port;
	char rest;

	if (!*s || s[strspn(s, "0123456789")] || sscanf(s, "%u%c", &port, &rest) != 1 ||
	    port > 65535 || (!port && !may_be_zero))
		return false;
	*ret = (uint16_t)port;
	return true;
}

static bool read_port(const struct kv_opts *o, const char *s, struct kv_bench_part *p)
{
	p->by_token = kv_streq(s, "auto");
	return p->by_token || read_number(s, o->listen, &p->ports[0]);
}

/* "HOST:PORT", "[ADDR]:PORT"; of a listener also "PORT" alone. */
static bool read_place(const struct kv_opts *o, const char *s, struct kv_bench_part *p)
{
	const char *colon = strrchr(s, ':'), *from = s, *to = colon;
	struct kv_peer_place place;

	if (!colon)
		return o->listen && read_port(o, s, p);
	if (*s == '[') {
		if (colon == s + 1 || colon[-1] != ']')
			return false;
		from = s + 1;
		to = colon - 1;
	} else if (memchr(s, ':', (size_t)(colon - s))) {
		return false;
	}
	if (to > from)
		p->host = kv_strndup(o->arena, from, (size_t)(to - from));
	if ((!p->host && !o->listen) || !read_port(o, colon + 1, p))
		return false;
	return !o->listen || !p->host || kv_peer_place_parse(p->host, p->ports[0], &place);
}

/* What the initiator says is measured; of a target such options would be silently ignored. */
static const char *initiators(const struct kv_opts *o)
{
	if (o->engines.n || o->before || o->after)
		return "--engine, --before and --after";
	if (o->shapes.n || o->model || o->tokens)
		return "--shape and --model";
	return o->op          ? "--op"
	       : o->progress  ? "--progress"
	       : o->iters     ? "--iters"
	       : o->mem_given ? "--mem"
	       : o->json      ? "--json"
			      : NULL;
}

/* Two tasks of a step: no option says which is which. */
static int choose_rank(const struct kv_opts *o, struct kv_bench_part *ret)
{
	struct kv_err err = { 0 };
	struct kv_env env = { 0 };
	int r;

	for (char **e = environ; *e; e++)
		kv_env_put(o->arena, &env, *e);
	r = kv_ranks_read(o->arena, &env, &ret->ranks, &err);
	if (r < 0)
		return kv_fail(KV_STATUS_USAGE, "bench: %s", err.msg);
	if (r == 0)
		return o->token_file ? kv_fail(KV_STATUS_USAGE,
					       "bench: --token-file is for --listen and --connect")
				     : KV_STATUS_OK;
	ret->ranked = true;
	ret->role = ret->ranks.target ? KV_BENCH_TARGET : KV_BENCH_INITIATOR;
	memcpy(ret->ports, ret->ranks.ports, sizeof(ret->ports));
	ret->n_ports = KV_RANKS_PORTS;
	if (!ret->ranks.target)
		ret->host = ret->ranks.node;
	if (o->token_file || getenv("KVPATH_TOKEN"))
		return read_token(o, ret);
	ret->opener = (struct kv_ranks_opener){ .arena = o->arena };
	ret->auth.open = kv_ranks_open;
	return KV_STATUS_OK;
}

int kv_bench_part_choose(const struct kv_opts *o, struct kv_bench_part *ret)
{
	const char *where = o->listen ? o->listen : o->connect;
	int r;

	*ret = (struct kv_bench_part){ .gate.fd = -EBADF,
				       .session.control.fd = -EBADF,
				       .n_ports = 1 };
	if (o->listen && o->connect)
		return kv_fail(KV_STATUS_USAGE, "bench: --listen on one host, --connect on the "
						"other, not both");
	if (!where)
		return choose_rank(o, ret);
	ret->role = o->listen ? KV_BENCH_TARGET : KV_BENCH_INITIATOR;
	if (o->listen && initiators(o))
		return kv_fail(KV_STATUS_USAGE,
			       "bench --listen: %s: say so on the side with --connect, which "
			       "decides what is measured and prints it",
			       initiators(o));
	if (!read_place(o, where, ret))
		return kv_fail(KV_STATUS_USAGE, "--%s %s: %s is expected",
			       o->listen ? "listen" : "connect", where,
			       o->listen ? "[ADDR:]PORT, ADDR as numbers (IPv6 in brackets), or "
					   "auto for PORT"
					 : "HOST:PORT (IPv6 in brackets), or auto for PORT");
	r = read_token(o, ret);
	if (r == KV_STATUS_OK && ret->by_token) {
		ret->n_ports = KV_RANKS_PORTS;
		kv_ranks_ports_of_key(&ret->auth.key, ret->ports);
	}
	return r;
}

static int64_t wait_s(const struct kv_opts *o, const struct kv_bench_part *p)
{
	return p->ranked || o->deadline_given ? o->deadline_s : WAIT_S;
}

/* ---- the initiator ---- */

/* Nobody listens there yet, or the network does not lead there yet. On ports
 * that nobody chose others may. */
static bool may_come(const struct kv_bench_part *p, int r)
{
	if (p->n_ports > 1 && (r == -EACCES || r == -EPROTO))
		return true;
	return r == -ECONNREFUSED || r == -EHOSTUNREACH || r == -ENETUNREACH || r == -ECONNRESET ||
	       r == -ETIMEDOUT || r == -EADDRNOTAVAIL;
}

static int try_places(struct kv_bench_part *p, const kv_peer_places *places, int64_t end,
		      struct kv_err *err)
{
	int r = -ENOENT;

	for (size_t i = 0; i < places->n; i++) {
		int64_t part = (end - kv_peer_now()) / (int64_t)(places->n - i);

		r = kv_peer_connect(&places->v[i], &p->auth, KV_PEER_CONTROL, kv_peer_now() + part,
				    &p->session.control, err);
		p->session.place = places->v[i];
		if (r == 0 || (r == -EACCES && p->n_ports == 1))
			return r;
	}
	return r;
}

static int find_places(const struct kv_opts *o, const struct kv_bench_part *p, kv_peer_places *ret,
		       struct kv_err *err)
{
	const char *probe = kv_probe_path(o->arena);
	int r = 0;

	for (size_t i = 0; i < p->n_ports && r == 0; i++)
		r = kv_peer_resolve(o->arena, probe, p->host, p->ports[i], ret, err);
	return r;
}

static int try_until(const struct kv_opts *o, struct kv_bench_part *p, int64_t end,
		     struct kv_err *err)
{
	/* Tasks of a step start together, but not at once. */
	bool told = o->quiet || p->ranked;
	kv_peer_places places = { 0 };
	int r = find_places(o, p, &places, err);

	/* A node whose name only Slurm knows. */
	if (r == -ENOENT && p->ranked) {
		p->host = kv_ranks_address(o->arena, p->ranks.node);
		r = find_places(o, p, &places, err);
	}
	if (r < 0)
		return r;
	for (;;) {
		r = try_places(p, &places, end, err);
		if (r == 0 || !may_come(p, r) || kv_peer_left(end) < RETRY_MS)
			return r;
		if (!told)
			fprintf(stderr, "kvpath: %s; trying for %d s more\n", err->msg,
				kv_peer_left(end) / 1000);
		told = true;
		nanosleep(&(struct timespec){ .tv_nsec = RETRY_MS * 1000000L }, NULL);
	}
}

int kv_bench_part_reach(const struct kv_opts *o, struct kv_bench_part *p, json_t *self)
{
	int64_t end = kv_peer_now() + (p->by_token ? wait_s(o, p) : o->deadline_s) * 1000;
	struct kv_err err = { 0 };
	int r;

	p->opener.ranks = &p->ranks;
	p->auth.arg = &p->opener;
	r = try_until(o, p, end, &err);

	if (r == 0)
		r = kv_bench_meet(&p->session, self, end, &err);
	else
		json_decref(self);
	if (r == 0)
		return KV_STATUS_OK;
	if (p->ranked)
		return kv_fail(
			KV_STATUS_UNKNOWN,
			"bench: rank %llu's task on %s is not reached: %s (did it start, and "
			"is no firewall between?)",
			(unsigned long long)p->ranks.rank - 1, p->ranks.node, err.msg);
	return kv_fail(r == -EACCES || r == -ENOENT ? KV_STATUS_USAGE : KV_STATUS_UNKNOWN,
		       "bench: %s%s", err.msg,
		       may_come(p, r) ? " (is kvpath bench --listen running there, and no "
					"firewall between?)"
				      : "");
}

/* ---- the target ---- */

/* The first of its ports that is free. */
static int listen_somewhere(const struct kv_opts *o, struct kv_bench_part *p, struct kv_err *err)
{
	int r = p->auth.keyed ? 0
			      : kv_ranks_seal(o->arena, &p->ranks, (unsigned)wait_s(o, p) + 60,
					      &p->auth, err);

	if (r < 0)
		return r;
	r = -EADDRINUSE;
	for (size_t i = 0; i < p->n_ports && r == -EADDRINUSE; i++)
		r = kv_peer_listen(p->host, p->ports[i], &p->gate, err);
	return r;
}

int kv_bench_part_serve(const struct kv_opts *o, struct kv_bench_part *p,
			const struct kv_bench_request *req, json_t *self)
{
	int64_t end = kv_peer_now() + wait_s(o, p) * 1000;
	int r, status = KV_STATUS_UNKNOWN;
	struct kv_err err = { 0 };
	char where[64];

	r = listen_somewhere(o, p, &err);
	if (r < 0) {
		json_decref(self);
		return kv_fail(!p->ranked && (r == -EINVAL || r == -EADDRNOTAVAIL ||
					      r == -EADDRINUSE || r == -EACCES)
				       ? KV_STATUS_USAGE
				       : KV_STATUS_UNKNOWN,
			       "bench: %s", err.msg);
	}
	kv_peer_place_text(&p->gate.at, where, sizeof(where));
	if (!p->ranked)
		fprintf(stderr, "kvpath: bench listens on %s%s\n", where,
			p->host ? "" : " (every address of this host)");
	r = kv_peer_accept(&p->gate, &p->auth, KV_PEER_CONTROL, end, &p->session.control, &err);
	if (r == 0)
		r = kv_bench_meet(&p->session, self, kv_peer_now() + 20000, &err);
	else
		json_decref(self);
	if (r == 0)
		r = kv_bench_serve(o->arena, &p->session, &p->gate, req, &status, &err);
	kv_peer_gate_close(&p->gate);
	kv_peer_close(&p->session.control);
	json_decref(p->session.peer);
	if (r < 0)
		return kv_fail(KV_STATUS_UNKNOWN, "bench: %s", err.msg);
	return status < KV_STATUS_OK || status > KV_STATUS_UNKNOWN ? KV_STATUS_UNKNOWN : status;
}
