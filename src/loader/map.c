/*
 * What a process maps: _dl_map_object() of glibc's elf/dl-load.c and _dl_map_object_deps() of
 * elf/dl-deps.c.
 */
#include "loader/internal.h"

/* More objects than this in one process is not a process but an attack on us. */
#define MAX_OBJECTS 10000
/* How often filtees may be put before their filters in one load. */
#define MAX_MOVES 10000

/* ---- one object ---- */

static bool is_assumed(const struct kv_process *p, const char *name)
{
	for (size_t i = 0; p->assumed && p->assumed[i]; i++)
		if (kv_streq(p->assumed[i], name))
			return true;
	return false;
}

/* The few that ld.so knows by itself (elf/dl-minimal.c __strerror_r). */
static bool is_known_at_start(int err)
{
	return err == ENOMEM || err == EINVAL || err == ENOENT || err == EPERM || err == EIO ||
	       err == EACCES;
}

const char *kv_errno_text(const struct kv_process *p)
{
	if (!p->err)
		return "";
	if (p->starting && !is_known_at_start(p->err))
		return kv_strf(p->arena, ": Error %d", p->err);
	return kv_strf(p->arena, ": %s", strerror(p->err));
}

static struct kv_object *not_found(struct kv_process *p, const char *name,
				   const struct kv_found *found, struct kv_load *ret)
{
	ret->missing = kv_strdup(p->arena, name);
	ret->tried = found->tried;
	if (found->other_class)
		return kv_load_fail(p, ret, KV_LOADS_NO, name, kv_wrong_class(p->l));
	return kv_load_fail(
		p, ret, KV_LOADS_NO, name,
		kv_strf(p->arena, "cannot open shared object file%s", kv_errno_text(p)));
}

static struct kv_object *assume(struct kv_process *p, const char *name, const kv_trieds *tried)
{
	struct kv_object *o = kv_new_object(p, name, name, NULL);

	o->rule = KV_RULE_ASSUMED;
	o->assumed = o->needs_mapped = o->relocated = true;
	o->tried = *tried;
	return o;
}

/* The file was opened: the part of _dl_map_object_from_fd() that looks at identity and kind. */
static struct kv_object *map_opened(struct kv_process *p, const char *name, struct kv_found *found,
				    enum kv_mapping kind, struct kv_load *ret)
{
	const struct kv_elf *elf = found->opened.elf;
	struct kv_object *o;
	enum kv_open r;
	const char *why;

	for (size_t i = 0; i < p->loaded.n; i++) {
		o = p->loaded.v[i];
		/* Each inode is read once, so that an elf stands for one. */
		if (o->elf == elf && !o->has_no_id) {
			kv_object_add_name(p, o, name);
			return o;
		}
	}
	r = kv_check_mapping(p, elf, kind, &why);
	if (r != KV_OPEN_OK)
		return kv_load_fail(p, ret,
				    r == KV_OPEN_ABORT     ? KV_LOADS_ABORT
				    : r == KV_OPEN_UNKNOWN ? KV_LOADS_UNKNOWN
							   : KV_LOADS_NO,
				    name, why);
	o = kv_new_object(p, found->opened.path, name, elf);
	o->rule = found->rule;
	o->tried = found->tried;
	return o;
}

static enum kv_open find_file(struct kv_process *p, const char *name, struct kv_object *requester,
			      struct kv_found *ret)
{
	const char *path;
	enum kv_open r;

	if (!strchr(name, '/'))
		return kv_search(p, name, requester, ret);
	path = kv_expand(p, name, requester ? requester->origin : NULL);
	ret->rule = KV_RULE_MAIN;
	r = kv_open_verify(p, path ? path : name, &ret->opened);
	ret->other_class = ret->opened.other_class;
	return r;
}

struct kv_object *kv_map_object(struct kv_process *p, const char *name, struct kv_object *requester,
				enum kv_mapping kind, bool by_dlopen, struct kv_load *ret)
{
	struct kv_object *o = kv_process_find(p, name);
	struct kv_found found = { 0 };
	size_t before = p->loaded.n;

	if (o)
		return o;
	if (p->loaded.n >= MAX_OBJECTS)
		return kv_load_fail(p, ret, KV_LOADS_UNKNOWN, name,
				    "more objects than kvpath follows");
	switch (find_file(p, name, requester, &found)) {
	case KV_OPEN_SKIP:
		if (!is_assumed(p, name))
			return not_found(p, name, &found, ret);
		o = assume(p, name, &found.tried);
		break;
	case KV_OPEN_FATAL:
		return kv_load_fail(p, ret, KV_LOADS_NO, found.opened.path, found.opened.why);
	case KV_OPEN_ABORT:
		return kv_load_fail(p, ret, KV_LOADS_ABORT, found.opened.path, found.opened.why);
	case KV_OPEN_UNKNOWN:
		return kv_load_fail(p, ret, KV_LOADS_UNKNOWN, found.opened.path, found.opened.why);
	case KV_OPEN_OK:
		o = map_opened(p, name, &found, kind, ret);
		break;
	}
	if (o && p->loaded.n > before) {
		o->requested_by = requester;
		o->loader = by_dlopen ? NULL
				      : requester; /* __RTLD_CALLMAP: a dlopened object has none */
	}
	return o;
}

/* ---- what it needs ---- */

static void insert(struct kv_process *p, kv_objects *list, size_t at, struct kv_object *o)
{
	kv_vec_push(p->arena, list, NULL);
	memmove(&list->v[at + 1], &list->v[at], (list->n - 1 - at) * sizeof(o));
	list->v[at] = o;
}

static size_t position(const kv_objects *list, const struct kv_object *o)
{
	size_t i = 0;

	while (i < list->n && list->v[i] != o)
		i++;
	return i;
}

static bool filtee_first(struct kv_load *ret)
{
	ret->loads = KV_LOADS_ABORT;
	ret->error = "Inconsistency detected by ld.so: dl-deps.c: _dl_map_object_deps: "
		     "Assertion `map->l_searchlist.r_list[0] == map' failed!";
	return false;
}

static bool moves_forever(const struct kv_object *o, struct kv_load *ret)
{
	ret->loads = KV_LOADS_ABORT;
	ret->requirer = o;
	ret->error =
		"_dl_map_object_deps: filters of each other, which ld.so puts before each other "
		"until its stack ends: SIGSEGV";
	return false;
}

static bool is_filter(const struct kv_object *o)
{
	for (size_t i = 0; o->elf && i < o->elf->deps.n; i++)
		if (o->elf->deps.v[i].tag != DT_NEEDED)
			return true;
	return false;
}

/* The same for an object that was loaded along before: its filtees are looked for again. */
static bool has_filtee(struct kv_process *p, const struct kv_object *o)
{
	for (size_t i = 0; o->elf && i < o->elf->deps.n; i++)
		if (o->elf->deps.v[i].tag != DT_NEEDED) {
			const struct kv_object *f = kv_process_find(p, o->elf->deps.v[i].name);

			if (f && f != o)
				return kv_loader_ldso(p->l)->version < 35;
		}
	return false;
}

/*
 * DT_AUXILIARY, DT_FILTER: the filtee comes before the object at *at, in the search list and in the
 * link map, unless it stands earlier already. False where it cannot be had.
 */
static bool map_filtee(struct kv_process *p, enum kv_mapping kind, const struct kv_elf_dep *dep,
		       const char *name, size_t *at, size_t *ret_first, struct kv_load *ret)
{
	struct kv_object *by = ret->list.v[*at], *o;
	struct kv_load failed = { 0 };
	size_t now;

	o = kv_map_object(p, name, by, kind, false, &failed);
	if (!o && dep->tag == DT_AUXILIARY && failed.loads != KV_LOADS_ABORT)
		return true;
	if (!o) {
		ret->loads = failed.loads;
		ret->error = failed.error;
		ret->missing = failed.missing;
		ret->tried = failed.tried;
		return false;
	}
	if (!by->needs_mapped)
		kv_vec_push(p->arena, &by->needs, o);
	now = position(&ret->list, o);
	if (now <= *at)
		return true;
	/* The object itself has to be the first of its list, an assertion said until 2.34. */
	if (!*at && kv_loader_ldso(p->l)->version < 35)
		return filtee_first(ret);
	if (now < ret->list.n) {
		memmove(&ret->list.v[now], &ret->list.v[now + 1],
			(ret->list.n - 1 - now) * sizeof(o));
		ret->list.n--;
		o->again = o->needs_mapped;
	}
	if (*ret_first > *at)
		*ret_first = *at;
	insert(p, &ret->list, (*at)++, o);
	o->in_list = true;
	kv_process_move(p, o, by->index - (o->index < by->index));
	return true;
}

/* Maps what the object at `at` needs. *ret_next: where to go on, as filtees come before it. */
static bool map_needs(struct kv_process *p, enum kv_mapping kind, size_t at, size_t *ret_next,
		      struct kv_load *ret)
{
	struct kv_object *o = ret->list.v[at];

	o->again = false;
	*ret_next = SIZE_MAX;
	for (size_t i = 0; o->elf && i < o->elf->deps.n; i++) {
		const struct kv_elf_dep *dep = &o->elf->deps.v[i];
		const char *name = kv_expand(p, dep->name, o->origin);
		struct kv_object *need;

		ret->requirer = o;
		if (!name || (!*name && *dep->name)) {
			kv_load_fail(p, ret, KV_LOADS_NO, o->name,
				     "empty dynamic string token substitution");
			return false;
		}
		if (dep->tag != DT_NEEDED) {
			if (!map_filtee(p, kind, dep, name, &at, ret_next, ret))
				return false;
			continue;
		}
		need = kv_map_object(p, name, o, kind, false, ret);
		if (!need)
			return false;
		if (!o->needs_mapped)
			kv_vec_push(p->arena, &o->needs, need);
		if (!need->in_list)
			kv_vec_push(p->arena, &ret->list, need);
		need->in_list = true;
	}
	ret->requirer = NULL;
	o->needs_mapped = true;
	if (*ret_next == SIZE_MAX)
		*ret_next = at + 1;
	return true;
}

bool kv_map_deps(struct kv_process *p, enum kv_mapping kind, struct kv_load *ret)
{
	bool good = true;
	size_t next, moves = 0;

	p->err = 0;
	for (size_t i = 0; i < ret->list.n; i++)
		ret->list.v[i]->in_list = true;
	for (size_t i = 0; good && i < ret->list.n; i = next) {
		struct kv_object *o = ret->list.v[i];
		bool known = o->needs_mapped && !o->again;

		next = i + 1;
		if (i == 0 && known && kind == KV_MAP_DLOPEN && has_filtee(p, o)) {
			good = filtee_first(ret);
			continue;
		}
		/* What could not be had before may be there now. */
		if (!known || (i && is_filter(o))) {
			/* Filters of each other move each other forever. */
			good = moves < MAX_MOVES ? map_needs(p, kind, i, &next, ret)
						 : moves_forever(o, ret);
			moves += next <= i;
			continue;
		}
		for (size_t j = 0; j < o->needs.n; j++)
			if (!o->needs.v[j]->in_list) {
				o->needs.v[j]->in_list = true;
				kv_vec_push(p->arena, &ret->list, o->needs.v[j]);
			}
	}
	for (size_t i = 0; i < ret->list.n; i++)
		ret->list.v[i]->in_list = false;
	return good;
}
