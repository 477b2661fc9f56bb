/*
 * Serving frameworks in the target that name NIXL's backends themselves, so that NIXL's own default
 * does not reach them. A framework counts as such where its source reads the knob, not by being
 * there.
 */
#include "inspect/internal.h"

#define MAX_SOURCE ((size_t)8 << 20)

static const struct {
	const char *name, *package, *source, *knob;
} known[] = {
	/* sglang: srt/environ.py defines the knob, srt/disaggregation/nixl/conn.py uses it; default
	   UCX */
	{ "SGLang", "sglang", "srt/environ.py", "SGLANG_DISAGGREGATION_NIXL_BACKEND" },
};

void kv_find_frameworks(struct kv_facts *f)
{
	for (size_t i = 0; i < f->scan->sites.n; i++)
		for (size_t j = 0; j < KV_ARRAY_SIZE(known); j++) {
			const char *dir = kv_join(f->arena, f->scan->sites.v[i], known[j].package);
			struct kv_span s;

			if (kv_root_slurp(f->root, kv_join(f->arena, dir, known[j].source),
					  MAX_SOURCE, &s) < 0 ||
			    kv_span_find(s, 0, known[j].knob, strlen(known[j].knob)) == s.n)
				continue;
			kv_vec_push(f->arena, &f->frameworks,
				    ((struct kv_framework){
					    .name = known[j].name,
					    .path = dir,
					    .knob = known[j].knob,
					    .value = kv_env_get(f->env, known[j].knob),
					    .set = kv_strf(f->arena, "%s=%s", known[j].knob,
							   f->backend),
				    }));
		}
}
