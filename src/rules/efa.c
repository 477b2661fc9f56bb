/* Family C, the libraries between libfabric and an EFA device: KV307 to KV312. */
#include "rules/rules.h"

void kv_rule_no_efa_provider(const struct kv_facts *f, struct kv_findings *out)
{
	kv_each_loaded(n, f)
	{
		struct kv_finding *fi;

		if (n->stack.efa)
			continue;
		fi = kv_find(out, kv_severity_of(n),
			     "%s loads, with a libfabric that has no efa provider: it would run "
			     "over tcp or sockets",
			     kv_nixl_label(f, n));
		kv_show(out, fi, n->stack.fabric_path, "efa is not built in");
		if (n->stack.efa_error)
			kv_show(out, fi, n->stack.efa_from ? n->stack.efa_from : "libefa-fi.so",
				"%s", n->stack.efa_error);
		if (!kv_mend_by_fabric(f, out, fi, n))
			kv_mend(out, fi, false,
				"use the libfabric of the EFA installer (kvpath fix --fabric "
				"/opt/amazon/efa)");
	}
}

void kv_rule_distro_fabric(const struct kv_facts *f, struct kv_findings *out)
{
	for (size_t i = 0; i < f->nixls.n; i++) {
		const struct kv_nixl *n = &f->nixls.v[i];
		const struct kv_fabric *fab = n->stack.fabric;
		bool fails =
			n->wanted && kv_cause_of(f, n, &n->wanted->load) == KV_CAUSE_FABRIC_ABI;
		struct kv_finding *fi;

		for (size_t j = 0; fails && j < f->fabrics.n; j++)
			if (f->fabrics.v[j].elf == n->wanted->load.provider->elf)
				fab = &f->fabrics.v[j];
		if (!fab || !fab->distro)
			continue;
		/* 1.18 is the first that uses device RDMA without being told to. */
		fi = kv_find(
			out,
			fab->release && kv_version_cmp(fab->release, "1.18.0") < 0 ? KV_WARNING
										   : KV_INFO,
			"%s takes the distribution's libfabric %s, not that of the EFA installer",
			kv_nixl_label(f, n), fab->release ? fab->release : "");
		kv_show(out, fi, fab->path, "%s, in the distribution's package", fab->abi);
		kv_mend(out, fi, kv_server_for(f, n->wanted) != NULL,
			"kvpath fix --fabric /opt/amazon/efa, or the EFA "
			"installer in the image");
		return;
	}
}

void kv_rule_verbs_driver(const struct kv_facts *f, struct kv_findings *out)
{
	kv_each_loaded(n, f)
	{
		const struct kv_stack *s = &n->stack;
		struct kv_finding *fi;

		if (!s->efa || !s->verbs_path || !s->verbs_driver || s->verbs_driver_found)
			continue;
		/* libefa announces itself to the libibverbs that it is linked to: then EFA is found
		 * without the file. */
		fi = kv_find(
			out, s->efa_registers_itself ? KV_WARNING : kv_severity_of(n),
			"%s: its libibverbs loads drivers from a place that has no efa driver%s",
			kv_nixl_label(f, n),
			s->efa_registers_itself
				? "; only what is linked to it directly is known to it"
				: "");
		kv_show(out, fi, s->verbs_path, "looks for %s", s->verbs_driver);
		kv_mend(out, fi, false,
			"use libibverbs, its providers and libefa of one rdma-core, at the place "
			"that it was "
			"built for; a libfabric that takes them from the target avoids this");
	}
}

static bool is_mofed(const struct kv_facts *f, const struct kv_load *l)
{
	return f->mofed && kv_starts(l->missing, "libefa.so.");
}

void kv_rule_mofed(const struct kv_facts *f, struct kv_findings *out)
{
	kv_each_failed(n, f, KV_CAUSE_NO_RDMA)
	{
		const struct kv_load *l = &n->wanted->load;
		struct kv_finding *fi;

		if (!is_mofed(f, l))
			continue;
		fi = kv_find(out, kv_severity_of(n),
			     "%s: its libfabric needs %s, and this image has NVIDIA's own RDMA "
			     "packages, which are built without EFA",
			     kv_nixl_label(f, n), l->missing);
		kv_show(out, fi, l->requirer->name, "%s", l->error);
		kv_show(out, fi, f->mofed, "of MLNX_OFED or DOCA");
		if (!kv_mend_by_fabric(f, out, fi, n))
			kv_mend(out, fi, false,
				"replace libibverbs and its providers by the distribution's "
				"rdma-core or by the EFA installer's, and add libefa");
	}
}

void kv_rule_no_rdma(const struct kv_facts *f, struct kv_findings *out)
{
	kv_each_failed(n, f, KV_CAUSE_NO_RDMA)
	{
		const struct kv_load *l = &n->wanted->load;
		struct kv_finding *fi;

		if (is_mofed(f, l))
			continue; /* KV311 */
		fi = kv_find(out, kv_severity_of(n),
			     "%s: its libfabric needs %s, which is not here", kv_nixl_label(f, n),
			     l->missing);

		kv_show(out, fi, l->requirer->name, "%s", l->error);
		kv_show_tried(out, fi, l);
		if (!kv_mend_by_fabric(f, out, fi, n))
			kv_mend(out, fi, false,
				"install rdma-core's libibverbs, its providers and libefa in the "
				"target, all of one version");
	}
	kv_warn_blocked(
		f, out, KV_LACK_BELOW, "a libfabric that was offered lacks what it needs",
		"install the missing library in the target, or offer a directory that has it too");
}

void kv_rule_rdma_version(const struct kv_facts *f, struct kv_findings *out)
{
	kv_each_failed(n, f, KV_CAUSE_RDMA_VERSION)
	{
		const struct kv_load *l = &n->wanted->load;
		struct kv_finding *fi =
			kv_find(out, kv_severity_of(n), "%s: %s needs %s, which %s does not define",
				kv_nixl_label(f, n), l->requirer->name, l->missing_version,
				l->provider->name);

		kv_show(out, fi, n->wanted->path, "%s", l->error);
		if (!kv_mend_by_fabric(f, out, fi, n))
			kv_mend(out, fi, false,
				"take libibverbs, its providers and libefa from one rdma-core, at "
				"least as new as libfabric's build");
	}
	kv_warn_blocked(f, out, KV_LACK_RDMA,
			"a libfabric that was offered needs a newer rdma-core",
			"update rdma-core in the target, or offer a directory that has libefa and "
			"libibverbs beside libfabric");
}
