/*
 * kvpath launch: a recipe's job under Slurm. Outside an allocation it starts itself by salloc; in
 * one it checks the nodes, starts the steps, follows their logs and ends them.
 */
#include "cmd/launch.h"
#include "cmd/screen.h"
#include "launch/render.h"
#include "prove/sweep_run.h"

#include <sys/stat.h>

#define MAX_CMDLINE ((size_t)1 << 20)

static void add_word(const struct kv_opts *o, kv_strv *v, const char *word)
{
	kv_vec_push(o->arena, v, kv_strdup(o->arena, word));
}

static void add_check_options(const struct kv_opts *o, kv_strv *ret)
{
	kv_wanted_options(o->arena, o->backend, o->vram, ret);
	if (o->image)
		add_word(o, ret, "--image");
	if (o->strict)
		add_word(o, ret, "--strict");
}

static int choose_place(const struct kv_opts *o, struct kv_launch_how *how)
{
	if (o->root && o->no_container)
		return kv_fail(KV_STATUS_USAGE, "launch: --root or --no-container, not both");
	if (o->root && o->root[0] != '/')
		return kv_fail(KV_STATUS_USAGE, "--root %s: an absolute path is expected", o->root);
	how->place = o->root ? KV_PLACE_ROOT : o->no_container ? KV_PLACE_HOST : KV_PLACE_PYXIS;
	how->root = o->root;
	how->program = kv_self_path(o->arena);
	kv_wanted_options(o->arena, o->backend, o->vram, &how->options);
	how->repair = o->repair;
	how->check = !o->no_check;
	how->one_node = getenv("SLURM_JOB_ID") && kv_streq(getenv("SLURM_JOB_NUM_NODES"), "1");
	how->fabrics = o->fabrics;
	add_check_options(o, &how->check_options);
	return KV_STATUS_OK;
}

/* This command as it was called, by its absolute path. */
static int own_words(const struct kv_opts *o, kv_strv *ret)
{
	struct kv_err err = { 0 };
	struct kv_span text;

	if (kv_read_file(o->arena, "/proc/self/cmdline", MAX_CMDLINE, &text, &err) < 0)
		return kv_fail(KV_STATUS_UNKNOWN, "%s", err.msg);
	for (size_t at = 0; at < text.n; at += strlen((const char *)text.p + at) + 1) {
		const char *word = (const char *)text.p + at;

		/* getopt_long takes what is short of a name too. */
		if (at && strlen(word) > 4 && kv_starts("--dry-run", word))
			continue;
		kv_vec_push(o->arena, ret, kv_strdup(o->arena, at ? word : kv_self_path(o->arena)));
	}
	return KV_STATUS_OK;
}

/* ---- Slurm ---- */

static int allocate(const struct kv_opts *o, const struct kv_launch *l)
{
	kv_strv self = { 0 }, argv = { 0 };
	int r = own_words(o, &self);

	if (r != KV_STATUS_OK)
		return r;
	kv_launch_salloc(l, &self, &argv);
	kv_vec_push(o->arena, &argv, NULL);
	execvp(argv.v[0], argv.v);
	return kv_fail(KV_STATUS_USAGE,
		       "salloc: %s: launch needs Slurm; --dry-run prints what it would do",
		       strerror(errno));
}

/* Lines of a program's answer; -1 where it did not end well. */
static int ask_lines(const struct kv_opts *o, const char *const *words, kv_strv *ret)
{
	const char *text = "";
	kv_strv argv = { 0 };

	for (; *words; words++)
		add_word(o, &argv, *words);
	if (kv_ask(o->arena, &argv, &text) != 0)
		return -1;
	while (*text) {
		size_t n = strcspn(text, "\n");

		if (n)
			kv_vec_push(o->arena, ret, kv_strndup(o->arena, text, n));
		text += n + (text[n] == '\n');
	}
	return 0;
}

static int find_nodes(struct kv_launching *g, kv_strv *ret_addresses)
{
	const struct kv_opts *o = g->o;
	const char *list = getenv("SLURM_JOB_NODELIST");
	const char *const names[] = { "scontrol", "show", "hostnames", list ? list : "", NULL };
	const char *const all[] = {
		"scontrol", "--oneliner", "show", "node", list ? list : "", NULL
	};
	kv_strv lines = { 0 };

	if (!list || ask_lines(o, names, &g->r.nodes) < 0 || ask_lines(o, all, &lines) < 0)
		return kv_fail(KV_STATUS_UNKNOWN,
			       "the nodes of job %s are not known: scontrol did not tell them",
			       g->r.job_id);
	if (g->r.nodes.n < g->r.launch->nodes)
		return kv_fail(KV_STATUS_USAGE,
			       "%s needs %u nodes, and job %s has %zu; outside an allocation, "
			       "kvpath launch asks for as many as it needs",
			       g->r.launch->job->path, g->r.launch->nodes, g->r.job_id,
			       g->r.nodes.n);
	for (size_t i = 0; i < g->r.nodes.n; i++) {
		const char *head = kv_strf(o->arena, "NodeName=%s ", g->r.nodes.v[i]);
		const char *address = g->r.nodes.v[i];

		for (size_t k = 0; k < lines.n; k++)
			if (kv_starts(lines.v[k], head))
				address = kv_node_address(o->arena, lines.v[k], g->r.nodes.v[i]);
		kv_vec_push(o->arena, ret_addresses, kv_strdup(o->arena, address));
	}
	return KV_STATUS_OK;
}

static int need_pyxis(const struct kv_opts *o, const struct kv_launch *l)
{
	const char *const help[] = { "srun", "--help", NULL };
	kv_strv lines = { 0 };

	if (l->how.place != KV_PLACE_PYXIS)
		return KV_STATUS_OK;
	if (ask_lines(o, help, &lines) < 0)
		return kv_fail(KV_STATUS_UNKNOWN, "srun --help did not end well");
	for (size_t i = 0; i < lines.n; i++)
		if (strstr(lines.v[i], "--container-image"))
			return KV_STATUS_OK;
	return kv_fail(KV_STATUS_USAGE,
		       "this Slurm has no pyxis (srun knows no --container-image): --root DIR "
		       "starts the job in a directory, --no-container on the nodes as they are");
}

/* ---- in an allocation ---- */

static int make_logs(struct kv_launching *g)
{
	const struct kv_opts *o = g->o;
	char cwd[4096];

	if (!getcwd(cwd, sizeof(cwd)))
		return kv_fail(KV_STATUS_UNKNOWN, "the working directory: %s", strerror(errno));
	g->r.logs = o->output ? o->output[0] == '/' ? o->output : kv_join(o->arena, cwd, o->output)
			      : kv_strf(o->arena, "%s/kvpath-launch-%s", cwd, g->r.job_id);
	if (mkdir(g->r.logs, 0755) < 0 && errno != EEXIST)
		return kv_fail(KV_STATUS_USAGE, "%s: %s", g->r.logs, strerror(errno));
	return KV_STATUS_OK;
}

/* What the two sides of a transfer know each other by. */
static int make_token(struct kv_launching *g)
{
	struct kv_arena *a = g->o->arena;
	char token[KV_SWEEP_TOKEN_HEX + 1];

	if (!g->r.launch->job->paired)
		return KV_STATUS_OK;
	if (kv_sweep_random(token) < 0)
		return kv_fail(KV_STATUS_UNKNOWN, "the kernel gives no random bytes");
	kv_env_put(a, &g->env, kv_strf(a, KV_LAUNCH_TOKEN "=%s", token));
	kv_vec_push(a, &g->r.masked, kv_strdup(a, token));
	return KV_STATUS_OK;
}

static void add_masks(struct kv_launching *g)
{
	extern char **environ;
	struct kv_arena *a = g->o->arena;
	const struct kv_launch *l = g->r.launch;

	for (char **e = environ; *e; e++)
		if (kv_is_secret_name(kv_pair_name(a, *e)) && strlen(kv_pair_value(*e)) >= 8)
			kv_vec_push(a, &g->r.masked, kv_strdup(a, kv_pair_value(*e)));
	for (size_t i = 0; i < l->steps.n; i++)
		for (size_t k = 0; k < l->steps.v[i].env.pairs.n; k++) {
			const char *pair = l->steps.v[i].env.pairs.v[k];

			if (kv_is_secret_name(kv_pair_name(a, pair)) &&
			    strlen(kv_pair_value(pair)) >= 8)
				kv_vec_push(a, &g->r.masked, kv_strdup(a, kv_pair_value(pair)));
		}
}

static int judge(struct kv_launching *g)
{
	struct kv_launch_result *r = &g->r;

	kv_log_init(&r->log, r->arena);
	for (size_t i = 0; i < r->steps.n; i++) {
		const struct kv_step *s = r->steps.v[i].step;

		for (size_t k = 0; s && s->role->kind == KV_ROLE_WORKER && k < s->logs.n; k++)
			(void)kv_log_read(&r->log,
					  kv_strf(r->arena, "%s/%s", r->logs, s->logs.v[k]));
	}
	kv_log_finish(&r->log);
	kv_log_judge(&r->log, g->o->backend, &r->report);
	return r->report.findings.verdict == KV_OFF_FABRIC ? KV_STATUS_OFF : KV_STATUS_OK;
}

static int status_of(const struct kv_launching *g, int log_status)
{
	switch (g->r.end) {
	case KV_LAUNCH_REFUSED:
	case KV_LAUNCH_DIED:
		return KV_STATUS_OFF;
	case KV_LAUNCH_STOPPED:
		return 130;
	default:
		return log_status;
	}
}

static int inside(struct kv_launching *g)
{
	kv_strv addresses = { 0 };
	int r = need_pyxis(g->o, g->r.launch), log_status = KV_STATUS_OK;

	if (r == KV_STATUS_OK)
		r = find_nodes(g, &addresses);
	if (r == KV_STATUS_OK)
		r = make_logs(g);
	if (r != KV_STATUS_OK)
		return r;
	add_masks(g);
	kv_launch_env(g->r.launch, &addresses, g->r.logs, &g->env);
	r = make_token(g);
	if (r != KV_STATUS_OK)
		return r;
	kv_screen_begin(g->terminal);
	r = kv_launching_check(g);
	if (r == KV_STATUS_OK && g->r.end == KV_LAUNCH_DONE)
		r = kv_launching_run(g);
	kv_screen_end();
	free(g->text);
	if (r != KV_STATUS_OK)
		return r;
	if (g->r.end != KV_LAUNCH_REFUSED) {
		log_status = judge(g);
		kv_launch_measured(&g->r);
	}
	if (g->o->json)
		r = kv_print_json(kv_json_launch(&g->r));
	else
		kv_text_launch(stdout, &g->r, g->o->style);
	return r == KV_STATUS_OK ? status_of(g, log_status) : r;
}

static int run(struct kv_opts *o)
{
	static struct kv_launching g;
	static struct kv_launch launch;
	struct kv_launch_how how = { 0 };
	struct kv_err err = { 0 };
	struct kv_job job;
	kv_strv self = { 0 };
	int r;

	if (o->args.n != 1)
		return kv_fail(KV_STATUS_USAGE, "launch: one RECIPE is expected");
	r = choose_place(o, &how);
	if (r != KV_STATUS_OK)
		return r;
	r = kv_job_read(o->arena, o->args.v[0], &job, &err);
	if (r == 0)
		r = kv_launch_plan(&job, &how, &launch, &err);
	if (r < 0)
		return kv_fail(r == -ENOTSUP ? KV_STATUS_UNKNOWN : KV_STATUS_USAGE, "%s", err.msg);
	if (o->dry_run) {
		r = own_words(o, &self);
		if (r == KV_STATUS_OK)
			kv_launch_print(stdout, &launch, &self);
		return r;
	}
	g = (struct kv_launching){ .o = o };
	g.r.arena = o->arena;
	g.r.launch = &launch;
	g.r.job_id = getenv("SLURM_JOB_ID");
	if (!g.r.job_id)
		return allocate(o, &launch);
	for (size_t i = 0; i < job.left.n; i++)
		fprintf(stderr, "kvpath: left out: %s\n", kv_printable(o->arena, job.left.v[i]));
	g.terminal = !o->json && !o->quiet && isatty(STDOUT_FILENO);
	return inside(&g);
}

const struct kv_command kv_cmd_launch = {
	.name = "launch",
	.usage = "[OPTIONS] RECIPE",
	.summary = "start a recipe's job under Slurm: nodes checked first, logs followed",
	.options = "dry-run root no-container no-check repair fabric backend mem image strict "
		   "output json quiet color",
	.help = "RECIPE is one of dynamo.tools or srtctl. Outside an allocation launch starts "
		"itself by salloc; in one it starts a\n"
		"step of srun for each worker, etcd, nats, the frontend and last the client. "
		"--dry-run prints all that as a script.\n"
		"Every node is checked before, behind the recipe's preamble, and one that is off "
		"the fabric ends it there. Logs lie\n"
		"in kvpath-launch-JOB, or -o DIR. Secrets reach the tasks by the environment, and "
		"are on no command line.\n"
		"Status 1: a node is off the fabric, a step died, or the logs show off-fabric.",
	.examples = "What it would do, as a script for sbatch\n"
		    "kvpath launch --dry-run recipe.yaml\n"
		    "The job, its workers repaired by their environment\n"
		    "kvpath launch --repair recipe.yaml",
	.rights = KV_RIGHTS_RUN,
	.run = run,
};
