/* kvpath fix: plans the repair on the model, then carries it out with a journal. */
#include "cmd/cmd.h"
#include "launch/launch.h"
#include "repair/journal.h"
#include "repair/planner.h"

static const char *const verbs[_KV_OP_COUNT] = {
	[KV_OP_MKDIR] = "mkdir",
	[KV_OP_FILE] = "write",
	[KV_OP_SYMLINK] = "link",
	[KV_OP_REMOVE] = "remove",
};

static void print_plan(const struct kv_opts *o, const struct kv_plan *p)
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

static int print_json(const struct kv_opts *o, const struct kv_target *t, const struct kv_plan *p,
		      const char *done)
{
	json_t *refused = json_array(), *left = json_array();

	for (size_t i = 0; i < p->refused.n; i++)
		json_array_append_new(refused,
				      json_string(kv_printable(o->arena, p->refused.v[i])));
	for (size_t i = 0; i < p->findings.list.n; i++)
		if (p->findings.list.v[i].severity == KV_ERROR)
			json_array_append_new(left, json_string(p->findings.list.v[i].id));
	return kv_print_json(
		json_pack("{s:s, s:s, s:s, s:s, s:o, s:s*, s:o, s:o}", "schema", "kvpath.fix/1",
			  "target", kv_printable(o->arena, t->path), "done", done, "verdict",
			  kv_verdict_name[p->findings.verdict], "operations", ops_json(o, p),
			  "reason", p->reason ? kv_printable(o->arena, p->reason) : NULL, "refused",
			  refused, "findings_left", left));
}

static void print_text(const struct kv_opts *o, const struct kv_plan *p, const char *done)
{
	if (p->reason) {
		printf("no repair: %s\n", kv_printable(o->arena, p->reason));
		for (size_t i = 0; i < p->refused.n; i++)
			printf("  refused %s\n", kv_printable(o->arena, p->refused.v[i]));
		return;
	}
	if (!o->quiet)
		print_plan(o, p);
	if (kv_streq(done, "nothing"))
		printf("nothing to do: ");
	else if (kv_streq(done, "planned"))
		printf("%zu operations planned, nothing changed; afterwards: ", p->ops.n);
	else
		printf("%zu operations done (kvpath undo takes them back); now: ", p->ops.n);
	printf("%s\n", kv_verdict_name[p->findings.verdict]);
	for (size_t i = 0; i < p->findings.list.n; i++)
		if (p->findings.list.v[i].severity == KV_ERROR)
			kv_text_finding(stdout, o->arena, &p->findings.list.v[i], o->style);
}

static int report(const struct kv_opts *o, const struct kv_target *t, const struct kv_plan *p,
		  const char *done)
{
	int r = KV_STATUS_OK;

	if (o->json)
		r = print_json(o, t, p, done);
	else
		print_text(o, p, done);
	if (r != KV_STATUS_OK)
		return r;
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

static int carry_out(const struct kv_opts *o, const struct kv_target *t, struct kv_plan *p)
{
	struct kv_err err = { 0 };

	if (!p->ops.n || p->reason)
		return report(o, t, p, "nothing");
	if (o->dry_run)
		return report(o, t, p, "planned");
	if (kv_journal_apply(kv_root_fd(t->root), &p->ops, &err) < 0)
		return kv_fail(KV_STATUS_UNKNOWN, "%s", err.msg);
	return report(o, t, p, "changed");
}

static int run(struct kv_opts *o)
{
	_target_ struct kv_target t = { 0 };
	struct kv_err err = { 0 };
	struct kv_plan plan;
	struct kv_facts *f;
	bool pending = false, recovered = false;
	int r;

	r = kv_target_open_arg(o, &t);
	if (r == KV_STATUS_OK && !o->dry_run && !kv_streq(o->how, "env"))
		r = kv_target_needs_dir(&t, "fix");
	if (r != KV_STATUS_OK)
		return r;
	/* What an interrupted run left is taken back first: facts are read from a whole tree. */
	if (!o->dry_run && kv_root_is_dir(t.root, KV_STATE_DIR) &&
	    kv_journal_pending(kv_root_fd(t.root), &pending, NULL) == 0 && pending &&
	    kv_journal_recover(kv_root_fd(t.root), &recovered, &err) < 0)
		return kv_fail(KV_STATUS_UNKNOWN, "%s", err.msg);
	if (recovered)
		fprintf(stderr, "kvpath: an interrupted repair was rolled back first\n");
	f = kv_target_facts(o, &t);
	r = kv_target_intact(&t);
	if (r != KV_STATUS_OK)
		return r;
	if (kv_streq(o->how, "env"))
		return kv_env_print(stdout, f);
	kv_plan_make(f, o->fabrics.n > 0, &plan);
	r = kv_target_intact(&t);
	if (r == KV_STATUS_OK)
		r = carry_out(o, &t, &plan);
	kv_plan_close(&plan);
	return r;
}

const struct kv_command kv_cmd_fix = {
	.name = "fix",
	.usage = "[OPTIONS] [TARGET]",
	.summary = "repair the target, verified on the model before anything is written, with a "
		   "journal for undo",
	.options = "mount fabric env backend mem image how dry-run json quiet color",
	.help = "The least that helps is done: a link beside libnixl.so to a private "
		"directory " KV_FABRIC_DIR " with a\n"
		"libfabric that this target can load, and NIXL's default backend. Where nothing "
		"that was offered serves,\n"
		"nothing is changed and the status is 1. --how env writes nothing and prints what "
		"the job would export.",
	.run = run,
};
