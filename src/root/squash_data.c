/*
 * The bytes of a squashfs image's files. libsquashfs' own reader loads whole blocks; this one reads
 * no more of an uncompressed block than is asked for (enroot's default leaves data uncompressed,
 * and images have gigabytes of it), and keeps those that it had to decompress.
 */
#include "root/lzo1x.h"
#include "root/squash_image.h"

/* Memory for decompressed blocks: 64 of the usual size of 128 KiB. */
#define KEPT_BYTES ((size_t)8 << 20)

/* ---- LZO, which libsquashfs leaves out for its licence's sake ---- */

static sqfs_s32 lzo_block(sqfs_compressor_t *cmp, const sqfs_u8 *in, sqfs_u32 size, sqfs_u8 *out,
			  sqfs_u32 outsize)
{
	size_t n;

	(void)cmp;
	if (kv_lzo1x_decode((struct kv_span){ in, size }, out, outsize, &n) < 0)
		return SQFS_ERROR_COMPRESSOR;
	return (sqfs_s32)n;
}

static void lzo_destroy(sqfs_object_t *object)
{
	(void)object;
}

int kv_sq_compressor(const sqfs_super_t *super, sqfs_compressor_t **ret)
{
	static sqfs_compressor_t lzo = { .base.destroy = lzo_destroy, .do_block = lzo_block };
	sqfs_compressor_config_t config;
	int e;

	if (super->compression_id == SQFS_COMP_LZO) {
		*ret = &lzo;
		return 0;
	}
	/* The options behind the superblock are the compressor's: none changes how blocks read. */
	e = sqfs_compressor_config_init(&config, super->compression_id, super->block_size,
					SQFS_COMP_FLAG_UNCOMPRESS);
	return e ? e : sqfs_compressor_create(&config, ret);
}

/* ---- blocks ---- */

/* A stretch of the image that holds a block of `size` bytes. */
struct place {
	uint64_t at;
	uint32_t stored; /* as the image has it: bytes, and a bit where they are not compressed */
};

static struct kv_sq_block *oldest(struct kv_sq *s)
{
	size_t n = KEPT_BYTES / s->super.block_size;
	struct kv_sq_block *b = s->blocks;

	n = n < 4 ? 4 : n < KV_SQ_BLOCKS ? n : KV_SQ_BLOCKS;
	for (size_t i = 1; i < n; i++)
		if (s->blocks[i].asked < b->asked)
			b = &s->blocks[i];
	return b;
}

/* Decompresses the block to where there is room for one. */
static int unpack_to(struct kv_sq *s, struct place p, uint8_t *to, uint32_t *ret_n)
{
	uint32_t stored = SQFS_ON_DISK_BLOCK_SIZE(p.stored), size = s->super.block_size;
	sqfs_s32 n;
	int e;

	if (!stored || stored > size)
		return SQFS_ERROR_CORRUPTED;
	e = s->file.read_at(&s->file, p.at, s->packed, stored);
	if (e)
		return e;
	n = s->cmp->do_block(s->cmp, s->packed, stored, to, size);
	if (n <= 0 || (uint32_t)n > size)
		return n < 0 ? n : SQFS_ERROR_COMPRESSOR;
	*ret_n = (uint32_t)n;
	return 0;
}

/* The decompressed block, which is kept. */
static int unpack(struct kv_sq *s, struct place p, const struct kv_sq_block **ret)
{
	struct kv_sq_block *b;
	int e;

	for (size_t i = 0; i < KV_SQ_BLOCKS; i++)
		if (s->blocks[i].asked && s->blocks[i].at == p.at) {
			s->blocks[i].asked = ++s->asked;
			*ret = &s->blocks[i];
			return 0;
		}
	b = oldest(s);
	b->asked = 0;
	if (!b->bytes)
		b->bytes = malloc(s->super.block_size);
	if (!b->bytes)
		return SQFS_ERROR_ALLOC;
	e = unpack_to(s, p, b->bytes, &b->n);
	if (e)
		return e;
	b->at = p.at;
	b->asked = ++s->asked;
	*ret = b;
	return 0;
}

/* n bytes at off of the block; `whole` is how long it is where that is known, else 0. */
static int block_bytes(struct kv_sq *s, struct place p, uint32_t whole, uint32_t off, uint8_t *buf,
		       uint32_t n)
{
	uint32_t size = SQFS_ON_DISK_BLOCK_SIZE(p.stored);
	const struct kv_sq_block *b;
	int e;

	if (!SQFS_IS_BLOCK_COMPRESSED(p.stored)) {
		if (size > s->super.block_size || (whole && size != whole) || off > size ||
		    size - off < n)
			return SQFS_ERROR_CORRUPTED;
		if (p.at > UINT64_MAX - off)
			return SQFS_ERROR_OUT_OF_BOUNDS;
		return s->file.read_at(&s->file, p.at + off, buf, n);
	}
	e = unpack(s, p, &b);
	if (e)
		return e;
	if ((whole && b->n != whole) || off > b->n || b->n - off < n)
		return SQFS_ERROR_CORRUPTED;
	memcpy(buf, b->bytes + off, n);
	return 0;
}

/* Where the fragment lies. */
static int fragment_place(struct kv_sq *s, uint32_t number, struct place *ret)
{
	uint8_t raw[16];
	struct kv_span f = { raw, sizeof(raw) };
	int e = kv_sq_table_entry(s, &s->fragments, number, raw);

	if (e)
		return e;
	kv_span_u64(f, 0, false, &ret->at);
	kv_span_u32(f, 8, false, &ret->stored);
	return 0;
}

/* The end of a file that lies with those of others in a fragment block. */
static int fragment_bytes(struct kv_sq *s, const sqfs_inode_generic_t *inode, uint32_t off,
			  uint8_t *buf, uint32_t n)
{
	uint32_t index, start;
	struct place p;
	int e = sqfs_inode_get_frag_location(inode, &index, &start);

	if (e)
		return e;
	if (index == KV_SQ_NONE || start > s->super.block_size)
		return SQFS_ERROR_CORRUPTED;
	e = fragment_place(s, index, &p);
	return e ? e : block_bytes(s, p, 0, start + off, buf, n);
}

int kv_sq_fragment(struct kv_sq *s, uint64_t number, uint8_t *payload, struct kv_sq_reply *rp)
{
	uint32_t n = 0;
	struct place p;
	int e = number > UINT32_MAX || s->super.block_size > KV_SQ_PAYLOAD
			? SQFS_ERROR_OUT_OF_BOUNDS
			: fragment_place(s, (uint32_t)number, &p);

	if (!e && SQFS_IS_BLOCK_COMPRESSED(p.stored)) {
		e = unpack_to(s, p, payload, &n);
	} else if (!e) {
		n = SQFS_ON_DISK_BLOCK_SIZE(p.stored);
		e = n > s->super.block_size ? SQFS_ERROR_CORRUPTED
					    : s->file.read_at(&s->file, p.at, payload, n);
	}
	if (e)
		return kv_sq_fail(s, "file data", e);
	rp->n = n;
	return 0;
}

/* n bytes at off of block i, whose whole length in the file is `whole`. */
static int part(struct kv_sq *s, const sqfs_inode_generic_t *inode, uint64_t i, uint32_t whole,
		uint32_t off, uint8_t *buf, uint32_t n)
{
	struct place p;

	if (i >= sqfs_inode_get_file_block_count(inode))
		return fragment_bytes(s, inode, off, buf, n);
	p.stored = inode->extra[i];
	if (SQFS_IS_SPARSE_BLOCK(p.stored)) {
		memset(buf, 0, n);
		return 0;
	}
	sqfs_inode_get_file_block_start(inode, &p.at);
	/* The sum cannot wrap: 2^32 blocks at most, each shorter than 2^24. */
	if (p.at > s->source.size)
		return SQFS_ERROR_OUT_OF_BOUNDS;
	for (uint64_t j = 0; j < i; j++)
		p.at += SQFS_ON_DISK_BLOCK_SIZE(inode->extra[j]);
	return block_bytes(s, p, whole, off, buf, n);
}

/* The same of a file that lies in a fragment. */
static uint64_t plain_fragment_at(struct kv_sq *s, const sqfs_inode_generic_t *inode, uint64_t size)
{
	uint32_t index, start, n;
	struct place p;

	if (!size || sqfs_inode_get_frag_location(inode, &index, &start) || index == KV_SQ_NONE ||
	    fragment_place(s, index, &p) || SQFS_IS_BLOCK_COMPRESSED(p.stored))
		return 0;
	n = SQFS_ON_DISK_BLOCK_SIZE(p.stored);
	if (start > n || n - start < size || p.at > s->source.size || s->source.size - p.at < n)
		return 0;
	return p.at + start;
}

uint64_t kv_sq_plain_at(struct kv_sq *s, const sqfs_inode_generic_t *inode)
{
	uint64_t start = 0, size = 0, done = 0;
	size_t n = sqfs_inode_get_file_block_count(inode);

	sqfs_inode_get_file_size(inode, &size);
	if (!n)
		return plain_fragment_at(s, inode, size);
	sqfs_inode_get_file_block_start(inode, &start);
	/* Each must be as long as its part of the file: a sparse one is shorter. */
	for (size_t i = 0; i < n && done < size; i++) {
		uint64_t whole =
			size - done < s->super.block_size ? size - done : s->super.block_size;

		if (SQFS_IS_BLOCK_COMPRESSED(inode->extra[i]) ||
		    SQFS_ON_DISK_BLOCK_SIZE(inode->extra[i]) != whole)
			return 0;
		done += whole;
	}
	if (!size || done < size || start > s->source.size || s->source.size - start < size)
		return 0;
	return start;
}

int kv_sq_read(struct kv_sq *s, const sqfs_inode_generic_t *inode, uint64_t off, uint8_t *buf,
	       size_t n)
{
	uint32_t size = s->super.block_size;
	uint64_t total = 0;

	sqfs_inode_get_file_size(inode, &total);
	while (n) {
		uint64_t i = off / size, start = i * size;
		uint32_t whole = total - start < size ? (uint32_t)(total - start) : size;
		uint32_t at = (uint32_t)(off - start), take = whole - at;
		int e;

		if (take > n)
			take = (uint32_t)n;
		e = part(s, inode, i, whole, at, buf, take);
		if (e)
			return kv_sq_fail(s, "file data", e);
		buf += take;
		off += take;
		n -= take;
	}
	return 0;
}
