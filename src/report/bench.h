/* What kvpath bench measured, for people and for programs. */
#ifndef KV_REPORT_BENCH_H
#define KV_REPORT_BENCH_H

#include "prove/bench.h"
#include "report/report.h"

struct kv_bench_report {
	KV_VEC(struct kv_bench_engine) engines;
	const char *target, *nixl;  /* its version; NULL */
	const char *before, *after; /* engines to compare; NULL */
	const char *shape_source;   /* "glm-4.7, 30000 tokens, ..."; NULL */
	json_t *peer;               /* the target's host, where that is another one; NULL */
};

void kv_text_bench(FILE *out, struct kv_arena *a, const struct kv_bench_report *r,
		   struct kv_style st);
/* This host: name, kernel, cores, load. */
json_t *kv_json_bench_host(struct kv_arena *a);
/* kvpath.bench/1; the caller's reference. */
json_t *kv_json_bench(struct kv_arena *a, const struct kv_bench_report *r);

#endif
