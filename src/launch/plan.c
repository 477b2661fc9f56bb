/* From a job to steps of Slurm: which nodes each has, and in which order they start. */
#include <ctype.h>

#include "launch/plan_parts.h"
#include "launch/render.h"

/* ---- where it is ---- */

static unsigned beside(const struct kv_job *j, const struct kv_role *r)
{
	return r->gpus && r->gpus < j->gpus_per_node ? j->gpus_per_node / r->gpus : 1;
}

static unsigned nodes_of_all(const struct kv_job *j, const struct kv_role *r)
{
	return (r->count + beside(j, r) - 1) / beside(j, r) * r->nodes;
}

/* ---- a step ---- */

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

/* What one task runs, in place of its shell. */
static const char *task_of(const struct kv_launch *l, const struct kv_role *r, unsigned i,
			   const char *command)
{
	struct kv_arena *a = l->job->arena;
	const char *first = r->setup ? r->setup : "";

	if (r->kind != KV_ROLE_WORKER && r->kind != KV_ROLE_FRONTEND)
		return command;
	if (strstr(command, "$KVPATH_LEADER"))
		first = kv_strf(a, "KVPATH_LEADER=\"$%s\"; %s", worker_variable(a, r->name, i),
				first);
	/* A token of its own for each pair: theirs are other ports, and no other's. */
	if (r->peer)
		first = kv_strf(a,
				"KVPATH_PEER=\"$%s\"; " KV_LAUNCH_TOKEN "=\"$" KV_LAUNCH_TOKEN
				".%u\"; %s",
				worker_variable(a, r->peer, i), i, first);
	/* exec is the end of a list: in braces behind a preamble. */
	return *first ? kv_strf(a, "{ %sexec %s; }", first, command) : kv_cat(a, "exec ", command);
}

static void add_step(struct kv_launch *l, const struct kv_role *r, unsigned i, unsigned first,
		     unsigned gpu)
{
	const struct kv_job *j = l->job;
	struct kv_arena *a = j->arena;
	struct kv_step *s = kv_vec_add(a, &l->steps);
	const char *command = r->kind == KV_ROLE_CLIENT ? kv_job_line(j, r->command) : r->command;
	unsigned tasks = r->tasks ? r->tasks : 1;

	s->role = r;
	s->name = r->kind == KV_ROLE_WORKER ? kv_strf(a, "%s_%u", r->name, i) : r->name;
	s->first = first;
	s->nodes = r->nodes;
	s->ends = r->ends;
	kv_plan_env(l, r, s);
	if (r->gpus && r->gpus < j->gpus_per_node)
		kv_env_put(a, &s->env,
			   kv_strf(a, "CUDA_VISIBLE_DEVICES=%s", gpu_list(a, gpu, r->gpus)));
	for (unsigned t = 0; t < s->nodes * tasks; t++)
		kv_vec_push(a, &s->logs,
			    s->nodes * tasks > 1 ? kv_strf(a, "%s.%u.out", s->name, t)
						 : kv_strf(a, "%s.out", s->name));
	for (size_t k = 0; k < r->ports.n; k++)
		kv_env_put(a, &s->env,
			   kv_strf(a, "%s=%u", r->ports.v[k].name, r->ports.v[k].base + gpu));
	if (r->measures) {
		s->document = kv_strf(a, "%s.json", s->name);
		kv_plan_srun(l, s, s->document);
		kv_plan_put(l, s, kv_strf(a, "--error=" KV_LOGS_MARK "/%s", s->logs.v[0]));
	} else {
		kv_plan_srun(l, s,
			     s->logs.n > 1 ? kv_strf(a, "%s.%%t.out", s->name) : s->logs.v[0]);
	}
	kv_plan_put(l, s, "--kill-on-bad-exit=1");
	s->peer = r->peer ? kv_strf(a, "%s_%u", r->peer, i) : NULL;
	command = task_of(l, r, i, command);
	kv_plan_command(l, s, kv_plan_bash(l, r, command, r->measures ? ">&2 &&" : "&&"));
}

static void add_check(struct kv_launch *l, const struct kv_role *r, unsigned first, unsigned nodes)
{
	struct kv_arena *a = l->job->arena;
	struct kv_step *s = kv_vec_add(a, &l->checks);
	const char *command = kv_strf(a, "exec \"$KVPATH_PROGRAM\" check --json %s /",
				      kv_shell_words(a, &l->how.check_options));

	s->role = r;
	s->name = kv_strf(a, "check-%s", r->name);
	s->first = first;
	s->nodes = nodes;
	s->ends = s->is_check = true;
	kv_plan_env(l, r, s);
	for (unsigned t = 0; t < nodes; t++)
		kv_vec_push(a, &s->logs, kv_strf(a, "%s.%u.json", s->name, t));
	kv_plan_srun(l, s, kv_strf(a, "%s.%%t.json", s->name));
	kv_plan_put(l, s, kv_strf(a, "--error=" KV_LOGS_MARK "/%s.%%t.err", s->name));
	kv_plan_command(l, s, kv_plan_bash(l, r, command, ">&2 &&"));
}

/* Workers of one kind: as many on a node as its GPUs allow, or several nodes for each. */
static void add_workers(struct kv_launch *l, const struct kv_role *r)
{
	unsigned first = l->shared ? 0 : l->nodes, n = beside(l->job, r);

	for (unsigned i = 0; i < r->count; i++)
		add_step(l, r, i, l->shared ? 0 : first + i / n * r->nodes, i % n * r->gpus);
	l->nodes = l->shared ? 1 : first + nodes_of_all(l->job, r);
	if (l->how.check)
		add_check(l, r, first, l->nodes - first);
}

static void name_places(struct kv_job *j, const struct kv_launch_how *how)
{
	for (size_t i = 0; how->place == KV_PLACE_HOST && i < j->mounts.n; i++) {
		const char *guest = kv_plan_guest(j->mounts.v[i]);
		size_t n = (size_t)(guest - j->mounts.v[i]) - 1;

		if (strncmp(j->mounts.v[i], guest, n) != 0 || (guest[n] && guest[n] != ':'))
			kv_vec_push(j->arena, &j->left,
				    kv_strf(j->arena, "%s: mount %s: not made without a container",
					    j->path, j->mounts.v[i]));
	}
}

int kv_launch_plan(struct kv_job *j, const struct kv_launch_how *how, struct kv_launch *ret,
		   struct kv_err *err)
{
	struct kv_launch l = { .job = j, .how = *how, .shared = j->paired && how->one_node };
	unsigned workers = 0, serving = 0;
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
		serving += r->count * (r->every_node ? r->nodes : 1);
		if (workers > 100000)
			return kv_err(err, -EINVAL, "%s: more than 100000 workers", j->path);
		add_workers(&l, r);
	}
	for (size_t i = 0; i < j->roles.n; i++) {
		const struct kv_role *r = &j->roles.v[i];

		if (r->kind == KV_ROLE_WORKER)
			continue;
		has_client |= r->kind == KV_ROLE_CLIENT;
		add_step(&l, r, 0, r->on_head || l.shared ? 0 : l.nodes, 0);
		l.nodes += !r->on_head && !l.shared;
	}
	l.services = kv_plan_services(&l);
	if (has_client && j->port)
		l.ready = kv_plan_ready(j, serving);
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
	kv_env_put(a, ret, kv_strf(a, "KVPATH_LOGS=%s", inside ? KV_CONTAINER_LOGS : logs));
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
			unsigned at = l->shared ? 0 : first + k / beside(l->job, r) * r->nodes;

			kv_env_put(a, ret,
				   kv_strf(a, "%s=%s", worker_variable(a, r->name, k),
					   at < addresses->n ? addresses->v[at] : ""));
		}
		first += nodes_of_all(l->job, r);
	}
}

const char *kv_launch_names(struct kv_arena *a, const kv_strv *nodes, size_t first, size_t count)
{
	const char *s = "";

	for (size_t i = first; i < nodes->n && i - first < count; i++)
		s = kv_strf(a, "%s%s%s", s, i > first ? "," : "", nodes->v[i]);
	return s;
}

bool kv_launch_places(const char *arg, unsigned *ret_first, unsigned *ret_count)
{
	return kv_starts(arg, KV_NODES_MARK) &&
	       sscanf(arg + strlen(KV_NODES_MARK), "%u+%u", ret_first, ret_count) == 2;
}

const char *kv_launch_arg(struct kv_arena *a, const char *arg, const char *logs,
			  const kv_strv *nodes)
{
	const char *at = strstr(arg, KV_LOGS_MARK);
	unsigned first, count;

	if (kv_launch_places(arg, &first, &count))
		return kv_cat(a, "--nodelist=", kv_launch_names(a, nodes, first, count));
	if (!at)
		return arg;
	return kv_launch_arg(
		a, kv_strf(a, "%.*s%s%s", (int)(at - arg), arg, logs, at + strlen(KV_LOGS_MARK)),
		logs, nodes);
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
