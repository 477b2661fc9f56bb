/* From a job to steps of Slurm. */
#include <ctype.h>

#include "launch/plan.h"
#include "launch/render.h"

#define CONTAINER_PREFIX "/opt/kvpath"
#define CONTAINER_LOGS   "/logs"

/* ---- mounts ---- */

static const char *guest_of(const char *mount)
{
	const char *colon = strchr(mount, ':');

	return colon ? colon + 1 : mount;
}

static bool covers(const kv_strv *mounts, const char *guest)
{
	size_t n = strlen(guest);

	for (size_t i = 0; i < mounts->n; i++) {
		const char *g = guest_of(mounts->v[i]);

		if (strncmp(g, guest, n) == 0 && (!g[n] || g[n] == ':' || g[n] == '/'))
			return true;
	}
	return false;
}

/* The recipe's, then what launch needs in the container: itself and the directory of the logs. */
static void all_mounts(const struct kv_launch *l, kv_strv *ret)
{
	struct kv_arena *a = l->job->arena;
	const char *bin = kv_dirname(a, l->how.program), *prefix = kv_dirname(a, bin);

	for (size_t i = 0; i < l->job->mounts.n; i++)
		if (!kv_strv_has(ret, l->job->mounts.v[i]))
			kv_vec_push(a, ret, l->job->mounts.v[i]);
	if (!covers(ret, CONTAINER_PREFIX) && kv_streq(kv_basename(bin), "bin"))
		kv_vec_push(a, ret, kv_strf(a, "%s:" CONTAINER_PREFIX ":ro", prefix));
	else if (!covers(ret, CONTAINER_PREFIX))
		kv_vec_push(a, ret, kv_strf(a, "%s:" CONTAINER_PREFIX "/bin:ro", bin));
	if (!covers(ret, CONTAINER_LOGS))
		kv_vec_push(a, ret, kv_strdup(a, KV_LOGS_MARK ":" CONTAINER_LOGS));
}

/* ---- the command of a task ---- */

static void put(const struct kv_launch *l, struct kv_step *s, const char *arg)
{
	kv_vec_push(l->job->arena, &s->argv, kv_strdup(l->job->arena, arg));
}

static bool wants_repair(const struct kv_launch *l, const struct kv_role *r)
{
	return l->how.repair && r->kind == KV_ROLE_WORKER;
}

static void put_kvpath_run(const struct kv_launch *l, struct kv_step *s, const char *program)
{
	put(l, s, program);
	put(l, s, "run");
	/* The check tells what the repair leaves. */
	if (s->is_check && wants_repair(l, s->role))
		put(l, s, "--anyway");
	put(l, s, "--backend");
	put(l, s, l->how.backend);
	for (size_t i = 0; i < l->how.fabrics.n; i++) {
		put(l, s, "--fabric");
		put(l, s, l->how.fabrics.v[i]);
	}
}

static void put_pyxis(const struct kv_launch *l, struct kv_step *s)
{
	struct kv_arena *a = l->job->arena;
	const char *list = "", *names = "";
	kv_strv mounts = { 0 };
	kv_strv none = { 0 };
	struct kv_env env = { 0 };

	all_mounts(l, &mounts);
	for (size_t i = 0; i < mounts.n; i++)
		list = kv_strf(a, "%s%s%s", list, i ? "," : "", mounts.v[i]);
	/* pyxis lets the image's variables win over the job's, unless they are named. */
	kv_launch_env(l, &none, "", &env);
	for (size_t i = 0; i < s->env.pairs.n; i++)
		kv_env_put(a, &env, s->env.pairs.v[i]);
	for (size_t i = 0; i < env.pairs.n; i++)
		names = kv_strf(a, "%s%s%s", names, i ? "," : "", kv_pair_name(a, env.pairs.v[i]));
	put(l, s, kv_strf(a, "--container-image=%s", s->role->image));
	put(l, s, "--no-container-entrypoint");
	put(l, s, "--no-container-mount-home");
	put(l, s, kv_strf(a, "--container-mounts=%s", list));
	put(l, s, kv_strf(a, "--container-env=%s", names));
	if (wants_repair(l, s->role)) {
		put_kvpath_run(l, s, KV_JOB_PROGRAM);
		put(l, s, "--");
	}
}

static void put_root(const struct kv_launch *l, struct kv_step *s)
{
	kv_strv mounts = { 0 };

	all_mounts(l, &mounts);
	put_kvpath_run(l, s, l->how.program);
	if (!wants_repair(l, s->role))
		put(l, s, "--as-is");
	for (size_t i = 0; i < mounts.n; i++) {
		put(l, s, "--mount");
		put(l, s, mounts.v[i]);
	}
	put(l, s, l->how.root);
	put(l, s, "--");
}

/* Variables with references, which only a shell in the container can resolve. */
static const char *live_exports(const struct kv_launch *l, const struct kv_role *r)
{
	struct kv_arena *a = l->job->arena;
	const char *text = "";

	for (size_t i = 0; i < r->env.pairs.n; i++) {
		const char *pair = r->env.pairs.v[i], *name = kv_pair_name(a, pair);

		if (!kv_is_secret_name(name) && kv_job_word_lives(l->job, kv_pair_value(pair)))
			text = kv_strf(a, "%sexport %s=%s\n", text, name,
				       kv_job_word(l->job, kv_pair_value(pair)));
	}
	return text;
}

/* behind: what the preamble's end leads to, and where its output goes. */
static const char *bash_of(const struct kv_launch *l, const struct kv_role *r, const char *command,
			   const char *behind)
{
	struct kv_arena *a = l->job->arena;
	const char *exports = live_exports(l, r);

	if (!r->preamble)
		return kv_strf(a, "%s%s", exports, command);
	return kv_strf(a, "%s{ %s\n} %s %s", exports, r->preamble, behind, command);
}

static void put_command(const struct kv_launch *l, struct kv_step *s, const char *bash)
{
	for (size_t i = 0; i < l->job->srun.n; i++)
		put(l, s, l->job->srun.v[i]);
	if (l->how.place == KV_PLACE_PYXIS && s->role->image) {
		put_pyxis(l, s);
	} else if (l->how.place == KV_PLACE_ROOT) {
		put_root(l, s);
	} else if (wants_repair(l, s->role)) {
		put_kvpath_run(l, s, l->how.program);
		put(l, s, "--");
	}
	put(l, s, "bash");
	put(l, s, "-c");
	put(l, s, bash);
}

/* ---- a step ---- */

static unsigned beside(const struct kv_job *j, const struct kv_role *r)
{
	return r->gpus && r->gpus < j->gpus_per_node ? j->gpus_per_node / r->gpus : 1;
}

static unsigned nodes_of_all(const struct kv_job *j, const struct kv_role *r)
{
	return (r->count + beside(j, r) - 1) / beside(j, r) * r->nodes;
}

static void put_srun(const struct kv_launch *l, struct kv_step *s, const char *output)
{
	struct kv_arena *a = l->job->arena;

	put(l, s, "srun");
	put(l, s, "--overlap");
	put(l, s, kv_strf(a, "--job-name=kvpath.%s", s->name));
	put(l, s, kv_strf(a, "--relative=%u", s->first));
	put(l, s, kv_strf(a, "--nodes=%u", s->nodes));
	put(l, s, kv_strf(a, "--ntasks=%u", s->nodes));
	put(l, s, "--ntasks-per-node=1");
	put(l, s, "--export=ALL");
	put(l, s, "--input=none");
	put(l, s, kv_strf(a, "--output=" KV_LOGS_MARK "/%s", output));
}

/* The recipe's variables; those whose values are secret apart. One that the environment of launch
 * has already is that one's. */
static void take_env(const struct kv_launch *l, const struct kv_role *r, struct kv_step *s)
{
	struct kv_arena *a = l->job->arena;

	for (size_t i = 0; i < r->env.pairs.n; i++) {
		const char *pair = r->env.pairs.v[i], *name = kv_pair_name(a, pair);

		if (kv_is_secret_name(name)) {
			if (!getenv(name))
				kv_env_put(a, &s->env, pair);
			kv_vec_push(a, &s->secrets, kv_strdup(a, name));
		} else if (!kv_job_word_lives(l->job, kv_pair_value(pair))) {
			kv_env_put(a, &s->env, pair);
		}
	}
}

static const char *gpu_list(struct kv_arena *a, unsigned first, unsigned n)
{
	const char *list = "";

	for (unsigned i = 0; i < n; i++)
		list = kv_strf(a, "%s%s%u", list, i ? "," : "", first + i);
	return list;
}

/* KVPATH_PREFILL_0: the address of a worker's first node. */
static const char *worker_variable(struct kv_arena *a, const char *role, unsigned i)
{
	char *name = kv_strf(a, "KVPATH_%s_%u", role, i);

	for (char *c = name; *c; c++)
		*c = (char)toupper((unsigned char)*c);
	return name;
}

static void add_step(struct kv_launch *l, const struct kv_role *r, unsigned i, unsigned first,
		     unsigned gpu)
{
	const struct kv_job *j = l->job;
	struct kv_arena *a = j->arena;
	struct kv_step *s = kv_vec_add(a, &l->steps);
	const char *command = r->kind == KV_ROLE_CLIENT ? kv_job_line(j, r->command) : r->command;

	s->role = r;
	s->name = r->kind == KV_ROLE_WORKER ? kv_strf(a, "%s_%u", r->name, i) : r->name;
	s->first = first;
	s->nodes = r->nodes;
	s->ends = r->ends;
	take_env(l, r, s);
	if (r->gpus && r->gpus < j->gpus_per_node)
		kv_env_put(a, &s->env,
			   kv_strf(a, "CUDA_VISIBLE_DEVICES=%s", gpu_list(a, gpu, r->gpus)));
	for (unsigned t = 0; t < s->nodes; t++)
		kv_vec_push(a, &s->logs,
			    s->nodes > 1 ? kv_strf(a, "%s.%u.out", s->name, t)
					 : kv_strf(a, "%s.out", s->name));
	put_srun(l, s, s->nodes > 1 ? kv_strf(a, "%s.%%t.out", s->name) : s->logs.v[0]);
	put(l, s, "--kill-on-bad-exit=1");
	if (r->nodes > 1) {
		/* exec is the end of a list: in braces behind a preamble. */
		command = kv_strf(a, "{ KVPATH_LEADER=\"$%s\"; exec %s; }",
				  worker_variable(a, r->name, i), command);
	} else if (r->kind == KV_ROLE_WORKER || r->kind == KV_ROLE_FRONTEND) {
		command = kv_cat(a, "exec ", command);
	}
	put_command(l, s, bash_of(l, r, command, "&&"));
}

static void add_check(struct kv_launch *l, const struct kv_role *r, unsigned first, unsigned nodes)
{
	struct kv_arena *a = l->job->arena;
	struct kv_step *s = kv_vec_add(a, &l->checks);
	const char *command =
		kv_strf(a, "exec \"$KVPATH_PROGRAM\" check --json --backend %s", l->how.backend);

	for (size_t i = 0; i < l->how.check_options.n; i++)
		command = kv_strf(a, "%s %s", command, kv_shell_word(a, l->how.check_options.v[i]));
	s->role = r;
	s->name = kv_strf(a, "check-%s", r->name);
	s->first = first;
	s->nodes = nodes;
	s->ends = s->is_check = true;
	take_env(l, r, s);
	for (unsigned t = 0; t < nodes; t++)
		kv_vec_push(a, &s->logs, kv_strf(a, "%s.%u.json", s->name, t));
	put_srun(l, s, kv_strf(a, "%s.%%t.json", s->name));
	put(l, s, kv_strf(a, "--error=" KV_LOGS_MARK "/%s.%%t.err", s->name));
	put_command(l, s, bash_of(l, r, kv_cat(a, command, " /"), ">&2 &&"));
}

/* Workers of one kind: as many on a node as its GPUs allow, or several nodes for each. */
static void add_workers(struct kv_launch *l, const struct kv_role *r)
{
	unsigned first = l->nodes, n = beside(l->job, r);

	for (unsigned i = 0; i < r->count; i++)
		add_step(l, r, i, first + i / n * r->nodes, i % n * r->gpus);
	l->nodes = first + nodes_of_all(l->job, r);
	if (l->how.check)
		add_check(l, r, first, l->nodes - first);
}

static void name_places(struct kv_job *j, const struct kv_launch_how *how)
{
	for (size_t i = 0; how->place == KV_PLACE_HOST && i < j->mounts.n; i++) {
		const char *guest = guest_of(j->mounts.v[i]);
		size_t n = (size_t)(guest - j->mounts.v[i]) - 1;

		if (strncmp(j->mounts.v[i], guest, n) != 0 || (guest[n] && guest[n] != ':'))
			kv_vec_push(j->arena, &j->left,
				    kv_strf(j->arena, "%s: mount %s: not made without a container",
					    j->path, j->mounts.v[i]));
	}
}

/* Waits until the frontend lists the model and every worker; the answers are Dynamo's. */
static const char *ready_text(const struct kv_job *j, unsigned workers)
{
	const char *models = j->served ? kv_strf(j->arena, "get /v1/models | grep -qF -- %s",
						 kv_shell_word(j->arena, j->served))
				       : "get /v1/models >/dev/null";

	return kv_strf(
		j->arena,
		"get() {\n"
		"  exec 3<>\"/dev/tcp/$HEAD_NODE_IP/%u\" || return 1\n"
		"  printf 'GET %%s HTTP/1.0\\r\\nHost: %%s\\r\\n\\r\\n' \"$1\" "
		"\"$HEAD_NODE_IP\" >&3\n"
		"  timeout 5 cat <&3\n"
		"  exec 3>&-\n"
		"}\n"
		"for ((i = 0; i < %u; i++)); do\n"
		"  if health=$(get /health 2>/dev/null) && [[ $health == HTTP/1.*' 200 '* ]] "
		"&& %s 2>/dev/null; then\n"
		"    seen=$(grep -o '\"endpoint\": *\"generate\"' <<<\"$health\" | wc -l)\n"
		"    if [[ $health != *'\"instances\"'* ]] || ((seen >= %u)); then\n"
		"      exit 0\n"
		"    fi\n"
		"  fi\n"
		"  sleep %u\n"
		"done\n"
		"echo \"the frontend does not list every worker after %u attempts\" >&2\n"
		"exit 1",
		j->port, j->attempts, models, workers, j->interval_s, j->attempts);
}

static const char *services_text(const struct kv_launch *l)
{
	const char *ports = "";

	for (size_t i = 0; i < l->steps.n; i++)
		if (l->steps.v[i].role->kind == KV_ROLE_SERVICE)
			ports = kv_strf(l->job->arena, "%s %s", ports,
					kv_streq(l->steps.v[i].name, "etcd") ? "2379" : "4222");
	return !*ports ? NULL
		       : kv_strf(l->job->arena,
				 "for port in%s; do\n"
				 "  for ((i = 0; i < 300; i++)); do\n"
				 "    (exec 3<>\"/dev/tcp/$HEAD_NODE_IP/$port\") 2>/dev/null && "
				 "continue 2\n"
				 "    sleep 1\n"
				 "  done\n"
				 "  echo \"nothing listens at $HEAD_NODE_IP:$port\" >&2\n"
				 "  exit 1\n"
				 "done",
				 ports);
}

int kv_launch_plan(struct kv_job *j, const struct kv_launch_how *how, struct kv_launch *ret,
		   struct kv_err *err)
{
	struct kv_launch l = { .job = j, .how = *how };
	unsigned workers = 0;
	bool has_client = false;

	for (size_t i = 0; i < j->roles.n; i++) {
		const struct kv_role *r = &j->roles.v[i];

		if (r->kind != KV_ROLE_WORKER)
			continue;
		if (how->place == KV_PLACE_PYXIS && !r->image)
			return kv_err(err, -EINVAL,
				      "%s: no image is named for the %s workers: --root DIR or "
				      "--no-container starts them without one",
				      j->path, r->name);
		workers += r->count;
		if (workers > 100000)
			return kv_err(err, -EINVAL, "%s: more than 100000 workers", j->path);
		add_workers(&l, r);
	}
	for (size_t i = 0; i < j->roles.n; i++) {
		const struct kv_role *r = &j->roles.v[i];

		if (r->kind == KV_ROLE_WORKER)
			continue;
		has_client |= r->kind == KV_ROLE_CLIENT;
		add_step(&l, r, 0, r->on_head ? 0 : l.nodes, 0);
		l.nodes += !r->on_head;
	}
	l.services = services_text(&l);
	if (has_client && j->port)
		l.ready = ready_text(j, workers);
	name_places(j, how);
	*ret = l;
	return 0;
}

/* ---- what is known in the allocation ---- */

void kv_launch_env(const struct kv_launch *l, const kv_strv *addresses, const char *logs,
		   struct kv_env *ret)
{
	bool inside = l->how.place != KV_PLACE_HOST;
	struct kv_arena *a = l->job->arena;
	const char *head = addresses->n ? addresses->v[0] : "";
	unsigned first = 0;

	kv_env_put(a, ret, kv_strf(a, "HEAD_NODE_IP=%s", head));
	kv_env_put(a, ret, kv_strf(a, "KVPATH_LOGS=%s", inside ? CONTAINER_LOGS : logs));
	kv_env_put(a, ret,
		   kv_strf(a, "KVPATH_PROGRAM=%s", inside ? KV_JOB_PROGRAM : l->how.program));
	if (l->job->port) {
		kv_env_put(a, ret, kv_strf(a, "KVPATH_URL=http://%s:%u", head, l->job->port));
		kv_env_put(a, ret, kv_strf(a, "ETCD_ENDPOINTS=http://%s:2379", head));
		kv_env_put(a, ret, kv_strf(a, "NATS_SERVER=nats://%s:4222", head));
	}
	for (size_t i = 0; i < l->job->roles.n; i++) {
		const struct kv_role *r = &l->job->roles.v[i];

		if (r->kind != KV_ROLE_WORKER)
			continue;
		for (unsigned k = 0; k < r->count; k++) {
			unsigned at = first + k / beside(l->job, r) * r->nodes;

			kv_env_put(a, ret,
				   kv_strf(a, "%s=%s", worker_variable(a, r->name, k),
					   at < addresses->n ? addresses->v[at] : ""));
		}
		first += nodes_of_all(l->job, r);
	}
}

const char *kv_launch_arg(struct kv_arena *a, const char *arg, const char *logs)
{
	const char *at = strstr(arg, KV_LOGS_MARK);

	if (!at)
		return arg;
	return kv_launch_arg(
		a, kv_strf(a, "%.*s%s%s", (int)(at - arg), arg, logs, at + strlen(KV_LOGS_MARK)),
		logs);
}

void kv_launch_salloc(const struct kv_launch *l, const kv_strv *self, kv_strv *ret)
{
	struct kv_arena *a = l->job->arena;

	kv_vec_push(a, ret, kv_strdup(a, "salloc"));
	kv_vec_push(a, ret, kv_strf(a, "--nodes=%u", l->nodes));
	kv_vec_push(a, ret, kv_strf(a, "--job-name=%s", l->job->name));
	for (size_t i = 0; i < l->job->batch.n; i++)
		kv_vec_push(a, ret, l->job->batch.v[i]);
	for (size_t i = 0; i < self->n; i++)
		kv_vec_push(a, ret, self->v[i]);
}
