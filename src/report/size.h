/* What kvpath size found out, for people and for programs. */
#ifndef KV_REPORT_SIZE_H
#define KV_REPORT_SIZE_H

#include "prove/geometry.h"
#include "prove/rates.h"
#include "report/report.h"

struct kv_size_report {
	const struct kv_geometry *model;
	const struct kv_shape_request *request;
	const struct kv_shape *shape;
	kv_rates measured; /* none where no result was given */
};

void kv_text_size(FILE *out, struct kv_arena *a, const struct kv_size_report *r,
		  struct kv_style st);
json_t *kv_json_size(struct kv_arena *a, const struct kv_size_report *r);

#endif
