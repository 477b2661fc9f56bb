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
	int r = KV_STATUS_OK, status = (int)kv_plan_status(o, p);

	if (o->json)
		r = kv_print_json(kv_plan_json(o, t, p, "kvpath.fix/1", done));
	else
		print_text(o, p, done);
	if (status == KV_STATUS_UNKNOWN && o->starts_untold) {
		fprintf(stderr,
			"kvpath: whether NIXL gets on the fabric in %s can not be told: it "
			"starts as it is now\n",
			kv_printable(o->arena, t->path));
		status = KV_STATUS_OK;
	}
	return r != KV_STATUS_OK ? r : status;
}

/* So often may other tasks of a job be quicker. */
#define MAX_TRIES 100

/* -EAGAIN where another kvpath has changed the target since the plan was made. */
static int carry_out(const struct kv_opts *o, const struct kv_target *t, struct kv_plan *p,
		     const char *stamp)
{
	struct kv_err err = { 0 };
	int r;

	if (!p->ops.n || p->reason)
		return report(o, t, p, "nothing");
	if (o->dry_run)
		return report(o, t, p, "planned");
	r = kv_journal_apply(kv_root_fd(t->root), &p->ops, stamp, &err);
	if (r == -EAGAIN)
		return r;
	if (r < 0)
		return kv_fail(KV_STATUS_UNKNOWN, "%s", err.msg);
	return report(o, t, p, "changed");
}

/* What an interrupted run left is taken back first: facts are read from a whole tree. */
static int recover(const struct kv_target *t)
{
	struct kv_err err = { 0 };
	bool recovered = false;

	if (kv_journal_recover(kv_root_fd(t->root), &recovered, &err) < 0)
		return kv_fail(KV_STATUS_UNKNOWN, "%s", err.msg);
	if (recovered)
		fprintf(stderr, "kvpath: an interrupted repair was rolled back first\n");
	return -EAGAIN;
}

static int plan(struct kv_opts *o, struct kv_target *t, struct kv_journal_view *view, bool starting)
{
	struct kv_facts *f = kv_target_facts(t);
	struct kv_plan p;
	int r = kv_target_intact(t);

	if (r != KV_STATUS_OK || (starting && !f->nixls.n))
		return r;
	if (kv_streq(o->how, "env")) {
		r = kv_env_print(stdout, f);
		if (r == KV_STATUS_OK)
			kv_tell_variables(f);
		return r;
	}
	kv_plan_make(f, o->fabrics.n > 0, &p);
	r = kv_target_intact(t);
	kv_journal_look_close(view);
	if (r == KV_STATUS_OK)
		r = carry_out(o, t, &p, *view->stamp ? view->stamp : NULL);
	kv_plan_close(&p);
	return r;
}

/* One try, on the target as it is now. -EAGAIN where it has changed. */
static int try(struct kv_opts *o, bool starting)
{
	_target_ struct kv_target t = { 0 };
	struct kv_journal_view view = { .fd = -EBADF };
	bool changes = !o->dry_run && !kv_streq(o->how, "env");
	struct kv_err err = { 0 };
	int r = kv_target_open_arg(o, &t);

	if (r == KV_STATUS_OK && changes)
		r = kv_target_needs_dir(&t, "fix");
	if (r == KV_STATUS_OK && starting && kv_root_is_live(t.root))
		r = kv_fail(KV_STATUS_USAGE, "%s: %s is this machine's own root", o->command->name,
			    t.path);
	if (r != KV_STATUS_OK)
		return r;
	if (changes) {
		r = kv_journal_look(kv_root_fd(t.root), &view, &err);
		/* The journal of another user's repair is private; there may be nothing to do. */
		if (r < 0 && r != -EACCES)
			return kv_fail(KV_STATUS_UNKNOWN, "%s", err.msg);
		if (view.pending) {
			kv_journal_look_close(&view);
			return recover(&t);
		}
	}
	r = plan(o, &t, &view, starting);
	kv_journal_look_close(&view);
	return r;
}

static void say_waiting(const char *who)
{
	struct kv_arena *a = kv_arena_new();

	fprintf(stderr, "kvpath: waiting for %s, which works on this target\n",
		kv_printable(a, who));
	kv_arena_free(a);
}

int kv_fix(struct kv_opts *o, bool starting)
{
	int r = -EAGAIN;

	kv_journal_waits = say_waiting;
	for (unsigned i = 0; r == -EAGAIN && i < MAX_TRIES; i++)
		r = try(o, starting);
	if (r == -EAGAIN)
		return kv_fail(KV_STATUS_UNKNOWN, "other processes keep changing this target: try "
						  "again when they have ended");
	return r;
}

static int run(struct kv_opts *o)
{
	if (o->json && kv_streq(o->how, "env"))
		return kv_fail(KV_STATUS_USAGE, "fix: --how env prints what a shell takes, and no "
						"JSON: leave --json away");
	return kv_fix(o, false);
}

const struct kv_command kv_cmd_fix = {
	.name = "fix",
	.usage = "[OPTIONS] [TARGET]",
	.summary = "repair the target, verified on the model before anything is written, with a "
		   "journal for undo",
	.options = "mount fabric env backend mem image how dry-run json quiet color",
	.help = "The least that helps is done: a link beside libnixl.so to a private "
		"directory " KV_FABRIC_DIR " with a\n"
		"libfabric that this target can load, with what it lacks of rdma-core from the "
		"same host, and\n"
		"NIXL's default backend. Where nothing that was offered serves, nothing is changed "
		"and the status is\n"
		"1. --how env writes nothing and prints what the job would export.\n"
		"Nothing of the target is executed. Of several at the same time one works; the "
		"others wait, 30 s at most, and\n"
		"find it done.",
	.rights = KV_RIGHTS_CHANGE,
	.examples = "Show what would be done\n"
		    "kvpath fix --dry-run ./container\n"
		    "Repair with the libfabric of this host\n"
		    "kvpath fix --fabric /opt/amazon/efa ./container",
	.run = run,
};
