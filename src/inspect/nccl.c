/*
 * A worker with several GPUs makes its NCCL communicators before its NIXL agent, and NCCL then
 * opens a plugin for the network, in most images for EFA that of aws-ofi-nccl: a libfabric.so.1
 * that this brings serves NIXL's plugin too. NCCL_NET_PLUGIN lists others, or none; of a name that
 * is no file's, libnccl-net-NAME.so is tried next (NCCL src/plugin/net.cc, plugin_open.cc). Without
 * one NCCL looks for InfiniBand, unless NCCL_IB_DISABLE forbids it, and opens libibverbs
 * (src/misc/ibvsymbols.cc): where NIXL's libfabric has one of its own, the process has it no more.
 */
#include <strings.h>

#include "inspect/internal.h"

static bool is_file_name(const char *name)
{
	return strchr(name, '/') || (kv_starts(name, "lib") && kv_ends(name, ".so"));
}

static bool open_plugin(struct kv_facts *f, const struct kv_nixl *n, const char *name,
			struct kv_load *ret)
{
	const struct kv_object *nccl = kv_process_find(n->proc, "libnccl.so.2");

	kv_process_dlopen(n->proc, name, nccl, 0, ret);
	if (!ret->object && !is_file_name(name))
		kv_process_dlopen(n->proc, kv_strf(f->arena, "libnccl-net-%s.so", name), nccl, 0,
				  ret);
	return ret->object != NULL;
}

/* Up to the one that brings a libfabric, which is NULL where none does. */
static const struct kv_object *open_plugins(struct kv_facts *f, struct kv_nixl *n)
{
	const char *list = kv_env_get(f->env, "NCCL_NET_PLUGIN");
	const struct kv_object *fabric = NULL;
	struct kv_load load;

	list = !list ? "libnccl-net.so" : strcasecmp(list, "none") == 0 ? "" : list;
	while (!fabric && *(list += strspn(list, ","))) {
		const char *name = kv_strndup(f->arena, list, strcspn(list, ","));

		list += strlen(name);
		if (!open_plugin(f, n, name, &load))
			continue;
		fabric = kv_process_find(n->proc, "libfabric.so.1");
		n->nccl_by = fabric ? kv_strdup(f->arena, load.object->name) : NULL;
	}
	return fabric;
}

#define VERBS "libibverbs.so.1"

/* The libibverbs that NCCL opens, where that is another file than the wanted plugin's of that name;
 * NULL. */
static const struct kv_object *open_verbs(struct kv_facts *f, struct kv_nixl *n)
{
	const char *off = kv_env_get(f->env, "NCCL_IB_DISABLE");
	const struct kv_object *nccl = kv_process_find(n->proc, "libnccl.so.2"), *verbs;
	const char *path = n->stack.verbs_path;
	const struct kv_elf *own = path ? kv_loader_elf(f->loader, path, NULL) : NULL;
	struct kv_load load;

	if (!own || !own->soname || !kv_streq(own->soname, VERBS) || (off && strtol(off, NULL, 0)))
		return NULL;
	kv_process_dlopen(n->proc, "libibverbs.so", nccl, 0, &load);
	if (!load.object)
		kv_process_dlopen(n->proc, VERBS, nccl, 0, &load);
	verbs = kv_process_find(n->proc, VERBS);
	if (!verbs || verbs->elf == own)
		return NULL;
	n->nccl_by = nccl ? kv_strdup(f->arena, nccl->name) : "libnccl.so.2";
	return verbs;
}

void kv_load_after_nccl(struct kv_facts *f, struct kv_nixl *n)
{
	struct kv_mark mark = kv_process_mark(n->proc);
	const struct kv_object *first = open_plugins(f, n);

	if (!first)
		first = open_verbs(f, n);
	if (first) {
		n->nccl_brings = kv_strdup(f->arena, first->name);
		kv_process_dlopen(n->proc, n->wanted->spelled, n->caller, 0, &n->after_nccl);
	}
	kv_process_rewind(n->proc, mark);
}
