/*
 * A process's link map: its objects in order, the names by which they are found, and going back to
 * what it was.
 */
#include "loader/internal.h"

/* ---- names ---- */

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

static void find_first(struct kv_process *p, const char *name)
{
	for (size_t i = 0; i < p->loaded.n; i++) {
		struct kv_object *o = p->loaded.v[i];

		if (kv_object_has_name(o, name) ||
		    (o->elf && o->elf->soname && kv_streq(o->elf->soname, name))) {
			*kv_map_slot(p->by_name, name) = o;
			return;
		}
	}
}

/* After its place in the link map has changed, its names may lead elsewhere. */
static void register_again(struct kv_process *p, const struct kv_object *o)
{
	find_first(p, o->name);
	for (size_t i = 0; i < o->names.n; i++)
		find_first(p, o->names.v[i]);
	if (o->elf && o->elf->soname)
		find_first(p, o->elf->soname);
}

void kv_object_add_name(struct kv_process *p, struct kv_object *o, const char *name)
{
	if (kv_strv_has(&o->names, name))
		return;
	kv_vec_push(p->arena, &o->names, kv_strdup(p->arena, name));
	kv_vec_push(p->arena, &p->named, o);
	register_name(p, o, name);
}

struct kv_object *kv_process_find(struct kv_process *p, const char *name)
{
	struct kv_object *o = known_by(p, name);

	if (!o || kv_object_has_name(o, name))
		return o;
	if (o->soname_added || !o->elf || !o->elf->soname || !kv_streq(o->elf->soname, name))
		return NULL;
	kv_object_add_name(p, o, name);
	o->soname_added = true;
	return o;
}

const struct kv_object *kv_process_named(struct kv_process *p, const char *name)
{
	const struct kv_object *o = known_by(p, name);

	return o && kv_object_has_name(o, name) ? o : NULL;
}

/* ---- the process as a whole ---- */

struct kv_mark kv_process_mark(const struct kv_process *p)
{
	struct kv_mark mark = { kv_alloc_n(p->arena, p->loaded.n, sizeof(*mark.order)),
				p->loaded.n,
				p->named.n,
				p->relocations.n,
				p->sought.n,
				p->library_path,
				p->tls,
				p->stack_flags };

	memcpy(mark.order, p->loaded.v, p->loaded.n * sizeof(*mark.order));
	return mark;
}

static void number(struct kv_process *p)
{
	for (size_t i = 0; i < p->loaded.n; i++)
		p->loaded.v[i]->index = i;
}

void kv_process_move(struct kv_process *p, struct kv_object *o, size_t to)
{
	struct kv_object **v = p->loaded.v;
	size_t from = o->index;

	if (from > to)
		memmove(&v[to + 1], &v[to], (from - to) * sizeof(o));
	else
		memmove(&v[from], &v[from + 1], (to - from) * sizeof(o));
	v[to] = o;
	number(p);
	register_again(p, o);
}

static void restore_order(struct kv_process *p, struct kv_object *const *order)
{
	size_t n = p->loaded.n, size = n * sizeof(*order);
	bool was_moved = memcmp(p->loaded.v, order, size) != 0;

	memcpy(p->loaded.v, order, size);
	number(p);
	for (size_t i = 0; was_moved && i < n; i++)
		register_again(p, order[i]);
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
	restore_order(p, mark.order);
	kv_forget_relocations(p, mark.relocations, mark.tls);
	p->stack_flags = mark.stack_flags;
	p->library_path = mark.library_path;
}

struct kv_object *kv_process_object(const struct kv_process *p, size_t i)
{
	return i < p->loaded.n ? p->loaded.v[i] : NULL;
}

struct kv_object *kv_load_fail(struct kv_process *p, struct kv_load *ret, enum kv_loads loads,
			       const char *obj, const char *text)
{
	ret->loads = loads;
	ret->error = kv_strf(p->arena, "%s: %s", obj, text);
	return NULL;
}

/* l_origin: of a path that is not absolute, as seen from the working directory; a program that is
 * not told lies in "/", wherever it starts. */
static const char *origin_of(struct kv_process *p, const char *path)
{
	if (!*path)
		return "/";
	return kv_dirname(p->arena, kv_guest(p->l, path));
}

struct kv_object *kv_new_object(struct kv_process *p, const char *path, const char *name,
				const struct kv_elf *elf)
{
	struct kv_object *o = kv_new(p->arena, struct kv_object);

	o->name = path;
	o->origin = origin_of(p, path);
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
