/*
 * Measurement by real transfers: runs `kvpath-probe bench` inside the target, once for each engine,
 * and gathers what it measured. Nothing counts that was not checked at the receiver.
 */
#ifndef KV_PROVE_BENCH_H
#define KV_PROVE_BENCH_H

#include <jansson.h>

#include "prove/prove.h"

struct kv_bench_request {
	struct kv_prove_request where; /* target, probe, capi, mem, deadline, mounts, env */
	const char *op;                /* "write", "read", "both" */
	kv_strv shapes;                /* "64x65536" */
	uint64_t iters;                /* 0: the probe's default */
	unsigned gpu, peer_gpu;
};

/* One engine's part of the result. */
struct kv_bench_engine {
	const char *name;     /* "nixl:UCX" */
	const char *provider; /* NULL where nothing named it */
	const char *provider_source;
	const char *cause, *error; /* NULL where all went well */
	bool good, clean_end;
	json_t *runs; /* array of objects, checked; of the caller's bench */
	KV_VEC(struct kv_prove_counter) counters;
	const char *log;
};

/* 0 with *ret filled, also where the engine failed; -errno where it could not be tried. */
int kv_bench(struct kv_arena *a, const struct kv_bench_request *req, const char *engine,
	     struct kv_bench_engine *ret, struct kv_err *err);

#endif
