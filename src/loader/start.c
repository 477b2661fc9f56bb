/* A process's start-up: executable, interpreter, preloads (glibc elf/rtld.c dl_main()). */
#include "loader/internal.h"

#define MAX_PRELOAD ((size_t)1 << 20)

/* The interpreter is in the link map before anything else is searched for. */
static void map_interpreter(struct kv_process *p)
{
	const char *path = p->main->elf && p->main->elf->interp ? p->main->elf->interp
								: kv_loader_ldso(p->l)->path;
	const struct kv_elf *elf = path ? kv_loader_elf(p->l, path, NULL) : NULL;
	struct kv_object *o;

	if (!elf)
		return;
	o = p->interp = kv_new_object(p, path, path, elf);
	o->rule = KV_RULE_MAIN;
	o->needs_mapped = o->relocated = o->has_no_id = true;
}

static bool map_main(struct kv_process *p, const char *exe, struct kv_load *ret)
{
	struct kv_opened opened = { 0 };
	const char *real;
	struct kv_object *o;

	if (!exe) {
		o = p->main = kv_new_object(p, "", "", NULL);
		o->is_main = o->global = o->relocated = true;
		return true;
	}
	if (kv_root_real(p->l->root, exe, 0, &real) < 0 ||
	    kv_open_verify(p, real, &opened) != KV_OPEN_OK) {
		kv_load_fail(p, ret, KV_LOADS_UNKNOWN, exe,
			     opened.why ? opened.why
					: "cannot be opened as this target's executable");
		return false;
	}
	if (opened.elf->dynamic_lost) {
		kv_load_fail(p, ret, KV_LOADS_UNKNOWN, exe, KV_TEXT_DYNAMIC_LOST);
		return false;
	}
	if (kv_elf_is_debug_readonly(opened.elf)) {
		kv_load_fail(p, ret, KV_LOADS_ABORT, exe,
			     "its dynamic section lies in a page that cannot be written, and ld.so "
			     "writes there (DT_DEBUG): SIGSEGV");
		return false;
	}
	if (opened.elf->empty_dynamic && !opened.elf->has_dynamic) {
		kv_load_fail(p, ret, KV_LOADS_NO, exe,
			     kv_strf(p->arena,
				     "error while loading shared libraries: %s: object file has no "
				     "dynamic section",
				     exe));
		return false;
	}
	o = p->main = kv_new_object(p, real, "", opened.elf);
	o->is_main = o->global = o->has_no_id = true;
	if (opened.elf->has_stack)
		p->stack_flags = opened.elf->stack_flags & PF_X;
	if (p->stack_flags && kv_stack_mode(p) == KV_STACK_REFUSED) {
		kv_load_fail(p, ret, KV_LOADS_NO, exe,
			     "Fatal glibc error: executable stack is not allowed");
		return false;
	}
	return true;
}

/*
 * handle_preload_list(), do_preload(): an object that cannot be loaded is passed over with a
 * warning. False where trying kills the process, or kvpath cannot tell.
 */
static bool map_preload(struct kv_process *p, const char *name, struct kv_load *ret)
{
	struct kv_load failed = { 0 };
	struct kv_object *o = kv_map_object(p, name, p->main, KV_MAP_LIBRARY, false, &failed);

	if (!o && (failed.loads == KV_LOADS_ABORT || failed.loads == KV_LOADS_UNKNOWN)) {
		*ret = failed;
		return false;
	}
	if (!o || o->in_list || o->is_main || o == p->interp)
		return true;
	o->rule = KV_RULE_PRELOAD;
	o->in_list = true;
	kv_vec_push(p->arena, &ret->list, o);
	return true;
}

static bool map_preload_list(struct kv_process *p, const char *text, const char *separators,
			     struct kv_load *ret)
{
	while (text && *text) {
		size_t n = strcspn(text, separators);

		if (n && !map_preload(p, kv_strndup(p->arena, text, n), ret))
			return false;
		text += n + (text[n] != 0);
	}
	return true;
}

/* LD_PRELOAD, then /etc/ld.so.preload, whose comments begin with '#'. */
static bool map_preloads(struct kv_process *p, const struct kv_env *env, struct kv_load *ret)
{
	struct kv_span s;
	char *text;

	if (env && !map_preload_list(p, kv_env_get(env, "LD_PRELOAD"), ": ", ret))
		return false;
	if (kv_root_slurp(p->l->root, "/etc/ld.so.preload", MAX_PRELOAD, &s) < 0)
		return true;
	text = kv_strndup(p->arena, (const char *)s.p, s.n);
	for (char *hash = text; (hash = strchr(hash, '#'));)
		while (*hash && *hash != '\n')
			*hash++ = ' ';
	return map_preload_list(p, text, ": \t\n", ret);
}

/* The interpreter takes its place in the link map behind the one before it in the search list. */
static void place_interpreter(struct kv_process *p, const kv_objects *list)
{
	size_t at = 0, to;

	if (!p->interp)
		return;
	while (at < list->n && list->v[at] != p->interp)
		at++;
	/* Nothing needs it: it leaves the link map. kvpath keeps it, at the end. */
	to = at && at < list->n ? list->v[at - 1]->index : p->loaded.n - 1;
	if (to > p->interp->index)
		kv_process_move(p, p->interp, to);
}

static bool check(struct kv_process *p, const struct kv_env *env, struct kv_load *ret)
{
	const char *now = env ? kv_env_get(env, "LD_BIND_NOW") : NULL;
	kv_objects order;

	if (!kv_check_versions(p, &p->loaded, true, ret))
		return false;
	/* Until 2.30 (BZ 24930) a preload that was refused left the count of TLS blocks wrong. */
	if (p->tls_lost && kv_loader_ldso(p->l)->version < 31) {
		ret->loads = KV_LOADS_ABORT;
		ret->error = "Inconsistency detected by ld.so: rtld.c: init_tls: Assertion "
			     "`i == GL(dl_tls_max_dtv_idx)' failed!";
		return false;
	}
	kv_sort(p, &ret->list, p->main, &order);
	kv_tls_start(p);
	return kv_check_isa(p, &order, ret) && kv_check_relocation(p, &order, !now || !*now, ret) &&
	       kv_check_rtld(p, ret);
}

static bool map_all(struct kv_process *p, const struct kv_process_opts *opts, struct kv_load *ret)
{
	map_interpreter(p);
	kv_vec_push(p->arena, &ret->list, p->main);
	if (!map_preloads(p, opts->env, ret))
		return false;
	if (!opts->exe) {
		struct kv_object *libc =
			kv_map_object(p, "libc.so.6", p->main, KV_MAP_LIBRARY, false, ret);

		if (!libc)
			return false;
		kv_vec_push(p->arena, &p->main->needs, libc);
		p->main->needs_mapped = true;
	}
	if (!kv_map_deps(p, KV_MAP_LIBRARY, ret))
		return false;
	place_interpreter(p, &ret->list);
	return true;
}

struct kv_process *kv_process_start(struct kv_loader *l, const struct kv_process_opts *opts,
				    struct kv_load *ret)
{
	struct kv_process *p = kv_new(l->arena, struct kv_process);
	const char *path = opts->env ? kv_env_get(opts->env, "LD_LIBRARY_PATH") : NULL;
	const char *name = opts->exe ? opts->exe : "program";

	*ret = (struct kv_load){ 0 };
	p->l = l;
	p->arena = l->arena;
	p->assumed = opts->assumed;
	p->tunables = opts->env ? kv_env_get(opts->env, "GLIBC_TUNABLES") : NULL;
	p->by_name = kv_map_new(p->arena);
	p->starting = true;
	if (!map_main(p, opts->exe, ret))
		return p;
	if (!kv_loader_ldso(l)->is_glibc) {
		kv_load_fail(p, ret, KV_LOADS_UNKNOWN, name, kv_loader_ldso(l)->unknown_why);
		return p;
	}
	if (kv_stack_mode(p) == KV_STACK_FORCED)
		p->stack_flags |= PF_X;
	if (path && *path)
		p->library_path = kv_search_list(p, path, ":;", p->main->origin);
	if (!map_all(p, opts, ret)) {
		if (ret->loads != KV_LOADS_ABORT)
			ret->error =
				kv_strf(p->arena, "%s: error while loading shared libraries: %s",
					name, ret->error);
		return p;
	}
	if (!check(p, opts->env, ret)) {
		if (ret->missing_version)
			ret->error = kv_strf(p->arena, "%s: %s", name, ret->error);
		else if (ret->loads == KV_LOADS_NO)
			ret->error = kv_strf(p->arena, "%s: %s: %s", name,
					     ret->missing_symbol
						     ? "symbol lookup error"
						     : "error while loading shared libraries",
					     ret->error);
		return p;
	}
	for (size_t i = 0; i < ret->list.n; i++)
		ret->list.v[i]->relocated = ret->list.v[i]->global = true;
	p->starting = false;
	for (size_t i = 0; i < p->loaded.n; i++)
		if (!p->loaded.v[i]->is_main)
			kv_vec_push(p->arena, &ret->fresh, p->loaded.v[i]);
	ret->object = p->main;
	return p;
}
