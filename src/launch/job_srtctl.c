/*
 * A recipe of srtctl as a job (NVIDIA/srt-slurm, docs/config-reference.md, 2026-08), with what the
 * cluster's srtslurm.yaml says where there is one: $SRTSLURM_CONFIG, the working directory, or up
 * to two directories above.
 */
#include "launch/backend.h"
#include "launch/recipe.h"

#define MAX_CLUSTER ((size_t)8 << 20)

struct reading {
	struct kv_job *job;
	const struct kv_yaml *root, *cluster; /* the latter may be NULL */
	const char *image, *preamble;
	struct kv_env env;
};

static int read_cluster(struct reading *rd, struct kv_err *err)
{
	static const char *const usual[] = { "srtslurm.yaml", "../srtslurm.yaml",
					     "../../srtslurm.yaml" };
	const char *path = getenv("SRTSLURM_CONFIG");
	struct kv_arena *a = rd->job->arena;
	kv_yamls docs = { 0 };
	struct kv_span text;
	int r;

	for (size_t i = 0; !path && i < KV_ARRAY_SIZE(usual); i++)
		if (access(usual[i], F_OK) == 0)
			path = usual[i];
	if (!path)
		return 0;
	r = kv_read_file(a, path, MAX_CLUSTER, &text, err);
	if (r == 0)
		r = kv_yaml_parse(a, path, text, &docs, err);
	if (r == 0 && docs.n)
		rd->cluster = docs.v[0];
	return r;
}

/* What an alias of the cluster's stands for. */
static const char *alias(const struct reading *rd, const char *map, const char *name)
{
	const struct kv_yaml *y = name ? kv_job_get(rd->cluster, map) : NULL;

	for (y = y && y->kind == KV_YAML_MAP ? y->first : NULL; y; y = y->next)
		if (kv_streq(y->key, name)) {
			const char *path = kv_job_text(y, "path");

			return path ? path : y->kind == KV_YAML_SCALAR && *y->text ? y->text : name;
		}
	return name;
}

static void add_mounts(struct reading *rd)
{
	const struct kv_yaml *extra = kv_job_get(rd->root, "extra_mount");
	struct kv_job *j = rd->job;

	kv_job_mounts(j, kv_job_get(rd->root, "container_mounts"));
	for (const struct kv_yaml *c = extra ? extra->first : NULL; c; c = c->next)
		kv_vec_push(j->arena, &j->mounts, kv_strdup(j->arena, c->text));
	kv_job_mounts(j, kv_job_get(rd->cluster, "default_mounts"));
}

static void add_batch(struct reading *rd)
{
	static const struct {
		const char *option, *key, *other;
	} keys[] = { { "account", "slurm.account", "default_account" },
		     { "partition", "slurm.partition", "default_partition" },
		     { "time", "slurm.time_limit", "default_time_limit" } };
	struct kv_job *j = rd->job;

	for (size_t i = 0; i < KV_ARRAY_SIZE(keys); i++) {
		const char *value = kv_job_text(rd->root, keys[i].key);

		value = value ? value : kv_job_text(rd->cluster, keys[i].other);
		if (value)
			kv_vec_push(j->arena, &j->batch,
				    kv_strf(j->arena, "--%s=%s", keys[i].option, value));
	}
	kv_job_options(j, kv_job_get(rd->cluster, "default_sbatch_directives"),
		       "default_sbatch_directives", "nodes output error", &j->batch);
	kv_job_options(j, kv_job_get(rd->root, "sbatch_directives"), "sbatch_directives",
		       "nodes output error", &j->batch);
	kv_job_options(j, kv_job_get(rd->root, "srun_options"), "srun_options",
		       "nodes ntasks output", &j->srun);
}

/* `workers` of them on `nodes`; none where the recipe names none. */
static int count_workers(struct reading *rd, const char *mode, struct kv_role *role,
			 struct kv_err *err)
{
	struct kv_arena *a = rd->job->arena;
	char *nodes_key = kv_strf(a, "resources.%s_nodes", mode);
	unsigned nodes, gpn = rd->job->gpus_per_node;
	int r;

	if (kv_job_text(rd->root, nodes_key) && kv_streq(kv_job_text(rd->root, nodes_key), "0"))
		return kv_err(err, -ENOTSUP,
			      "%s: %s: 0: workers of two kinds on one node: kvpath launch does not "
			      "start that; give each kind its nodes",
			      rd->job->path, nodes_key);
	r = kv_job_number(rd->job, rd->root, nodes_key, 0, &nodes, err);
	if (r == 0)
		r = kv_job_number(rd->job, rd->root, kv_strf(a, "resources.%s_workers", mode),
				  nodes ? 1 : 0, &role->count, err);
	if (r < 0 || !nodes)
		return r;
	r = kv_job_number(rd->job, rd->root, kv_strf(a, "resources.gpus_per_%s", mode),
			  nodes * gpn / role->count ? nodes * gpn / role->count : 1, &role->gpus,
			  err);
	role->nodes = (role->gpus + gpn - 1) / gpn;
	return r;
}

static int add_workers(struct reading *rd, const char *mode, const char *full, struct kv_err *err)
{
	struct kv_arena *a = rd->job->arena;
	const char *backend = kv_job_text(rd->root, "backend.type"),
		   *model = alias(rd, "model_paths", kv_job_text(rd->root, "model.path"));
	struct kv_worker_spec w = {
		.mode = full,
		.at = kv_job_get(rd->root, "backend.type"),
		.settings = kv_job_get(rd->root, "backend"),
		.gpu_type = kv_job_text(rd->root, "resources.gpu_type"),
	};
	struct kv_role role = { .name = mode, .kind = KV_ROLE_WORKER };
	int r = count_workers(rd, mode, &role, err);

	if (r < 0 || !role.count)
		return r;
	w.backend = backend ? backend : "sglang";
	w.flags[1] =
		kv_job_get(kv_job_get(rd->root, kv_strf(a, "backend.%s_config", w.backend)), full);
	if (kv_streq(w.backend, "kvpath-bench"))
		w.flags[1] = kv_job_get(rd->root, kv_strf(a, "backend.config.%s", full));
	w.model = model && kv_starts(model, "hf:") ? model + 3 : "/model";
	w.served = model ? kv_basename(model) : NULL;
	role.image = rd->image;
	role.preamble = rd->preamble;
	kv_job_env(rd->job, kv_job_get(rd->root, kv_strf(a, "backend.%s_environment", full)),
		   &role.env);
	for (size_t i = 0; i < rd->env.pairs.n; i++)
		kv_env_put(a, &role.env, rd->env.pairs.v[i]);
	kv_job_worker(rd->job, &w, &role);
	return 0;
}

/* What stands in front of a worker's command: the cluster's text, then the recipe's script. */
static void read_preamble(struct reading *rd)
{
	const char *script = kv_job_text(rd->root, "setup_script");
	struct kv_job *j = rd->job;
	char cwd[4096];

	rd->preamble = kv_job_text(rd->cluster, "default_bash_preamble");
	if (!script)
		return;
	if (access(kv_strf(j->arena, "configs/%s", script), R_OK) < 0 ||
	    !getcwd(cwd, sizeof(cwd))) {
		kv_job_left(j, kv_job_get(rd->root, "setup_script"), "setup_script",
			    "there is no such file in ./configs, where kvpath launch looks: it is "
			    "not run");
		return;
	}
	kv_vec_push(j->arena, &j->mounts, kv_strf(j->arena, "%s/configs:/configs", cwd));
	rd->preamble = kv_strf(j->arena, "%s%sbash %s", rd->preamble ? rd->preamble : "",
			       rd->preamble ? " && " : "",
			       kv_job_word(j, kv_strf(j->arena, "/configs/%s", script)));
}

static int add_front(struct reading *rd, struct kv_err *err)
{
	const struct kv_yaml *const args[2] = { kv_job_get(rd->root, "frontend.args"), NULL };
	const char *type = kv_job_text(rd->root, "frontend.type"),
		   *dedicated = kv_job_text(rd->root, "infra.etcd_nats_dedicated_node");
	struct kv_job *j = rd->job;
	struct kv_env env = { 0 };

	if (j->roles.v[0].ends) /* a stand-in: nothing is served */
		return 0;
	if (type && !kv_streq(type, "dynamo"))
		return kv_err(err, -ENOTSUP,
			      "%s:%u: frontend.type %s: kvpath launch starts Dynamo's frontend; "
			      "start this recipe with srtctl, under srun --kvpath=fix",
			      j->path, kv_job_get(rd->root, "frontend.type")->line, type);
	j->port = 8000;
	for (size_t i = 0; i < rd->env.pairs.n; i++)
		kv_env_put(j->arena, &env, rd->env.pairs.v[i]);
	kv_job_env(j, kv_job_get(rd->root, "frontend.env"), &env);
	kv_job_services(j, rd->image, &rd->env, !dedicated || !kv_streq(dedicated, "true"));
	kv_job_frontend(j, rd->image, &env, kv_job_flags(j, args, " http-port ", false),
			rd->preamble);
	return 0;
}

static void add_client(struct reading *rd)
{
	const char *command = kv_job_text(rd->root, "benchmark.command"),
		   *image = alias(rd, "containers",
				  kv_job_text(rd->root, "benchmark.container_image")),
		   *type = kv_job_text(rd->root, "benchmark.type");
	struct kv_job *j = rd->job;
	struct kv_env env = { 0 };

	if (!command) {
		if (type && !kv_streq(type, "manual"))
			kv_job_left(j, kv_job_get(rd->root, "benchmark.type"), "benchmark.type",
				    "its script is a part of srtctl: no client is started; name "
				    "one by benchmark.command");
		return;
	}
	for (size_t i = 0; i < rd->env.pairs.n; i++)
		kv_env_put(j->arena, &env, rd->env.pairs.v[i]);
	kv_job_env(j, kv_job_get(rd->root, "benchmark.env"), &env);
	kv_vec_push(
		j->arena, &j->roles,
		((struct kv_role){ .name = "client",
				   .kind = KV_ROLE_CLIENT,
				   .count = 1,
				   .nodes = 1,
				   .on_head = true,
				   .ends = true,
				   .image = image ? image : rd->image,
				   .env = env,
				   .preamble = kv_job_text(rd->cluster, "default_bash_preamble"),
				   .command = command }));
}

static void name_rest(struct reading *rd)
{
	const struct kv_yaml *root = rd->root, *install = kv_job_get(root, "dynamo");
	const char *backend = kv_job_text(root, "backend.type"),
		   *name = backend ? backend : "sglang";
	const struct kv_backend *known = kv_backend_find(name);
	struct kv_job *j = rd->job;

	kv_job_rest(j, root, "",
		    "name model resources slurm backend frontend benchmark dynamo health_check "
		    "infra environment container_mounts extra_mount srun_options "
		    "sbatch_directives setup_script");
	kv_job_rest(j, kv_job_get(root, "model"), "model", "path container precision");
	kv_job_rest(j, kv_job_get(root, "resources"), "resources",
		    "gpu_type gpus_per_node prefill_nodes decode_nodes agg_nodes prefill_workers "
		    "decode_workers agg_workers gpus_per_prefill gpus_per_decode gpus_per_agg");
	kv_job_rest(j, kv_job_get(root, "slurm"), "slurm", "account partition time_limit");
	kv_job_rest(j, kv_job_get(root, "backend"), "backend",
		    kv_strf(j->arena,
			    "type prefill_environment decode_environment aggregated_environment "
			    "%s_config %s",
			    name, known ? known->settings : ""));
	kv_job_rest(j, kv_job_get(root, "frontend"), "frontend", "type args env");
	kv_job_rest(j, kv_job_get(root, "infra"), "infra", "etcd_nats_dedicated_node");
	kv_job_rest(j, kv_job_get(root, "benchmark"), "benchmark",
		    "type command container_image env");
	if (install && kv_job_text(install, "install") &&
	    kv_streq(kv_job_text(install, "install"), "false"))
		kv_job_rest(j, install, "dynamo", "install");
	else if (install)
		kv_job_left(j, install, "dynamo",
			    "Dynamo is not installed at the start: the image must have it");
	kv_job_rest(j, rd->cluster, "srtslurm.yaml",
		    "default_account default_partition default_time_limit gpus_per_node "
		    "model_paths containers default_mounts default_bash_preamble "
		    "default_sbatch_directives");
}

int kv_job_srtctl(struct kv_job *j, const struct kv_yaml *root, struct kv_err *err)
{
	static const char *const modes[][2] = { { "prefill", "prefill" },
						{ "decode", "decode" },
						{ "agg", "aggregated" } };
	struct reading rd = { .job = j, .root = root };
	const char *model;
	int r;

	if (kv_job_get(root, "base") || kv_job_get(root, "sweep"))
		return kv_err(err, -ENOTSUP,
			      "%s: a file of several jobs: launch starts one; srtctl "
			      "resolve-override writes it out",
			      j->path);
	r = read_cluster(&rd, err);
	if (r == 0)
		r = kv_job_number(j, rd.cluster, "gpus_per_node", 4, &j->gpus_per_node, err);
	if (r == 0)
		r = kv_job_number(j, root, "resources.gpus_per_node", j->gpus_per_node,
				  &j->gpus_per_node, err);
	if (r == 0)
		r = kv_job_health(j, root, err);
	if (r < 0)
		return r;
	rd.image = alias(&rd, "containers", kv_job_text(root, "model.container"));
	model = alias(&rd, "model_paths", kv_job_text(root, "model.path"));
	if (model && model[0] == '/')
		kv_vec_push(j->arena, &j->mounts, kv_strf(j->arena, "%s:/model", model));
	kv_job_env(j, kv_job_get(root, "environment"), &rd.env);
	read_preamble(&rd);
	add_mounts(&rd);
	add_batch(&rd);
	for (size_t i = 0; r == 0 && i < KV_ARRAY_SIZE(modes); i++)
		r = add_workers(&rd, modes[i][0], modes[i][1], err);
	if (r == 0 && !j->roles.n)
		r = kv_err(err, -EINVAL, "%s: no workers under resources: nothing to start",
			   j->path);
	if (r == 0)
		r = kv_job_workers(j, err);
	if (r == 0)
		r = add_front(&rd, err);
	if (r < 0)
		return r;
	add_client(&rd);
	name_rest(&rd);
	return 0;
}
