/*
 * Inside the writer of squashfs images. What reads the old image's tables and writes the new ones
 * runs in a sandboxed process, as the reader of images does; the data of new files was compressed
 * and written by its parent before, as it comes from the host.
 */
#ifndef KV_ROOT_SQUASH_WRITE_H
#define KV_ROOT_SQUASH_WRITE_H

#include "root/squash_box.h"
#include "root/squash_edit.h"

#define KV_SQW_NONE UINT32_MAX /* no fragment, no extended attributes */

/* What compresses the new image's blocks, as the old one's were. */
struct kv_sqw_packer {
	sqfs_compressor_t *cmp;
	uint32_t block_size;
	bool plain_data;
};

/* Where the data of an edit's file lies. */
struct kv_sqw_data {
	uint64_t start, size;
	KV_VEC(uint32_t) blocks; /* as an inode lists them */
};

/* What the process is told. */
struct kv_sqw_job {
	const struct kv_squash_edit *edit;
	const struct kv_sqw_data *data; /* of each edit */
	const struct kv_sqw_packer *packer;
	uint64_t tables; /* where they go */
	uint64_t limit;  /* the longest that the new image can be */
};

/* Offsets in the superblock. */
enum {
	KV_SQW_INODE_COUNT = 4,
	KV_SQW_MTIME = 8,
	KV_SQW_BLOCK_SIZE = 12,
	KV_SQW_COMPRESSION = 20,
	KV_SQW_FLAGS = 24,
	KV_SQW_ID_COUNT = 26,
	KV_SQW_ROOT = 32,
	KV_SQW_BYTES_USED = 40,
	KV_SQW_IDS = 48,
	KV_SQW_XATTRS = 56,
	KV_SQW_INODES = 64,
	KV_SQW_DIRS = 72,
	KV_SQW_FRAGMENTS = 80,
	KV_SQW_EXPORT = 88,
	KV_SQW_SUPER = 96,
};

/* Squashfs is little-endian. */
static inline void kv_sqw_set(uint8_t *at, uint64_t value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		at[i] = (uint8_t)(value >> (8 * i));
}

static inline void kv_sqw_add(struct kv_buf *b, uint64_t value, unsigned bytes)
{
	uint8_t raw[8];

	kv_sqw_set(raw, value, bytes);
	kv_buf_add(b, raw, bytes);
}

/* ---- squash_pack.c ---- */

/* The compressor for an image with this superblock, and with the options behind it. */
int kv_sqw_packer_make(int image, struct kv_span super, struct kv_sqw_packer *ret,
		       struct kv_err *err);
void kv_sqw_packer_done(struct kv_sqw_packer *p);
/* Compresses n bytes into out, which has room for n, and returns how many it has then: n where that
 * does not help, and out has the bytes as they are. */
uint32_t kv_sqw_pack(const struct kv_sqw_packer *p, const uint8_t *in, uint32_t n, uint8_t *out);
/* Writes the data of the edit's file at *at, and moves that behind it. */
int kv_sqw_pack_file(const struct kv_squash_edit *e, const struct kv_edit *file,
		     const struct kv_sqw_packer *p, uint64_t *at, struct kv_sqw_data *ret,
		     struct kv_err *err);

/* ---- the process ---- */

/* The inode table or that of directories: the old one, and what is appended. */
struct kv_sqw_meta {
	const char *name;
	bool plain;
	uint64_t start, end;                 /* of the old table */
	uint64_t last;                       /* its last block, from start */
	uint64_t kept;                       /* bytes of its blocks that stay as they are */
	struct kv_buf more;                  /* blocks behind those */
	uint8_t block[SQFS_META_BLOCK_SIZE]; /* the one that is being filled */
	uint32_t n, old_n;                   /* bytes in it; those of the old table's last block */
};

/* A place in such a table. */
struct kv_sqw_place {
	uint64_t block; /* from the table's start, compressed */
	uint32_t offset;
};

/* An entry of a table of entries of one size that is new or differs. */
struct kv_sqw_patch {
	uint32_t index;
	uint64_t value;
};

typedef KV_VEC(struct kv_sqw_patch) kv_sqw_patches;

struct kv_sqw {
	struct kv_sq *s;
	struct kv_arena *arena;
	const struct kv_sqw_job *job;
	int out;
	uint64_t at; /* in out */
	struct kv_sqw_meta inodes, dirs;
	KV_VEC(uint32_t) ids;
	kv_sqw_patches refs; /* of inodes, by their number less one; ascending */
	uint32_t n_inodes;
	uint64_t root;
	uint8_t *payload; /* KV_SQ_PAYLOAD bytes */
};

/* A new inode, or that of a directory whose list changed. */
struct kv_sqw_inode {
	uint32_t mode, uid, gid, mtime, number, xattr; /* uid, gid: places in the table of owners */
};

struct kv_sqw_entry {
	const char *name;
	uint64_t ref;
	uint32_t number;
	uint8_t type; /* SQFS_INODE_DIR to SQFS_INODE_SOCKET */
};

typedef KV_VEC(struct kv_sqw_entry) kv_sqw_entries;

/* All return 0 or -errno, and leave the reason in w->s->why. */

/* squash_meta.c: blocks of metadata. */
/* The block at this place in the image; bytes has room for one. */
int kv_sqw_block(struct kv_sqw *w, uint64_t at, uint8_t *bytes, uint32_t *ret_n,
		 uint32_t *ret_stored);
int kv_sqw_meta_open(struct kv_sqw *w, struct kv_sqw_meta *m);
struct kv_sqw_place kv_sqw_meta_end(const struct kv_sqw_meta *m);
void kv_sqw_meta_add(struct kv_sqw *w, struct kv_sqw_meta *m, const void *bytes, size_t n);
/* Writes the whole table to the new image. */
int kv_sqw_meta_close(struct kv_sqw *w, struct kv_sqw_meta *m);
void kv_sqw_block_add(struct kv_sqw *w, struct kv_buf *to, const uint8_t *bytes, uint32_t n,
		      bool plain);
int kv_sqw_put(struct kv_sqw *w, const void *bytes, size_t n);
/* Bytes of the old image, at the end of the new one. */
int kv_sqw_copy(struct kv_sqw *w, uint64_t from, uint64_t n);

/* squash_scan.c: whether the old image is as mksquashfs lays images out. */
int kv_sqw_scan(struct kv_sqw *w);

/* squash_tables.c: the tables behind the directories. */
/* Where the first of them begins. */
int kv_sqw_tables_start(struct kv_sqw *w, uint64_t *ret);
int kv_sqw_ids_open(struct kv_sqw *w);
int kv_sqw_id(struct kv_sqw *w, uint32_t id, uint32_t *ret);
/* Writes all of them, and sets their places in the superblock. */
int kv_sqw_tables_write(struct kv_sqw *w, uint8_t *super);

/* squash_inode.c */
int kv_sqw_dir_inode(struct kv_sqw *w, const struct kv_sqw_inode *i, uint32_t parent,
		     const kv_sqw_entries *entries, uint64_t *ret);
int kv_sqw_file_inode(struct kv_sqw *w, const struct kv_sqw_inode *i,
		      const struct kv_sqw_data *data, uint64_t *ret);
int kv_sqw_link_inode(struct kv_sqw *w, const struct kv_sqw_inode *i, const char *text,
		      uint64_t *ret);

/* squash_dirs.c: carries out the edits, from the root down. */
int kv_sqw_dirs(struct kv_sqw *w);

#endif
