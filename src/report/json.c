/* JSON documents: each has a schema with a version; fields are added, never renamed. */
#include "report/parts.h"
#include "report/places.h"

json_t *kv_json_text(struct kv_arena *a, const char *s)
{
	return s ? json_string(kv_printable(a, s)) : json_null();
}

json_t *kv_json_texts(struct kv_arena *a, const kv_strv *list)
{
	json_t *arr = json_array();

	for (size_t i = 0; i < list->n; i++)
		json_array_append_new(arr, kv_json_text(a, list->v[i]));
	return arr;
}

/* The needs of a plugin by library: "libfabric.so.1": ["FABRIC_1.0", ...]. */
static json_t *needs_of(struct kv_arena *a, const struct kv_elf *e)
{
	json_t *o = json_object();

	for (size_t i = 0; e && i < e->needed.n; i++) {
		kv_strv versions = { 0 };

		kv_elf_versions_of(a, e, e->needed.v[i], &versions);
		json_object_set_new(o, kv_printable(a, e->needed.v[i]),
				    kv_json_texts(a, &versions));
	}
	return o;
}

static json_t *plugin_json(struct kv_arena *a, const struct kv_plugin *p)
{
	return json_pack("{s:o, s:o, s:s, s:o, s:o}", "name", kv_json_text(a, p->name), "path",
			 kv_json_text(a, p->path), "loads", kv_loads_name[p->load.loads], "error",
			 kv_json_text(a, p->load.error), "needs", needs_of(a, p->elf));
}

static json_t *nixl_json(struct kv_arena *a, const struct kv_nixl *n)
{
	json_t *plugins = json_array();

	for (size_t i = 0; i < n->plugins.n; i++)
		json_array_append_new(plugins, plugin_json(a, &n->plugins.v[i]));
	return json_pack("{s:o, s:o, s:o, s:o, s:b, s:o, s:o, s:o}", "dist",
			 kv_json_text(a, n->dist), "version", kv_json_text(a, n->version), "path",
			 kv_json_text(a, n->path), "python", kv_json_text(a, n->python), "active",
			 n->active, "plugin_dir", kv_json_text(a, n->plugin_dir),
			 "default_backends", kv_json_texts(a, &n->default_backends), "plugins",
			 plugins);
}

static json_t *fabric_json(struct kv_arena *a, const struct kv_fabric *fab)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:b, s:s, s:o}", "path", kv_json_text(a, fab->path),
			 "release", kv_json_text(a, fab->release), "abi", kv_json_text(a, fab->abi),
			 "providers", kv_json_texts(a, &fab->providers), "cuda", fab->cuda,
			 "source", kv_source_name[fab->source], "refused",
			 kv_json_text(a, fab->blocked));
}

json_t *kv_json_finding(struct kv_arena *a, const struct kv_finding *fi)
{
	json_t *evidence = json_array();

	for (size_t i = 0; i < fi->evidence.n; i++)
		json_array_append_new(evidence,
				      json_pack("{s:o, s:o}", "path",
						kv_json_text(a, fi->evidence.v[i].path), "text",
						kv_json_text(a, fi->evidence.v[i].text)));
	return json_pack("{s:s, s:s, s:s, s:o, s:o, s:{s:b, s:o}, s:o}", "id", fi->id, "severity",
			 kv_severity_name[fi->severity], "title", fi->title, "detail",
			 kv_json_text(a, fi->detail), "evidence", evidence, "repair", "automatic",
			 fi->automatic, "text", kv_json_text(a, fi->repair), "because",
			 kv_json_text(a, fi->because));
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
		json_array_append_new(findings, kv_json_finding(a, &fi->list.v[i]));
	return json_pack("{s:s, s:s, s:{s:s, s:o, s:o, s:o, s:o}, s:s, s:o, s:o, s:o, s:o, s:o}",
			 "schema", "kvpath.check/1", "version", KVPATH_VERSION, "target", "kind",
			 kv_target_kind(f), "path", kv_json_text(a, f->path), "arch",
			 kv_json_text(a, f->arch), "libc", kv_json_text(a, f->libc), "os",
			 kv_json_text(a, f->os), "verdict", kv_verdict_name[fi->verdict], "nixl",
			 nixls, "libfabric", fabrics, "devices", kv_json_devices(a, f->host),
			 "host", kv_json_host(a, f->host), "findings", findings);
}

static json_t *tried_json(struct kv_arena *a, const kv_trieds *tried)
{
	json_t *arr = json_array();

	for (size_t i = 0; i < tried->n; i++)
		json_array_append_new(arr, json_pack("{s:o, s:s, s:o}", "path",
						     kv_json_text(a, tried->v[i].path), "rule",
						     kv_rule_name[tried->v[i].rule], "why",
						     kv_json_text(a, tried->v[i].why)));
	return arr;
}

/* by: who asked for it, NULL for the process itself. */
static json_t *object_json(struct kv_arena *a, const struct kv_object *o,
			   const struct kv_object *by, enum kv_rule rule, const kv_trieds *tried)
{
	return json_pack("{s:o, s:o, s:o, s:s, s:o}", "path", kv_json_text(a, o->name), "soname",
			 kv_json_text(a, o->elf ? o->elf->soname : NULL), "requested_by",
			 kv_json_text(a, by ? by->name : NULL), "rule", kv_rule_name[rule], "tried",
			 tried_json(a, tried));
}

static json_t *optionals_json(struct kv_arena *a, const struct kv_load *l)
{
	json_t *arr = json_array();

	for (size_t i = 0; i < l->optionals.n; i++) {
		const struct kv_optional *o = &l->optionals.v[i];

		json_array_append_new(
			arr, json_pack("{s:o, s:o, s:o, s:o, s:o, s:s, s:o, s:o}", "object",
				       kv_json_text(a, o->object->name), "feature",
				       kv_json_text(a, o->note.feature), "description",
				       kv_json_text(a, o->note.description), "priority",
				       kv_json_text(a, o->note.priority), "sonames",
				       kv_json_texts(a, &o->note.sonames), "loads",
				       kv_loads_name[o->loads], "path", kv_json_text(a, o->path),
				       "error", kv_json_text(a, o->error)));
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
			 "file", kv_json_text(a, file), "process", process, "loads",
			 kv_loads_name[l->loads], "error", kv_json_text(a, l->error), "loaded",
			 loaded, "missing_tried", tried_json(a, &l->tried), "optional",
			 optionals_json(a, l));
}

json_t *kv_json_prove(struct kv_arena *a, const struct kv_prove_result *r, const char *backend,
		      const char *mem)
{
	json_t *devices = json_array();

	for (size_t i = 0; i < r->counters.n; i++)
		json_array_append_new(devices,
				      json_pack("{s:o, s:o, s:I}", "name",
						kv_json_text(a, r->counters.v[i].device), "counter",
						kv_json_text(a, r->counters.v[i].counter), "delta",
						(json_int_t)r->counters.v[i].delta));
	return json_pack("{s:s, s:s, s:s, s:o, s:o, s:s, s:I, s:b, s:I, s:o, s:o, s:o, s:o, s:o}",
			 "schema", "kvpath.prove/1", "verdict", r->verdict, "backend", backend,
			 "provider", kv_json_text(a, r->provider), "provider_source",
			 kv_json_text(a, r->provider_source), "mem", mem, "bytes",
			 (json_int_t)r->bytes, "intact", r->intact, "elapsed_us",
			 (json_int_t)r->elapsed_us, "via", kv_json_text(a, r->via), "devices",
			 devices, "proven", kv_json_texts(a, &r->proven), "not_proven",
			 kv_json_texts(a, &r->not_proven), "error", kv_json_text(a, r->error));
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
