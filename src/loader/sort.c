/*
 * The order in which objects are relocated: dependencies before what needs them. Where several
 * objects miss a symbol, it decides which of them the error names. (glibc elf/dl-sort-maps.c)
 */
#include "loader/internal.h"

/* all: the object whose load it is, where its list of needs is that of all objects by then. */
static bool needs(const struct kv_object *o, const struct kv_object *dep,
		  const struct kv_object *all)
{
	if (o == all)
		return true;
	for (size_t i = 0; i < o->needs.n; i++)
		if (o->needs.v[i] == dep)
			return true;
	return false;
}

/*
 * Until 2.34, and with glibc.rtld.dynamic_sort=1: each object is moved behind the last one that
 * needs it, with a count of how often a place was looked at, which ends the turning of cycles.
 */
static void sort_by_moving(struct kv_arena *a, struct kv_object **maps, size_t n,
			   const struct kv_object *all)
{
	uint16_t *seen = kv_alloc_n(a, n + 1, sizeof(*seen));
	size_t i = 0, k;

	while (n > 1) {
		struct kv_object *this = maps[i];
		uint16_t count = ++seen[i];

		for (k = n - 1; k > i && !needs(maps[k], this, all); k--)
			;
		if (k > i) {
			memmove(&maps[i], &maps[i + 1], (k - i) * sizeof(*maps));
			maps[k] = this;
			if (seen[i + 1] <= n - i) {
				memmove(&seen[i], &seen[i + 1], (k - i) * sizeof(*seen));
				seen[k] = count;
				continue;
			}
		}
		if (++i == n)
			return;
		memset(&seen[i], 0, (n - i) * sizeof(*seen));
	}
}

struct dfs {
	struct kv_object **head;    /* the sequence is filled from its end */
	const struct kv_object *of; /* whose list of needs is not known yet */
};

static void visit(struct dfs *d, struct kv_object *o)
{
	if (o->visited)
		return;
	o->visited = true;
	for (size_t i = 0; o != d->of && i < o->needs.n; i++)
		if (!o->needs.v[i]->is_main)
			visit(d, o->needs.v[i]);
	*--d->head = o;
}

/* Since 2.35 (15a0c5730d): depth first from the last to the first. Since 2.36 (dbb75513f5) the
 * first is put back at the front. */
static void sort_depth_first(struct kv_arena *a, struct kv_object **maps, size_t n, bool keep_first)
{
	struct kv_object **rpo = kv_alloc_n(a, n, sizeof(*rpo)), *first = maps[0];
	struct dfs d = { rpo + n, first->relocated ? NULL : first };
	size_t at = 0;

	for (size_t i = n; i-- > 0;)
		visit(&d, maps[i]);
	memcpy(maps, rpo, n * sizeof(*maps));
	while (maps[at] != first)
		at++;
	if (keep_first && at) {
		memmove(&maps[1], maps, at * sizeof(*maps));
		maps[0] = first;
	}
}

void kv_sort(struct kv_process *p, const kv_objects *list, struct kv_object *first, kv_objects *ret)
{
	unsigned version = kv_loader_ldso(p->l)->version;
	const char *soname;
	bool keep_first, is_old;

	*ret = (kv_objects){ 0 };
	if (!list->n)
		return;
	/* What is not in the list counts as visited: the start-up sorted it. */
	for (size_t i = 0; i < p->loaded.n; i++)
		p->loaded.v[i]->visited = true;
	/* Its filtees come before it in the list, but not here. */
	kv_vec_push(p->arena, ret, first);
	first->visited = false;
	for (size_t i = 0; i < list->n; i++) {
		list->v[i]->visited = false;
		if (list->v[i] != first)
			kv_vec_push(p->arena, ret, list->v[i]);
	}
	soname = ret->v[0]->elf ? ret->v[0]->elf->soname : NULL;
	is_old = kv_tunable(p, "glibc.rtld.dynamic_sort", 1, 2, 2) == 1;
	/* In 2.35 the old way alone. Later unless it is libc. */
	keep_first = version == 35 ? is_old : !soname || !kv_streq(soname, "libc.so.6");
	if (version < 35)
		sort_by_moving(p->arena, ret->v, ret->n, first);
	else if (is_old)
		sort_by_moving(p->arena, ret->v + keep_first, ret->n - keep_first,
			       first->relocated ? first : NULL);
	else
		sort_depth_first(p->arena, ret->v, ret->n, keep_first);
}
