/* kvpath check: examines a target and reports. Executes nothing of it, changes nothing. */
#include "base/newfile.h"
#include "cmd/cmd.h"
#include "inspect/record.h"
#include "report/sarif.h"

static int status_of(const struct kv_opts *o, const struct kv_findings *fi)
{
	if (fi->verdict == KV_OFF_FABRIC)
		return KV_STATUS_OFF;
	if (fi->verdict == KV_VERDICT_UNKNOWN)
		return KV_STATUS_UNKNOWN;
	for (size_t i = 0; o->strict && i < fi->list.n; i++)
		if (fi->list.v[i].severity == KV_WARNING)
			return KV_STATUS_OFF;
	return KV_STATUS_OK;
}

/* Before any work is done: a recording needs a place of its own. */
static int may_record(const struct kv_opts *o)
{
	struct kv_err err = { 0 };

	if (o->record && o->force && kv_newfile_check(o->record, &err) < 0)
		return kv_fail(KV_STATUS_USAGE, "--record %s", err.msg);
	if (o->record && !o->force && access(o->record, F_OK) == 0)
		return kv_fail(KV_STATUS_USAGE, "--record %s: File exists (--force replaces it)",
			       o->record);
	return KV_STATUS_OK;
}

static int record(const struct kv_opts *o, const struct kv_target *t, const struct kv_facts *f,
		  const struct kv_findings *findings)
{
	json_t *doc = kv_json_check(f, findings);
	_free_ char *report = json_dumps(doc, JSON_INDENT(2));
	_buf_ struct kv_buf tar = { 0 };
	struct kv_err err = { 0 };

	json_decref(doc);
	kv_record_make(&(struct kv_record){ .facts = f,
					    .sysroot = t->sysroot,
					    .notes = t->notes,
					    .sources = &t->sources,
					    .image = t->image,
					    .cpu_level = t->cpu_level,
					    .report = kv_strf(o->arena, "%s\n", report) },
		       &tar);
	if (kv_record_save(o->record, &tar, o->force, &err) < 0)
		return kv_fail(KV_STATUS_UNKNOWN, "--record: %s", err.msg);
	return KV_STATUS_OK;
}

static int run(struct kv_opts *o)
{
	_last_target_ struct kv_target t = { 0 };
	json_auto_t *doc = NULL;
	struct kv_findings findings;
	struct kv_facts *f;
	int r;

	r = kv_target_open_arg(o, &t);
	if (r == KV_STATUS_OK)
		r = may_record(o);
	if (r != KV_STATUS_OK)
		return r;
	f = kv_target_facts(&t);
	kv_rules_run(f, &findings);
	/* It may ask the target once more, and so may who replays a recording. */
	if (o->sarif || o->record)
		doc = kv_sarif_check(f, &findings, o->sysroot, status_of(o, &findings));
	r = kv_target_intact(&t);
	if (r == KV_STATUS_OK && o->record)
		r = record(o, &t, f, &findings);
	if (r != KV_STATUS_OK)
		return r;
	if (o->json)
		r = kv_print_json(kv_json_check(f, &findings));
	else if (o->sarif)
		r = kv_print_json(json_incref(doc));
	else
		kv_text_check(stdout, f, &findings, o->style);
	return r == KV_STATUS_OK ? status_of(o, &findings) : r;
}

const struct kv_command kv_cmd_check = {
	.name = "check",
	.usage = "[OPTIONS] [TARGET]",
	.summary = "say whether KV transfers of this target take the fabric, and if not, why",
	.options = "mount fabric env backend mem image sysroot record force strict json sarif "
		   "quiet color",
	.help = "Needs no root, executes nothing of the target, changes nothing. The verdict is "
		"`ready` where nothing\n"
		"in the target keeps KV transfers off the fabric, `off-fabric` with the findings "
		"that do, or `unknown`.\n"
		"kvpath explain ID tells more about a finding.",
	.examples = "This machine\n"
		    "kvpath check\n"
		    "An image as enroot has it, with what a job will mount\n"
		    "kvpath check --mount /opt/amazon/efa:/opt/amazon/efa container.sqsh\n"
		    "For a script\n"
		    "kvpath check --json --strict ./container",
	.run = run,
};
