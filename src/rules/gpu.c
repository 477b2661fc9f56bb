/* Family D, GPU memory: KV402 to KV404. They speak only where the job registers VRAM. */
#include "rules/rules.h"

void kv_rule_no_plain_cudart(const struct kv_facts *f, struct kv_findings *out)
{
	for (size_t i = 0; f->vram && i < f->nixls.n; i++) {
		const struct kv_nixl *n = &f->nixls.v[i];
		struct kv_finding *fi;

		if (!n->stack.known || !n->stack.fabric->cuda ||
		    n->stack.cudart.loads == KV_LOADS_YES)
			continue;
		fi = kv_find(
			out, kv_severity_of(n),
			"%s: libfabric opens CUDA by the name libcudart.so, which is not found: "
			"GPU memory can not be registered",
			kv_nixl_label(f, n));
		kv_show(out, fi, n->stack.fabric_path, "%s", n->stack.cudart.error);
		kv_mend(out, fi, true,
			"kvpath fix links libcudart.so to the CUDA runtime that the plugin uses");
	}
}

void kv_rule_no_cuda(const struct kv_facts *f, struct kv_findings *out)
{
	for (size_t i = 0; f->vram && i < f->nixls.n; i++) {
		const struct kv_nixl *n = &f->nixls.v[i];
		struct kv_finding *fi;

		if (!n->stack.known || n->stack.fabric->cuda)
			continue;
		fi = kv_find(out, kv_severity_of(n),
			     "%s: this libfabric is built without CUDA: GPU memory can not be "
			     "registered",
			     kv_nixl_label(f, n));
		kv_show(out, fi, n->stack.fabric_path, "it names no libcudart; libfabric %s",
			n->stack.fabric->release ? n->stack.fabric->release : "of unknown release");
		if (!kv_mend_by_fabric(f, out, fi, n))
			kv_mend(out, fi, false,
				"use a libfabric built with CUDA (the EFA installer's: on aarch64 "
				"since 1.40.0); for host memory alone say --mem dram");
	}
}

/* Of an image it is not known: what the host injects may have the name. */
void kv_rule_no_plain_cuda(const struct kv_facts *f, struct kv_findings *out)
{
	for (size_t i = 0; f->vram && f->live && i < f->nixls.n; i++) {
		const struct kv_nixl *n = &f->nixls.v[i];
		struct kv_finding *fi;

		if (!n->stack.known || !n->stack.fabric->plain_cuda ||
		    n->stack.driver.loads == KV_LOADS_YES)
			continue;
		fi = kv_find(
			out, kv_severity_of(n),
			"%s: this libfabric opens NVIDIA's driver by the name libcuda.so, which "
			"is not found: GPU memory can not be registered",
			kv_nixl_label(f, n));
		kv_show(out, fi, n->stack.fabric_path, "%s", n->stack.driver.error);
		kv_mend(out, fi, false,
			"link libcuda.so to libcuda.so.1 where the loader looks, or use libfabric "
			"2.1.0 or newer");
	}
}
