/*
 * What the loaded plugin stands on: the libfabric that was mapped, its efa provider, its CUDA, and
 * the libibverbs below. libfabric's own dlopen calls are asked of the same modelled process.
 */
#include "inspect/internal.h"

#define MAX_VERBS ((size_t)16 << 20)

static const struct kv_object *find_fabric(const struct kv_load *plugin)
{
	for (size_t i = 0; i < plugin->list.n; i++)
		if (plugin->list.v[i]->elf && kv_elf_max_def(plugin->list.v[i]->elf, "FABRIC_"))
			return plugin->list.v[i];
	return NULL;
}

static struct kv_fabric *read_now(struct kv_facts *f, struct kv_fabric *fab)
{
	enum kv_source source = fab->source;

	if (!fab->unread)
		return fab;
	kv_fabric_read(f->arena, f->root, fab->path, fab->elf, fab);
	fab->source = source;
	return fab;
}

static struct kv_fabric *facts_of(struct kv_facts *f, const struct kv_object *o)
{
	struct kv_fabric fab;

	for (size_t i = 0; i < f->fabrics.n; i++)
		if (f->fabrics.v[i].elf == o->elf)
			return read_now(f, &f->fabrics.v[i]);
	if (!kv_fabric_read(f->arena, f->root, o->name, o->elf, &fab))
		return NULL;
	kv_vec_push(f->arena, &f->fabrics, fab);
	return &f->fabrics.v[f->fabrics.n - 1];
}

/*
 * A provider DSO is looked for in FI_PROVIDER_PATH or else the directory compiled in, and by its
 * bare name along libfabric's own search path (libfabric src/fabric.c: ofi_ini_dir,
 * ofi_find_prov_libs).
 */
static void find_efa_dso(struct kv_facts *f, struct kv_process *p, const struct kv_object *fabric,
			 struct kv_stack *ret)
{
	const char *dir = kv_env_get(f->env, "FI_PROVIDER_PATH");
	struct kv_load load;

	if (!dir || !*dir)
		dir = ret->fabric->provdir;
	if (dir) {
		const char *path = kv_join(f->arena, dir[0] == '+' || dir[0] == '@' ? dir + 1 : dir,
					   "libefa-fi.so");

		if (kv_root_is_file(f->root, path)) {
			kv_process_dlopen(p, path, fabric, 0, &load);
			ret->efa = load.object != NULL;
			ret->efa_from = path;
			ret->efa_error = load.error;
			if (ret->efa)
				return;
		}
	}
	kv_process_dlopen(p, "libefa-fi.so", fabric, 0, &load);
	ret->efa = load.object != NULL;
	ret->efa_from = load.object ? load.object->name : ret->efa_from;
	if (!ret->efa && !ret->efa_error)
		ret->efa_error = load.error;
}

const char *kv_verbs_driver(struct kv_arena *a, struct kv_root *r, const char *verbs)
{
	struct kv_span s;

	if (kv_root_slurp(r, verbs, MAX_VERBS, &s) < 0)
		return NULL;
	for (size_t at = kv_span_find(s, 0, "/lib%s-", 7); at < s.n;
	     at = kv_span_find(s, at + 1, "/lib%s-", 7)) {
		size_t start = at;
		const char *text;

		while (start > 0 && s.p[start - 1] && at - start < 512)
			start--;
		text = kv_span_str(s, start);
		if (text && text[0] == '/' && kv_ends(text, ".so"))
			return kv_strf(a, "%.*slibefa%s", (int)(at + 1 - start), text,
				       text + (at - start) + strlen("/lib%s"));
	}
	return NULL;
}

/*
 * libibverbs dlopens DIR/libefa-rdmavNN.so, then the bare name along its own search path (rdma-core
 * libibverbs/dynamic_driver.c load_driver: VERBS_PROVIDER_DIR, VERBS_PROVIDER_SUFFIX).
 */
static void read_verbs(struct kv_facts *f, struct kv_process *p, struct kv_stack *ret)
{
	const struct kv_object *verbs = NULL, *efa = NULL, *o;
	struct kv_load load;

	/* By what they define, not by name: wheels carry copies under names of their own. */
	for (size_t i = 0; (o = kv_process_object(p, i)); i++) {
		if (o->elf && !verbs && kv_elf_max_def(o->elf, "IBVERBS_") &&
		    !kv_elf_max_def(o->elf, "FABRIC_"))
			verbs = o;
		if (o->elf && !efa && kv_elf_max_def(o->elf, "EFA_"))
			efa = o;
	}
	if (!verbs)
		return;
	ret->verbs_path = verbs->name;
	ret->verbs_driver = kv_verbs_driver(f->arena, f->root, verbs->name);
	if (ret->verbs_driver) {
		ret->verbs_driver_found = kv_root_is_file(f->root, ret->verbs_driver);
		if (!ret->verbs_driver_found) {
			kv_process_dlopen(p, kv_basename(ret->verbs_driver), verbs, 0, &load);
			ret->verbs_driver_found = load.object != NULL;
		}
	}
	/* libefa's constructor calls verbs_register_driver_NN of the libibverbs that it is linked
	 * to. */
	for (size_t i = 0; efa && i < efa->needs.n; i++)
		if (efa->needs.v[i] == verbs)
			ret->efa_registers_itself = true;
}

void kv_stack_read(struct kv_facts *f, struct kv_process *p, const struct kv_load *plugin,
		   struct kv_stack *ret)
{
	const struct kv_object *fabric = find_fabric(plugin);

	if (!fabric)
		return;
	ret->fabric_path = fabric->name;
	ret->fabric = facts_of(f, fabric);
	if (!ret->fabric)
		return;
	ret->known = true;
	kv_fabric_settings(f, ret->fabric);
	if (ret->fabric->efa_built_in) {
		ret->efa = true;
		ret->efa_from = "built in";
	} else {
		find_efa_dso(f, p, fabric, ret);
	}
	if (ret->fabric->cuda)
		kv_process_dlopen(p, "libcudart.so", fabric, 0, &ret->cudart);
	/* What follows decides nothing for a repair by the environment. */
	if (f->brief)
		return;
	if (ret->fabric->plain_cuda)
		kv_process_dlopen(p, "libcuda.so", fabric, 0, &ret->driver);
	read_verbs(f, p, ret);
}
