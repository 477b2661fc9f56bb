/* kvpath lint: what is wrong with launch recipes. Opens those files and the images that they name;
 * --fix writes the recipes. */
#include <dirent.h>
#include <sys/stat.h>

#include "cmd/cmd.h"
#include "report/lint.h"

#define MAX_DEPTH 32
#define MAX_FILES 100000

struct run {
	struct kv_opts *o;
	struct kv_lint_files files;
	bool bad, unknown; /* a file could not be read; could not be told */
	size_t n_seen;
};

static void fail(struct run *run, const char *path, int r, const struct kv_err *err)
{
	*(r == -ENOTSUP ? &run->unknown : &run->bad) = true;
	kv_fail(KV_STATUS_USAGE, "%s", err->msg);
	kv_vec_push(run->o->arena, &run->files.failed,
		    ((struct kv_lint_failed){ path, kv_strdup(run->o->arena, err->msg) }));
}

/* found: in a directory, where other files than recipes are no fault. */
static void lint_file(struct run *run, const char *path, bool found)
{
	static const struct kv_lint_options options = { .closed = false };
	struct kv_lints *l = kv_new(run->o->arena, struct kv_lints);
	struct kv_err err = { 0 };
	int r = kv_recipe_lint(run->o->arena, path, &options, l, &err);

	if (r == 0 && run->o->fix && !run->o->diff)
		r = kv_recipe_fix(l, &err);
	if (r == 0)
		kv_vec_push(run->o->arena, &run->files.list, l);
	else if (!found || r != -ENOTSUP)
		fail(run, path, r, &err);
}

static bool is_recipe_name(const char *name)
{
	static const char *const ends[] = { ".yaml", ".yml", ".sbatch", ".slurm", ".sh" };

	for (size_t i = 0; i < KV_ARRAY_SIZE(ends); i++)
		if (kv_ends(name, ends[i]))
			return true;
	return false;
}

/* A recipe, or a link to one: all files of a ConfigMap that is mounted are such. */
static bool leads_to_file(const char *path, const struct stat *st)
{
	struct stat to;

	return S_ISREG(st->st_mode) ||
	       (S_ISLNK(st->st_mode) && stat(path, &to) == 0 && S_ISREG(to.st_mode));
}

/* Links to directories are not followed; hidden names are left out, as .git and .venv are. */
static void lint_tree(struct run *run, const char *path, unsigned depth)
{
	struct dirent **list;
	int n = depth < MAX_DEPTH ? scandir(path, &list, NULL, alphasort) : -1;
	struct kv_err err = { 0 };

	if (n < 0) {
		int e = depth < MAX_DEPTH ? errno : ELOOP;

		kv_err(&err, -e, "%s: %s", path, strerror(e));
		fail(run, path, -e, &err);
		return;
	}
	for (int i = 0; i < n; i++) {
		const char *sub = kv_join(run->o->arena, path, list[i]->d_name);
		struct stat st;

		if (list[i]->d_name[0] != '.' && lstat(sub, &st) == 0 &&
		    run->n_seen++ < MAX_FILES) {
			if (S_ISDIR(st.st_mode))
				lint_tree(run, sub, depth + 1);
			else if (is_recipe_name(sub) && leads_to_file(sub, &st))
				lint_file(run, sub, true);
		}
		free(list[i]);
	}
	free(list);
}

static void lint_arg(struct run *run, const char *path)
{
	size_t before = run->files.list.n + run->files.failed.n;
	struct kv_err err = { 0 };
	struct stat st;

	if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode)) {
		lint_file(run, path, false);
		return;
	}
	lint_tree(run, path, 0);
	/* Silence would be taken for praise. */
	if (run->files.list.n + run->files.failed.n == before)
		fail(run, path,
		     kv_err(&err, -ENOTSUP,
			    "%s: there is no recipe in this directory (.yaml, .yml, .sbatch, "
			    ".slurm, .sh)",
			    path),
		     &err);
}

static int status_of(const struct run *run)
{
	const struct kv_lint_files *f = &run->files;

	if (run->bad)
		return KV_STATUS_USAGE;
	for (size_t i = 0; i < f->list.n; i++)
		for (size_t k = 0; k < f->list.v[i]->list.n; k++) {
			const struct kv_lint *l = &f->list.v[i]->list.v[k];

			if (!l->done &&
			    (l->level == KV_ERROR || (l->level == KV_WARNING && run->o->strict)))
				return KV_STATUS_OFF;
		}
	return run->unknown ? KV_STATUS_UNKNOWN : KV_STATUS_OK;
}

/* Status 1 where there is something to change, as diff(1) and formatters have it. */
static int print_diffs(const struct run *run)
{
	const struct kv_lint_files *f = &run->files;
	int status = run->bad ? KV_STATUS_USAGE : run->unknown ? KV_STATUS_UNKNOWN : KV_STATUS_OK;

	for (size_t i = 0; i < f->list.n; i++) {
		kv_edits edits;
		size_t hidden = kv_recipe_diff(stdout, f->list.v[i]);

		kv_recipe_edits(f->list.v[i], &edits);
		if (edits.n && status != KV_STATUS_USAGE)
			status = KV_STATUS_OFF;
		if (hidden)
			kv_fail(KV_STATUS_OFF,
				"%s: %zu changes are not shown, as they are on lines with a secret",
				f->list.v[i]->path, hidden);
	}
	return status;
}

static int lint(struct kv_opts *o)
{
	struct run run = { .o = o };
	int status;

	if (!o->args.n)
		return kv_fail(KV_STATUS_USAGE, "lint: a RECIPE is expected");
	if (o->diff && (o->json || o->sarif))
		return kv_fail(KV_STATUS_USAGE,
			       "lint: --diff is an answer of its own: not with --json or --sarif");
	for (size_t i = 0; i < o->args.n; i++)
		lint_arg(&run, o->args.v[i]);
	if (o->diff)
		return print_diffs(&run);
	status = status_of(&run);
	if ((o->json || o->sarif) && (run.files.list.n || !run.files.failed.n)) {
		int r = kv_print_json(o->json ? kv_json_lint(&run.files)
					      : kv_sarif_lint(o->arena, &run.files, status));

		return r == KV_STATUS_OK ? status : r;
	}
	for (size_t i = 0; !o->json && !o->sarif && i < run.files.list.n; i++)
		kv_text_lint(stdout, run.files.list.v[i], o->style);
	return status;
}

const struct kv_command kv_cmd_lint = {
	.name = "lint",
	.usage = "[OPTIONS] RECIPE ...",
	.summary = "say what is wrong with launch recipes: variables, keys, the backend, secrets",
	.options = "fix diff strict json sarif quiet color",
	.help = "RECIPE is a recipe of dynamo.tools or srtctl, srtslurm.yaml, a "
		"DynamoGraphDeployment or another object of\n"
		"Kubernetes, an sbatch script; or a directory: then the .yaml, .yml, .sbatch, "
		".slurm and .sh in it that are one.\n"
		"Images and mounts that a recipe names are looked at where they are here. Status 1 "
		"where there is an error;\n"
		"--strict counts warnings. --fix writes what is certain into the recipes, byte for "
		"byte the same elsewhere; --diff\n"
		"prints that instead and ends with 1 where there is something. Values that may be "
		"secret are never printed.",
	.examples = "Before a job is queued\n"
		    "kvpath lint recipe.yaml\n"
		    "For a code host that shows findings\n"
		    "kvpath lint --sarif recipes/ >kvpath.sarif\n"
		    "What --fix would write\n"
		    "kvpath lint --diff recipe.yaml\n"
		    "Write it\n"
		    "kvpath lint --fix recipe.yaml",
	.run = lint,
};
