/* What the rules of one family share: why a load failed, who could serve, how a NIXL is called. */
#include "rules/rules.h"

static const struct {
	const char *abi, *release;
} abis[] = {
#define KV_FABRIC_ABI(abi, release) { abi, release },
#include "inspect/releases.def"
};

static const struct {
	const char *installer, *libfabric, *abi;
} installers[] = {
#define KV_EFA_INSTALLER(installer, libfabric, abi) { installer, libfabric, abi },
#include "inspect/releases.def"
};

/* One for another machine is as none. */
static bool is_library(const struct kv_facts *f, const char *path)
{
	const struct kv_elf *e = kv_loader_elf(f->loader, path, NULL);

	return kv_root_is_file(f->root, path) && (!e || e->machine == kv_loader_machine(f->loader));
}

static bool is_own_library(const struct kv_facts *f, const struct kv_nixl *n, const char *name)
{
	if (!n || !n->lib_dir)
		return false;
	return is_library(f, kv_join(f->arena, n->lib_dir, name)) ||
	       (n->site &&
		is_library(f, kv_strf(f->arena, "%s/%s.libs/%s", n->site, n->module, name)));
}

bool kv_fails_below_fabric(const struct kv_load *l)
{
	for (const struct kv_object *by = l->requirer; by; by = by->requested_by)
		if (by->elf && kv_elf_max_def(by->elf, "FABRIC_"))
			return true;
	return false;
}

static enum kv_cause cause_of_missing(const struct kv_facts *f, const struct kv_nixl *n,
				      const struct kv_load *l)
{
	const char *m = l->missing;

	if (kv_starts(m, "libfabric.so."))
		return KV_CAUSE_NO_FABRIC;
	if (kv_starts(m, "libhwloc.so."))
		return KV_CAUSE_NO_HWLOC;
	if (kv_starts(m, "libcudart.so."))
		return KV_CAUSE_NO_CUDART;
	if (kv_streq(m, "libcuda.so.1"))
		return KV_CAUSE_NO_DRIVER;
	if (is_own_library(f, n, m))
		return KV_CAUSE_OUT_OF_TREE;
	return kv_fails_below_fabric(l) ? KV_CAUSE_NO_RDMA : KV_CAUSE_OTHER;
}

enum kv_cause kv_cause_of(const struct kv_facts *f, const struct kv_nixl *n,
			  const struct kv_load *l)
{
	const char *v = l->missing_version;

	if (l->loads == KV_LOADS_YES)
		return KV_CAUSE_NONE;
	if (l->is_unready)
		return KV_CAUSE_TWO_NUMAS;
	if (v && kv_starts(v, "FABRIC_"))
		return KV_CAUSE_FABRIC_ABI;
	if (v && (kv_starts(v, "EFA_") || kv_starts(v, "IBVERBS_")))
		return KV_CAUSE_RDMA_VERSION;
	if (v && (kv_starts(v, "GLIBC_") || kv_starts(v, "GLIBCXX_") || kv_starts(v, "CXXABI_")))
		return KV_CAUSE_GLIBC;
	if (l->missing_symbol && kv_starts(l->missing_symbol, "cu") && !l->provider)
		return KV_CAUSE_NO_DRIVER;
	if (l->missing_symbol && kv_starts(l->missing_symbol, "_Z") &&
	    strstr(l->missing_symbol, "nixl"))
		return KV_CAUSE_NIXL_ABI;
	if (l->missing)
		return cause_of_missing(f, n, l);
	return KV_CAUSE_OTHER;
}

void kv_show_tried(struct kv_findings *out, struct kv_finding *fi, const struct kv_load *l)
{
	for (size_t i = 0; i < l->tried.n; i++)
		kv_show(out, fi, l->tried.v[i].path, "%s: %s", kv_rule_name[l->tried.v[i].rule],
			l->tried.v[i].why);
}

void kv_warn_blocked(const struct kv_facts *f, struct kv_findings *out, enum kv_lack lack,
		     const char *what, const char *mend)
{
	for (size_t i = 0; i < f->fabrics.n; i++) {
		const struct kv_fabric *fab = &f->fabrics.v[i];
		struct kv_finding *fi;

		if (!fab->blocked || fab->lack != lack)
			continue;
		fi = kv_find(out, KV_WARNING, "%s: %s", what, fab->blocked);
		kv_show(out, fi, fab->path, "offered");
		kv_mend(out, fi, false, "%s", mend);
	}
}

enum kv_severity kv_severity_of(const struct kv_nixl *n)
{
	return n->active && !n->in_doubt ? KV_ERROR : KV_WARNING;
}

const char *kv_nixl_label(const struct kv_facts *f, const struct kv_nixl *n)
{
	if (!*n->dist)
		return kv_strf(f->arena, "NIXL at %s", n->path);
	return kv_strf(f->arena, "NIXL %s (%s)", *n->version ? n->version : "of unknown version",
		       n->dist);
}

const char *kv_used_release(const struct kv_facts *f)
{
	kv_each_loaded(n, f) if (n->active && n->stack.fabric) return n->stack.fabric->release;
	return NULL;
}

static bool meets(const struct kv_fabric *fab, const struct kv_elf *plugin)
{
	for (size_t i = 0; i < plugin->verneeds.n; i++)
		if (kv_starts(plugin->verneeds.v[i].name, "FABRIC_") &&
		    !kv_elf_defines_version(fab->elf, plugin->verneeds.v[i].name))
			return false;
	return true;
}

const struct kv_fabric *kv_server_for(const struct kv_facts *f, const struct kv_plugin *p)
{
	for (size_t i = 0; p->elf && i < f->fabrics.n; i++)
		if (!f->fabrics.v[i].blocked && meets(&f->fabrics.v[i], p->elf))
			return &f->fabrics.v[i];
	return NULL;
}

bool kv_fabric_serves_less(const struct kv_facts *f, const struct kv_fabric *fab,
			   const struct kv_nixl *n)
{
	const struct kv_stack *s = &n->stack;

	return s->known && ((s->efa && !fab->efa_built_in && !kv_fabric_efa_dso(fab)) ||
			    (f->vram && s->fabric->cuda && !fab->cuda));
}

/* One other than that it gets, with efa, and with CUDA where the job registers GPU memory. */
static const struct kv_fabric *fuller(const struct kv_facts *f, const struct kv_nixl *n)
{
	for (size_t i = 0; n->wanted->elf && i < f->fabrics.n; i++) {
		const struct kv_fabric *fab = &f->fabrics.v[i];

		if (!fab->blocked && fab->elf != n->stack.fabric->elf &&
		    meets(fab, n->wanted->elf) && (fab->efa_built_in || kv_fabric_efa_dso(fab)) &&
		    (!f->vram || fab->cuda))
			return fab;
	}
	return NULL;
}

bool kv_mend_by_fabric(const struct kv_facts *f, struct kv_findings *out, struct kv_finding *fi,
		       const struct kv_nixl *n)
{
	const struct kv_fabric *server =
		n->stack.known ? fuller(f, n) : kv_server_for(f, n->wanted);

	if (!server)
		return false;
	kv_mend(out, fi, true, "kvpath fix links libfabric %s (%s) from %s beside libnixl.so%s",
		server->release ? server->release : "", server->abi, server->path,
		server->companions.n ? ", with what it needs and this target lacks" : "");
	return true;
}

const char *kv_what_serves(const struct kv_facts *f, const char *abi)
{
	const char *number = kv_starts(abi, "FABRIC_") ? abi + strlen("FABRIC_") : abi;
	const char *release = NULL, *oldest = NULL, *ships = NULL;

	for (size_t i = 0; i < KV_ARRAY_SIZE(abis); i++)
		if (kv_streq(abis[i].abi, number))
			release = abis[i].release;
	/* Newest first: the last that still serves is the oldest. */
	for (size_t i = 0; i < KV_ARRAY_SIZE(installers); i++)
		if (kv_version_cmp(installers[i].abi, number) >= 0) {
			oldest = installers[i].installer;
			ships = installers[i].libfabric;
		}
	if (!release)
		return kv_strf(f->arena, "a libfabric that defines %s", abi);
	if (!oldest)
		return kv_strf(f->arena, "libfabric %s or newer", release);
	return kv_strf(f->arena,
		       "libfabric %s or newer, as EFA installer %s ships it (libfabric %s)",
		       release, oldest, ships);
}
