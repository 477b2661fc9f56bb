/*
 * Which way the bytes of the serving processes go. A device's counters are those of all jobs that
 * use it, and a socket's bytes can be anything; what can be told apart is, and what cannot is said.
 */
#include "watch/limits.h"
#include "watch/watch.h"

const char *const kv_watch_path_name[_KV_WATCH_PATH_COUNT] = { "unknown", "efa", "tcp", "both",
							       "nothing" };

struct view {
	const struct kv_watch_delta *d;
	struct kv_arena *a;
	struct kv_watch_verdict *out;
	size_t n_serving, n_open; /* of these, with an EFA device open */
	size_t n_others;          /* that have an EFA device open and do not serve */
	bool open_known;          /* whether each has one open is known */
	bool nccl;
	uint64_t efa, tcp; /* bytes */
	bool efa_moves, efa_known, tcp_moves, tcp_known;
};

const char *kv_watch_rate(struct kv_arena *a, uint64_t bytes, double seconds)
{
	static const char *const units[] = { "B/s", "kB/s", "MB/s", "GB/s", "TB/s" };
	double rate = seconds > 0 ? (double)bytes / seconds : 0;
	size_t u = 0;

	while (rate >= 999.5 && u + 1 < KV_ARRAY_SIZE(units)) {
		rate /= 1000;
		u++;
	}
	return kv_strf(a, rate < 99.95 && u ? "%.1f %s" : "%.0f %s", rate, units[u]);
}

static const char *rate(const struct view *v, uint64_t bytes)
{
	return kv_watch_rate(v->a, bytes, v->d->seconds);
}

static void limit(const struct view *v, const char *text)
{
	kv_vec_push(v->a, &v->out->cannot_tell, kv_strdup(v->a, text));
}

static bool moves(const struct view *v, uint64_t bytes, enum kv_watch_limit at_least)
{
	return (double)bytes >= (double)kv_watch_limit[at_least] * v->d->seconds;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static void see(struct view *v)
{
	const struct kv_watch_process *p;

	v->open_known = true;
	kv_vec_each (p, &v->d->now->processes) {
		if (!kv_watch_serves(p)) {
			v->n_others += p->efa.n != 0;
			continue;
		}
		v->n_serving++;
		v->n_open += p->efa.n != 0;
		v->open_known &= !p->fds_error;
		v->nccl |= p->nccl_net;
	}
	/* A host is sampled from one direction: one that only reads far memory receives alone. */
	v->efa = larger(v->d->tx, v->d->rx);
	v->tcp = larger(v->d->sent, v->d->received);
	v->efa_moves = moves(v, v->efa, KV_LIMIT_EFA_MOVES);
	v->tcp_moves = moves(v, v->tcp, KV_LIMIT_TCP_MOVES);
	v->efa_known = !v->d->now->efa_error && v->d->n_known == v->d->devices.n;
	v->tcp_known = v->d->n_tcp_known == v->d->processes.n;
}

/* ---- what can not be told ---- */

static void limits_of_efa(const struct view *v, bool live)
{
	if (!live)
		limit(v,
		      "the counters are those of --sysroot, the processes those of this machine");
	if (v->efa_moves && v->n_open)
		limit(v, "EFA counters are per device: bytes of other jobs on it count too");
	else if (v->efa_moves)
		limit(v, "EFA counters are per device, whoever uses it");
	if (v->efa_moves && v->nccl)
		limit(v, "NCCL's network plugin is mapped too: its bytes cannot be told from KV's");
	if (v->efa_moves && v->n_others)
		limit(v, kv_strf(v->a, "%zu other processes have an EFA device open", v->n_others));
	if (v->d->now->efa_error)
		limit(v, kv_strf(v->a, "/sys/class/infiniband cannot be read: %s",
				 strerror(-v->d->now->efa_error)));
	else if (!v->efa_known)
		limit(v,
		      kv_strf(v->a,
			      "the bytes of %zu of %zu EFA devices: they came, went, count anew or "
			      "have no counters",
			      v->d->devices.n - v->d->n_known, v->d->devices.n));
}

static void limits_of_tcp(const struct view *v)
{
	const struct kv_watch_process_delta *p;

	kv_vec_each (p, &v->d->processes)
		if (!p->known)
			limit(v,
			      kv_strf(v->a, "TCP of pid %d: %s", (int)p->process->pid, p->unknown));
	if (v->tcp_moves)
		limit(v, "what TCP carries: KV caches, or model weights being fetched");
	if (v->d->now->unreadable)
		limit(v, kv_strf(v->a, "%zu processes that this user may not look at",
				 v->d->now->unreadable));
	if (v->out->path == KV_WATCH_NOTHING && v->n_serving)
		limit(v, "bytes through shared memory, cuda_ipc, NVLink or other networks are not "
			 "seen");
}

/* ---- the line ---- */

static const char *efa_part(const struct view *v)
{
	size_t n = v->d->devices.n;

	if (!n)
		return v->d->now->efa_error ? "EFA unknown" : "no EFA device here";
	return kv_strf(v->a, "EFA %s%s on %zu device%s", v->efa_known ? "" : "at least ",
		       rate(v, v->efa), n, n == 1 ? "" : "s");
}

static const char *tcp_part(const struct view *v)
{
	return kv_strf(v->a, "TCP %s%s of %zu serving process%s", v->tcp_known ? "" : "at least ",
		       rate(v, v->tcp), v->n_serving, v->n_serving == 1 ? "" : "es");
}

static void say(struct view *v, enum kv_watch_path path, const char *what)
{
	v->out->path = path;
	v->out->line = kv_strf(v->a, "%s: %s, %s", what, efa_part(v), tcp_part(v));
}

/* No serving process: whose bytes an EFA device carries is not known, and none are KV's that can
 * be named. */
static void judge_none(struct view *v)
{
	if (v->d->now->unreadable)
		say(v, KV_WATCH_UNKNOWN,
		    "cannot tell: no process that may be looked at has NIXL mapped");
	else if (v->efa_moves)
		say(v, KV_WATCH_UNKNOWN,
		    "cannot tell: bytes move over EFA, but no process here has NIXL mapped");
	else if (!v->efa_known)
		say(v, KV_WATCH_UNKNOWN, "cannot tell: no process here has NIXL mapped");
	else
		say(v, KV_WATCH_NOTHING, "nothing moves: no process here has NIXL mapped");
}

/* The smaller of the two is left out of the verdict where it is a small part. */
static bool is_small(uint64_t part, uint64_t other)
{
	return (double)part * 100 < (double)kv_watch_limit[KV_LIMIT_SMALL_PART] * (double)other;
}

static void judge_serving(struct view *v, bool live)
{
	/* EFA has no way around an open device. That of a recorded host is nobody's here. */
	bool theirs = !live || !v->open_known || v->n_open;
	bool efa = v->efa_moves && theirs, tcp = v->tcp_moves;

	if (efa && tcp && is_small(v->tcp, v->efa))
		tcp = false;
	else if (efa && tcp && v->efa_known && is_small(v->efa, v->tcp))
		efa = false;
	if (efa && tcp)
		say(v, KV_WATCH_BOTH, "over EFA and over TCP");
	else if (efa && v->tcp_known)
		say(v, KV_WATCH_EFA, "over EFA");
	else if (efa)
		say(v, KV_WATCH_UNKNOWN, "cannot tell: bytes go over EFA, and TCP is not known");
	else if (tcp && (v->efa_known || (live && v->open_known && !v->n_open)))
		say(v, KV_WATCH_TCP, "over TCP");
	else if (tcp)
		say(v, KV_WATCH_UNKNOWN, "cannot tell: bytes go over TCP, and EFA is not known");
	else if (v->efa_moves)
		say(v, KV_WATCH_NOTHING,
		    "nothing of the serving processes moves: none has an EFA device open");
	else if (v->efa_known && v->tcp_known)
		say(v, KV_WATCH_NOTHING, "nothing moves");
	else
		say(v, KV_WATCH_UNKNOWN, "cannot tell");
}

void kv_watch_judge(const struct kv_watch_delta *d, struct kv_watch_verdict *ret)
{
	struct view v = { .d = d, .a = d->now->arena, .out = ret };

	*ret = (struct kv_watch_verdict){ 0 };
	see(&v);
	if (v.n_serving)
		judge_serving(&v, d->now->live);
	else
		judge_none(&v);
	limits_of_efa(&v, d->now->live);
	limits_of_tcp(&v);
}
