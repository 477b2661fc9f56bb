/*
 * SARIF 2.1.0. Paths become URIs byte by byte, so that a name that is no UTF-8 survives; all other
 * text of a target is escaped as in the other reports.
 */
#include "report/sarif.h"
#include "report/parts.h"

#define SCHEMA                                                                                     \
	"https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/"                      \
	"sarif-schema-2.1.0.json"

static const char *const levels[_KV_SEVERITY_COUNT] = { "error", "warning", "note" };

/* before, then the path with all that has a meaning in a URI, or none, as %XX, then after. */
static const char *uri_of(struct kv_arena *a, const char *before, const char *path,
			  const char *after)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
				    "-._~/";
	_buf_ struct kv_buf b = { 0 };

	kv_buf_str(&b, before);
	for (; *path; path++) {
		size_t n = strspn(path, plain);

		kv_buf_add(&b, path, n);
		path += n;
		if (!*path)
			break;
		kv_buf_fmt(&b, "%%%02X", (unsigned char)*path);
	}
	kv_buf_str(&b, after);
	return kv_strdup(a, b.text);
}

static json_t *artifact(struct kv_arena *a, const struct kv_sarif_place *p)
{
	const char *path = p->path;

	if (!p->base)
		return json_pack("{s:s}", "uri",
				 uri_of(a, *path == '/' ? "file://" : "", path, ""));
	path += strspn(path, "/");
	return json_pack("{s:s, s:s}", "uri", *path ? uri_of(a, "", path, "") : "./", "uriBaseId",
			 p->base->id);
}

/* {"text": ...} of a target's text. */
static json_t *message(struct kv_arena *a, const char *text)
{
	return json_pack("{s:o}", "text", kv_json_text(a, text));
}

static bool is_variable(const char *name)
{
	return !name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")];
}

static json_t *logical(struct kv_arena *a, const char *name)
{
	json_t *o = json_pack("{s:o}", "fullyQualifiedName", kv_json_text(a, name));

	if (is_variable(name))
		json_object_set_new(o, "kind", json_string("variable"));
	return o;
}

static json_t *place_json(struct kv_arena *a, const struct kv_sarif_place *p)
{
	json_t *o = json_object();

	if (p->path) {
		json_t *physical = json_pack("{s:o}", "artifactLocation", artifact(a, p));

		if (p->line)
			json_object_set_new(physical, "region",
					    json_pack("{s:I}", "startLine", (json_int_t)p->line));
		if (p->line && p->column)
			json_object_set_new(json_object_get(physical, "region"), "startColumn",
					    json_integer((json_int_t)p->column));
		json_object_set_new(o, "physicalLocation", physical);
	} else {
		json_object_set_new(o, "logicalLocations", json_pack("[o]", logical(a, p->name)));
	}
	if (p->text)
		json_object_set_new(o, "message", message(a, p->text));
	return o;
}

/* Of a page, what stands under "## Cause". */
static const char *cause_in(struct kv_arena *a, const char *page)
{
	static const char head[] = "## Cause\n";
	const char *from = strstr(page, head), *end;

	if (!from)
		return page;
	from += strlen(head);
	end = strstr(from, "\n## ");
	return kv_strndup(a, from, end ? (size_t)(end - from) : strlen(from));
}

static json_t *rule_json(struct kv_arena *a, const char *id)
{
	const char *page = kv_rule_page(id), *title = kv_rule_title(id);
	json_t *o = json_pack("{s:s, s:o}", "id", id, "shortDescription",
			      message(a, title ? title : id));

	if (!page)
		return o;
	json_object_set_new(o, "fullDescription", json_pack("{s:s}", "text", cause_in(a, page)));
	json_object_set_new(o, "help", json_pack("{s:s, s:s}", "text", page, "markdown", page));
	return o;
}

/* The number that is kept of a key: 0 where it is new. */
static size_t *number_of(struct kv_arena *a, struct kv_map *m, const char *key)
{
	void **slot = kv_map_slot(m, key);

	if (!*slot)
		*slot = kv_new(a, size_t);
	return *slot;
}

/* Place of the rule in rules, which it joins where it is new. */
static size_t rule_index(struct kv_arena *a, json_t *rules, struct kv_map *seen, const char *id)
{
	size_t *nth = number_of(a, seen, id);

	if (!*nth) {
		json_array_append_new(rules, rule_json(a, id));
		*nth = json_array_size(rules);
	}
	return *nth - 1;
}

/*
 * The same from one run to the next while a result stays, wherever the target and the line have
 * moved: of the id and the first place. Results that have these in common are counted.
 */
static json_t *fingerprint(struct kv_arena *a, struct kv_map *seen, const struct kv_sarif_result *r)
{
	const struct kv_sarif_place *p = r->places.n ? r->places.v : NULL;
	const char *base = p && p->base ? p->base->id : "";
	const char *what = kv_strf(a, "%s\n%s\n%s", r->id, base,
				   !p        ? ""
				   : p->path ? p->path
					     : p->name);
	char hash[KV_SHA256_HEX];

	kv_sha256_mem(what, strlen(what), hash);
	return json_pack("{s:s}", "kvpathFinding/v1",
			 kv_strf(a, "%s:%zu", hash, ++*number_of(a, seen, what)));
}

static json_t *result_json(struct kv_arena *a, const struct kv_sarif_result *r)
{
	const char *text = kv_printable(a, r->message);
	json_t *places = json_array();

	if (*r->help)
		text = kv_strf(a, "%s\n%s: %s", text, r->automatic ? "Repair" : "By hand",
			       kv_printable(a, r->help));
	for (size_t i = 0; i < r->places.n; i++)
		json_array_append_new(places, place_json(a, &r->places.v[i]));
	return json_pack("{s:s, s:s, s:{s:s}, s:o}", "ruleId", r->id, "level", levels[r->level],
			 "message", "text", text, "locations", places);
}

static json_t *bases_json(const struct kv_sarif *run)
{
	json_t *o = json_object();

	for (size_t i = 0; i < run->bases.n; i++) {
		const struct kv_sarif_base *b = run->bases.v[i];
		/* Only an absolute path makes a base; what can not be told is left out. */
		_free_ char *real = realpath(b->path, NULL);
		json_t *at = json_pack("{s:o}", "description", message(run->arena, b->path));

		if (real)
			json_object_set_new(at, "uri",
					    json_string(uri_of(run->arena, "file://", real,
							       kv_ends(real, "/") ? "" : "/")));
		json_object_set_new(o, b->id, at);
	}
	return o;
}

static json_t *invocation(const struct kv_sarif *run)
{
	json_t *o = json_pack("{s:b, s:i}", "executionSuccessful", run->is_known, "exitCode",
			      run->status);

	if (run->verdict)
		json_object_set_new(o, "exitCodeDescription", json_string(run->verdict));
	return o;
}

json_t *kv_sarif_doc(const struct kv_sarif *run)
{
	json_t *rules = json_array(), *results = json_array();
	struct kv_map *ids = kv_map_new(run->arena), *prints = kv_map_new(run->arena);

	for (size_t i = 0; i < run->results.n; i++) {
		const struct kv_sarif_result *r = &run->results.v[i];
		json_t *o = result_json(run->arena, r);

		json_object_set_new(
			o, "ruleIndex",
			json_integer((json_int_t)rule_index(run->arena, rules, ids, r->id)));
		json_object_set_new(o, "partialFingerprints", fingerprint(run->arena, prints, r));
		json_array_append_new(results, o);
	}
	return json_pack("{s:s, s:s, s:[{s:{s:{s:s, s:s, s:o}}, s:[o], s:o, s:s, s:o}]}", "$schema",
			 SCHEMA, "version", "2.1.0", "runs", "tool", "driver", "name", "kvpath",
			 "version", KVPATH_VERSION, "rules", rules, "invocations", invocation(run),
			 "originalUriBaseIds", bases_json(run), "columnKind", "unicodeCodePoints",
			 "results", results);
}
