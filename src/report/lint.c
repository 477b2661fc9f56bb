/* "file:line:column: KV702 error: text", as compilers say it. */
#include "report/lint.h"
#include "report/parts.h"
#include "report/sarif.h"

static const char *way_out(const struct kv_lint *f)
{
	return f->done ? "done" : f->edit.text ? "by --fix" : "by hand";
}

void kv_text_lint(FILE *out, const struct kv_lints *l, struct kv_style st)
{
	static const char *const words[] = { "error", "warning", "note" };
	struct kv_arena *a = l->arena;

	for (size_t i = 0; i < l->list.n; i++) {
		const struct kv_lint *f = &l->list.v[i];

		fprintf(out, "%s:%u:%u: ", kv_printable(a, l->path), f->line, f->column);
		kv_put(out, st,
		       f->done                  ? KV_GREEN
		       : f->level == KV_ERROR   ? KV_RED
		       : f->level == KV_WARNING ? KV_YELLOW
						: KV_DIM,
		       kv_strf(a, "%s %s", f->id, f->done ? "mended" : words[f->level]));
		fprintf(out, ": %s\n", kv_printable(a, f->text));
		if (!st.quiet)
			fprintf(out, "    %s: %s\n", way_out(f), kv_printable(a, f->repair));
	}
}

static json_t *finding_json(const struct kv_lints *l, const struct kv_lint *f)
{
	json_t *o = json_pack("{s:s, s:s, s:o, s:I, s:I, s:o, s:{s:b, s:o}}", "id", f->id,
			      "severity", kv_severity_name[f->level], "title",
			      kv_json_text(l->arena, kv_rule_title(f->id)), "line",
			      (json_int_t)f->line, "column", (json_int_t)f->column, "detail",
			      kv_json_text(l->arena, f->text), "repair", "automatic",
			      f->edit.text != NULL, "text", kv_json_text(l->arena, f->repair));

	if (f->done)
		json_object_set_new(o, "mended", json_true());
	return o;
}

static json_t *file_json(const struct kv_lints *l)
{
	json_t *findings = json_array();

	for (size_t i = 0; i < l->list.n; i++)
		json_array_append_new(findings, finding_json(l, &l->list.v[i]));
	return json_pack("{s:o, s:s, s:o}", "path", kv_json_text(l->arena, l->path), "dialect",
			 l->dialect->name, "findings", findings);
}

json_t *kv_json_lint(const struct kv_lint_files *f)
{
	json_t *list = json_array(), *failed = json_array(), *o;

	for (size_t i = 0; i < f->list.n; i++)
		json_array_append_new(list, file_json(f->list.v[i]));
	for (size_t i = 0; f->list.n && i < f->failed.n; i++)
		json_array_append_new(
			failed,
			json_pack("{s:o, s:o}", "path",
				  kv_json_text(f->list.v[0]->arena, f->failed.v[i].path), "error",
				  kv_json_text(f->list.v[0]->arena, f->failed.v[i].why)));
	o = json_pack("{s:s, s:s, s:o}", "schema", "kvpath.lint/1", "version", KVPATH_VERSION,
		      "files", list);
	json_object_set_new(o, "failed", failed);
	return o;
}

json_t *kv_sarif_lint(struct kv_arena *a, const struct kv_lint_files *files, int status)
{
	struct kv_sarif run = { .arena = a, .status = status, .is_known = !files->failed.n };

	for (size_t i = 0; i < files->list.n; i++) {
		const struct kv_lints *l = files->list.v[i];

		for (size_t k = 0; k < l->list.n; k++) {
			const struct kv_lint *f = &l->list.v[k];
			struct kv_sarif_result *r;

			if (f->done)
				continue;
			r = kv_vec_add(a, &run.results);
			*r = (struct kv_sarif_result){ .id = f->id,
						       .level = f->level,
						       .message = f->text,
						       .help = f->repair };
			kv_vec_push(a, &r->places,
				    ((struct kv_sarif_place){ .path = l->path,
							      .line = f->line,
							      .column = f->column }));
		}
	}
	return kv_sarif_doc(&run);
}
