/* What stand-in workers measured, in a launch's text and document: the bench's own documents. */
#include "report/html.h"
#include "report/launch.h"
#include "report/parts.h"
#include "report/units.h"

#define MAX_DOC ((size_t)64 << 20)

void kv_launch_measured(struct kv_launch_result *r)
{
	for (size_t i = 0; i < r->steps.n; i++) {
		const struct kv_step *s = r->steps.v[i].step;
		struct kv_measured m = { .from = &r->steps.v[i] };
		struct kv_span text;

		if (!s || !s->document)
			continue;
		if (kv_read_file(r->arena, kv_join(r->arena, r->logs, s->document), MAX_DOC, &text,
				 NULL) == 0)
			m.doc = json_loads(
				kv_unsecret(r, kv_strndup(r->arena, (const char *)text.p, text.n)),
				0, NULL);
		if (!json_is_object(m.doc) || !json_is_array(json_object_get(m.doc, "runs"))) {
			json_decref(m.doc);
			m.doc = NULL;
		}
		kv_vec_push(r->arena, &r->measured, m);
	}
}

static const char *str(const struct kv_launch_result *r, const json_t *o, const char *key)
{
	const char *s = kv_json_str(o, key);

	return *s ? kv_printable(r->arena, s) : "-";
}

static void put_runs(FILE *out, const struct kv_launch_result *r, const json_t *doc)
{
	struct kv_arena *a = r->arena;
	const json_t *o;
	size_t i;

	json_array_foreach(json_object_get(doc, "runs"), i, o)
	{
		double p50 = kv_json_num(o, "p50_us"), p99 = kv_json_num(o, "p99_us");

		fprintf(out, "  %-16s %-8s %-5s %7.0f x %-9s %10s/s  p50 %s, p99 %s\n",
			str(r, o, "engine"), str(r, o, "provider"), str(r, o, "op"),
			kv_json_num(o, "count"), kv_size_text(a, (uint64_t)kv_json_num(o, "size")),
			kv_bytes_text(a, kv_json_num(o, "bytes_per_s")), kv_time_text(a, p50 / 1e6),
			kv_time_text(a, p99 / 1e6));
	}
	json_array_foreach(json_object_get(doc, "engines"), i, o)
	{
		if (!json_is_true(json_object_get(o, "good")))
			fprintf(out, "  %s failed: %s\n", str(r, o, "engine"), str(r, o, "error"));
	}
}

static const char *place_of(const struct kv_launch_result *r, const char *name)
{
	for (size_t i = 0; name && i < r->launch->steps.n; i++)
		if (kv_streq(r->launch->steps.v[i].name, name))
			return kv_strf(r->arena, "%s on %s", name,
				       kv_launch_nodes(r, &r->launch->steps.v[i]));
	return "";
}

void kv_text_measured(FILE *out, const struct kv_launch_result *r, struct kv_style st)
{
	for (size_t i = 0; i < r->measured.n; i++) {
		const struct kv_measured *m = &r->measured.v[i];
		const json_t *shape = json_object_get(m->doc, "shape_source");

		kv_put(out, st, KV_BOLD,
		       kv_strf(r->arena, "%s -> %s", place_of(r, m->from->name),
			       place_of(r, m->from->step->peer)));
		if (json_is_string(shape))
			fprintf(out, ": %s", kv_printable(r->arena, json_string_value(shape)));
		fputs(m->doc ? "\n" : ": nothing was measured\n", out);
		put_runs(out, r, m->doc);
	}
}

json_t *kv_json_measured(const struct kv_launch_result *r)
{
	json_t *list = json_array();

	for (size_t i = 0; i < r->measured.n; i++) {
		const struct kv_measured *m = &r->measured.v[i];

		json_array_append_new(list, json_pack("{s:o, s:o, s:O?}", "from",
						      kv_json_text(r->arena, m->from->name), "to",
						      kv_json_text(r->arena, m->from->step->peer),
						      "bench", m->doc));
	}
	return list;
}
