/* Family A, parts of NIXL that do not belong together. */
#include "rules/rules.h"

void kv_rule_nixl_abi(const struct kv_facts *f, struct kv_findings *out)
{
	kv_each_failed(n, f, KV_CAUSE_NIXL_ABI)
	{
		const struct kv_load *l = &n->wanted->load;
		struct kv_finding *fi =
			kv_find(out, kv_severity_of(n),
				"%s: %s was built with another NIXL: it wants a function that the "
				"libnixl.so of its process does not have",
				kv_nixl_label(f, n), l->requirer ? l->requirer->name : n->path);

		kv_show(out, fi, n->wanted->path, "%s", l->error);
		if (n->libnixl)
			kv_show(out, fi, n->libnixl, "the libnixl.so of the process");
		kv_mend(out, fi, false,
			"take the plugin, libnixl.so and what uses it from one build of NIXL");
	}
}
