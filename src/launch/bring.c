/*
 * A plan turned into what is brought from outside: where it would link the plugin's libfabric to a
 * copy of a host's file, that file itself is mounted there. A bind mount has no name of its own, so
 * that $ORIGIN is the directory of the mount, as it is that of a link.
 */
#include <limits.h>

#include "launch/bring.h"
#include "repair/planner.h"
#include "repair/trial.h"

#define MAX_LINKS 8

static const struct kv_op *op_at(const kv_ops *ops, const char *path)
{
	for (size_t i = 0; i < ops->n; i++)
		if (kv_streq(ops->v[i].path, path))
			return &ops->v[i];
	return NULL;
}

/* The host's file to which a planned link leads through other planned links; NULL. */
static const char *source_of(const struct kv_facts *f, const kv_ops *ops, const struct kv_op *op)
{
	for (unsigned i = 0; op && i < MAX_LINKS; i++) {
		if (op->kind == KV_OP_FILE)
			return op->source;
		if (op->kind != KV_OP_SYMLINK)
			return NULL;
		op = op_at(ops,
			   op->link[0] == '/'
				   ? op->link
				   : kv_join(f->arena, kv_dirname(f->arena, op->path), op->link));
	}
	return NULL;
}

static bool is_private(const char *path)
{
	return kv_starts(path, KV_FABRIC_DIR "/") || kv_streq(path, KV_FABRIC_DIR);
}

/* A mount covers what a link in its place leads to. */
static const char *mount_point(const struct kv_facts *f, const char *path)
{
	const char *real;

	return kv_root_real(f->root, path, 0, &real) == 0 ? real : path;
}

static void take_op(const struct kv_facts *f, const kv_ops *ops, const struct kv_op *op,
		    struct kv_bring *ret)
{
	char real[PATH_MAX];
	const char *source;

	if (op->kind == KV_OP_MKDIR || is_private(op->path))
		return;
	source = op->kind == KV_OP_SYMLINK ? source_of(f, ops, op) : NULL;
	if (source && realpath(source, real))
		kv_vec_push(f->arena, &ret->files,
			    ((struct kv_bring_file){ kv_strdup(f->arena, real),
						     mount_point(f, op->path) }));
	else
		kv_vec_push(f->arena, &ret->left, kv_strdup(f->arena, op->path));
}

/* Whether every NIXL that is used loads its plugin, with an efa provider where the plan has one. */
static const char *why_not(const struct kv_facts *planned, const struct kv_facts *f)
{
	for (size_t i = 0; i < f->nixls.n; i++) {
		const struct kv_nixl *n = &f->nixls.v[i], *p = kv_same_nixl(planned, n);

		if (!n->active)
			continue;
		if (!n->wanted || n->wanted->load.loads != KV_LOADS_YES)
			return n->wanted && n->wanted->load.error ? n->wanted->load.error
								  : "the plugin does not load";
		if (p && p->stack.efa && !n->stack.efa)
			return "with single files mounted, its efa provider is not found";
	}
	return NULL;
}

static const char *verify(const struct kv_facts *f, const struct kv_facts *planned,
			  const struct kv_bring *b)
{
	size_t depth = kv_root_depth(f->root);
	struct kv_err err = { 0 };
	const char *reason = NULL;

	for (size_t i = 0; !reason && i < b->files.n; i++)
		if (kv_root_bind(f->root, b->files.v[i].host, b->files.v[i].guest, &err) < 0)
			reason = kv_strdup(f->arena, err.msg);
	if (!reason)
		reason = why_not(planned, kv_facts_again(f));
	kv_root_pop(f->root, depth);
	kv_loader_refresh(f->loader);
	return reason;
}

static void take_devices(const struct kv_facts *f, const struct kv_host *h, struct kv_bring *ret)
{
	for (size_t i = 0; h && i < h->verbs.n; i++)
		if (kv_verbs_is_efa(&h->verbs.v[i]) && kv_verbs_usable(&h->verbs.v[i]))
			kv_vec_push(f->arena, &ret->devices,
				    kv_strdup(f->arena, h->verbs.v[i].node));
}

void kv_bring_make(const struct kv_facts *f, const struct kv_host *host, bool insist,
		   struct kv_bring *ret)
{
	struct kv_plan plan;

	*ret = (struct kv_bring){ 0 };
	kv_plan_make(f, insist, &plan);
	ret->reason = plan.reason;
	for (size_t i = 0; !plan.reason && i < plan.ops.n; i++)
		take_op(f, &plan.ops, &plan.ops.v[i], ret);
	if (!ret->reason)
		ret->reason = verify(f, plan.after, ret);
	kv_plan_close(&plan);
	kv_env_knobs(f->arena, f->backend, &ret->env);
	take_devices(f, host, ret);
}
