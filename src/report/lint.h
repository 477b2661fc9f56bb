/* Reports of recipes. */
#ifndef KV_REPORT_LINT_H
#define KV_REPORT_LINT_H

#include "launch/recipe.h"
#include "report/report.h"

/* A file that could not be read, or not be told what it is. */
struct kv_lint_failed {
	const char *path, *why;
};

struct kv_lint_files {
	KV_VEC(const struct kv_lints *) list;
	KV_VEC(struct kv_lint_failed) failed;
};

void kv_text_lint(FILE *out, const struct kv_lints *l, struct kv_style st);
json_t *kv_json_lint(const struct kv_lint_files *f);
/* status: that the program will end with. */
json_t *kv_sarif_lint(struct kv_arena *a, const struct kv_lint_files *f, int status);

#endif
