/* Rates that kvpath bench measured, for whom they are the links of this host. */
#ifndef KV_PROVE_RATES_H
#define KV_PROVE_RATES_H

#include "base/base.h"
#include "base/json.h"

/* One way that was measured, at one size. */
struct kv_rate {
	const char *name; /* "nixl:UCX tcp write dram" */
	uint64_t size;    /* of one descriptor */
	double bytes_per_s;
	bool busy; /* its two sides waited for a processor: the rate is the load's too */
};
typedef KV_VEC(struct kv_rate) kv_rates;

/* Of a run of kvpath.bench/1: whether its sides waited for a processor for a twentieth of it. */
bool kv_rate_busy(const json_t *run);
/*
 * Adds of each way in a result of bench (kvpath.bench/1) the best rate, and the one at the size
 * nearest to `size`. Runs whose data did not arrive as sent are no rates. 0, or -errno with err.
 */
int kv_rates_read(struct kv_arena *a, const char *path, uint64_t size, kv_rates *ret,
		  struct kv_err *err);

#endif
