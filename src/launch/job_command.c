/*
 * The commands of a job's roles: the flags of a recipe as words of bash, which backend a worker is
 * (backend_*.c), and what stands around the workers under Dynamo.
 */
#include "launch/backend.h"

#define ETCD_PORT "2379"
#define NATS_PORT "4222"

static bool is_one_of(const char *text, const char *a, const char *b)
{
	return kv_streq(text, a) || kv_streq(text, b);
}

const struct kv_yaml *kv_job_keys(const struct kv_yaml *map)
{
	return map && map->kind == KV_YAML_MAP ? map->first : NULL;
}

/* kv_cache_dtype and kv-cache-dtype are the same flag. */
static const char *flag_name(struct kv_arena *a, const char *key)
{
	char *name = kv_strdup(a, key);

	for (char *c = name; *c; c++)
		*c = *c == '_' ? '-' : *c;
	return name;
}

static const struct kv_yaml *find_flag(const struct kv_job *j, const struct kv_yaml *map,
				       const char *name)
{
	for (const struct kv_yaml *c = kv_job_keys(map); c; c = c->next)
		if (kv_streq(flag_name(j->arena, c->key), name))
			return c;
	return NULL;
}

/* again: a list is the flag as often as it has values, instead of all behind one. */
static const char *put_flag(const struct kv_job *j, const char *line, const char *name,
			    const struct kv_yaml *y, bool again)
{
	struct kv_arena *a = j->arena;

	if (y->kind == KV_YAML_LIST) {
		for (const struct kv_yaml *c = y->first; c; c = c->next)
			line = c == y->first || again
				       ? kv_strf(a, "%s --%s %s", line, name,
						 kv_job_word(j, c->text))
				       : kv_strf(a, "%s %s", line, kv_job_word(j, c->text));
		return line;
	}
	if (is_one_of(y->text, "null", "~") || is_one_of(y->text, "false", "False"))
		return line;
	if (!*y->text || is_one_of(y->text, "true", "True"))
		return kv_strf(a, "%s --%s", line, name);
	return kv_strf(a, "%s --%s %s", line, name, kv_job_word(j, y->text));
}

const char *kv_job_flags(const struct kv_job *j, const struct kv_yaml *const flags[2],
			 const char *without, bool again)
{
	const char *line = "";

	for (size_t i = 0; i < 2; i++)
		for (const struct kv_yaml *c = kv_job_keys(flags[i]); c; c = c->next) {
			const char *name = flag_name(j->arena, c->key);

			if (strstr(without, kv_strf(j->arena, " %s ", name)) ||
			    (i == 0 && find_flag(j, flags[1], name)))
				continue;
			line = put_flag(j, line, name, c, again);
		}
	return line;
}

const char *kv_job_flag(const struct kv_job *j, const struct kv_worker_spec *w, const char *name)
{
	const struct kv_yaml *y = find_flag(j, w->flags[1], name);

	y = y ? y : find_flag(j, w->flags[0], name);
	return y && y->kind == KV_YAML_SCALAR && *y->text ? y->text : NULL;
}

void kv_job_worker(struct kv_job *j, const struct kv_worker_spec *w, struct kv_role *role)
{
	struct kv_worker_spec *copy = kv_alloc(j->arena, sizeof(*copy));

	*copy = *w;
	role->spec = copy;
	kv_vec_push(j->arena, &j->roles, *role);
}

int kv_job_flag_number(const struct kv_job *j, const struct kv_worker_spec *w, const char *name,
		       unsigned other, unsigned *ret, struct kv_err *err)
{
	const char *text = kv_job_flag(j, w, name);
	char *end;
	long v;

	*ret = other;
	if (!text)
		return 0;
	errno = 0;
	v = strtol(text, &end, 10);
	if (errno || *end || v < 1 || v > 1000000)
		return kv_err(err, -EINVAL,
			      "%s: %s of the %s workers: a number from 1 on is expected", j->path,
			      name, w->mode);
	*ret = (unsigned)v;
	return 0;
}

void kv_job_flags_own(struct kv_job *j, const struct kv_worker_spec *w, const char *own)
{
	for (size_t i = 0; i < 2; i++)
		for (const struct kv_yaml *c = kv_job_keys(w->flags[i]); c; c = c->next)
			if (strstr(own, kv_strf(j->arena, " %s ", flag_name(j->arena, c->key))))
				kv_job_left(j, c, c->key, "kvpath launch sets this itself");
}

/* A flag has a text, or a list of them. */
static int refuse_maps(const struct kv_job *j, const struct kv_worker_spec *w, struct kv_err *err)
{
	for (size_t i = 0; i < 2; i++)
		for (const struct kv_yaml *c = kv_job_keys(w->flags[i]); c; c = c->next)
			if (c->kind == KV_YAML_MAP || (c->kind == KV_YAML_LIST && c->first &&
						       c->first->kind != KV_YAML_SCALAR))
				return kv_err(err, -EINVAL,
					      "%s:%u:%u: %s: a flag can be no map: give it as a "
					      "text, JSON in quotes",
					      j->path, c->value_line, c->value_column, c->key);
	return 0;
}

const struct kv_backend *kv_backend_find(const char *name)
{
	static const struct kv_backend *const backends[] = { &kv_backend_sglang, &kv_backend_vllm,
							     &kv_backend_trtllm,
							     &kv_backend_bench };

	for (size_t i = 0; i < KV_ARRAY_SIZE(backends); i++)
		if (kv_streq(backends[i]->name, name))
			return backends[i];
	return NULL;
}

static int make_worker(struct kv_job *j, struct kv_role *role, struct kv_err *err)
{
	const struct kv_worker_spec *w = role->spec;
	const struct kv_backend *b = kv_backend_find(w->backend);
	int r;

	if (!b || (b->dialect && !kv_streq(b->dialect, j->dialect)))
		return kv_err(
			err, -ENOTSUP,
			"%s:%u: backend %s: %s; start it with its own launcher, under srun "
			"--kvpath=fix or kvpath run",
			j->path, w->at ? w->at->line : 1, w->backend,
			b ? kv_strf(j->arena,
				    "what a recipe of %s means by it is not public, and kvpath "
				    "launch starts it from recipes of %s alone",
				    j->dialect, b->dialect)
			  : "kvpath launch does not know it");
	r = b->has_file ? 0 : refuse_maps(j, w, err);
	return r < 0 ? r : b->make(j, role, err);
}

int kv_job_workers(struct kv_job *j, struct kv_err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < j->roles.n; i++)
		if (j->roles.v[i].spec)
			r = make_worker(j, &j->roles.v[i], err);
	return r;
}

/* ---- what stands around the workers ---- */

static void add_service(struct kv_job *j, const char *name, const char *image, bool on_head,
			const struct kv_env *env, const char *command)
{
	kv_vec_push(j->arena, &j->roles,
		    ((struct kv_role){ .name = name,
				       .kind = KV_ROLE_SERVICE,
				       .count = 1,
				       .nodes = 1,
				       .on_head = on_head,
				       .image = image,
				       .env = *env,
				       .command = command }));
}

/* Where Dynamo's images and srtctl have the two programs. */
#define SERVICE_PATH "PATH=\"/configs:$PATH:/usr/local/bin/etcd\"; "

void kv_job_services(struct kv_job *j, const char *image, const struct kv_env *env, bool on_head)
{
	if (!kv_env_get(env, "NATS_SERVER"))
		add_service(j, "nats", image, on_head, env,
			    SERVICE_PATH "exec nats-server -js -p " NATS_PORT
					 " -sd \"/tmp/kvpath-nats-$SLURM_JOB_ID\"");
	if (!kv_env_get(env, "ETCD_ENDPOINTS"))
		add_service(j, "etcd", image, on_head, env,
			    SERVICE_PATH
			    "exec etcd --data-dir \"/tmp/kvpath-etcd-$SLURM_JOB_ID\""
			    " --listen-client-urls http://0.0.0.0:" ETCD_PORT
			    " --advertise-client-urls \"http://$HEAD_NODE_IP:" ETCD_PORT "\"");
}

void kv_job_frontend(struct kv_job *j, const char *image, const struct kv_env *env,
		     const char *flags, const char *preamble)
{
	kv_vec_push(
		j->arena, &j->roles,
		((struct kv_role){
			.name = "frontend",
			.kind = KV_ROLE_FRONTEND,
			.count = 1,
			.nodes = 1,
			.on_head = true,
			.image = image,
			.env = *env,
			.preamble = preamble,
			.command = kv_strf(j->arena, "python3 -m dynamo.frontend --http-port %u%s",
					   j->port, flags),
		}));
}
