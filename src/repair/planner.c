/*
 * The planner. One candidate libfabric at a time is tried on the model (trial.c) and the outcome is
 * compared: what is promised is what the model then sees.
 */
#include "repair/trial.h"

static void refuse(const struct kv_facts *f, struct kv_plan *ret, const struct kv_fabric *fab,
		   const char *why)
{
	kv_vec_push(f->arena, &ret->refused, kv_strf(f->arena, "%s: %s", fab->path, why));
}

static const struct kv_nixl *first_in_need(const struct kv_facts *f)
{
	for (size_t i = 0; i < f->nixls.n; i++)
		if (f->nixls.v[i].active && kv_needs_fabric(f, &f->nixls.v[i]))
			return &f->nixls.v[i];
	return NULL;
}

static const char *why_not(const struct kv_trial *t, const struct kv_nixl *n)
{
	const struct kv_nixl *m = t->after ? kv_same_nixl(t->after, n) : NULL;

	if (m && m->wanted && m->wanted->load.error)
		return m->wanted->load.error;
	return "the plugin does not load with it";
}

static bool lacks_abi(const struct kv_facts *f, const struct kv_fabric *fab,
		      const struct kv_nixl *n, const char **ret)
{
	for (size_t i = 0; n->wanted->elf && i < n->wanted->elf->verneeds.n; i++) {
		const char *v = n->wanted->elf->verneeds.v[i].name;

		if (!kv_starts(v, "FABRIC_") || kv_elf_defines_version(fab->elf, v))
			continue;
		*ret = kv_strf(f->arena, "it goes up to %s, the plugin needs %s", fab->abi,
			       kv_elf_max_need(n->wanted->elf, "FABRIC_"));
		return true;
	}
	return false;
}

/* What the version tables say against a candidate; NULL where they say nothing. */
static const char *why_unfit(const struct kv_facts *f, const struct kv_fabric *fab,
			     const struct kv_nixl *n)
{
	const char *abi = NULL;

	if (!lacks_abi(f, fab, n, &abi))
		return fab->blocked;
	return fab->blocked ? kv_strf(f->arena, "%s; %s", abi, fab->blocked) : abi;
}

/* The best candidate's trial; score NONE where there is none. */
static struct kv_trial choose(const struct kv_facts *f, const struct kv_nixl *n, bool insist,
			      struct kv_plan *ret)
{
	struct kv_trial best = { .f = f };

	for (size_t i = 0; i < f->fabrics.n && best.score != KV_SCORE_WHOLE; i++) {
		const struct kv_fabric *fab = &f->fabrics.v[i];
		struct kv_trial t;
		const char *why;

		if (insist && fab->source != KV_SOURCE_FABRIC)
			continue;
		if (n->stack.known && n->stack.fabric && n->stack.fabric->elf == fab->elf &&
		    !insist)
			continue;
		why = why_unfit(f, fab, n);
		if (why) {
			refuse(f, ret, fab, why);
			continue;
		}
		t = kv_trial_candidate(f, fab);
		if (t.score == KV_SCORE_NONE)
			refuse(f, ret, fab, why_not(&t, n));
		if (t.score > best.score)
			best = t;
	}
	return best;
}

static void patch_source(struct kv_trial *t, struct kv_span source, const struct kv_pydefault *def,
			 const char *path)
{
	const struct kv_facts *f = t->f;
	char was[KV_SHA256_HEX];
	struct kv_span text;

	kv_sha256_mem(source.p, source.n, was);
	text = kv_pydefault_patch(f->arena, source, def, f->backend);
	kv_trial_add(t, (struct kv_op){
				.kind = KV_OP_FILE,
				.path = path,
				.mode = 0644,
				.content = text,
				.source_fd = -1,
				.was = kv_strdup(f->arena, was),
				.why = kv_strf(f->arena, "line %u: the default becomes %s, else %s",
					       def->line, def->env ? def->env : "NIXL_BACKEND",
					       f->backend) });
}

static bool is_right(const struct kv_facts *f, const struct kv_pydefault *def)
{
	return kv_strv_has(&def->backends, f->backend) && def->backends.n == 1;
}

static void patch_default(struct kv_trial *t, const struct kv_nixl *n)
{
	const struct kv_facts *f = t->f;
	bool right = is_right(f, &n->def);
	const char *real;

	if (!n->api_py || n->def.kind == KV_PYDEFAULT_UNKNOWN || (right && !n->other_pyc) ||
	    kv_root_real(f->root, n->api_py, 0, &real) < 0)
		return;
	if (!right)
		patch_source(t, n->api_source, &n->def, real);
	if (n->unchecked_pyc && kv_root_real(f->root, n->unchecked_pyc, 0, &real) == 0)
		kv_trial_add(
			t, (struct kv_op){ .kind = KV_OP_REMOVE,
					   .path = real,
					   .source_fd = -1,
					   .why = "compiled code that python runs without looking "
						  "at the source" });
}

/* vLLM and SGLang ask for UCX where they are told nothing: with NIXL's default alone repaired the
 * one would end, and the other stay on UCX. */
static void patch_framework(struct kv_trial *t, const struct kv_framework *w)
{
	const struct kv_named_default *d;

	if (w->value)
		return; /* it decides */
	kv_vec_each (d, &w->defaults)
		if (d->path && !is_right(t->f, &d->def))
			patch_source(t, d->source, &d->def, d->path);
}

/*
 * Every copy that has the plugin is changed, also one that is not imported today: which one is
 * depends on the CUDA that a process meets. Called only when what is imported loads: a slow job
 * must not become a failing one.
 */
static void patch_defaults(struct kv_trial *t)
{
	for (size_t i = 0; i < t->f->nixls.n; i++)
		if (t->f->nixls.v[i].wanted)
			patch_default(t, &t->f->nixls.v[i]);
	for (size_t i = 0; i < t->f->frameworks.n; i++)
		patch_framework(t, &t->f->frameworks.v[i]);
}

static const char *join_reasons(const struct kv_facts *f, const struct kv_nixl *n,
				const struct kv_plan *p)
{
	const char *need = n->wanted->elf ? kv_elf_max_need(n->wanted->elf, "FABRIC_") : NULL;
	const char *s = kv_strf(f->arena, "%s can not be repaired here: %s", kv_nixl_label(f, n),
				p->refused.n ? "no libfabric that was offered serves it"
					     : "there is no other libfabric to borrow");

	return kv_strf(f->arena, "%s; %s would serve", s,
		       kv_what_serves(f, need ? need : "FABRIC_1.7"));
}

static const char *mounted_path(const struct kv_facts *f, const kv_ops *ops)
{
	for (size_t i = 0; i < ops->n; i++)
		if (kv_root_is_mounted(f->root, ops->v[i].path))
			return ops->v[i].path;
	return NULL;
}

void kv_plan_make(const struct kv_facts *f, bool insist, struct kv_plan *ret)
{
	const struct kv_nixl *n = first_in_need(f);
	struct kv_trial t = { .f = f, .score = KV_SCORE_WHOLE };
	const char *mounted;

	*ret = (struct kv_plan){ .after = f };
	if (n)
		t = choose(f, n, insist, ret);
	if (n && (t.score == KV_SCORE_NONE || (t.score != KV_SCORE_WHOLE && !insist))) {
		ret->reason = join_reasons(f, n, ret);
		kv_rules_run(f, &ret->findings);
		return;
	}
	t.after = t.after ? t.after : f;
	if (!n)
		kv_trial_cudart(&t);
	ret->reason = kv_root_denied(f->root)->n
			      ? kv_strf(f->arena, "%s could not be read: run it as a user who can",
					kv_root_denied(f->root)->v[0])
			      : kv_obstacle(t.after);
	if (!ret->reason) {
		patch_defaults(&t);
		mounted = mounted_path(f, &t.ops);
		if (mounted)
			ret->reason = kv_strf(
				f->arena,
				"%s lies in a mount: repair the directory that is mounted there",
				mounted);
	}
	if (!ret->reason) {
		ret->ops = t.ops;
		ret->fabric = t.fabric;
		ret->after = kv_facts_with(f, &ret->ops);
	}
	kv_rules_run(ret->after, &ret->findings);
}

void kv_plan_close(struct kv_plan *p)
{
	for (size_t i = 0; i < p->ops.n; i++)
		if (p->ops.v[i].source_fd >= 0)
			close(p->ops.v[i].source_fd);
	p->ops.n = 0;
}
