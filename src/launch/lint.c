/*
 * What is wrong with a recipe: reads it, finds its dialect, and lets the rules look. A rule is a
 * function over what was seen of one document (lint.h); it says what was seen, and never prints a
 * value that may be secret.
 */
#include "launch/lint.h"

#define MAX_RECIPE ((size_t)8 << 20)
/* Of a document whose aliases are followed. */
#define MOST_NODES 200000

static const struct kv_dialect *const dialects[] = { &kv_dialect_sbatch, &kv_dialect_k8s,
						     &kv_dialect_dynamo, &kv_dialect_srtctl,
						     &kv_dialect_srtslurm };

struct kv_lint *kv_lint_add(struct kv_job *j, const char *id, enum kv_severity level, unsigned line,
			    unsigned column, const char *text, const char *repair)
{
	kv_vec_push(j->arena, &j->lints->list,
		    ((struct kv_lint){ .id = id,
				       .text = text,
				       .repair = repair,
				       .level = level,
				       .line = line,
				       .column = column }));
	return &j->lints->list.v[j->lints->list.n - 1];
}

static const struct kv_dialect *dialect_of(const struct kv_yaml *root)
{
	for (size_t i = 0; i < KV_ARRAY_SIZE(dialects); i++)
		if (dialects[i]->is && dialects[i]->is(root))
			return dialects[i];
	return NULL;
}

static int by_place(const void *a, const void *b)
{
	const struct kv_lint *x = a, *y = b;

	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	if (x->column != y->column)
		return x->column < y->column ? -1 : 1;
	return strcmp(x->id, y->id) ? strcmp(x->id, y->id) : strcmp(x->text, y->text);
}

/* One container, or the whole document. */
static void lint_part(struct kv_job *j, const struct kv_lint_options *o)
{
	kv_lint_collect(j);
	kv_lint_vars(j);
	kv_lint_shells(j);
	kv_lint_whole(j);
	kv_lint_images(j, o->closed);
}

static void lint_document(struct kv_lints *l, const struct kv_dialect *d, struct kv_yaml *root,
			  const struct kv_lint_options *o)
{
	struct kv_job all = { .arena = l->arena, .lints = l, .dialect = d, .root = root };
	kv_parts parts = { 0 };

	if (!l->dialect)
		l->dialect = d;
	kv_lint_keys(&all);
	kv_lint_secrets(&all, root);
	if (d->has_pods) {
		kv_yaml_follow(l->arena, root, MOST_NODES);
		kv_lint_parts(l->arena, root, &parts);
	}
	for (size_t i = 0; i < parts.n; i++) {
		struct kv_job j = all;

		j.part = &parts.v[i];
		lint_part(&j, o);
	}
	if (!parts.n)
		lint_part(&all, o);
}

/* What stands around several containers is told once. */
static void drop_same(struct kv_lints *l)
{
	size_t n = 0;

	for (size_t i = 0; i < l->list.n; i++)
		if (!n || by_place(&l->list.v[n - 1], &l->list.v[i]) != 0)
			l->list.v[n++] = l->list.v[i];
	l->list.n = n;
}

static int lint_yaml(struct kv_lints *l, const struct kv_lint_options *o, struct kv_err *err)
{
	kv_yamls docs = { 0 };
	int r = kv_yaml_parse(l->arena, l->path, l->text, &docs, err);

	for (size_t i = 0; r == 0 && i < docs.n; i++) {
		const struct kv_dialect *d = dialect_of(docs.v[i]);

		if (d)
			lint_document(l, d, docs.v[i], o);
	}
	return r;
}

int kv_recipe_lint_text(struct kv_arena *a, const char *path, struct kv_span text,
			const struct kv_lint_options *o, struct kv_lints *ret, struct kv_err *err)
{
	int r = 0;

	*ret = (struct kv_lints){ .arena = a, .path = path, .text = text };
	for (size_t i = 0; i < KV_ARRAY_SIZE(dialects) && !ret->dialect; i++)
		if (dialects[i]->is_text && dialects[i]->is_text(text))
			lint_document(ret, dialects[i], dialects[i]->read(a, text), o);
	if (!ret->dialect)
		r = lint_yaml(ret, o, err);
	if (r < 0)
		return r;
	if (!ret->dialect)
		return kv_err(err, -ENOTSUP,
			      "%s: cannot tell which launcher this is for: known are recipes of "
			      "dynamo.tools and srtctl, srtslurm.yaml, Kubernetes objects, sbatch "
			      "scripts",
			      path);
	if (ret->list.n)
		qsort(ret->list.v, ret->list.n, sizeof(*ret->list.v), by_place);
	drop_same(ret);
	return 0;
}

int kv_recipe_lint(struct kv_arena *a, const char *path, const struct kv_lint_options *o,
		   struct kv_lints *ret, struct kv_err *err)
{
	struct kv_span text;
	int r = kv_read_file(a, path, MAX_RECIPE, &text, err);

	return r < 0 ? r : kv_recipe_lint_text(a, path, text, o, ret, err);
}
