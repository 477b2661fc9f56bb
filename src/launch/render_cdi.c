/*
 * render --for cdi: a specification of the Container Device Interface (version 0.5.0, which podman
 * 4.3, docker 25 and containerd 1.7 read). An engine that is asked for its device mounts the
 * borrowed files one by one, passes the EFA devices on, and calls `kvpath hook` for what has to be
 * made inside.
 */
#include <jansson.h>

#include "launch/render.h"

static void add_strings(json_t *arr, const kv_strv *list)
{
	for (size_t i = 0; i < list->n; i++)
		json_array_append_new(arr, json_string(list->v[i]));
}

static json_t *env_of(const struct kv_render *r)
{
	json_t *arr = json_array();

	add_strings(arr, &r->bring.env.pairs);
	return arr;
}

static json_t *nodes_of(const struct kv_render *r)
{
	json_t *arr = json_array();

	for (size_t i = 0; i < r->bring.devices.n; i++)
		json_array_append_new(arr, json_pack("{s:s, s:s}", "path", r->bring.devices.v[i],
						     "permissions", "rw"));
	return arr;
}

static json_t *mounts_of(const struct kv_render *r)
{
	json_t *arr = json_array();

	for (size_t i = 0; i < r->bring.files.n; i++)
		json_array_append_new(arr, json_pack("{s:s, s:s, s:[s, s, s, s, s]}", "hostPath",
						     r->bring.files.v[i].host, "containerPath",
						     r->bring.files.v[i].guest, "options", "ro",
						     "nosuid", "nodev", "rbind", "rprivate"));
	return arr;
}

static json_t *hooks_of(const struct kv_render *r)
{
	json_t *args = json_pack("[s, s]", "kvpath", "hook");

	add_strings(args, &r->before_job);
	return json_pack("[{s:s, s:s, s:o}]", "hookName", "createContainer", "path", r->program,
			 "args", args);
}

/* An empty list is left out: some readers of the format refuse it. */
static void put_list(json_t *edits, const char *name, json_t *list)
{
	if (json_array_size(list))
		json_object_set(edits, name, list);
	json_decref(list);
}

static int print(FILE *out, const struct kv_render *r)
{
	json_t *edits = json_object(), *doc;
	_free_ char *text = NULL;

	put_list(edits, "env", env_of(r));
	put_list(edits, "deviceNodes", nodes_of(r));
	put_list(edits, "mounts", mounts_of(r));
	put_list(edits, "hooks", hooks_of(r));
	doc = json_pack("{s:s, s:s, s:[{s:s, s:o}]}", "cdiVersion", "0.5.0", "kind",
			"kvpath.dev/fabric", "devices", "name", "all", "containerEdits", edits);
	text = doc ? json_dumps(doc, JSON_INDENT(2)) : NULL;
	json_decref(doc);
	if (!text) {
		fputs("kvpath: a path that is no UTF-8 can not be written as CDI\n", stderr);
		return 1;
	}
	fprintf(out, "%s\n", text);
	return 0;
}

const struct kv_writer kv_writer_cdi = {
	.name = "cdi",
	.summary = "a CDI specification: /etc/cdi/kvpath.json, then --device kvpath.dev/fabric=all",
	.needs = KV_NEEDS_BRING,
	.print = print,
};
