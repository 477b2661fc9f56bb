/*
 * A process's link map: _dl_map_object() and _dl_map_object_deps() of glibc's elf/, start-up
 * (elf/rtld.c dl_main) and dlopen (elf/dl-open.c dl_open_worker_begin).
 */
#include "loader/internal.h"

/* More objects than this in one process is not a process but an attack on us. */
#define MAX_OBJECTS 10000

bool kv_object_has_name(const struct kv_object *o, const char *name)
{
	return kv_streq(o->name, name) || kv_strv_has(&o->names, name);
}

/* The object that a name leads to, unless it was unmapped since. */
static struct kv_object *known_by(struct kv_process *p, const char *name)
{
	struct kv_object *o = kv_map_get(p->by_name, name);

	return o && o->index < p->loaded.n && p->loaded.v[o->index] == o ? o : NULL;
}

/* A name leads to the first object that bears it. */
static void register_name(struct kv_process *p, struct kv_object *o, const char *name)
{
	if (!known_by(p, name))
		*kv_map_slot(p->by_name, name) = o;
}

static void add_name(struct kv_process *p, struct kv_object *o, const char *name)
{
	if (kv_strv_has(&o->names, name))
		return;
	kv_vec_push(p->arena, &o->names, kv_strdup(p->arena, name));
	kv_vec_push(p->arena, &p->named, o);
	register_name(p, o, name);
}

struct kv_mark kv_process_mark(const struct kv_process *p)
{
	return (struct kv_mark){ p->loaded.n, p->named.n };
}

void kv_process_rewind(struct kv_process *p, struct kv_mark mark)
{
	while (p->named.n > mark.named) {
		struct kv_object *o = p->named.v[--p->named.n];

		if (o->elf && o->elf->soname &&
		    kv_streq(o->names.v[o->names.n - 1], o->elf->soname))
			o->soname_added = false;
		o->names.n--;
	}
	p->loaded.n = mark.loaded;
}

struct kv_object *kv_process_object(const struct kv_process *p, size_t i)
{
	return i < p->loaded.n ? p->loaded.v[i] : NULL;
}

struct kv_object *kv_process_find(struct kv_process *p, const char *name)
{
	struct kv_object *o = known_by(p, name);

	if (!o || kv_object_has_name(o, name))
		return o;
	if (o->soname_added || !o->elf || !o->elf->soname || !kv_streq(o->elf->soname, name))
		return NULL;
	add_name(p, o, name);
	o->soname_added = true;
	return o;
}

const struct kv_object *kv_process_named(struct kv_process *p, const char *name)
{
	const struct kv_object *o = known_by(p, name);

	return o && kv_object_has_name(o, name) ? o : NULL;
}

static struct kv_object *new_object(struct kv_process *p, const char *path, const char *name,
				    const struct kv_elf *elf)
{
	struct kv_object *o = kv_new(p->arena, struct kv_object);

	o->name = path;
	o->origin = kv_dirname(p->arena, path);
	o->request = name;
	o->index = p->loaded.n;
	o->elf = elf;
	kv_vec_push(p->arena, &o->names, kv_strdup(p->arena, name));
	kv_vec_push(p->arena, &p->loaded, o);
	register_name(p, o, name);
	register_name(p, o, path);
	if (elf && elf->soname)
		register_name(p, o, elf->soname);
	return o;
}

/* Fails the load: `obj: text`, as dlerror() gives it. */
static struct kv_object *fail(struct kv_process *p, struct kv_load *ret, enum kv_loads loads,
			      const char *obj, const char *text)
{
	ret->loads = loads;
	ret->error = kv_strf(p->arena, "%s: %s", obj, text);
	return NULL;
}

static bool is_assumed(const struct kv_process *p, const char *name)
{
	for (size_t i = 0; p->assumed && p->assumed[i]; i++)
		if (kv_streq(p->assumed[i], name))
			return true;
	return false;
}

static struct kv_object *not_found(struct kv_process *p, const char *name, int error,
				   const struct kv_found *found, struct kv_load *ret)
{
	ret->missing = kv_strdup(p->arena, name);
	ret->tried = found->tried;
	if (found->other_class)
		return fail(p, ret, KV_LOADS_NO, name,
			    p->l->is64 ? "wrong ELF class: ELFCLASS32"
				       : "wrong ELF class: ELFCLASS64");
	return fail(p, ret, KV_LOADS_NO, name,
		    kv_strf(p->arena, "cannot open shared object file: %s", strerror(error)));
}

/* The file was opened: the part of _dl_map_object_from_fd that looks at identity and kind. */
static struct kv_object *map_opened(struct kv_process *p, const char *name, struct kv_found *found,
				    bool by_dlopen, struct kv_load *ret)
{
	const struct kv_elf *elf = found->opened.elf;
	struct kv_object *o;

	for (size_t i = 0; i < p->loaded.n; i++) {
		o = p->loaded.v[i];
		if (o->elf && o->elf->st.dev == elf->st.dev && o->elf->st.ino == elf->st.ino) {
			add_name(p, o, name);
			return o;
		}
	}
	if (elf->type != ET_DYN)
		return fail(p, ret, KV_LOADS_NO, found->opened.path,
			    "cannot dynamically load executable");
	if (elf->flags_1 & DF_1_PIE)
		return fail(p, ret, KV_LOADS_NO, found->opened.path,
			    "cannot dynamically load position-independent executable");
	if (by_dlopen && (elf->flags_1 & DF_1_NOOPEN))
		return fail(p, ret, KV_LOADS_NO, found->opened.path,
			    "shared object cannot be dlopen()ed");
	o = new_object(p, found->opened.path, name, elf);
	o->rule = found->rule;
	o->tried = found->tried;
	return o;
}

/* _dl_map_object(): NULL with ret filled where it fails. by_dlopen: name was given to dlopen. */
static struct kv_object *map_object(struct kv_process *p, const char *name,
				    struct kv_object *requester, bool by_dlopen,
				    struct kv_load *ret)
{
	struct kv_object *o = kv_process_find(p, name);
	struct kv_found found = { 0 };
	enum kv_open r;
	size_t before = p->loaded.n;

	if (o)
		return o;
	if (p->loaded.n >= MAX_OBJECTS)
		return fail(p, ret, KV_LOADS_UNKNOWN, name, "more objects than kvpath follows");
	if (strchr(name, '/')) {
		const char *path = kv_expand(p, name, requester ? requester->origin : NULL);

		found.rule = KV_RULE_MAIN;
		r = kv_open_verify(p->l, path ? path : name, &found.opened);
		found.other_class = found.opened.other_class;
		if (r == KV_OPEN_SKIP || r == KV_OPEN_STOP_LIST)
			return not_found(p, name, found.opened.error ? -found.opened.error : ENOENT,
					 &found, ret);
	} else {
		r = kv_search(p, name, requester, &found);
		if (r == KV_OPEN_SKIP && is_assumed(p, name)) {
			o = new_object(p, name, name, NULL);
			o->rule = KV_RULE_ASSUMED;
			o->assumed = o->needs_mapped = o->relocated = true;
			o->tried = found.tried;
			o->requested_by = requester;
			return o;
		}
		if (r == KV_OPEN_SKIP)
			return not_found(p, name, ENOENT, &found, ret);
	}
	if (r == KV_OPEN_FATAL || r == KV_OPEN_ABORT)
		return fail(p, ret, r == KV_OPEN_ABORT ? KV_LOADS_ABORT : KV_LOADS_NO,
			    found.opened.path, found.opened.why);
	o = map_opened(p, name, &found, by_dlopen, ret);
	if (o && p->loaded.n > before) {
		o->requested_by = requester;
		o->loader = by_dlopen ? NULL
				      : requester; /* __RTLD_CALLMAP: a dlopened object has none */
	}
	return o;
}

static bool in_list(const kv_objects *list, const struct kv_object *o)
{
	for (size_t i = 0; i < list->n; i++)
		if (list->v[i] == o)
			return true;
	return false;
}

/* Maps what the listed objects need, breadth first, appending it: _dl_map_object_deps(). */
static bool map_deps(struct kv_process *p, kv_objects *list, struct kv_load *ret)
{
	for (size_t i = 0; i < list->n; i++) {
		struct kv_object *o = list->v[i];

		for (size_t j = 0; !o->needs_mapped && o->elf && j < o->elf->needed.n; j++) {
			const char *name = o->elf->needed.v[j];
			struct kv_object *dep = map_object(p, name, o, false, ret);

			if (!dep) {
				ret->requirer = o;
				return false;
			}
			kv_vec_push(p->arena, &o->needs, dep);
		}
		o->needs_mapped = true;
		for (size_t j = 0; j < o->needs.n; j++)
			if (!in_list(list, o->needs.v[j]))
				kv_vec_push(p->arena, list, o->needs.v[j]);
	}
	return true;
}

void kv_process_dlopen(struct kv_process *p, const char *name, const struct kv_object *caller,
		       unsigned flags, struct kv_load *ret)
{
	struct kv_mark mark = kv_process_mark(p);
	struct kv_object *from = (struct kv_object *)(uintptr_t)(caller ? caller : p->main);

	*ret = (struct kv_load){ 0 };
	ret->object = map_object(p, name, from, true, ret);
	if (ret->object) {
		kv_vec_push(p->arena, &ret->list, ret->object);
		if (!map_deps(p, &ret->list, ret))
			ret->object = NULL;
	}
	for (size_t i = mark.loaded; i < p->loaded.n; i++)
		kv_vec_push(p->arena, &ret->fresh, p->loaded.v[i]);
	if (ret->object && (!kv_check_versions(p, &ret->list, false, ret) ||
			    !kv_check_symbols(p, flags & KV_DLOPEN_BY_HASH, ret)))
		ret->object = NULL;
	if (!ret->object) {
		kv_process_rewind(p, mark);
		return;
	}
	for (size_t i = 0; i < ret->list.n; i++) {
		ret->list.v[i]->relocated = true;
		if (flags & KV_DLOPEN_GLOBAL)
			ret->list.v[i]->global = true;
	}
}

/* ---- start-up ---- */

static void split_into(struct kv_process *p, const char *text, const char *separators, kv_strv *ret)
{
	while (text && *text) {
		size_t n = strcspn(text, separators);

		if (n)
			kv_vec_push(p->arena, ret, kv_strndup(p->arena, text, n));
		text += n + (text[n] != 0);
	}
}

/* The interpreter is in the link map before anything else is searched for. */
static void map_interpreter(struct kv_process *p)
{
	const char *path = p->main->elf && p->main->elf->interp ? p->main->elf->interp
								: kv_loader_ldso(p->l)->path;
	const struct kv_elf *elf = path ? kv_loader_elf(p->l, path, NULL) : NULL;
	struct kv_object *o;

	if (!elf)
		return;
	o = new_object(p, path, path, elf);
	o->rule = KV_RULE_MAIN;
	o->needs_mapped = o->relocated = true;
}

static bool map_main(struct kv_process *p, const char *exe, struct kv_load *ret)
{
	struct kv_opened opened = { 0 };
	const char *real;
	struct kv_object *o;

	if (!exe) {
		o = p->main = new_object(p, "", "", NULL);
		o->is_main = o->global = o->relocated = true;
		return true;
	}
	if (kv_root_real(p->l->root, exe, 0, &real) < 0 ||
	    kv_open_verify(p->l, real, &opened) != KV_OPEN_OK) {
		fail(p, ret, KV_LOADS_UNKNOWN, exe,
		     opened.why ? opened.why : "cannot be opened as this target's executable");
		return false;
	}
	o = p->main = new_object(p, real, "", opened.elf);
	o->is_main = o->global = true;
	return true;
}

/* LD_PRELOAD: an object that cannot be loaded is passed over with a warning (elf/rtld.c
 * do_preload). */
static void map_preloads(struct kv_process *p, const struct kv_env *env, kv_objects *list)
{
	kv_strv names = { 0 };

	split_into(p, env ? kv_env_get(env, "LD_PRELOAD") : NULL, ": ", &names);
	for (size_t i = 0; i < names.n; i++) {
		struct kv_load ignored = { 0 };
		struct kv_object *o = map_object(p, names.v[i], p->main, false, &ignored);

		if (!o || in_list(list, o))
			continue;
		o->rule = KV_RULE_PRELOAD;
		kv_vec_push(p->arena, list, o);
	}
}

struct kv_process *kv_process_start(struct kv_loader *l, const struct kv_process_opts *opts,
				    struct kv_load *ret)
{
	struct kv_process *p = kv_new(l->arena, struct kv_process);
	const char *path = opts->env ? kv_env_get(opts->env, "LD_LIBRARY_PATH") : NULL;

	*ret = (struct kv_load){ 0 };
	p->l = l;
	p->arena = l->arena;
	p->assumed = opts->assumed;
	p->by_name = kv_map_new(p->arena);
	if (path && *path)
		kv_vec_push(p->arena, &p->library_path, kv_strdup(p->arena, path));
	if (!map_main(p, opts->exe, ret))
		return p;
	map_interpreter(p);
	kv_vec_push(p->arena, &ret->list, p->main);
	map_preloads(p, opts->env, &ret->list);
	if (!opts->exe) {
		struct kv_object *libc = map_object(p, "libc.so.6", p->main, false, ret);

		if (!libc)
			return p;
		kv_vec_push(p->arena, &p->main->needs, libc);
	}
	p->main->needs_mapped = !opts->exe;
	if (!map_deps(p, &ret->list, ret) || !kv_check_versions(p, &ret->list, true, ret)) {
		ret->error = kv_strf(p->arena, "%s: error while loading shared libraries: %s",
				     opts->exe ? opts->exe : "program", ret->error);
		return p;
	}
	for (size_t i = 0; i < ret->list.n; i++)
		ret->list.v[i]->relocated = ret->list.v[i]->global = true;
	ret->object = p->main;
	return p;
}
