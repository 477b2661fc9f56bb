/*
 * A worker with several GPUs makes its NCCL communicators before its NIXL agent, and NCCL then
 * opens a plugin for the network, in most images for EFA that of aws-ofi-nccl: a libfabric.so.1
 * that this brings serves NIXL's plugin too. NCCL_NET_PLUGIN lists others, or none; of a name that
 * is no file's, libnccl-net-NAME.so is tried next (NCCL src/plugin/net.cc, plugin_open.cc).
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
		n->nccl_plugin = fabric ? kv_strdup(f->arena, load.object->name) : NULL;
	}
	return fabric;
}

void kv_load_after_nccl(struct kv_facts *f, struct kv_nixl *n)
{
	struct kv_mark mark = kv_process_mark(n->proc);
	const struct kv_object *fabric = open_plugins(f, n);

	if (fabric) {
		n->nccl_fabric = kv_strdup(f->arena, fabric->name);
		kv_process_dlopen(n->proc, n->wanted->spelled, n->caller, 0, &n->after_nccl);
	}
	kv_process_rewind(n->proc, mark);
}
