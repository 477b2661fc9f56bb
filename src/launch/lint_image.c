/*
 * Rules that need the image that a recipe names: KV707, KV709, KV710. An image is looked at where
 * it is here, by what check uses; where it is not, that is said.
 */
#include <sys/stat.h>

#include "launch/lint.h"

#define EFA        "/opt/amazon/efa"
#define MAX_IMAGES 8

/* What the rules want to know, and of which place in the recipe. */
struct question {
	const struct kv_job_var *ld_path; /* exported outside of the container; NULL */
	const char *uses_efa;             /* what uses EFA, which no mount brings; NULL */
	unsigned efa_line, efa_column;
	const struct kv_job_mount *fabric; /* a mount that brings libfabric; NULL */
};

static bool covers(const char *guest, const char *path)
{
	size_t n = strlen(guest);

	while (n && guest[n - 1] == '/')
		n--;
	return n && strncmp(guest, path, n) == 0 && (!path[n] || path[n] == '/');
}

static const struct kv_job_mount *efa_mount(const struct kv_job *j)
{
	for (size_t i = 0; i < j->mounts.n; i++)
		if (covers(j->mounts.v[i].guest, EFA) || covers(EFA, j->mounts.v[i].guest))
			return &j->mounts.v[i];
	return NULL;
}

/* A file of it is copied or linked, whatever was found out before. */
static void find_copy(struct kv_job *j, const struct kv_job_shell *s, struct question *q)
{
	static const char *const tools[] = { "cp", "ln", "mv", "install", "rsync", NULL };
	bool asked = false; /* a command in front of it decides whether it runs */

	for (size_t i = 0; i < s->shell.cmds.n && !q->uses_efa; i++) {
		const struct kv_shell_cmd *c = &s->shell.cmds.v[i];

		size_t first = kv_shell_started(c);

		for (size_t k = first + 1; !asked && !c->depth && k < c->words.n; k++)
			if (kv_lint_listed(tools, kv_basename(kv_word_text(c, first))) &&
			    kv_starts(kv_word_text(c, k), EFA "/")) {
				q->uses_efa = s->what;
				kv_lint_place(j, s->at[c->words.v[k].start], &q->efa_line,
					      &q->efa_column);
			}
		asked = c->next == KV_SHELL_AND || c->next == KV_SHELL_OR;
	}
}

static void find_use(struct kv_job *j, struct question *q)
{
	for (size_t i = 0; i < j->vars.n && !q->uses_efa; i++) {
		const struct kv_job_var *v = &j->vars.v[i];

		if (!kv_streq(v->name, "LD_LIBRARY_PATH") || !strstr(v->raw, EFA "/"))
			continue;
		q->uses_efa = "LD_LIBRARY_PATH";
		q->efa_line = v->line;
		q->efa_column = v->column;
	}
	for (size_t i = 0; i < j->shells.n && !q->uses_efa; i++)
		if (!j->shells.v[i].on_host && j->shells.v[i].readable)
			find_copy(j, &j->shells.v[i], q);
}

static void ask(struct kv_job *j, struct question *q)
{
	for (size_t i = 0; j->dialect->image_wins && !j->keeps_ld_path && i < j->vars.n; i++)
		if (j->vars.v[i].on_host && kv_streq(j->vars.v[i].name, "LD_LIBRARY_PATH"))
			q->ld_path = &j->vars.v[i];
	q->fabric = efa_mount(j);
	if (!q->fabric && !j->mounts_unknown && j->dialect->mount_keys)
		find_use(j, q);
}

static bool any(const struct question *q)
{
	return q->ld_path || q->uses_efa || q->fabric;
}

/* ---- answers ---- */

static void tell_ld_path(struct kv_job *j, const struct question *q, const char *image,
			 const struct kv_env *env)
{
	struct kv_arena *a = j->arena;
	static const char mend[] =
		"add --container-env=LD_LIBRARY_PATH to srun, or export it in the "
		"command that runs in the container";

	if (!env)
		kv_lint_add(
			j, "KV707", KV_INFO, q->ld_path->line, q->ld_path->column,
			kv_strf(a,
				"cannot tell whether LD_LIBRARY_PATH arrives: it does not where "
				"the image sets it, and %s is not here",
				image),
			mend);
	else if (kv_env_get(env, "LD_LIBRARY_PATH"))
		kv_lint_add(
			j, "KV707", KV_ERROR, q->ld_path->line, q->ld_path->column,
			kv_strf(a,
				"LD_LIBRARY_PATH does not arrive: the image sets its own (%s in "
				"%s), which wins",
				kv_env_get(env, "LD_LIBRARY_PATH"), image),
			mend);
}

static void tell_mount(struct kv_job *j, const struct question *q, const char *image,
		       struct kv_root *root)
{
	static const char mend[] =
		"mount the host's " EFA " there, or take the image's own libfabric";
	bool here = root && kv_root_is_dir(root, EFA "/lib");

	if (here || (root && kv_root_fault(root)))
		return;
	if (!root || j->dialect->may_mount)
		kv_lint_add(
			j, "KV709", KV_INFO, q->efa_line, q->efa_column,
			kv_strf(j->arena,
				"%s uses " EFA ", which no mount here brings; cannot tell whether "
				"%s",
				q->uses_efa,
				root ? "the cluster's configuration does"
				     : kv_strf(j->arena, "%s has it, which is not here", image)),
			mend);
	else
		kv_lint_add(j, "KV709", KV_WARNING, q->efa_line, q->efa_column,
			    kv_strf(j->arena, "%s uses " EFA ", which no mount brings and %s lacks",
				    q->uses_efa, image),
			    mend);
}

static const struct kv_facts *facts_of(struct kv_job *j, struct kv_root *root,
				       const struct kv_env *env, const char *image,
				       const struct kv_source_dir *fabric)
{
	struct kv_scan *scan = kv_new(j->arena, struct kv_scan);
	kv_source_dirs *sources = kv_new(j->arena, kv_source_dirs);
	struct kv_inspect in = { .root = root,
				 .path = image,
				 .env = env,
				 .backend = "LIBFABRIC",
				 .vram = true,
				 .image = true,
				 .cpu_level = kv_cpu_level(),
				 .sources = sources };

	kv_vec_push(j->arena, sources, *fabric);
	kv_scan(root, scan);
	return kv_facts_collect(&in, scan);
}

/* KV710: the mounted libfabric needs what this image is too old for. */
static void tell_fabric(struct kv_job *j, const struct question *q, const struct kv_job_image *i,
			struct kv_root *root, const struct kv_env *env)
{
	struct kv_arena *a = j->arena;
	const struct kv_facts *f;
	const struct kv_fabric *fab = NULL;
	struct kv_source_dir source = { .host = q->fabric->host };

	if (!root || kv_root_open(a, source.host, &source.root, NULL) < 0) {
		kv_lint_add(j, "KV710", KV_INFO, i->line, i->column,
			    kv_strf(a,
				    "cannot tell whether %s can use the libfabric of %s: %s is not "
				    "here",
				    i->path, q->fabric->host, root ? q->fabric->host : i->path),
			    "run kvpath lint, or kvpath check --fabric, where both are");
		return;
	}
	f = facts_of(j, root, env, i->path, &source);
	for (size_t k = 0; k < f->fabrics.n; k++)
		if (f->fabrics.v[k].source == KV_SOURCE_FABRIC &&
		    (!fab || (fab->blocked && !f->fabrics.v[k].blocked)))
			fab = &f->fabrics.v[k];
	if (fab && fab->blocked && !kv_root_fault(root))
		kv_lint_add(j, "KV710", KV_ERROR, i->line, i->column,
			    kv_strf(a, "%s can not use the mounted %s: %s", i->path, fab->path,
				    fab->blocked),
			    "take a newer image, or mount a libfabric that this one can use");
	kv_root_close(source.root);
}

static void answer(struct kv_job *j, const struct question *q, const struct kv_job_image *i,
		   bool closed)
{
	struct kv_env own = { 0 }, env = { 0 };
	struct kv_root *root = NULL;
	struct kv_err err = { 0 };
	struct stat st;
	kv_dirents list = { 0 };

	if (!closed && (i->path[0] == '/' || i->path[0] == '.') && stat(i->path, &st) == 0 &&
	    (kv_root_open(j->arena, i->path, &root, &err) < 0 ||
	     kv_root_list(root, "/", &list) < 0 || kv_root_fault(root))) {
		kv_root_close(root);
		root = NULL;
	}
	if (root) {
		const struct kv_env *image = kv_root_env(root);

		for (size_t k = 0; image && k < image->pairs.n; k++)
			kv_env_put(j->arena, &own, image->pairs.v[k]);
		kv_target_env(root, &own, &env);
	}
	if (q->ld_path && q->ld_path->line < i->line)
		tell_ld_path(j, q, i->path, root ? &env : NULL);
	if (q->uses_efa)
		tell_mount(j, q, i->path, root);
	if (q->fabric)
		tell_fabric(j, q, i, root, &env);
	kv_root_close(root);
}

void kv_lint_images(struct kv_job *j, bool closed)
{
	struct question q = { 0 };
	kv_strv done = { 0 };

	ask(j, &q);
	for (size_t i = 0; any(&q) && i < j->images.n && done.n < MAX_IMAGES; i++) {
		if (kv_strv_has(&done, j->images.v[i].path))
			continue;
		kv_vec_push(j->arena, &done, kv_strdup(j->arena, j->images.v[i].path));
		answer(j, &q, &j->images.v[i], closed);
	}
}
