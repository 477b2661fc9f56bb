/* What commands print of a plan, and what it makes of their status. */
#include "cmd/cmd.h"
#include "repair/planner.h"

static const char *const verbs[_KV_OP_COUNT] = {
	[KV_OP_MKDIR] = "mkdir",
	[KV_OP_FILE] = "write",
	[KV_OP_SYMLINK] = "link",
	[KV_OP_REMOVE] = "remove",
};

void kv_plan_print_ops(const struct kv_opts *o, const struct kv_plan *p)
{
	for (size_t i = 0; i < p->ops.n; i++) {
		const struct kv_op *op = &p->ops.v[i];

		printf("  %-7s %s%s%s\n          %s\n", verbs[op->kind],
		       kv_printable(o->arena, op->path), op->kind == KV_OP_SYMLINK ? " -> " : "",
		       op->kind == KV_OP_SYMLINK ? kv_printable(o->arena, op->link) : "", op->why);
	}
}

static json_t *ops_json(const struct kv_opts *o, const struct kv_plan *p)
{
	json_t *arr = json_array();

	for (size_t i = 0; i < p->ops.n; i++) {
		const struct kv_op *op = &p->ops.v[i];

		json_array_append_new(arr,
				      json_pack("{s:s, s:s, s:s*, s:s}", "do", verbs[op->kind],
						"path", kv_printable(o->arena, op->path), "link",
						op->link ? kv_printable(o->arena, op->link) : NULL,
						"why", kv_printable(o->arena, op->why)));
	}
	return arr;
}

json_t *kv_plan_json(const struct kv_opts *o, const struct kv_target *t, const struct kv_plan *p,
		     const char *schema, const char *done)
{
	json_t *refused = json_array(), *left = json_array();

	for (size_t i = 0; i < p->refused.n; i++)
		json_array_append_new(refused,
				      json_string(kv_printable(o->arena, p->refused.v[i])));
	for (size_t i = 0; i < p->findings.list.n; i++)
		if (p->findings.list.v[i].severity == KV_ERROR)
			json_array_append_new(left, json_string(p->findings.list.v[i].id));
	return json_pack("{s:s, s:s, s:s, s:s, s:o, s:s*, s:o, s:o}", "schema", schema, "target",
			 kv_printable(o->arena, t->path), "done", done, "verdict",
			 kv_verdict_name[p->findings.verdict], "operations", ops_json(o, p),
			 "reason", p->reason ? kv_printable(o->arena, p->reason) : NULL, "refused",
			 refused, "findings_left", left);
}

void kv_plan_print_reason(const struct kv_opts *o, const struct kv_plan *p)
{
	printf("no repair: %s\n", kv_printable(o->arena, p->reason));
	for (size_t i = 0; i < p->refused.n; i++)
		printf("  refused %s\n", kv_printable(o->arena, p->refused.v[i]));
}

void kv_plan_print_left(const struct kv_opts *o, const struct kv_plan *p)
{
	for (size_t i = 0; i < p->findings.list.n; i++) {
		const struct kv_finding *fi = &p->findings.list.v[i];

		/* What is no error of the target is for people to know, not for scripts. */
		if (fi->severity == KV_ERROR || (!o->quiet && !fi->of_host))
			kv_text_finding(stdout, o->arena, fi, o->style);
	}
}

enum kv_status kv_plan_status(const struct kv_opts *o, const struct kv_plan *p)
{
	if (p->reason)
		return KV_STATUS_OFF;
	/* A source that was insisted on is done as asked, also where it leaves a finding for people
	 * to weigh. */
	if (o->fabrics.n && p->fabric)
		return KV_STATUS_OK;
	for (size_t i = 0; i < p->findings.list.n; i++)
		if (p->findings.list.v[i].severity == KV_ERROR && !p->findings.list.v[i].of_host)
			return KV_STATUS_OFF;
	return p->findings.verdict == KV_VERDICT_UNKNOWN ? KV_STATUS_UNKNOWN : KV_STATUS_OK;
}
