/* Three digits are shown: nothing here is known better. */
#include "report/units.h"

static const char *three_digits(struct kv_arena *a, double n, const char *unit, bool whole)
{
	return kv_strf(a, "%.*f %s", n >= 99.95 || whole ? 0 : n >= 9.995 ? 1 : 2, n, unit);
}

const char *kv_bytes_text(struct kv_arena *a, double n)
{
	static const char *const units[] = { "B", "kB", "MB", "GB", "TB", "PB", "EB" };
	size_t u = 0;

	while (n >= 999.5 && u + 1 < KV_ARRAY_SIZE(units)) {
		n /= 1000;
		u++;
	}
	return three_digits(a, n, units[u], u == 0);
}

const char *kv_time_text(struct kv_arena *a, double s)
{
	static const char *const units[] = { "s", "ms", "us", "ns" };
	size_t u = 0;

	while (s < 0.9995 && u + 1 < KV_ARRAY_SIZE(units)) {
		s *= 1000;
		u++;
	}
	return three_digits(a, s, units[u], false);
}

const char *kv_size_text(struct kv_arena *a, uint64_t n)
{
	static const struct {
		unsigned shift;
		const char *unit;
	} units[] = { { 30, "GiB" }, { 20, "MiB" }, { 10, "KiB" } };

	for (size_t i = 0; i < KV_ARRAY_SIZE(units); i++)
		if (n >> units[i].shift && !(n & (((uint64_t)1 << units[i].shift) - 1)))
			return kv_strf(a, "%llu %s", (unsigned long long)(n >> units[i].shift),
				       units[i].unit);
	return kv_strf(a, "%llu bytes", (unsigned long long)n);
}

const char *kv_count_text(struct kv_arena *a, uint64_t n)
{
	const char *digits = kv_strf(a, "%llu", (unsigned long long)n), *s = digits;
	size_t len = strlen(digits);
	char *out = kv_alloc(a, len + len / 3 + 1), *to = out;

	while (*s) {
		*to++ = *s++;
		if (*s && strlen(s) % 3 == 0)
			*to++ = ',';
	}
	return out;
}
