/* A stream of unknown length in bounded memory: see kv_prove_text. */
#include "prove/parts.h"

void kv_prove_text_add(struct kv_prove_text *t, const void *bytes, size_t n)
{
	const char *p = bytes;
	size_t room = KV_PROVE_HEAD_MAX - t->head.n;

	t->total += n;
	if (room) {
		size_t take = n < room ? n : room;

		kv_buf_add(&t->head, p, take);
		p += take;
		n -= take;
	}
	kv_buf_add(&t->tail, p, n);
	/* Moved only when twice as long, so that each byte is moved about once. */
	if (t->tail.n > 2 * KV_PROVE_TAIL_MAX) {
		size_t drop = t->tail.n - KV_PROVE_TAIL_MAX;

		memmove(t->tail.text, t->tail.text + drop, KV_PROVE_TAIL_MAX);
		t->tail.n = KV_PROVE_TAIL_MAX;
		t->tail.text[t->tail.n] = '\0';
	}
}

char *kv_prove_text_get(struct kv_arena *a, const struct kv_prove_text *t)
{
	size_t tail = t->tail.n < KV_PROVE_TAIL_MAX ? t->tail.n : KV_PROVE_TAIL_MAX;
	uint64_t lost = t->total - t->head.n - tail;
	struct kv_buf b _buf_ = { 0 };

	kv_buf_add(&b, t->head.n ? t->head.text : "", t->head.n);
	if (lost)
		kv_buf_fmt(&b, "\n[%llu bytes left out]\n", (unsigned long long)lost);
	kv_buf_add(&b, tail ? t->tail.text + t->tail.n - tail : "", tail);
	for (size_t i = 0; i < b.n; i++)
		if (!b.text[i])
			b.text[i] = ' ';
	return kv_strndup(a, b.text ? b.text : "", b.n);
}

void kv_prove_text_clear(struct kv_prove_text *t)
{
	kv_buf_clear(&t->head);
	kv_buf_clear(&t->tail);
	t->total = 0;
}
