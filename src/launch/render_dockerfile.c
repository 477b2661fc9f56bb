/* render --for dockerfile: the repair as a step of an image's build. */
#include "launch/render.h"

static int print(FILE *out, const struct kv_render *r)
{
	fprintf(out,
		"# Written by kvpath " KVPATH_VERSION
		". In the build context: kvpath (this program) and efa\n"
		"# (a copy of the EFA installer's directory, /opt/amazon/efa). Both are used and "
		"left out of the image.\n"
		"RUN --mount=type=bind,source=kvpath,target=/tmp/kvpath \\\n"
		"    --mount=type=bind,source=efa,target=/tmp/efa \\\n"
		"    /tmp/kvpath fix --image %s --fabric /tmp/efa /\n",
		kv_shell_words(r->arena, &r->before_job));
	return 0;
}

const struct kv_writer kv_writer_dockerfile = {
	.name = "dockerfile",
	.summary = "a step of an image's build",
	.needs = KV_NEEDS_NOTHING,
	.print = print,
};
