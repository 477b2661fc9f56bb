/* What a sweep found, for people and for programs. */
#ifndef KV_REPORT_SWEEP_H
#define KV_REPORT_SWEEP_H

#include "prove/sweep.h"
#include "report/report.h"

void kv_text_sweep(FILE *out, const struct kv_sweep *s, struct kv_style st);
/* kvpath.sweep/1; the caller's reference. */
json_t *kv_json_sweep(const struct kv_sweep *s);

#endif
