/*
 * render --for oci-hook: a file for a hooks.d directory (oci-hooks(5), schema 1.0.0), read by
 * podman and CRI-O. It repairs each container that carries the annotation, before its first
 * process.
 */
#include <jansson.h>

#include "launch/render.h"

static int print(FILE *out, const struct kv_render *r)
{
	json_t *args = json_pack("[s, s]", "kvpath", "hook");
	json_t *doc;
	_free_ char *text = NULL;

	for (size_t i = 0; i < r->before_job.n; i++)
		json_array_append_new(args, json_string(r->before_job.v[i]));
	for (size_t i = 0; i < r->fabrics->n; i++) {
		json_array_append_new(args, json_string("--fabric"));
		json_array_append_new(args, json_string(r->fabrics->v[i]));
	}
	doc = json_pack("{s:s, s:{s:s, s:o}, s:{s:{s:s}}, s:[s]}", "version", "1.0.0", "hook",
			"path", r->program, "args", args, "when", "annotations",
			"^kvpath\\.dev/fix$", "^true$", "stages", "createContainer");
	text = doc ? json_dumps(doc, JSON_INDENT(2)) : NULL;
	json_decref(doc);
	if (!text) {
		fputs("kvpath: a path that is no UTF-8 can not be written as JSON\n", stderr);
		return 1;
	}
	fprintf(out, "%s\n", text);
	return 0;
}

const struct kv_writer kv_writer_oci_hook = {
	.name = "oci-hook",
	.summary = "a file for hooks.d of podman and CRI-O; annotation kvpath.dev/fix=true asks "
		   "for it",
	.needs = KV_NEEDS_NOTHING,
	.print = print,
};
