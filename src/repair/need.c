/* What a NIXL needs of a repair, read from its facts: shared by the plan for files and the
 * environment's. */
#include "repair/planner.h"

bool kv_stack_is_whole(const struct kv_facts *f, const struct kv_nixl *n)
{
	const struct kv_stack *s = &n->stack;

	return s->known && s->efa &&
	       (!f->vram || (s->fabric->cuda && s->cudart.loads == KV_LOADS_YES));
}

bool kv_needs_fabric(const struct kv_facts *f, const struct kv_nixl *n)
{
	const struct kv_load *l;

	if (!n->wanted || !n->lib_dir)
		return false;
	l = &n->wanted->load;
	switch (kv_cause_of(f, n, l)) {
	case KV_CAUSE_NONE: /* loads: another one is needed for efa or CUDA */
		return n->stack.known && (!n->stack.efa || (f->vram && !n->stack.fabric->cuda));
	case KV_CAUSE_FABRIC_ABI:
	case KV_CAUSE_NO_FABRIC:
	case KV_CAUSE_RDMA_VERSION:
	case KV_CAUSE_NO_RDMA:
		return true;
	case KV_CAUSE_GLIBC:     /* only where libfabric, or what that brought, is too new */
	case KV_CAUSE_TWO_NUMAS: /* or brings the second copy */
		return kv_fails_below_fabric(l);
	case KV_CAUSE_NO_HWLOC:
	case KV_CAUSE_NO_CUDART:
	case KV_CAUSE_NO_DRIVER:
	case KV_CAUSE_OUT_OF_TREE:
	case KV_CAUSE_NIXL_ABI:
	case KV_CAUSE_OTHER:
		return false;
	}
	return false;
}

bool kv_lacks_cudart(const struct kv_facts *f, const struct kv_nixl *n)
{
	return f->vram && n->wanted && n->stack.known && n->stack.fabric->cuda &&
	       n->stack.cudart.loads != KV_LOADS_YES;
}

const char *kv_cudart_path(const struct kv_facts *f, const struct kv_nixl *n)
{
	for (size_t i = 0; i < n->wanted->load.list.n; i++) {
		const struct kv_object *o = n->wanted->load.list.v[i];
		const char *real;

		if (o->elf && o->elf->soname && kv_starts(o->elf->soname, "libcudart.so.") &&
		    kv_root_real(f->root, o->name, 0, &real) == 0)
			return real;
	}
	return NULL;
}

bool kv_needs_other_fabric(const struct kv_facts *f)
{
	for (size_t i = 0; i < f->nixls.n; i++)
		if (f->nixls.v[i].active && kv_needs_fabric(f, &f->nixls.v[i]))
			return true;
	return false;
}

const char *kv_obstacle(const struct kv_facts *f)
{
	const char *untold = NULL;
	bool told = false;

	for (size_t i = 0; i < f->nixls.n; i++) {
		const struct kv_nixl *n = &f->nixls.v[i];

		if (!n->active)
			continue;
		if (n->plugin_dir_untold)
			return kv_strf(f->arena,
				       "which plugins %s has can not be told: NIXL_PLUGIN_DIR %s%s",
				       kv_nixl_label(f, n),
				       n->plugin_dir_code ? "is set by code, in "
							  : "is a relative path: ",
				       n->plugin_dir_code ? n->plugin_dir_code : n->plugin_dir);
		if (!n->wanted)
			return kv_strf(f->arena, "%s has no plugin %s", kv_nixl_label(f, n),
				       f->backend);
		if (n->wanted->load.loads == KV_LOADS_UNKNOWN) {
			untold = untold ? untold
					: kv_strf(f->arena,
						  "%s: whether its plugin %s loads can not be "
						  "told: %s",
						  kv_nixl_label(f, n), f->backend,
						  n->wanted->load.error);
			continue;
		}
		if (n->wanted->load.loads != KV_LOADS_YES)
			return kv_strf(f->arena, "%s: %s", kv_nixl_label(f, n),
				       n->wanted->load.error);
		told = true;
	}
	if (untold && !told)
		return untold;
	return f->nixls.n ? NULL : "there is no NIXL in this target";
}

unsigned kv_reach(const struct kv_facts *f)
{
	unsigned worst = KV_REACH_WHOLE;

	if (kv_obstacle(f))
		return KV_REACH_NONE;
	for (size_t i = 0; i < f->nixls.n; i++) {
		const struct kv_nixl *n = &f->nixls.v[i];
		unsigned r = KV_REACH_WHOLE;

		if (!n->active || !n->stack.known)
			continue;
		if (!n->stack.efa)
			r = KV_REACH_LOADS;
		else if (f->vram && !n->stack.fabric->cuda)
			r = KV_REACH_EFA;
		worst = r < worst ? r : worst;
	}
	return worst;
}

const char *kv_lack(const struct kv_facts *f)
{
	for (size_t i = 0; i < f->nixls.n; i++) {
		const struct kv_nixl *n = &f->nixls.v[i];

		if (!n->active || !n->stack.known)
			continue;
		if (!n->stack.efa)
			return kv_strf(f->arena,
				       "%s: its libfabric, %s, has no efa provider: it would run "
				       "over tcp or sockets (KV307)",
				       kv_nixl_label(f, n), n->stack.fabric->path);
		if (f->vram && !n->stack.fabric->cuda)
			return kv_strf(f->arena,
				       "%s: its libfabric, %s, is built without CUDA: GPU memory "
				       "can not be registered (KV404)",
				       kv_nixl_label(f, n), n->stack.fabric->path);
		if (kv_lacks_cudart(f, n))
			return kv_strf(
				f->arena,
				"%s: libfabric opens CUDA as libcudart.so, which is not "
				"found: GPU memory can not be registered (KV402); kvpath run "
				"and kvpath fix link it",
				kv_nixl_label(f, n));
	}
	return NULL;
}
