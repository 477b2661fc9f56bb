/* JSON documents: each has a schema with a version; fields are added, never renamed. */
#include "report/places.h"
#include "report/report.h"

/* A target's string as JSON: control bytes and invalid UTF-8 escaped. NULL becomes null. */
static json_t *text(struct kv_arena *a, const char *s)
{
	return s ? json_string(kv_printable(a, s)) : json_null();
}

static json_t *texts(struct kv_arena *a, const kv_strv *list)
{
	json_t *arr = json_array();

	for (size_t i = 0; i < list->n; i++)
		json_array_append_new(arr, text(a, list->v[i]));
	return arr;
}

/* The needs of a plugin by library: "libfabric.so.1": ["FABRIC_1.0", ...]. */
static json_t *needs_of(struct kv_arena *a, const struct kv_elf *e)
{
	json_t *o = json_object();

	for (size_t i = 0; e && i < e->needed.n; i++) {
		kv_strv versions = { 0 };

		kv_elf_versions_of(a, e, e->needed.v[i], &versions);
		json_object_set_new(o, kv_printable(a, e->needed.v[i]), texts(a, &versions));
	}
	return o;
}

static json_t *plugin_json(struct kv_arena *a, const struct kv_plugin *p)
{
	return json_pack("{s:o, s:o, s:s, s:o, s:o}", "name", text(a, p->name), "path",
			 text(a, p->path), "loads", kv_loads_name[p->load.loads], "error",
			 text(a, p->load.error), "needs", needs_of(a, p->elf));
}

static json_t *nixl_json(struct kv_arena *a, const struct kv_nixl *n)
{
	json_t *plugins = json_array();

	for (size_t i = 0; i < n->plugins.n; i++)
		json_array_append_new(plugins, plugin_json(a, &n->plugins.v[i]));
	return json_pack("{s:o, s:o, s:o, s:o, s:b, s:o, s:o, s:o}", "dist", text(a, n->dist),
			 "version", text(a, n->version), "path", text(a, n->path), "python",
			 text(a, n->python), "active", n->active, "plugin_dir",
			 text(a, n->plugin_dir), "default_backends", texts(a, &n->default_backends),
			 "plugins", plugins);
}

static json_t *fabric_json(struct kv_arena *a, const struct kv_fabric *fab)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:b, s:s, s:o}", "path", text(a, fab->path),
			 "release", text(a, fab->release), "abi", text(a, fab->abi), "providers",
			 texts(a, &fab->providers), "cuda", fab->cuda, "source",
			 kv_source_name[fab->source], "refused", text(a, fab->blocked));
}

static json_t *finding_json(struct kv_arena *a, const struct kv_finding *fi)
{
	json_t *evidence = json_array();

	for (size_t i = 0; i < fi->evidence.n; i++)
		json_array_append_new(evidence, json_pack("{s:o, s:o}", "path",
							  text(a, fi->evidence.v[i].path), "text",
							  text(a, fi->evidence.v[i].text)));
	return json_pack("{s:s, s:s, s:s, s:o, s:o, s:{s:b, s:o}}", "id", fi->id, "severity",
			 kv_severity_name[fi->severity], "title", fi->title, "detail",
			 text(a, fi->detail), "evidence", evidence, "repair", "automatic",
			 fi->automatic, "text", text(a, fi->repair));
}

json_t *kv_json_check(const struct kv_facts *f, const struct kv_findings *fi)
{
	json_t *nixls = json_array(), *fabrics = json_array(), *findings = json_array();
	struct kv_arena *a = f->arena;

	for (size_t i = 0; i < f->nixls.n; i++)
		json_array_append_new(nixls, nixl_json(a, &f->nixls.v[i]));
	for (size_t i = 0; i < f->fabrics.n; i++)
		json_array_append_new(fabrics, fabric_json(a, &f->fabrics.v[i]));
	for (size_t i = 0; i < fi->list.n; i++)
		json_array_append_new(findings, finding_json(a, &fi->list.v[i]));
	return json_pack("{s:s, s:s, s:{s:s, s:o, s:o, s:o, s:o}, s:s, s:o, s:o, s:o, s:o, s:o}",
			 "schema", "kvpath.check/1", "version", KVPATH_VERSION, "target", "kind",
			 kv_target_kind(f), "path", text(a, f->path), "arch", text(a, f->arch),
			 "libc", text(a, f->libc), "os", text(a, f->os), "verdict",
			 kv_verdict_name[fi->verdict], "nixl", nixls, "libfabric", fabrics,
			 "devices", kv_json_devices(a, f->host), "host", kv_json_host(a, f->host),
			 "findings", findings);
}

static json_t *tried_json(struct kv_arena *a, const kv_trieds *tried)
{
	json_t *arr = json_array();

	for (size_t i = 0; i < tried->n; i++)
		json_array_append_new(arr, json_pack("{s:o, s:s, s:o}", "path",
						     text(a, tried->v[i].path), "rule",
						     kv_rule_name[tried->v[i].rule], "why",
						     text(a, tried->v[i].why)));
	return arr;
}

/* by: who asked for it, NULL for the process itself. */
static json_t *object_json(struct kv_arena *a, const struct kv_object *o,
			   const struct kv_object *by, enum kv_rule rule, const kv_trieds *tried)
{
	return json_pack("{s:o, s:o, s:o, s:s, s:o}", "path", text(a, o->name), "soname",
			 text(a, o->elf ? o->elf->soname : NULL), "requested_by",
			 text(a, by ? by->name : NULL), "rule", kv_rule_name[rule], "tried",
			 tried_json(a, tried));
}

static json_t *optionals_json(struct kv_arena *a, const struct kv_load *l)
{
	json_t *arr = json_array();

	for (size_t i = 0; i < l->optionals.n; i++) {
		const struct kv_optional *o = &l->optionals.v[i];

		json_array_append_new(arr, json_pack("{s:o, s:o, s:o, s:o, s:o, s:s, s:o, s:o}",
						     "object", text(a, o->object->name), "feature",
						     text(a, o->note.feature), "description",
						     text(a, o->note.description), "priority",
						     text(a, o->note.priority), "sonames",
						     texts(a, &o->note.sonames), "loads",
						     kv_loads_name[o->loads], "path",
						     text(a, o->path), "error", text(a, o->error)));
	}
	return arr;
}

json_t *kv_json_why(struct kv_arena *a, const char *file, const char *process,
		    const struct kv_load *l)
{
	struct kv_places fresh = kv_places_of(a, &l->fresh);
	const kv_trieds none = { 0 };
	json_t *loaded = json_array();

	for (size_t i = 0; i < l->fresh.n; i++) {
		const struct kv_object *o = l->fresh.v[i];
		bool is_first = l->list.n && o == l->list.v[0];

		json_array_append_new(loaded, object_json(a, o, is_first ? NULL : o->requested_by,
							  o->rule, &o->tried));
	}
	for (size_t i = 0; i < l->list.n; i++) {
		const struct kv_object *o = l->list.v[i];

		if (!kv_place(&fresh, o))
			json_array_append_new(
				loaded, object_json(a, o, o->requested_by, KV_RULE_LOADED, &none));
	}
	return json_pack("{s:s, s:o, s:s, s:s, s:o, s:o, s:o, s:o}", "schema", "kvpath.why/1",
			 "file", text(a, file), "process", process, "loads",
			 kv_loads_name[l->loads], "error", text(a, l->error), "loaded", loaded,
			 "missing_tried", tried_json(a, &l->tried), "optional",
			 optionals_json(a, l));
}

json_t *kv_json_prove(struct kv_arena *a, const struct kv_prove_result *r, const char *backend,
		      const char *mem)
{
	json_t *devices = json_array();

	for (size_t i = 0; i < r->counters.n; i++)
		json_array_append_new(devices,
				      json_pack("{s:o, s:o, s:I}", "name",
						text(a, r->counters.v[i].device), "counter",
						text(a, r->counters.v[i].counter), "delta",
						(json_int_t)r->counters.v[i].delta));
	return json_pack("{s:s, s:s, s:s, s:o, s:o, s:s, s:I, s:b, s:I, s:o, s:o, s:o, s:o, s:o}",
			 "schema", "kvpath.prove/1", "verdict", r->verdict, "backend", backend,
			 "provider", text(a, r->provider), "provider_source",
			 text(a, r->provider_source), "mem", mem, "bytes", (json_int_t)r->bytes,
			 "intact", r->intact, "elapsed_us", (json_int_t)r->elapsed_us, "via",
			 text(a, r->via), "devices", devices, "proven", texts(a, &r->proven),
			 "not_proven", texts(a, &r->not_proven), "error", text(a, r->error));
}

int kv_json_print(FILE *out, json_t *doc)
{
	int r;

	if (!doc)
		return -EINVAL;
	r = json_dumpf(doc, out, JSON_INDENT(2));
	json_decref(doc);
	if (r < 0 || fputc('\n', out) == EOF || fflush(out) == EOF)
		return -EIO;
	return 0;
}
