/*
 * GPU memory and EFA on this host, and how far they are apart: KV214, KV407 to KV411, KV501, KV502.
 * They speak only where the job registers GPU memory over LIBFABRIC and an EFA device is usable.
 */
#include "rules/rules.h"

#define GB200 0x2941

static bool on_gpu(const struct kv_facts *f)
{
	return f->host && f->vram && kv_streq(f->backend, "LIBFABRIC") &&
	       kv_host_usable_efas(f->host) && f->host->modules.nvidia != KV_NVIDIA_NONE;
}

/* What the EFA driver says of all usable devices; unknown where one does not tell. */
static enum kv_p2p p2p_of(const struct kv_host *h, const struct kv_verbs **ret)
{
	enum kv_p2p all = KV_P2P_UNKNOWN;

	for (size_t i = 0; i < h->verbs.n; i++) {
		const struct kv_verbs *v = &h->verbs.v[i];

		if (!kv_verbs_is_efa(v) || !kv_verbs_usable(v))
			continue;
		if (v->p2p == KV_P2P_UNKNOWN || (all != KV_P2P_UNKNOWN && all != v->p2p))
			return KV_P2P_UNKNOWN;
		all = v->p2p;
		*ret = v;
	}
	return all;
}

/*
 * The two ways to GPU memory: a peer of the EFA driver, and a dmabuf, which needs NVIDIA's open
 * module, a kernel of 5.12, and a libfabric that asks for one (since 2.5.0, c9e3c0c1b).
 */
enum way { WAY_OPEN, WAY_CLOSED_MODULE, WAY_OLD_LIBFABRIC, WAY_DMABUF_OFF, WAY_OLD_KERNEL };

static enum way way_of(const struct kv_facts *f, const struct kv_verbs **ret)
{
	const char *release = kv_used_release(f);
	const char *dmabuf = kv_env_get(f->env, "FI_HMEM_CUDA_USE_DMABUF");

	if (p2p_of(f->host, ret) != KV_P2P_NONE)
		return WAY_OPEN;
	if (f->host->modules.nvidia == KV_NVIDIA_CLOSED)
		return WAY_CLOSED_MODULE;
	if (f->host->kernel && kv_version_cmp(f->host->kernel, "5.12") < 0)
		return WAY_OLD_KERNEL;
	if (release && kv_version_cmp(release, "2.5.0") < 0)
		return WAY_OLD_LIBFABRIC;
	if (dmabuf && kv_fi_false(dmabuf))
		return WAY_DMABUF_OFF;
	return WAY_OPEN;
}

static struct kv_finding *report(const struct kv_facts *f, struct kv_findings *out,
				 enum kv_severity severity, const struct kv_verbs *v,
				 const char *why)
{
	const struct kv_modules *m = &f->host->modules;
	struct kv_finding *fi = kv_find(
		out, severity,
		"EFA can not reach this host's GPU memory: its driver has no peer, and %s", why);

	fi->of_host = true;
	kv_show(out, fi, kv_strf(f->arena, "/sys/class/infiniband/%s/device/p2p", v->name),
		"empty: no peer");
	kv_show(out, fi, "/proc/driver/nvidia/version", "%s kernel module %s",
		kv_nvidia_name[m->nvidia], m->nvidia_version ? m->nvidia_version : "");
	kv_show(out, fi, "/sys/module/efa_nv_peermem", "%s",
		m->efa_nv_peermem ? "loaded" : "not loaded");
	return fi;
}

void kv_rule_no_peer(const struct kv_facts *f, struct kv_findings *out)
{
	const struct kv_verbs *v = NULL;

	if (!on_gpu(f) || way_of(f, &v) != WAY_OLD_KERNEL)
		return;
	kv_mend(out,
		report(f, out, KV_ERROR, v,
		       kv_strf(f->arena, "kernel %s has no dmabuf for RDMA", f->host->kernel)),
		false, "load efa_nv_peermem, with an EFA driver of 2.17.3 or newer for NVIDIA 580");
}

void kv_rule_no_dmabuf(const struct kv_facts *f, struct kv_findings *out)
{
	const char *release = kv_used_release(f);
	const struct kv_verbs *v = NULL;
	enum way way;

	if (!on_gpu(f))
		return;
	way = way_of(f, &v);
	if (way == WAY_DMABUF_OFF)
		kv_mend(out,
			report(f, out, KV_ERROR, v, "FI_HMEM_CUDA_USE_DMABUF turns dmabuf off"),
			false, "unset FI_HMEM_CUDA_USE_DMABUF, or load efa_nv_peermem");
	if (way != WAY_OLD_LIBFABRIC)
		return;
	/* Amazon's builds of 2.4.0 carry changes of their own: whether this one is not known. */
	kv_mend(out,
		report(f, out, strstr(release, "amzn") ? KV_WARNING : KV_ERROR, v,
		       kv_strf(f->arena, "libfabric %s asks for no dmabuf (2.5.0 does)", release)),
		false, "use libfabric 2.5.1 or newer, or load efa_nv_peermem on the host");
}

void kv_rule_c2c_mapping(const struct kv_facts *f, struct kv_findings *out)
{
	const char *release = kv_used_release(f);
	const struct kv_verbs *v = NULL;
	struct kv_finding *fi;
	bool gb200 = false;

	if (!on_gpu(f) || !release || kv_version_cmp(release, "2.2.0") >= 0 ||
	    way_of(f, &v) != WAY_OPEN)
		return;
	for (size_t i = 0; i < f->host->gpus.n; i++)
		gb200 |= f->host->gpus.v[i].device == GB200;
	if (!gb200)
		return;
	fi = kv_find(
		out, KV_WARNING,
		"libfabric %s on GB200: it knows one way of mapping GPU memory for a card, and "
		"this host's cards want two; transfers can fail where registration did not",
		release);
	kv_show(out, fi, "libfabric", "release %s", release);
	kv_mend(out, fi, false, "use libfabric 2.5.1 or newer");
}

void kv_rule_iommu(const struct kv_facts *f, struct kv_findings *out)
{
	const struct kv_verbs *v = NULL;
	struct kv_finding *fi = NULL;

	/* Reported on x86; Grace translates in the CPU's own way. */
	if (!on_gpu(f) || !kv_streq(f->arch, "x86_64") || p2p_of(f->host, &v) == KV_P2P_YES)
		return;
	for (size_t i = 0; i < f->host->efas.n; i++) {
		const struct kv_pci *card = &f->host->efas.v[i];

		if (!card->iommu || !kv_starts(card->iommu, "DMA"))
			continue;
		if (!fi)
			fi = kv_find(out, KV_WARNING,
				     "the IOMMU translates what EFA writes: bytes for GPU memory "
				     "can be lost where they go by dmabuf");
		kv_show(out, fi,
			kv_strf(f->arena, "/sys/bus/pci/devices/%s/iommu_group/type",
				card->address),
			"%s", card->iommu);
	}
	if (!fi)
		return;
	fi->of_host = true;
	kv_mend(out, fi, false, "start the kernel with iommu=pt");
}

void kv_rule_closed_module(const struct kv_facts *f, struct kv_findings *out)
{
	const struct kv_verbs *v = NULL;

	if (!on_gpu(f) || way_of(f, &v) != WAY_CLOSED_MODULE)
		return;
	kv_mend(out,
		report(f, out, KV_ERROR, v, "NVIDIA's proprietary kernel module gives no dmabuf"),
		false, "install NVIDIA's open kernel module (and efa_nv_peermem where it is used)");
}

void kv_rule_no_tree(const struct kv_facts *f, struct kv_findings *out)
{
	const struct kv_host *h = f->host;
	struct kv_finding *fi;

	if (!on_gpu(f) || (h->pci_listed && h->gpus.n && h->efas.n))
		return;
	fi = kv_find(out, KV_WARNING,
		     "the PCI tree does not show %s: NIXL can not tell which EFA device is near a "
		     "GPU and uses all of them for each",
		     h->gpus.n ? "the EFA cards" : "the GPUs");
	fi->of_host = true;
	kv_show(out, fi, "/sys/bus/pci/devices", "%s",
		h->pci_listed ? "lists none of them" : "can not be listed");
	kv_mend(out, fi, false, "give the container the host's whole /sys");
}

void kv_rule_far_card(const struct kv_facts *f, struct kv_findings *out)
{
	const struct kv_host *h = f->host;
	struct kv_finding *fi;
	bool differ = false;

	if (!on_gpu(f) || h->gpus.n < 2)
		return;
	for (size_t i = 1; i < h->efas.n; i++)
		differ |= kv_pci_distance(&h->gpus.v[0], &h->efas.v[i]) !=
			  kv_pci_distance(&h->gpus.v[0], &h->efas.v[0]);
	for (size_t i = 0; differ && i < f->nixls.n; i++) {
		const struct kv_nixl *n = &f->nixls.v[i];

		if (!n->active || !*n->version || kv_version_cmp(n->version, "0.10.0") >= 0)
			continue;
		fi = kv_find(out, KV_WARNING,
			     "%s takes a GPU's EFA devices by CUDA's numbers, and here they are "
			     "not equally near",
			     kv_nixl_label(f, n));
		kv_show(out, fi, n->path, "before 0.10.0");
		kv_mend(out, fi, false, "use NIXL 0.10.0 or newer");
	}
}

void kv_rule_new_card(const struct kv_facts *f, struct kv_findings *out)
{
	const struct kv_pci *card = NULL;
	struct kv_finding *fi;

	for (size_t i = 0; f->host && i < f->host->efas.n && !card; i++)
		if (f->host->efas.v[i].device > 0xefa3)
			card = &f->host->efas.v[i];
	if (!card)
		return;
	fi = kv_find(out, KV_INFO,
		     "EFA 1d0f:%04x is newer than NIXL's own check for EFA: that it does not warn "
		     "means nothing, and rdma-core knows 0xefa4 since 64.0",
		     card->device);
	kv_show(out, fi, kv_join(f->arena, "/sys/bus/pci/devices", card->address), "1d0f:%04x",
		card->device);
	kv_mend(out, fi, false, "use rdma-core 64.0 or newer in the target (EFA installer 1.50.0)");
}
