/*
 * What srun is given for one step: its own options, what brings the task into its container, and
 * the bash in it.
 */
#include "launch/plan_parts.h"
#include "launch/render.h"

#define CONTAINER_PREFIX "/opt/kvpath"

/* ---- mounts ---- */

const char *kv_plan_guest(const char *mount)
{
	const char *colon = strchr(mount, ':');

	return colon ? colon + 1 : mount;
}

static bool covers(const kv_strv *mounts, const char *guest)
{
	size_t n = strlen(guest);

	for (size_t i = 0; i < mounts->n; i++) {
		const char *g = kv_plan_guest(mounts->v[i]);

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
	if (!covers(ret, KV_CONTAINER_LOGS))
		kv_vec_push(a, ret, kv_strdup(a, KV_LOGS_MARK ":" KV_CONTAINER_LOGS));
}

/* ---- the command of a task ---- */

void kv_plan_put(const struct kv_launch *l, struct kv_step *s, const char *arg)
{
	kv_vec_push(l->job->arena, &s->argv, kv_strdup(l->job->arena, arg));
}

static bool wants_repair(const struct kv_launch *l, const struct kv_role *r)
{
	return l->how.repair && r->kind == KV_ROLE_WORKER;
}

static void put_kvpath_run(const struct kv_launch *l, struct kv_step *s, const char *program)
{
	kv_plan_put(l, s, program);
	kv_plan_put(l, s, "run");
	/* The check tells what the repair leaves. */
	if (s->is_check && wants_repair(l, s->role))
		kv_plan_put(l, s, "--anyway");
	for (size_t i = 0; i < l->how.options.n; i++)
		kv_plan_put(l, s, l->how.options.v[i]);
	for (size_t i = 0; i < l->how.fabrics.n; i++) {
		kv_plan_put(l, s, "--fabric");
		kv_plan_put(l, s, l->how.fabrics.v[i]);
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
	if (s->peer)
		names = kv_strf(a, "%s," KV_LAUNCH_TOKEN, names);
	kv_plan_put(l, s, kv_strf(a, "--container-image=%s", s->role->image));
	kv_plan_put(l, s, "--no-container-entrypoint");
	kv_plan_put(l, s, "--no-container-mount-home");
	kv_plan_put(l, s, kv_strf(a, "--container-mounts=%s", list));
	kv_plan_put(l, s, kv_strf(a, "--container-env=%s", names));
	if (wants_repair(l, s->role)) {
		put_kvpath_run(l, s, KV_JOB_PROGRAM);
		kv_plan_put(l, s, "--");
	}
}

static void put_root(const struct kv_launch *l, struct kv_step *s)
{
	kv_strv mounts = { 0 };

	all_mounts(l, &mounts);
	put_kvpath_run(l, s, l->how.program);
	if (!wants_repair(l, s->role))
		kv_plan_put(l, s, "--as-is");
	for (size_t i = 0; i < mounts.n; i++) {
		kv_plan_put(l, s, "--mount");
		kv_plan_put(l, s, mounts.v[i]);
	}
	kv_plan_put(l, s, l->how.root);
	kv_plan_put(l, s, "--");
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

const char *kv_plan_bash(const struct kv_launch *l, const struct kv_role *r, const char *command,
			 const char *behind)
{
	struct kv_arena *a = l->job->arena;
	const char *exports = live_exports(l, r);

	if (!r->preamble)
		return kv_strf(a, "%s%s", exports, command);
	return kv_strf(a, "%s{ %s\n} %s %s", exports, r->preamble, behind, command);
}

void kv_plan_command(const struct kv_launch *l, struct kv_step *s, const char *bash)
{
	for (size_t i = 0; !s->is_check && i < s->role->srun.n; i++)
		kv_plan_put(l, s, s->role->srun.v[i]);
	for (size_t i = 0; i < l->job->srun.n; i++)
		kv_plan_put(l, s, l->job->srun.v[i]);
	if (l->how.place == KV_PLACE_PYXIS && s->role->image) {
		put_pyxis(l, s);
	} else if (l->how.place == KV_PLACE_ROOT) {
		put_root(l, s);
	} else if (wants_repair(l, s->role)) {
		put_kvpath_run(l, s, l->how.program);
		kv_plan_put(l, s, "--");
	}
	kv_plan_put(l, s, "bash");
	kv_plan_put(l, s, "-c");
	kv_plan_put(l, s, bash);
}

/* ---- the arguments of srun ---- */

void kv_plan_srun(const struct kv_launch *l, struct kv_step *s, const char *output)
{
	unsigned tasks = !s->is_check && s->role->tasks ? s->role->tasks : 1;
	struct kv_arena *a = l->job->arena;

	kv_plan_put(l, s, "srun");
	kv_plan_put(l, s, "--overlap");
	kv_plan_put(l, s, kv_strf(a, "--job-name=kvpath.%s", s->name));
	/* By name: --relative=0 is the same as none, and Slurm then takes whichever is idle. */
	kv_plan_put(l, s, kv_strf(a, KV_NODES_MARK "%u+%u", s->first, s->nodes));
	kv_plan_put(l, s, kv_strf(a, "--nodes=%u", s->nodes));
	kv_plan_put(l, s, kv_strf(a, "--ntasks=%u", s->nodes * tasks));
	kv_plan_put(l, s, kv_strf(a, "--ntasks-per-node=%u", tasks));
	kv_plan_put(l, s, "--export=ALL");
	kv_plan_put(l, s, "--input=none");
	kv_plan_put(l, s, kv_strf(a, "--output=" KV_LOGS_MARK "/%s", output));
}

void kv_plan_env(const struct kv_launch *l, const struct kv_role *r, struct kv_step *s)
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
