/*
 * TensorRT-LLM under Dynamo, as srtctl starts it: NVIDIA/srt-slurm, src/srtctl/backends/trtllm.py
 * (commit 02600fc4) and docs/config-reference.md, "TRTLLM Backend", 2026-08. What the recipe says
 * of a mode is the engine's own file; the flags are Dynamo's (its reference, "TensorRT-LLM
 * Configuration", v1.6). One task for each GPU, joined by MPI.
 */
#include "launch/backend.h"

#define MAX_ENGINE ((size_t)64 << 10) /* it goes through an argument of bash */

static size_t count(const struct kv_yaml *map)
{
	size_t n = 0;

	for (const struct kv_yaml *c = map->first; c; c = c->next)
		n++;
	return n;
}

/* The map as the recipe has it written: its types are YAML's, and stay them. NULL where that text
 * can not stand for itself. */
static const char *text_of(const struct kv_job *j, const struct kv_yaml *map)
{
	const char *text = (const char *)j->text.p, *out;
	size_t from = map->start, to = map->end;
	kv_yamls docs = { 0 };

	if (!map->flow) {
		for (from = map->first->at; from && text[from - 1] != '\n'; from--)
			;
		while (to < j->text.n && text[to] != '\n' && text[to - 1] != '\n')
			to++;
	}
	if (to > j->text.n || from >= to || to - from > MAX_ENGINE)
		return NULL;
	out = kv_strndup(j->arena, text + from, to - from);
	if (kv_yaml_parse(j->arena, j->path, ((struct kv_span){ j->text.p + from, to - from }),
			  &docs, NULL) < 0 ||
	    docs.n != 1 || docs.v[0]->kind != KV_YAML_MAP || count(docs.v[0]) != count(map))
		return NULL;
	return out;
}

static int put_engine(struct kv_job *j, struct kv_role *role, struct kv_err *err)
{
	const struct kv_worker_spec *w = role->spec;
	const struct kv_yaml *map = w->flags[1];
	const char *text = "{}";

	if (map && map->kind == KV_YAML_MAP && map->first)
		text = text_of(j, map);
	if (!text)
		return kv_err(
			err, -ENOTSUP,
			"%s:%u: trtllm_config.%s: it can not be taken out of the recipe as it "
			"stands; write it as a block, a key on each line",
			j->path, map->line, w->mode);
	role->setup = kv_strf(
		j->arena,
		"KVPATH_ENGINE=\"$KVPATH_LOGS/engine.%s.$SLURM_STEP_ID.$SLURM_PROCID.yaml\"\n"
		"printf '%%s\\n' %s >\"$KVPATH_ENGINE\" || exit\n"
		"export TRTLLM_EPLB_SHM_NAME=\"moe_shared_$SLURM_JOB_ID.$SLURM_STEP_ID\"\n",
		role->name, kv_bash_word(j->arena, text));
	return 0;
}

/* On GB200 and GB300 the memory of the CPUs, unless the recipe says. */
static bool binds_memory(const struct kv_worker_spec *w)
{
	const char *said = kv_job_text(w->settings, "numa_memory_bind");

	if (said)
		return kv_streq(said, "true") || kv_streq(said, "True");
	return !kv_streq(w->mode, "aggregated") &&
	       (kv_streq(w->gpu_type, "gb200") || kv_streq(w->gpu_type, "gb300"));
}

static int make(struct kv_job *j, struct kv_role *role, struct kv_err *err)
{
	static const char *const options[] = { "--mpi=pmix", "--oversubscribe",
					       "--cpu-bind=verbose,none" };
	const struct kv_worker_spec *w = role->spec;
	const char *served = kv_job_text(w->settings, "served_model_name");
	unsigned on_node = role->nodes > 1 ? j->gpus_per_node : role->gpus;
	struct kv_arena *a = j->arena;
	const char *line;

	served = served ? served : w->served;
	if (!w->model || !served)
		return kv_err(err, -EINVAL, "%s: no model is named for the %s workers", j->path,
			      w->mode);
	if (on_node * role->nodes != role->gpus)
		return kv_err(
			err, -EINVAL,
			"%s: %u GPUs for a %s worker: those of %u nodes are %u, and each has a "
			"task",
			j->path, role->gpus, w->mode, role->nodes, on_node * role->nodes);
	j->served = j->served ? j->served : served;
	line = kv_strf(a,
		       "%strtllm-llmapi-launch python3 -m dynamo.trtllm --model-path %s "
		       "--served-model-name %s",
		       binds_memory(w) ? "numactl -m 0,1 " : "", kv_job_word(j, w->model),
		       kv_job_word(j, served));
	if (!kv_streq(w->mode, "aggregated"))
		line = kv_strf(a, "%s --disaggregation-mode %s", line, w->mode);
	role->command = kv_cat(a, line, " --extra-engine-args \"$KVPATH_ENGINE\"");
	role->tasks = on_node;
	for (size_t i = 0; i < KV_ARRAY_SIZE(options); i++)
		kv_vec_push(a, &role->srun, kv_strdup(a, options[i]));
	return put_engine(j, role, err);
}

const struct kv_backend kv_backend_trtllm = {
	.name = "trtllm",
	.dialect = "srtctl",
	.settings = "served_model_name numa_memory_bind",
	.has_file = true,
	.make = make,
};
