/*
 * The search for a name without '/': _dl_map_object() and open_path() of glibc's elf/dl-load.c.
 * RPATH of the loader and its ancestors, then of the executable (unless the loader has RUNPATH),
 * LD_LIBRARY_PATH, RUNPATH of the loader, cache, default directories.
 */
#include "loader/internal.h"

#define CACHE "/etc/ld.so.cache"

struct search {
	struct kv_process *p;
	const char *name;
	struct kv_found *ret;
};

static void note(struct search *s, const char *path, enum kv_rule rule, const char *why)
{
	kv_vec_push(s->p->arena, &s->ret->tried, ((struct kv_tried){ path, rule, why }));
}

/* One candidate. One that is skipped is noted as tried. */
static enum kv_open try_path(struct search *s, const char *path, enum kv_rule rule)
{
	enum kv_open r = kv_open_verify(s->p, path, &s->ret->opened);

	s->ret->rule = rule;
	s->ret->other_class |= s->ret->opened.other_class;
	if (r == KV_OPEN_SKIP)
		note(s, path, rule, s->ret->opened.why);
	return r;
}

static enum kv_dir_state state_of(struct search *s, const char *prefix)
{
	const char *guest = kv_guest(s->p->l, prefix);
	struct kv_stat st;
	/* Until 2.38 the slash of "/" was cut off, and there is no "". */
	bool is_nothing = kv_streq(prefix, "/") && kv_loader_ldso(s->p->l)->version < 39;
	int r = is_nothing ? -ENOENT : kv_root_stat(s->p->l->root, guest, 0, &st);

	if (r < 0)
		s->p->err = -r;
	return r == 0 && S_ISDIR(st.mode) ? KV_DIR_THERE : KV_DIR_MISSING;
}

/* One directory with its subdirectories for CPUs. *ret_there: whether one of them exists. */
static enum kv_open try_dir(struct search *s, struct kv_search_dir *d, enum kv_rule rule,
			    bool *ret_there)
{
	enum kv_open r = KV_OPEN_SKIP;

	*ret_there = false;
	for (size_t i = 0; i < d->subs.n && r == KV_OPEN_SKIP; i++) {
		const char *prefix = d->subs.v[i].prefix;

		if (d->subs.v[i].state == KV_DIR_MISSING)
			continue;
		r = try_path(s, kv_cat(s->p->arena, prefix, s->name), rule);
		if (d->subs.v[i].state == KV_DIR_UNKNOWN)
			d->subs.v[i].state = r == KV_OPEN_OK ? KV_DIR_THERE : state_of(s, prefix);
		*ret_there |= d->subs.v[i].state == KV_DIR_THERE;
	}
	return r;
}

static bool is_passed_over(struct search *s)
{
	return s->p->err == ENOENT || s->p->err == EACCES ||
	       /* Since 2.39 (a8dcffb306). */
	       (s->p->err == ENOTDIR && kv_loader_ldso(s->p->l)->version >= 39);
}

/* open_path(): SKIP at the list's end, or where an error with an existing directory ends it. */
static enum kv_open try_list(struct search *s, const struct kv_search_list *list, enum kv_rule rule)
{
	for (size_t i = 0; list && i < list->dirs.n; i++) {
		bool there;
		enum kv_open r = try_dir(s, list->dirs.v[i], rule, &there);

		if (r != KV_OPEN_SKIP)
			return r;
		if (there && !is_passed_over(s))
			return KV_OPEN_SKIP;
	}
	return KV_OPEN_SKIP;
}

static enum kv_open try_rpaths(struct search *s, struct kv_object *loader)
{
	struct kv_object *main = s->p->main;
	bool did_main = false;

	/* Even an empty DT_RUNPATH. */
	if (loader && loader->elf && loader->elf->runpath)
		return KV_OPEN_SKIP;
	for (struct kv_object *o = loader; o; o = (struct kv_object *)(uintptr_t)o->loader) {
		const struct kv_search_list *list = kv_object_rpath(s->p, o);
		enum kv_open r = try_list(s, list, KV_RULE_RPATH);

		if (r != KV_OPEN_SKIP)
			return r;
		did_main |= list && o == main;
	}
	if (did_main)
		return KV_OPEN_SKIP;
	return try_list(s, kv_object_rpath(s->p, main), KV_RULE_RPATH);
}

static enum kv_open try_cache(struct search *s, bool no_default)
{
	const kv_strv *dirs = &kv_loader_ldso(s->p->l)->dirs;
	const char *path;
	enum kv_open r = kv_cache_find(s->p->l, s->name, &path);

	if (!s->p->cache_asked && kv_cache_errno(s->p->l))
		s->p->err = kv_cache_errno(s->p->l);
	s->p->cache_asked = true;
	if (r == KV_OPEN_SKIP) {
		note(s, CACHE, KV_RULE_CACHE, "not listed");
		return r;
	}
	if (r != KV_OPEN_OK) {
		s->ret->opened = (struct kv_opened){ .path = CACHE, .why = "damaged" };
		return r;
	}
	for (size_t i = 0; no_default && i < dirs->n; i++)
		if (kv_starts(path, dirs->v[i])) {
			note(s, path, KV_RULE_CACHE, "DF_1_NODEFLIB forbids default directories");
			return KV_OPEN_SKIP;
		}
	return try_path(s, path, KV_RULE_CACHE);
}

/* Where a name is found nowhere, what the cache has to do with it: ld.so never reads ld.so.conf, so
 * a directory that was added there without ldconfig counts for nothing. */
static void explain_cache(struct search *s)
{
	struct kv_tried *t;

	kv_vec_each (t, &s->ret->tried) {
		bool listed = !kv_streq(t->path, CACHE);

		if (t->rule == KV_RULE_CACHE)
			t->why = kv_cache_note(s->p->l, s->name, listed ? t->path : NULL);
	}
}

enum kv_open kv_search(struct kv_process *p, const char *name, struct kv_object *loader,
		       struct kv_found *ret)
{
	struct search s = { p, name, ret };
	bool no_default = loader && loader->elf && (loader->elf->flags_1 & DF_1_NODEFLIB);
	enum kv_open r;

	kv_vec_push(p->arena, &p->sought, name);
	r = try_rpaths(&s, loader);
	if (r == KV_OPEN_SKIP)
		r = try_list(&s, p->library_path, KV_RULE_LD_LIBRARY_PATH);
	if (r == KV_OPEN_SKIP && loader)
		r = try_list(&s, kv_object_runpath(p, loader), KV_RULE_RUNPATH);
	if (r == KV_OPEN_SKIP)
		r = try_cache(&s, no_default);
	if (r == KV_OPEN_SKIP && !no_default)
		r = try_list(&s, kv_default_path(p), KV_RULE_DEFAULT);
	if (r == KV_OPEN_SKIP)
		explain_cache(&s);
	return r;
}

bool kv_loader_has_searched(const struct kv_loader *l, const char *dir)
{
	return kv_map_get(l->dirs, kv_strf(l->arena, "%s/", dir)) != NULL;
}

/*
 * Every name that was searched for up to the mark is absent from dir, so that each search would
 * have gone on as it did: ENOENT leads to the next directory in all releases.
 */
bool kv_process_library_path(struct kv_process *p, const struct kv_mark *mark, const char *text,
			     const kv_strv *names)
{
	for (size_t i = 0; i < mark->sought; i++)
		if (kv_strv_has(names, p->sought.v[i]))
			return false;
	p->library_path = kv_search_list(p, text, ":;", p->main->origin);
	return true;
}
