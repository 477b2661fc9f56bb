/* KV219: a framework that ends before it makes an agent, as it does not take the NIXL there is. */
#include "rules/rules.h"

/* "1.5.0": of a NIXL that the job may import; NULL. */
static const char *version_here(const struct kv_facts *f)
{
	for (size_t i = 0; i < f->nixls.n; i++)
		if (f->nixls.v[i].active && f->nixls.v[i].site && *f->nixls.v[i].version)
			return f->nixls.v[i].version;
	return NULL;
}

static void mend(const struct kv_facts *f, struct kv_findings *out, struct kv_finding *fi,
		 const struct kv_needs *needs)
{
	const char *version = version_here(f);

	if (needs->lacks_module)
		kv_mend(out, fi, false,
			"install the metapackage beside it: pip install --no-deps nixl%s%s",
			version ? "==" : "", version ? version : "");
	else if (needs->was_built_for_another)
		kv_mend(out, fi, false,
			"install it and NIXL in releases that go together: its metadata names the "
			"NIXL that it was built with (pip show, Requires)");
	else
		kv_mend(out, fi, false,
			"install a newer NIXL, the package of your CUDA and nixl of one version: "
			"pip install 'nixl[cu13]%s%s' (or cu12); then ask kvpath again: its plugin "
			"may need a newer libfabric",
			needs->least ? ">=" : "", needs->least ? needs->least : "");
}

void kv_rule_framework(const struct kv_facts *f, struct kv_findings *out)
{
	for (size_t i = 0; i < f->frameworks.n; i++) {
		const struct kv_framework *w = &f->frameworks.v[i];
		const struct kv_needs *needs = &w->needs;
		struct kv_finding *fi;

		if (!needs->fault)
			continue;
		fi = kv_find(out,
			     w->may_idle   ? KV_INFO
			     : needs->sure ? KV_ERROR
					   : KV_WARNING,
			     "%s%s", needs->fault,
			     needs->sure ? "" : ", as far as its path can be seen");
		fi->cannot_tell = !needs->sure && !w->may_idle;
		kv_show(out, fi, needs->file, "asks for it");
		mend(f, out, fi, needs);
	}
}
