/* Numbers as people read them: three digits, decimal units for amounts, KiB for sizes. */
#ifndef KV_REPORT_UNITS_H
#define KV_REPORT_UNITS_H

#include "base/base.h"

/* 5652480000 as "5.65 GB". */
const char *kv_bytes_text(struct kv_arena *a, double n);
/* Seconds: "28.3 ms". */
const char *kv_time_text(struct kv_arena *a, double s);
/* Sizes of descriptors are mostly whole KiB: "16 KiB", "1000 bytes". */
const char *kv_size_text(struct kv_arena *a, uint64_t n);
/* "5,652,480,000" */
const char *kv_count_text(struct kv_arena *a, uint64_t n);

#endif
