/* Reports of recipes. */
#ifndef KV_REPORT_LINT_H
#define KV_REPORT_LINT_H

#include "launch/recipe.h"
#include "report/report.h"

void kv_text_lint(FILE *out, const struct kv_lints *l, struct kv_style st);
json_t *kv_json_lint(const struct kv_lints *const *files, size_t n);
/* status: that the program will end with. */
json_t *kv_sarif_lint(struct kv_arena *a, const struct kv_lints *const *files, size_t n,
		      int status);

#endif
