/*
 * render --for preamble: the bash text that sites put in front of their workers. Its first line and
 * its step lines keep the look of the preamble that people know; what it does it does through
 * kvpath, and it fails the job's start where a step fails.
 */
#include "launch/render.h"

static const char head[] =
	"# Written by kvpath " KVPATH_VERSION
	". Source it, or paste it, before the worker's command.\n"
	"# KVPATH names the kvpath program, KVPATH_FABRIC the directory of the EFA installer's "
	"libfabric.\n"
	"kvpath_preamble() {\n"
	"\tlocal kvpath=${KVPATH:-kvpath} fabric=${KVPATH_FABRIC:-/opt/amazon/efa} step=0 out rc\n"
	"\tlocal -a source=()\n"
	"\t[ -d \"$fabric\" ] && source=(--fabric \"$fabric\")\n"
	"\techo '[bash_preamble] ===== NIXL LIBFABRIC Container Fix ====='\n"
	"\tkvpath_step() {\n"
	"\t\tlocal what=$1\n"
	"\t\tshift\n"
	"\t\tstep=$((step + 1))\n"
	"\t\tout=$(\"$@\" 2>&1) && rc=0 || rc=$?\n"
	"\t\tif [ \"$rc\" -eq 0 ]; then\n"
	"\t\t\techo \"[bash_preamble] Step $step: $what ✓\"\n"
	"\t\t\treturn 0\n"
	"\t\tfi\n"
	"\t\techo \"[bash_preamble] Step $step: $what ✗ (status $rc)\"\n"
	"\t\tprintf '%s\\n' \"$out\" | sed 's/^/[bash_preamble]   /'\n"
	"\t\treturn 1\n"
	"\t}\n"
	"\tkvpath_step 'kvpath is here' command -v \"$kvpath\" || return 1\n";

static const char tail[] = "\techo '[bash_preamble] ===== done ====='\n"
			   "}\n"
			   "kvpath_preamble || exit 1\n";

static int print(FILE *out, const struct kv_render *r)
{
	const char *options = kv_shell_words(r->arena, &r->options);
	struct kv_env env = { 0 };

	kv_env_knobs(r->arena, r->backend, &env);
	fputs(head, out);
	fprintf(out,
		"\tkvpath_step 'libfabric linked for NIXL, default backend %s' \"$kvpath\" fix "
		"--image %s \"${source[@]}\" / || return 1\n",
		r->backend, options);
	fprintf(out,
		"\tkvpath_step 'plugin %s loads, nothing keeps it off the fabric' \"$kvpath\" "
		"check "
		"--image %s / || return 1\n",
		r->backend, options);
	fprintf(out, "\texport %s\n", kv_shell_words(r->arena, &env.pairs));
	fputs(tail, out);
	return 0;
}

const struct kv_writer kv_writer_preamble = {
	.name = "preamble",
	.summary = "bash for the start of a job's tasks; fails the start where a step fails",
	.needs = KV_NEEDS_NOTHING,
	.print = print,
};
