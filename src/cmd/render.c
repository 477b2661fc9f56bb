/* kvpath render: writes the repair in the dialect that is asked for. */
#include "cmd/cmd.h"
#include "launch/launch.h"

static int run(struct kv_opts *o)
{
	_target_ struct kv_target t = { 0 };
	struct kv_facts *f;
	int r;

	if (!o->render_for)
		return kv_fail(KV_STATUS_USAGE, "render: --for preamble or --for env is expected");
	if (kv_streq(o->render_for, "preamble")) {
		kv_preamble_print(stdout, o->backend);
		return KV_STATUS_OK;
	}
	if (!kv_streq(o->render_for, "env"))
		return kv_fail(KV_STATUS_USAGE, "render: --for %s: preamble or env is expected",
			       o->render_for);
	r = kv_target_open_arg(o, &t);
	if (r != KV_STATUS_OK)
		return r;
	f = kv_target_facts(o, &t);
	r = kv_target_intact(&t);
	return r == KV_STATUS_OK ? kv_env_print(stdout, f) : r;
}

const struct kv_command kv_cmd_render = {
	.name = "render",
	.usage = "--for DIALECT [OPTIONS] [TARGET]",
	.summary = "write the repair as a launcher's text",
	.options = "for mount fabric env backend mem",
	.help = "preamble is a bash text for the start of a job's tasks; it fails the start where "
		"a step fails.\n"
		"env is the list of variables that a job exports.",
	.run = run,
};
