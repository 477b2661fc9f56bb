/* kvpath fix: plans the repair on the model, then carries it out with a journal. */
#include "cmd/cmd.h"
#include "launch/launch.h"
#include "repair/journal.h"
#include "repair/planner.h"

static void print_text(const struct kv_opts *o, const struct kv_plan *p, const char *done)
{
	if (p->reason) {
		kv_plan_print_reason(o, p);
		return;
	}
	if (!o->quiet)
		kv_plan_print_ops(o, p);
	if (kv_streq(done, "nothing"))
		printf("nothing to do: ");
	else if (kv_streq(done, "planned"))
		printf("%zu operations planned, nothing changed; afterwards: ", p->ops.n);
	else
		printf("%zu operations done (kvpath undo takes them back); now: ", p->ops.n);
	printf("%s\n", kv_verdict_name[p->findings.verdict]);
	kv_plan_print_left(o, p);
}

static int report(const struct kv_opts *o, const struct kv_target *t, const struct kv_plan *p,
		  const char *done)
{
	int r = KV_STATUS_OK;

	if (o->json)
		r = kv_print_json(kv_plan_json(o, t, p, "kvpath.fix/1", done));
	else
		print_text(o, p, done);
	return r != KV_STATUS_OK ? r : (int)kv_plan_status(o, p);
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
