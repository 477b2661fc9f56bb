/*
 * SGLang under Dynamo, from its public documents and srtctl's source (NVIDIA/srt-slurm,
 * src/srtctl/backends/sglang.py, 2026-08).
 */
#include "launch/backend.h"

#define DIST_PORT "5757" /* as srtctl has it */

static int make(struct kv_job *j, struct kv_role *role, struct kv_err *err)
{
	const struct kv_worker_spec *w = role->spec;
	static const char handled[] = " model-path served-model-name disaggregation-mode "
				      "dist-init-addr nnodes node-rank ";
	const char *model = kv_job_flag(j, w, "model-path"),
		   *served = kv_job_flag(j, w, "served-model-name");
	struct kv_arena *a = j->arena;
	const char *line;

	model = model ? model : w->model;
	served = served ? served : w->served;
	if (!model)
		return kv_err(err, -EINVAL, "%s: no model is named for the %s workers", j->path,
			      w->mode);
	line = kv_strf(a, "python3 -m dynamo.sglang --model-path %s", kv_job_word(j, model));
	if (served) {
		line = kv_strf(a, "%s --served-model-name %s", line, kv_job_word(j, served));
		j->served = j->served ? j->served : served;
	}
	if (!kv_streq(w->mode, "aggregated"))
		line = kv_strf(a, "%s --disaggregation-mode %s", line, w->mode);
	if (role->nodes > 1)
		line = kv_strf(a,
			       "%s --dist-init-addr \"$KVPATH_LEADER:" DIST_PORT
			       "\" --nnodes %u --node-rank \"$SLURM_NODEID\"",
			       line, role->nodes);
	role->command = kv_cat(a, line, kv_job_flags(j, w->flags, handled, false));
	return 0;
}

const struct kv_backend kv_backend_sglang = { .name = "sglang", .settings = "", .make = make };
