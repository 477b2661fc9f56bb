/* dlopen: dl_open_worker_begin() of glibc's elf/dl-open.c. */
#include "loader/internal.h"

static bool load(struct kv_process *p, struct kv_load *ret)
{
	kv_objects order;

	kv_vec_push(p->arena, &ret->list, ret->object);
	if (!kv_map_deps(p, KV_MAP_DLOPEN, ret))
		return false;
	if (!kv_check_versions(p, &ret->list, false, ret))
		return false;
	kv_sort(p, &ret->list, ret->object, &order);
	return kv_check_isa(p, &order, ret) && kv_check_relocation(p, &order, false, ret);
}

static bool reaches(struct kv_object *from, const struct kv_object *to)
{
	if (from == to)
		return true;
	if (from->visited)
		return false;
	from->visited = true;
	for (size_t i = 0; i < from->needs.n; i++)
		if (reaches(from->needs.v[i], to))
			return true;
	return false;
}

/*
 * Until 2.30 (BZ 20839): what a library that must not be unloaded (DF_1_NODELETE) needs could not
 * be unloaded after a failure either, and where that was the opened object itself, an assertion
 * said so.
 */
static bool is_stuck(const struct kv_process *p, const struct kv_load *l)
{
	if (kv_loader_ldso(p->l)->version >= 31 || !l->object)
		return false;
	for (size_t i = 0; i < l->fresh.n; i++) {
		struct kv_object *o = l->fresh.v[i];

		for (size_t j = 0; j < l->fresh.n; j++)
			l->fresh.v[j]->visited = false;
		if (o != l->object && o->elf && (o->elf->flags_1 & DF_1_NODELETE) &&
		    reaches(o, l->object))
			return true;
	}
	return false;
}

void kv_process_dlopen(struct kv_process *p, const char *name, const struct kv_object *caller,
		       unsigned flags, struct kv_load *ret)
{
	struct kv_mark mark = kv_process_mark(p);
	struct kv_object *from = (struct kv_object *)(uintptr_t)(caller ? caller : p->main);
	bool good;

	*ret = (struct kv_load){ 0 };
	if (p->second_rtld) {
		kv_load_fail(p, ret, KV_LOADS_ABORT, p->second_rtld->name,
			     "libc takes this second copy of ld.so for the loader, whose state "
			     "nobody has set up: SIGSEGV in dlopen()");
		return;
	}
	p->err = 0;
	ret->object = kv_map_object(p, name, from, KV_MAP_DLOPEN, true, ret);
	good = ret->object && load(p, ret);
	/* A filtee that was there before may stand behind them now. */
	for (size_t i = 0; i < mark.loaded; i++)
		mark.order[i]->in_list = true;
	for (size_t i = 0; i < p->loaded.n; i++)
		if (!p->loaded.v[i]->in_list)
			kv_vec_push(p->arena, &ret->fresh, p->loaded.v[i]);
	for (size_t i = 0; i < mark.loaded; i++)
		mark.order[i]->in_list = false;
	if (!good) {
		if (ret->missing_version && is_stuck(p, ret)) {
			ret->loads = KV_LOADS_ABORT;
			ret->error =
				"Inconsistency detected by ld.so: dl-open.c: _dl_open: Assertion "
				"`_dl_debug_initialize (0, args.nsid)->r_state == "
				"RT_CONSISTENT' failed!";
		}
		ret->object = NULL;
		kv_process_rewind(p, mark);
		return;
	}
	for (size_t i = 0; i < ret->list.n; i++) {
		ret->list.v[i]->relocated = true;
		if (flags & KV_DLOPEN_GLOBAL)
			ret->list.v[i]->global = true;
	}
}
