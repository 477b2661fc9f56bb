/*
 * What vLLM says of its transfers, every 10 s: how many ended, how long they took on average, how
 * many MiB they had (nixl/stats.py; "MB" there is 2**20). Its throughput is left alone: it divides
 * by times that overlap (vllm-project/vllm#48224).
 */
#include "log/log.h"

/* The number behind "name="; 0 where there is none. */
static double number_of(const char *line, const char *name)
{
	const char *at = strstr(line, name);
	double v = at ? strtod(at + strlen(name), NULL) : 0;

	return v > 0 && v < 1e15 ? v : 0;
}

void kv_log_transfers_add(struct kv_log_transfers *t, struct kv_log_place place,
			  const struct kv_log_hit *hit)
{
	char line[KV_LOG_TEXT_MAX + 1];
	size_t n = hit->message.n < KV_LOG_TEXT_MAX ? hit->message.n : KV_LOG_TEXT_MAX;
	double ms, count = (double)hit->number;

	memcpy(line, hit->message.p, n);
	line[n] = '\0';
	ms = number_of(line, "Avg xfer time (ms)=");
	t->lines++;
	t->failed += (uint64_t)number_of(line, "Num failed transfers=");
	t->n += hit->number;
	t->ms += count * ms;
	t->mib += count * number_of(line, "Avg MB per transfer=");
	if (ms > t->slowest_ms) {
		t->slowest_ms = ms;
		t->slowest = place;
	}
}
