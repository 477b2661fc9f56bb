/*
 * Blocks of metadata: at most 8 KiB, compressed where that helps, with a header of two bytes that
 * says how many there are and, in its highest bit, whether they are stored as they are.
 */
#include "root/squash_write.h"

#define STORED_PLAIN 0x8000

int kv_sqw_put(struct kv_sqw *w, const void *bytes, size_t n)
{
	static char text[100];
	int e = w->at > w->job->limit || w->job->limit - w->at < n
			? -EFBIG
			: kv_pwrite_all(w->out, bytes, n, w->at);

	if (e < 0) {
		snprintf(text, sizeof(text), "cannot write the new image: %s", strerror(-e));
		w->s->why = text;
		return e;
	}
	w->at += n;
	return 0;
}

int kv_sqw_copy(struct kv_sqw *w, uint64_t from, uint64_t n)
{
	while (n) {
		size_t take = n < KV_SQ_PAYLOAD ? (size_t)n : KV_SQ_PAYLOAD;
		int e = w->s->file.read_at(&w->s->file, from, w->payload, take);

		if (e)
			return kv_sq_fail(w->s, "table", e);
		e = kv_sqw_put(w, w->payload, take);
		if (e < 0)
			return e;
		from += take;
		n -= take;
	}
	return 0;
}

/* How many bytes the block takes, with its header. */
static int block_header(struct kv_sqw *w, uint64_t at, bool *ret_plain, uint32_t *ret_stored)
{
	uint8_t raw[2];
	uint16_t header;
	int e = w->s->file.read_at(&w->s->file, at, raw, sizeof(raw));

	if (e)
		return e;
	kv_span_u16((struct kv_span){ raw, 2 }, 0, false, &header);
	*ret_plain = header & STORED_PLAIN;
	header &= STORED_PLAIN - 1;
	if (!header || header > SQFS_META_BLOCK_SIZE)
		return SQFS_ERROR_CORRUPTED;
	*ret_stored = header + 2U;
	return 0;
}

int kv_sqw_block(struct kv_sqw *w, uint64_t at, uint8_t *bytes, uint32_t *ret_n,
		 uint32_t *ret_stored)
{
	uint8_t packed[SQFS_META_BLOCK_SIZE];
	sqfs_s32 n;
	bool plain;
	int e = block_header(w, at, &plain, ret_stored);

	if (!e)
		e = w->s->file.read_at(&w->s->file, at + 2, plain ? bytes : packed,
				       *ret_stored - 2);
	if (e)
		return kv_sq_fail(w->s, "table", e);
	n = (sqfs_s32)*ret_stored - 2;
	if (!plain)
		n = w->s->cmp->do_block(w->s->cmp, packed, (uint32_t)n, bytes,
					SQFS_META_BLOCK_SIZE);
	if (n <= 0 || n > SQFS_META_BLOCK_SIZE)
		return kv_sq_fail(w->s, "table", SQFS_ERROR_COMPRESSOR);
	*ret_n = (uint32_t)n;
	return 0;
}

int kv_sqw_meta_open(struct kv_sqw *w, struct kv_sqw_meta *m)
{
	uint32_t stored;
	bool plain;
	int e;

	if (m->start > m->end || m->end - m->start > UINT32_MAX)
		return kv_sq_fail(w->s, m->name, SQFS_ERROR_OUT_OF_BOUNDS);
	m->kept = m->end - m->start;
	if (!m->kept)
		return 0;
	for (uint64_t at = m->start; at < m->end; at += stored) {
		e = block_header(w, at, &plain, &stored);
		if (!e && m->end - at < stored)
			e = SQFS_ERROR_OUT_OF_BOUNDS;
		if (e)
			return kv_sq_fail(w->s, m->name, e);
		m->last = at - m->start;
	}
	e = kv_sqw_block(w, m->start + m->last, m->block, &m->n, &stored);
	m->old_n = m->n;
	if (m->n < SQFS_META_BLOCK_SIZE)
		m->kept = m->last;
	else
		m->n = 0;
	return e;
}

void kv_sqw_block_add(struct kv_sqw *w, struct kv_buf *to, const uint8_t *bytes, uint32_t n,
		      bool plain)
{
	uint8_t packed[SQFS_META_BLOCK_SIZE];
	uint32_t stored = plain ? n : kv_sqw_pack(w->job->packer, bytes, n, packed);

	kv_sqw_add(to, stored == n ? stored | STORED_PLAIN : stored, 2);
	kv_buf_add(to, stored == n ? bytes : packed, stored);
}

static void flush(struct kv_sqw *w, struct kv_sqw_meta *m)
{
	kv_sqw_block_add(w, &m->more, m->block, m->n, m->plain);
	m->n = 0;
}

/* What is added next begins here. */
struct kv_sqw_place kv_sqw_meta_end(const struct kv_sqw_meta *m)
{
	return (struct kv_sqw_place){ m->kept + m->more.n, m->n };
}

void kv_sqw_meta_add(struct kv_sqw *w, struct kv_sqw_meta *m, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;

	while (n) {
		size_t room = SQFS_META_BLOCK_SIZE - m->n, take = n < room ? n : room;

		memcpy(m->block + m->n, p, take);
		m->n += (uint32_t)take;
		p += take;
		n -= take;
		/* At once, so that a place is always inside of a block. */
		if (m->n == SQFS_META_BLOCK_SIZE)
			flush(w, m);
	}
}

int kv_sqw_meta_close(struct kv_sqw *w, struct kv_sqw_meta *m)
{
	int e;

	if (m->n)
		flush(w, m);
	e = kv_sqw_copy(w, m->start, m->kept);
	return e < 0 ? e : kv_sqw_put(w, m->more.text, m->more.n);
}
