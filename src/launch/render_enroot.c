/*
 * render --for enroot: a hook for enroot's hooks.d (and so for pyxis). enroot runs it before the
 * container's root becomes final and read-only, with ENROOT_ROOTFS and ENROOT_ENVIRON set; what a
 * job mounts by --container-mounts is not there yet, which is why the repair takes the host's
 * directory. A container without NIXL is left alone, and a repair that fails does not keep a job
 * from starting unless KVPATH_ON_FAILURE=fail: then nothing is set either, as a slow job must not
 * become a failing one.
 */
#include "launch/render.h"

static int print(FILE *out, const struct kv_render *r)
{
	struct kv_env env = { 0 };

	kv_env_knobs(r->arena, r->backend, &env);
	fputs("#!/usr/bin/env bash\n"
	      "# Written by kvpath " KVPATH_VERSION
	      ". Install as /etc/enroot/hooks.d/50-kvpath.sh, mode 755.\n"
	      "# KVPATH_FIX=off in a job's environment leaves its containers alone;\n"
	      "# KVPATH_ON_FAILURE=fail keeps a job from starting where no repair is possible.\n"
	      "set -euo pipefail\n"
	      "[ \"${KVPATH_FIX:-on}\" != off ] || exit 0\n",
	      out);
	fprintf(out, "kvpath=(\"${KVPATH:-%s}\" hook %s)\n", r->program,
		kv_shell_words(r->arena, &r->before_job));
	for (size_t i = 0; i < r->fabrics->n; i++) {
		const char *dir = kv_shell_word(r->arena, r->fabrics->v[i]);

		fprintf(out, "[ ! -d %s ] || kvpath+=(--fabric %s)\n", dir, dir);
	}
	fputs("if ! \"${kvpath[@]}\" \"${ENROOT_ROOTFS:?}\" >&2; then\n"
	      "\t[ \"${KVPATH_ON_FAILURE:-warn}\" != fail ] || exit 1\n"
	      "\techo 'kvpath: the container starts as it is' >&2\n"
	      "\texit 0\n"
	      "fi\n"
	      "cat >>\"${ENROOT_ENVIRON:?}\" <<'END'\n",
	      out);
	for (size_t i = 0; i < env.pairs.n; i++)
		fprintf(out, "%s\n", env.pairs.v[i]);
	fputs("END\n", out);
	return 0;
}

const struct kv_writer kv_writer_enroot = {
	.name = "enroot",
	.summary = "a hook for enroot's hooks.d: pyxis jobs need no change",
	.needs = KV_NEEDS_NOTHING,
	.print = print,
};
