/* Faults of NIXL releases, by the version read from the target: the table is bugs.def. */
#include "rules/rules.h"

/* ---- what else a fault needs ---- */

static bool always(const struct kv_facts *f)
{
	(void)f;
	return true;
}

static bool on_gpu_memory(const struct kv_facts *f)
{
	return f->vram;
}

/* B200, B300, GB200 by their PCI ids; without a host it is not known. */
static bool on_blackwell(const struct kv_facts *f)
{
	static const unsigned ids[] = { 0x2901, 0x3182, 0x2941 };

	if (!f->vram || !f->host || !f->host->gpus.n)
		return f->vram;
	for (size_t i = 0; f->host->gpus.n > 1 && i < KV_ARRAY_SIZE(ids); i++)
		if (f->host->gpus.v[0].device == ids[i])
			return true;
	return false;
}

static bool by_shared_memory(const struct kv_facts *f)
{
	const char *v = kv_env_get(f->env, "FI_EFA_ENABLE_SHM_TRANSFER");

	return f->vram && !(v && kv_fi_false(v));
}

/* ---- the table ---- */

static const struct bug {
	const char *id, *from, *to, *backend;
	bool (*when)(const struct kv_facts *f);
	enum kv_severity severity;
	const char *says, *mend;
} bugs[] = {
#define KV_BUG(id, from, to, backend, when, severity, says, mend)                                  \
	{ #id, from, to, backend, when, severity, says, mend },
#include "rules/bugs.def"
};

static const struct bug *bug_of(const char *id)
{
	for (size_t i = 0; i < KV_ARRAY_SIZE(bugs); i++)
		if (kv_streq(bugs[i].id, id))
			return &bugs[i];
	return NULL;
}

bool kv_release_has(const char *id, const char *version)
{
	const struct bug *b = bug_of(id);

	return b && *version && kv_version_cmp(version, b->from) >= 0 &&
	       kv_version_cmp(version, b->to) < 0;
}

/* The rule of every id in the table. It speaks of the copies that are imported and have the plugin.
 */
void kv_rule_release(const struct kv_facts *f, struct kv_findings *out)
{
	const struct bug *b = bug_of(out->id);

	if (!b || !kv_streq(f->backend, b->backend) || !b->when(f))
		return;
	for (size_t i = 0; i < f->nixls.n; i++) {
		const struct kv_nixl *n = &f->nixls.v[i];
		struct kv_finding *fi;

		if (!n->active || !n->wanted || !kv_release_has(b->id, n->version))
			continue;
		fi = kv_find(out, b->severity, "%s: %s", kv_nixl_label(f, n), b->says);
		kv_show(out, fi, n->path, "version %s; %s has it no more", n->version, b->to);
		kv_mend(out, fi, false, "%s", b->mend);
	}
}
