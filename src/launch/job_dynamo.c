/*
 * A recipe of dynamo.tools as a job. Its launcher is not public: the keys are those of the one
 * public recipe (dialect_dynamo.c), and what a key does there is taken from its name.
 */
#include "launch/backend.h"

/* The one template that is filled when the recipe is read. */
static const char *fill(const struct kv_job *j, const struct kv_yaml *root, const char *text)
{
	static const char mark[] = "{containers_path}";
	const char *path = kv_job_text(root, "containers.containers_path");
	const char *at = text ? strstr(text, mark) : NULL;

	if (!at || !path)
		return text;
	return kv_strf(j->arena, "%.*s%s%s", (int)(at - text), text, path, at + strlen(mark));
}

static int need_path(const struct kv_job *j, const struct kv_yaml *root, const struct kv_yaml *y,
		     struct kv_err *err)
{
	int r = 0;

	if (kv_job_text(root, "containers.containers_path"))
		return 0;
	if (y->kind == KV_YAML_SCALAR && strstr(y->text, "{containers_path}"))
		return kv_err(err, -EINVAL,
			      "%s:%u:%u: {containers_path}, and there is no "
			      "containers.containers_path: name the directory of the images there",
			      j->path, y->value_line, y->value_column);
	for (const struct kv_yaml *c = y->first; r == 0 && c; c = c->next)
		r = need_path(j, root, c, err);
	return r;
}

static int add_workers(struct kv_job *j, const struct kv_yaml *root, const struct kv_yaml *at,
		       const struct kv_env *env, struct kv_err *err)
{
	const char *mode = at->key;
	struct kv_worker_spec w = {
		.backend = kv_job_text(root, "backend_type"),
		.mode = mode,
		.model = kv_job_text(root, "common.model_path"),
		.served = kv_job_text(root, "common.served_model_name"),
		.flags = { kv_job_get(root, "backend.shared_config"),
			   kv_job_get(kv_job_get(root, "backend.worker_configs"), mode) },
		.at = kv_job_get(root, "backend_type"),
	};
	struct kv_role role = {
		.name = mode,
		.kind = KV_ROLE_WORKER,
		.image = fill(j, root, kv_job_text(root, "common.dynamo_container_image")),
		.preamble = kv_job_text(root, "common.bash_preamble"),
	};
	int r = kv_job_number(j, at, "count", 1, &role.count, err);

	if (r == 0)
		r = kv_job_number(j, at, "gpus", j->gpus_per_node, &role.gpus, err);
	if (r < 0)
		return r;
	if (!kv_job_is_name(mode))
		return kv_err(err, -EINVAL, "%s:%u: common.workers.%s: no name of a role", j->path,
			      at->line, mode);
	if (!w.backend)
		return kv_err(err, -EINVAL, "%s: no backend_type", j->path);
	role.nodes = (role.gpus + j->gpus_per_node - 1) / j->gpus_per_node;
	for (size_t i = 0; i < env->pairs.n; i++)
		kv_env_put(j->arena, &role.env, env->pairs.v[i]);
	kv_job_env(j, kv_job_get(at, "environment"), &role.env);
	kv_job_rest(j, at, kv_strf(j->arena, "common.workers.%s", mode), "count gpus environment");
	kv_job_worker(j, &w, &role);
	return 0;
}

static void add_client(struct kv_job *j, const struct kv_yaml *root, const struct kv_env *env)
{
	const char *command = kv_job_text(root, "benchmark.command"),
		   *image = kv_job_text(root, "benchmark.container_image"),
		   *apart = kv_job_text(root, "common.benchmark_on_separate_node");

	if (!command)
		return;
	kv_vec_push(j->arena, &j->roles,
		    ((struct kv_role){
			    .name = "client",
			    .kind = KV_ROLE_CLIENT,
			    .count = 1,
			    .nodes = 1,
			    .on_head = !apart || !kv_streq(apart, "true"),
			    .ends = true,
			    .image = fill(j, root, image),
			    .env = *env,
			    .command = command,
		    }));
}

static void name_rest(struct kv_job *j, const struct kv_yaml *root)
{
	const struct kv_yaml *many = kv_job_get(root, "common.num_frontends");

	kv_job_rest(j, root, "",
		    "name backend_type common backend benchmark containers environment "
		    "container_mounts health_check output srun_options sbatch_directives");
	kv_job_rest(j, kv_job_get(root, "common"), "common",
		    "dynamo_container_image nginx_container_image nginx_port model_path "
		    "served_model_name frontend_ports num_frontends frontend_args workers "
		    "gpus_per_node benchmark_on_separate_node bash_preamble "
		    "bash_preamble_frontend");
	kv_job_rest(j, kv_job_get(root, "backend"), "backend", "shared_config worker_configs");
	kv_job_rest(j, kv_job_get(root, "benchmark"), "benchmark", "container_image command");
	kv_job_rest(j, kv_job_get(root, "containers"), "containers", "containers_path");
	kv_job_rest(j, kv_job_get(root, "output"), "output", "");
	if (many && !kv_streq(many->text, "single") && !kv_streq(many->text, "1"))
		kv_job_left(j, many, "common.num_frontends",
			    "kvpath launch starts one frontend and no nginx before it");
}

static bool is_served(const struct kv_job *j)
{
	for (size_t i = 0; i < j->roles.n; i++)
		if (j->roles.v[i].kind == KV_ROLE_WORKER && !j->roles.v[i].ends)
			return true;
	return false;
}

int kv_job_dynamo(struct kv_job *j, const struct kv_yaml *root, struct kv_err *err)
{
	const struct kv_yaml *workers = kv_job_get(root, "common.workers");
	const char *image = fill(j, root, kv_job_text(root, "common.dynamo_container_image"));
	const struct kv_yaml *const args[2] = { kv_job_get(root, "common.frontend_args"), NULL };
	struct kv_env env = { 0 };
	int r = need_path(j, root, root, err);

	if (r == 0)
		r = kv_job_number(j, root, "common.gpus_per_node", 4, &j->gpus_per_node, err);

	if (r == 0)
		r = kv_job_number(j, root, "common.frontend_ports", 8000, &j->port, err);
	if (r == 0)
		r = kv_job_health(j, root, err);
	if (r == 0 && (!workers || workers->kind != KV_YAML_MAP || !workers->first))
		r = kv_err(err, -EINVAL, "%s: no common.workers: nothing to start", j->path);
	kv_job_env(j, kv_job_get(root, "environment"), &env);
	kv_job_mounts(j, kv_job_get(root, "container_mounts"));
	kv_job_options(j, kv_job_get(root, "srun_options"), "srun_options", "nodes ntasks output",
		       &j->srun);
	kv_job_options(j, kv_job_get(root, "sbatch_directives"), "sbatch_directives",
		       "nodes output error", &j->batch);
	for (const struct kv_yaml *c = r == 0 ? workers->first : NULL; r == 0 && c; c = c->next)
		r = add_workers(j, root, c, &env, err);
	if (r == 0)
		r = kv_job_workers(j, err);
	if (r < 0)
		return r;
	if (is_served(j)) {
		kv_job_services(j, image, &env, true);
		kv_job_frontend(j, image, &env, kv_job_flags(j, args, " http-port ", false),
				kv_job_text(root, "common.bash_preamble_frontend"));
	} else {
		j->port = 0;
	}
	add_client(j, root, &env);
	name_rest(j, root);
	return 0;
}
