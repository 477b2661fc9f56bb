/* What the reports share. */
#ifndef KV_REPORT_PARTS_H
#define KV_REPORT_PARTS_H

#include "report/report.h"

enum kv_tone { KV_BOLD, KV_RED, KV_GREEN, KV_YELLOW, KV_DIM, KV_PLAIN };

void kv_put(FILE *out, struct kv_style st, enum kv_tone tone, const char *s);
enum kv_tone kv_tone_of_verdict(const char *verdict);
/* The last line: the verdict and the errors behind it. */
void kv_put_verdict(FILE *out, struct kv_arena *a, const struct kv_findings *fi,
		    struct kv_style st);

/* A target's string as JSON: control bytes and invalid UTF-8 escaped. NULL becomes null. */
json_t *kv_json_text(struct kv_arena *a, const char *s);
json_t *kv_json_texts(struct kv_arena *a, const kv_strv *list);
json_t *kv_json_finding(struct kv_arena *a, const struct kv_finding *fi);

#endif
