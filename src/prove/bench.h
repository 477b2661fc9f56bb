/*
 * Measurement by real transfers: runs `kvpath-probe bench` inside the target, once for each engine,
 * and gathers what it measured. Nothing counts that was not checked at the receiver.
 */
#ifndef KV_PROVE_BENCH_H
#define KV_PROVE_BENCH_H

#include "base/json.h"
#include "prove/peer.h"
#include "prove/prove.h"

struct kv_bench_request {
	struct kv_prove_request where; /* target, probe, capi, mem, deadline, mounts, env */
	const char *fabric,
		*ucp;   /* libfabric.so.1 and libucp.so.0 as the target has them; NULL: by name */
	const char *op; /* "write", "read", "both" */
	kv_strv shapes; /* "64x65536" */
	const char *
		nixl_progress; /* of NIXL's agents: "thread", "none"; NULL: its default, a thread */
	uint64_t iters;        /* 0: the probe's default */
	unsigned gpu, peer_gpu;
	const char *remote; /* "target" or "initiator", where the other one is on another host */
	int link;           /* to that one */
	/* How many runs are measured, as it goes on; may be NULL. */
	void (*progress)(void *arg, size_t runs);
	void *progress_arg;
	/* The target's engines have no other place for what their libraries say; may be NULL. */
	void (*took_log)(void *arg, const char *log);
	void *took_log_arg;
};

/* One engine's part of the result. */
struct kv_bench_engine {
	const char *name;     /* "nixl:UCX" */
	const char *provider; /* NULL where nothing named it */
	const char *provider_source;
	const char *cause, *error; /* NULL where all went well */
	const char *side;          /* whose cause it is; NULL where that is not known */
	bool echo, hung; /* this side has only the other's failure to tell; it hung itself */
	bool good, clean_end;
	json_t *runs; /* array of objects, checked; of the caller's bench */
	KV_VEC(struct kv_prove_counter) counters;
	const char *log;
	/* Of the target's side, where that is another host. */
	const char *peer_provider;
	KV_VEC(struct kv_prove_counter) peer_counters;
};

/* 0 with *ret filled, also where the engine failed; -errno where it could not be tried. */
int kv_bench(struct kv_arena *a, const struct kv_bench_request *req, const char *engine,
	     struct kv_bench_engine *ret, struct kv_err *err);

/* ---- two hosts (bench_peer.c) ---- */

/* What a host says of itself to the other one, and the connection that it says it on. */
struct kv_bench_session {
	struct kv_peer_conn control;
	struct kv_peer_place place; /* where the target listens; of the initiator */
	json_t *peer;               /* strings and numbers of known names */
	bool lost;                  /* the other host answers no more */
};

/* Tells the other host about this one (takes `self` over) and hears what it says. */
int kv_bench_meet(struct kv_bench_session *s, json_t *self, int64_t end, struct kv_err *err);
/* The initiator's part of one engine. As kv_bench. */
int kv_bench_with(struct kv_arena *a, struct kv_bench_session *s,
		  const struct kv_bench_request *req, const char *engine,
		  struct kv_bench_engine *ret, struct kv_err *err);
/* Ends the other side, which then ends with the same status. */
void kv_bench_part(struct kv_bench_session *s, int status);
/* The target's part: engine after engine, until the other side has no more. *ret_status is its. */
int kv_bench_serve(struct kv_arena *a, struct kv_bench_session *s, struct kv_peer_gate *gate,
		   const struct kv_bench_request *req, int *ret_status, struct kv_err *err);
/* What both sides know of an engine: *mine, and the other's result or NULL. For the tests too. */
void kv_bench_merge(struct kv_arena *a, struct kv_bench_engine *mine, const json_t *theirs,
		    const char *host, const char *lost);

#endif
