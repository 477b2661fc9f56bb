/* From times to a line of results. */
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "probe/bench/bench.h"

#define CROWD_AWAKE_NS 200000   /* of a wait, whoever else wants the core */
#define CROWD_LONG_NS  10000000 /* of a wait: whoever waits so long can nap */
#define CROWD_LOOK_NS  100000
#define CROWD_FOR_NS   50000000 /* after the core was last taken */

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* The smallest time that `percent` of all do not exceed. */
static uint64_t percentile(const uint64_t *v, uint64_t n, uint64_t percent)
{
	return v[(n * percent + 99) / 100 - 1];
}

uint64_t bench_percentile(uint64_t *v, uint64_t n, uint64_t percent)
{
	if (!n)
		return 0;
	qsort(v, (size_t)n, sizeof(*v), by_value);
	return percentile(v, n, percent);
}

void bench_stats_make(uint64_t *v, uint64_t n, struct bench_stats *ret)
{
	qsort(v, (size_t)n, sizeof(*v), by_value);
	ret->n = n;
	ret->min_ns = v[0];
	ret->p50_ns = percentile(v, n, 50);
	ret->p90_ns = percentile(v, n, 90);
	ret->p99_ns = percentile(v, n, 99);
	ret->max_ns = v[n - 1];
	ret->sum_ns = 0;
	for (uint64_t i = 0; i < n; i++)
		ret->sum_ns += v[i];
}

/* Of this process's first thread, which is the one that polls. */
uint64_t bench_waited(struct bench_side *s)
{
	FILE *f = fopen("/proc/self/schedstat", "re");
	char line[128] = "", *wait = NULL;

	/* Nanoseconds that it ran, nanoseconds that it waited for a processor, turns. */
	if (f && fgets(line, sizeof(line), f))
		wait = strchr(line, ' ');
	if (wait)
		atomic_store(&s->shared->waited_ns[s->role], probe_strtoull(wait, NULL, 10));
	if (f)
		fclose(f);
	return atomic_load(&s->shared->waited_ns[PROBE_TARGET]) +
	       atomic_load(&s->shared->waited_ns[PROBE_INITIATOR]);
}

bool bench_crowded(struct bench_crowd *c, uint64_t now, uint64_t since)
{
	struct rusage u;

	if (now - since < CROWD_AWAKE_NS)
		return false;
	/* At a real-time priority nobody takes the core from a thread. */
	if (now - since > CROWD_LONG_NS)
		return true;
	if (now - c->looked_ns > CROWD_LOOK_NS && getrusage(RUSAGE_THREAD, &u) == 0) {
		c->looked_ns = now;
		if (u.ru_nivcsw != c->preempted)
			c->until_ns = now + CROWD_FOR_NS;
		c->preempted = u.ru_nivcsw;
	}
	return now < c->until_ns;
}

static void put_us(FILE *out, const char *key, uint64_t ns)
{
	fprintf(out, ",\"%s\":%.3f", key, (double)ns / 1000.0);
}

static void put_str(FILE *out, const char *key, const char *s)
{
	fprintf(out, ",\"%s\":", key);
	probe_json_str(out, s && *s ? s : NULL);
}

/* The parts of s between commas. */
static void put_list(FILE *out, const char *key, const char *s)
{
	char part[64];
	size_t n;

	fprintf(out, ",\"%s\":[", key);
	for (const char *at = s;; at += n + 1) {
		n = strcspn(at, ",");
		snprintf(part, sizeof(part), "%.*s", (int)n, at);
		fputs(at == s ? "" : ",", out);
		probe_json_str(out, part);
		if (!at[n])
			break;
	}
	fputc(']', out);
}

static void put_blocks(FILE *out, const char *key, const uint64_t *v, uint64_t n)
{
	fprintf(out, ",\"%s\":[", key);
	for (uint64_t i = 0; i < n; i++)
		fprintf(out, "%s%llu", i ? "," : "", (unsigned long long)v[i]);
	fputc(']', out);
}

void bench_print_overhead(struct bench_side *s, const struct bench_order *order, uint64_t n,
			  const uint64_t *engine, const uint64_t *bare)
{
	FILE *out = order->out;

	fputs("{\"schema\":\"kvpath.probe-bench/1\",\"kind\":\"overhead\",\"engine\":", out);
	probe_json_str(out, s->spec.engine);
	fprintf(out, ",\"size\":%llu,\"n\":%llu", (unsigned long long)s->test->size,
		(unsigned long long)n);
	put_blocks(out, "engine_ns", engine, order->overhead * 2);
	put_blocks(out, "bare_ns", bare, order->overhead * 2);
	fputs("}\n", out);
	fflush(out);
	atomic_fetch_add_explicit(&s->shared->finished, 1, memory_order_relaxed);
}

void bench_print_run(struct bench_side *s, const struct bench_order *order,
		     const struct bench_stats *st)
{
	const struct bench_test *t = s->test;
	double bytes = (double)t->count * (double)t->size * (double)st->n;
	double sum = st->sum_ns ? (double)st->sum_ns / 1e9 : 1e-9;
	FILE *out = order->out;

	fputs("{\"schema\":\"kvpath.probe-bench/1\",\"kind\":\"run\",\"engine\":", out);
	probe_json_str(out, s->spec.engine);
	put_str(out, "provider", s->provider);
	put_str(out, "detail", s->detail);
	fprintf(out, ",\"op\":\"%s\",\"mem\":\"%s\",\"count\":%llu,\"size\":%llu,\"iters\":%llu",
		t->read ? "read" : "write", s->spec.vram ? "vram" : "dram",
		(unsigned long long)t->count, (unsigned long long)t->size,
		(unsigned long long)st->n);
	fprintf(out, ",\"warmup\":%llu,\"batches\":%llu,\"rails\":%u",
		(unsigned long long)order->warmup, (unsigned long long)st->batches, s->rails);
	if (order->again > 1)
		fprintf(out, ",\"again\":%llu", (unsigned long long)order->again);
	fprintf(out, ",\"cpu_wait_s\":%.6f", (double)st->waited_ns / 1e9);
	if (st->local_p50_ns)
		put_us(out, "local_p50_us", st->local_p50_ns);
	put_us(out, "min_us", st->min_ns);
	put_us(out, "p50_us", st->p50_ns);
	put_us(out, "p90_us", st->p90_ns);
	put_us(out, "p99_us", st->p99_ns);
	put_us(out, "max_us", st->max_ns);
	put_us(out, "mean_us", st->sum_ns / st->n);
	fprintf(out, ",\"time_s\":%.6f,\"bytes_per_s\":%.0f", sum, bytes / sum);
	if (s->prep_us > 0)
		fprintf(out, ",\"prep_us\":%.3f", s->prep_us);
	if (*s->rail_names)
		put_list(out, "rail_names", s->rail_names);
	put_str(out, "notified", s->notified);
	if (s->progress)
		put_str(out, "progress", s->progress);
	fprintf(out, ",\"checksum\":\"crc32c %s\",\"intact\":true}\n", bench_crc_name());
	fflush(out);
	atomic_fetch_add_explicit(&s->shared->finished, 1, memory_order_relaxed);
}
