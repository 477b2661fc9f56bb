/* "file:line:column: KV702 error: text", as compilers say it. */
#include "report/lint.h"
#include "report/parts.h"
#include "report/sarif.h"

void kv_text_lint(FILE *out, const struct kv_lints *l, struct kv_style st)
{
	struct kv_arena *a = l->arena;

	for (size_t i = 0; i < l->list.n; i++) {
		const struct kv_lint *f = &l->list.v[i];

		fprintf(out, "%s:%u:%u: ", kv_printable(a, l->path), f->line, f->column);
		kv_put(out, st, f->error ? KV_RED : KV_YELLOW,
		       kv_strf(a, "%s %s", f->id, f->error ? "error" : "warning"));
		fprintf(out, ": %s\n", kv_printable(a, f->text));
		if (!st.quiet)
			fprintf(out, "    by hand: %s\n", kv_printable(a, f->repair));
	}
}

static json_t *file_json(const struct kv_lints *l)
{
	json_t *findings = json_array();

	for (size_t i = 0; i < l->list.n; i++) {
		const struct kv_lint *f = &l->list.v[i];
		const char *title = kv_rule_title(f->id);

		json_array_append_new(
			findings,
			json_pack("{s:s, s:s, s:o, s:I, s:I, s:o, s:{s:b, s:o}}", "id", f->id,
				  "severity", f->error ? "error" : "warning", "title",
				  kv_json_text(l->arena, title), "line", (json_int_t)f->line,
				  "column", (json_int_t)f->column, "detail",
				  kv_json_text(l->arena, f->text), "repair", "automatic", 0, "text",
				  kv_json_text(l->arena, f->repair)));
	}
	return json_pack("{s:o, s:s, s:o}", "path", kv_json_text(l->arena, l->path), "dialect",
			 l->dialect->name, "findings", findings);
}

json_t *kv_json_lint(const struct kv_lints *const *files, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, file_json(files[i]));
	return json_pack("{s:s, s:s, s:o}", "schema", "kvpath.lint/1", "version", KVPATH_VERSION,
			 "files", list);
}

json_t *kv_sarif_lint(struct kv_arena *a, const struct kv_lints *const *files, size_t n, int status)
{
	struct kv_sarif run = { .arena = a, .status = status, .is_known = true };

	for (size_t i = 0; i < n; i++) {
		const char *path = files[i]->path;

		for (size_t k = 0; k < files[i]->list.n; k++) {
			const struct kv_lint *f = &files[i]->list.v[k];
			struct kv_sarif_result *r = kv_vec_add(a, &run.results);

			*r = (struct kv_sarif_result){ .id = f->id,
						       .level = f->error ? KV_ERROR : KV_WARNING,
						       .message = f->text,
						       .help = f->repair };
			kv_vec_push(a, &r->places,
				    ((struct kv_sarif_place){
					    .path = path, .line = f->line, .column = f->column }));
		}
	}
	return kv_sarif_doc(&run);
}
