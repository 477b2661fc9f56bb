/*
 * A recipe of any bytes, linted and mended: the bytes between the edits are as they were, the
 * mended text is a recipe of the same tree but for what was mended, and has nothing left to mend.
 */
#include "launch/recipe.h"
#include "fuzz.h"

static const struct kv_lint_options closed = { .closed = true };

/* after is before with the edits in it, and nothing else. */
static void promise_same_bytes(struct kv_span before, struct kv_span after, const kv_edits *e)
{
	size_t b = 0, k = 0;

	for (size_t i = 0; i < e->n; i++) {
		size_t n = e->v[i].start - b, m = strlen(e->v[i].text);

		KV_PROMISE(e->v[i].start >= b && e->v[i].end >= e->v[i].start &&
			   e->v[i].end <= before.n);
		KV_PROMISE(after.n - k >= n + m && memcmp(before.p + b, after.p + k, n) == 0);
		KV_PROMISE(memcmp(after.p + k + n, e->v[i].text, m) == 0);
		b = e->v[i].end;
		k += n + m;
	}
	KV_PROMISE(after.n - k == before.n - b &&
		   memcmp(before.p + b, after.p + k, after.n - k) == 0);
}

/* An edit is of the value, or inside of it where that is a text for bash. */
static bool is_edited(const struct kv_yaml *y, const kv_edits *e)
{
	for (size_t i = 0; i < e->n; i++)
		if (e->v[i].start >= y->start && e->v[i].end <= y->end)
			return true;
	return false;
}

/* How many entries are new. */
static size_t promise_same_tree(const struct kv_yaml *x, const struct kv_yaml *y, const kv_edits *e)
{
	const struct kv_yaml *c = x->first, *d = y->first;
	size_t added = 0;

	KV_PROMISE(x->kind == y->kind && kv_streq(x->key, y->key));
	KV_PROMISE(kv_streq(x->text, y->text) || is_edited(x, e));
	for (; c; c = c->next, d = d->next) {
		KV_PROMISE(d);
		added += promise_same_tree(c, d, e);
	}
	if (d) {
		KV_PROMISE(!d->next && kv_streq(d->text, "LIBFABRIC"));
		added++;
	}
	return added;
}

static void promise_same_documents(struct kv_arena *a, struct kv_span before, struct kv_span after,
				   const kv_edits *e)
{
	kv_yamls x = { 0 }, y = { 0 };
	size_t added = 0;

	KV_PROMISE(kv_yaml_parse(a, "before", before, &x, NULL) == 0);
	KV_PROMISE(kv_yaml_parse(a, "after", after, &y, NULL) == 0);
	KV_PROMISE(x.n == y.n);
	for (size_t i = 0; i < x.n; i++)
		added += promise_same_tree(x.v[i], y.v[i], e);
	KV_PROMISE(added <= e->n);
}

static void print_diff(const struct kv_lints *l)
{
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);

	KV_PROMISE(out);
	kv_recipe_diff(out, l);
	fclose(out);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kv_arena *a = kv_arena_new();
	struct kv_span text = { data, size }, mended;
	struct kv_lints l, again;
	kv_edits edits, left;

	if (kv_recipe_lint_text(a, "recipe", text, &closed, &l, NULL) == 0) {
		for (size_t i = 0; i < l.list.n; i++)
			KV_PROMISE(l.list.v[i].line && l.list.v[i].column &&
				   kv_rule_page(l.list.v[i].id));
		kv_recipe_edits(&l, &edits);
		print_diff(&l);
		mended = kv_edits_apply(a, text, &edits);
		promise_same_bytes(text, mended, &edits);
		KV_PROMISE(kv_recipe_lint_text(a, "mended", mended, &closed, &again, NULL) == 0);
		kv_recipe_edits(&again, &left);
		KV_PROMISE(left.n == 0 && again.dialect == l.dialect);
		if (!l.dialect->is_text && edits.n)
			promise_same_documents(a, text, mended, &edits);
	}
	kv_arena_free(a);
	return 0;
}
