/* Compressing blocks for a squashfs image, with what its own blocks were compressed with. */
#include "root/lzo1x.h"
#include "root/squash_write.h"

#define FLAG_PLAIN_DATA 0x0002
#define FLAG_OPTIONS    0x0400
#define STORED_PLAIN    (UINT32_C(1) << 24)

/* ---- LZO ---- */

static sqfs_s32 lzo_block(sqfs_compressor_t *cmp, const sqfs_u8 *in, sqfs_u32 size, sqfs_u8 *out,
			  sqfs_u32 outsize)
{
	size_t n;

	(void)cmp;
	return kv_lzo1x_encode((struct kv_span){ in, size }, out, outsize, &n) < 0 ? 0
										   : (sqfs_s32)n;
}

static void lzo_destroy(sqfs_object_t *object)
{
	(void)object;
}

/* ---- the compressor ---- */

/*
 * The options behind the superblock. Those of xz say what a reader of the image prepares for: how
 * large a dictionary is and which filters there are. Those of the others only say how hard the
 * image's maker tried.
 */
static bool options(int image, uint16_t flags, sqfs_compressor_config_t *config)
{
	uint8_t raw[10] = { 0 };
	struct kv_span s = { raw, sizeof(raw) };
	uint32_t dictionary, filters;
	size_t n;

	if (config->id != SQFS_COMP_XZ || !(flags & FLAG_OPTIONS))
		return true;
	if (kv_read_all(image, raw, sizeof(raw), KV_SQW_SUPER, &n) < 0 || n != sizeof(raw) ||
	    raw[0] != 8 || raw[1] != 0x80)
		return false;
	kv_span_u32(s, 2, false, &dictionary);
	kv_span_u32(s, 6, false, &filters);
	config->opt.xz.dict_size = dictionary;
	config->flags = (uint16_t)filters;
	return !(filters & ~(uint32_t)SQFS_COMP_FLAG_XZ_ALL);
}

int kv_sqw_packer_make(int image, struct kv_span super, struct kv_sqw_packer *ret,
		       struct kv_err *err)
{
	static sqfs_compressor_t lzo = { .base.destroy = lzo_destroy, .do_block = lzo_block };
	sqfs_compressor_config_t config;
	uint16_t id, flags;
	uint32_t size;
	int e = 0;

	if (!kv_span_u32(super, KV_SQW_BLOCK_SIZE, false, &size) ||
	    !kv_span_u16(super, KV_SQW_COMPRESSION, false, &id) ||
	    !kv_span_u16(super, KV_SQW_FLAGS, false, &flags) || size < SQFS_MIN_BLOCK_SIZE ||
	    size > SQFS_MAX_BLOCK_SIZE || (size & (size - 1)))
		return kv_err(err, -EIO,
			      "damaged squashfs image: its superblock has values that make no "
			      "sense");
	ret->block_size = size;
	ret->plain_data = flags & FLAG_PLAIN_DATA;
	if (id == SQFS_COMP_LZO) {
		ret->cmp = &lzo;
		return 0;
	}
	e = sqfs_compressor_config_init(&config, id, size, 0);
	if (!e && !options(image, flags, &config))
		e = SQFS_ERROR_UNSUPPORTED;
	if (!e)
		e = sqfs_compressor_create(&config, &ret->cmp);
	return e ? kv_err(err, -ENOTSUP,
			  "a squashfs image with a compression, or options of it, that kvpath does "
			  "not know")
		 : 0;
}

void kv_sqw_packer_done(struct kv_sqw_packer *p)
{
	if (p->cmp)
		p->cmp->base.destroy(&p->cmp->base);
	p->cmp = NULL;
}

uint32_t kv_sqw_pack(const struct kv_sqw_packer *p, const uint8_t *in, uint32_t n, uint8_t *out)
{
	sqfs_s32 packed = p->cmp->do_block(p->cmp, in, n, out, n);

	/* Some say that it gets no smaller, some fail then. */
	if (packed > 0 && (uint32_t)packed < n)
		return (uint32_t)packed;
	memcpy(out, in, n);
	return n;
}

/* ---- files ---- */

/* At most a block of the file's bytes at off. */
static int file_bytes(const struct kv_edit *f, uint64_t off, uint8_t *buf, uint32_t room,
		      uint32_t *ret_n)
{
	struct kv_span part;
	size_t n;
	int e;

	if (f->source_fd >= 0) {
		e = kv_read_all(f->source_fd, buf, room, off, &n);
		*ret_n = (uint32_t)n;
		return e;
	}
	n = f->content.n - (size_t)off < room ? f->content.n - (size_t)off : room;
	*ret_n = (uint32_t)n;
	if (!n)
		return 0;
	if (!kv_span_sub(f->content, off, n, &part))
		return -EINVAL;
	memcpy(buf, part.p, n);
	return 0;
}

static int pack_block(const struct kv_squash_edit *e, const struct kv_sqw_packer *p,
		      const uint8_t *in, uint32_t n, uint8_t *out, uint64_t *at, uint32_t *ret)
{
	uint32_t stored = p->plain_data ? n : kv_sqw_pack(p, in, n, out);
	int r = kv_pwrite_all(e->out, p->plain_data ? in : out, stored, *at);

	*at += stored;
	*ret = stored == n ? stored | STORED_PLAIN : stored;
	return r;
}

int kv_sqw_pack_file(const struct kv_squash_edit *e, const struct kv_edit *file,
		     const struct kv_sqw_packer *p, uint64_t *at, struct kv_sqw_data *ret,
		     struct kv_err *err)
{
	_free_ uint8_t *in = malloc(p->block_size), *out = malloc(p->block_size);
	uint32_t n = p->block_size;
	int r = in && out ? 0 : -ENOMEM;

	*ret = (struct kv_sqw_data){ .start = *at };
	while (r == 0 && n == p->block_size) {
		r = file_bytes(file, ret->size, in, p->block_size, &n);
		if (r == 0 && n)
			r = pack_block(e, p, in, n, out, at, kv_vec_add(e->arena, &ret->blocks));
		ret->size += n;
	}
	return r < 0 ? kv_err(err, r, "cannot write %s: %s", file->path, strerror(-r)) : 0;
}
