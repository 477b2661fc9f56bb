/* Bounded readers for bytes that others wrote. Every check has the form `n - off < need`. */
#include "base/base.h"

bool kv_span_sub(struct kv_span s, uint64_t off, uint64_t n, struct kv_span *ret)
{
	if (off > s.n || s.n - off < n)
		return false;
	*ret = (struct kv_span){ s.p + off, (size_t)n };
	return true;
}

const char *kv_span_str(struct kv_span s, uint64_t off)
{
	if (off >= s.n || !memchr(s.p + off, 0, s.n - (size_t)off))
		return NULL;
	return (const char *)s.p + off;
}

size_t kv_span_find(struct kv_span s, size_t from, const void *needle, size_t n)
{
	const uint8_t *hit;

	if (from > s.n)
		return s.n;
	hit = memmem(s.p + from, s.n - from, needle, n);
	return hit ? (size_t)(hit - s.p) : s.n;
}
