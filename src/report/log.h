/* Reports of logs. */
#ifndef KV_REPORT_LOG_H
#define KV_REPORT_LOG_H

#include "report/report.h"
#include "rules/log.h"

void kv_text_log(FILE *out, const struct kv_log *l, const struct kv_log_report *r,
		 struct kv_style st);
json_t *kv_json_log(const struct kv_log *l, const struct kv_log_report *r);

#endif
