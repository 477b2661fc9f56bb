/*
 * vLLM under Dynamo, as srtctl starts it: NVIDIA/srt-slurm, src/srtctl/backends/vllm.py (commit
 * fcbe9bb0) and docs/config-reference.md, "vLLM DP launch mode", 2026-08. The flags are Dynamo's
 * (its reference, "vLLM Configuration", v1.4 to v1.7) and vLLM's own (its guides to data parallel
 * deployment and to NixlConnector).
 */
#include "launch/backend.h"

/* Ports, as srtctl has them. vLLM and Dynamo add a rank's number to the first two. */
#define KV_EVENT_PORT 5550
#define NIXL_PORT     6550
#define DP_PORT       13345

/* What follows from where the worker is. */
#define OWN                                                                                        \
	" disaggregation-mode master-addr nnodes node-rank headless data-parallel-size-local "     \
	"data-parallel-start-rank data-parallel-hybrid-lb data-parallel-address "
#define HANDLED OWN "model served-model-name connector data-parallel-rpc-port "

/* What the recipe calls the model: one name for all modes. */
static const char *served_name(const struct kv_job *j, const struct kv_worker_spec *w)
{
	static const char *const modes[] = { "prefill", "aggregated", "decode" };
	const char *name = NULL;

	for (size_t i = 0; !name && i < KV_ARRAY_SIZE(modes); i++) {
		struct kv_worker_spec of = *w;

		of.flags[1] =
			kv_job_get(w->settings, kv_strf(j->arena, "vllm_config.%s", modes[i]));
		name = kv_job_flag(j, &of, "served-model-name");
	}
	return name ? name : w->served;
}

/* --kv-transfer-config: a short name of srtctl, or vLLM's JSON. */
static int put_connector(const struct kv_job *j, const struct kv_worker_spec *w, const char **line,
			 struct kv_err *err)
{
	static const char *const known[][2] = {
		{ "nixl", "{\"kv_connector\": \"NixlConnector\", \"kv_role\": \"kv_both\"}" },
		{ "lmcache",
		  "{\"kv_connector\": \"LMCacheConnectorV1\", \"kv_role\": \"kv_both\"}" },
		{ "kvbm", "{\"kv_connector\": \"DynamoConnector\", \"kv_connector_module_path\": "
			  "\"kvbm.vllm_integration.connector\", \"kv_role\": \"kv_both\"}" },
	};
	const struct kv_yaml *of_all = kv_job_get(w->settings, "connector");
	const char *name = kv_job_flag(j, w, "connector"), *json = NULL;

	if (!name || kv_streq(name, "null") || kv_streq(name, "~"))
		name = of_all ? of_all->text : "nixl";
	/* vLLM takes the last one. */
	if (kv_job_flag(j, w, "kv-transfer-config") || !*name || kv_streq(name, "null") ||
	    kv_streq(name, "none") || kv_streq(name, "~"))
		return 0;
	for (size_t i = 0; i < KV_ARRAY_SIZE(known); i++)
		if (strcasecmp(known[i][0], name) == 0)
			json = known[i][1];
	json = json ? json : *name == '{' ? name : NULL;
	if (!json)
		return kv_err(
			err, -ENOTSUP,
			"%s: connector %s: kvpath launch knows nixl, lmcache, kvbm, none, and "
			"JSON for --kv-transfer-config",
			j->path, name);
	*line = kv_strf(j->arena, "%s --kv-transfer-config %s", *line, kv_job_word(j, json));
	return 0;
}

/* Replicas: one process on each node has those of its GPUs. */
static int put_replicas(struct kv_job *j, struct kv_role *role, unsigned replicas,
			const char **line, struct kv_err *err)
{
	unsigned on_node = role->nodes > 1 ? j->gpus_per_node : role->gpus, tp, pp, own;
	const struct kv_worker_spec *w = role->spec;
	const char *port = kv_job_flag(j, w, "data-parallel-rpc-port");
	int r = kv_job_flag_number(j, w, "tensor-parallel-size", 1, &tp, err);

	if (r == 0)
		r = kv_job_flag_number(j, w, "pipeline-parallel-size", 1, &pp, err);
	if (r < 0)
		return r;
	own = tp > on_node / pp ? 0 : on_node / (tp * pp);
	if (!own)
		return kv_err(
			err, -ENOTSUP,
			"%s: data-parallel-size of the %s workers, and each replica is larger "
			"than a node: kvpath launch does not start that",
			j->path, w->mode);
	if (own * tp * pp != on_node || own * role->nodes != replicas)
		return kv_err(
			err, -EINVAL,
			"%s: data-parallel-size %u of the %s workers, of %u GPUs each: a worker "
			"has %u GPUs on each of %u nodes",
			j->path, replicas, w->mode, tp * pp, on_node, role->nodes);
	if (!port) {
		kv_vec_push(j->arena, &role->ports,
			    ((struct kv_role_port){ "KVPATH_DP_PORT", DP_PORT }));
		port = "${KVPATH_DP_PORT}";
	}
	role->every_node = true;
	*line = kv_strf(j->arena,
			"%s --data-parallel-hybrid-lb --data-parallel-size-local %u "
			"--data-parallel-start-rank \"$((SLURM_NODEID * %u))\" "
			"--data-parallel-address \"$KVPATH_LEADER\" --data-parallel-rpc-port %s",
			*line, own, own, kv_job_word(j, port));
	return 0;
}

static int make(struct kv_job *j, struct kv_role *role, struct kv_err *err)
{
	const struct kv_worker_spec *w = role->spec;
	const char *model = kv_job_flag(j, w, "model"), *served = served_name(j, w), *line;
	struct kv_arena *a = j->arena;
	unsigned replicas;
	int r = kv_job_flag_number(j, w, "data-parallel-size", 0, &replicas, err);

	model = model ? model : w->model;
	if (r < 0)
		return r;
	if (!model || !served)
		return kv_err(err, -EINVAL, "%s: no model is named for the %s workers", j->path,
			      w->mode);
	j->served = j->served ? j->served : served;
	line = kv_strf(a, "python3 -m dynamo.vllm --model %s --served-model-name %s",
		       kv_job_word(j, model), kv_job_word(j, served));
	if (!kv_streq(w->mode, "aggregated"))
		line = kv_strf(a, "%s --disaggregation-mode %s", line, w->mode);
	r = put_connector(j, w, &line, err);
	if (r == 0 && replicas)
		r = put_replicas(j, role, replicas, &line, err);
	else if (r == 0 && role->nodes > 1)
		line = kv_strf(a,
			       "%s --master-addr \"$KVPATH_LEADER\" --nnodes %u --node-rank "
			       "\"$SLURM_NODEID\" $( ((SLURM_NODEID)) && echo --headless)",
			       line, role->nodes);
	if (r < 0)
		return r;
	kv_job_flags_own(j, w, OWN);
	kv_vec_push(a, &role->ports,
		    ((struct kv_role_port){ "DYN_VLLM_KV_EVENT_PORT", KV_EVENT_PORT }));
	kv_vec_push(a, &role->ports,
		    ((struct kv_role_port){ "VLLM_NIXL_SIDE_CHANNEL_PORT", NIXL_PORT }));
	role->command = kv_cat(a, line, kv_job_flags(j, w->flags, HANDLED, false));
	return 0;
}

const struct kv_backend kv_backend_vllm = {
	.name = "vllm",
	.dialect = "srtctl",
	.settings = "connector",
	.make = make,
};
