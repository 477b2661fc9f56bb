/*
 * A squashfs image read with libsquashfs, as questions and answers of bytes. All of this runs in a
 * sandboxed process of its own (squash_box.h): it handles whatever an image holds, and may die of
 * it. Memory comes from malloc(), as libsquashfs' does.
 */
#ifndef KV_ROOT_SQUASH_IMAGE_H
#define KV_ROOT_SQUASH_IMAGE_H

#include "base/base.h"

/* Where the image's bytes come from. */
struct kv_sq_source {
	/* Reads n bytes at off, all of which lie below size. 0 or -errno. */
	int (*read)(void *arg, uint64_t off, void *buf, size_t n);
	void *arg;
	uint64_t size;
};

/* What one answer can carry. */
#define KV_SQ_PAYLOAD (256U << 10)

/*
 * A question costs two switches between processes, which is more than most answers: so two of them
 * bring along what will likely be asked next.
 */
enum kv_sq_op {
	/* ref of a directory, off: 0, or `more` of the answer before; n: whether to read ahead ->
	 * its list, and behind it whole ones of directories below it and of those that follow. */
	KV_SQ_LIST = 1,
	/* ref -> its struct kv_sq_inode, and behind it others of its metadata block. */
	KV_SQ_INODE,
	KV_SQ_READ,     /* ref of a regular file, off, n -> bytes, fewer than n at its end only */
	KV_SQ_FRAGMENT, /* ref: a fragment's number -> its bytes */
	KV_SQ_SKIP,     /* n bytes of names in the window, each with a NUL: of directories that
			   nothing is read ahead of */
};

/*
 * ref is squashfs' own reference to an inode: the place of its metadata block in the inode table,
 * and 16 bits of offset inside of it.
 */
struct kv_sq_request {
	uint32_t op, n;
	uint64_t ref, off;
};

struct kv_sq_reply {
	int32_t error; /* 0 or -errno; then the payload is text that says why */
	uint32_t n;    /* bytes of payload */
	uint64_t more; /* of a list that goes on, else 0 */
};

/* A directory's list, in the payload without padding: this, then n bytes of entries. */
struct kv_sq_list {
	uint64_t ref;
	uint32_t n;
} __attribute__((packed));

/* An entry of it: this, then n bytes of name and a NUL. */
struct kv_sq_entry {
	uint64_t ref;
	uint32_t ino;
	uint8_t type; /* DT_* */
	uint8_t n;
} __attribute__((packed));

/* Then the bytes of a link's text. */
struct kv_sq_inode {
	uint64_t ref, ino, size;
	uint64_t at; /* where in the image a regular file's bytes lie as they are; 0: nowhere */
	int64_t mtime_s;
	uint32_t mode, uid, gid;
	uint32_t link_n;      /* bytes of the link's text, which has no NUL */
	uint32_t fragment;    /* the number of the one that has all of the file, or KV_SQ_NONE */
	uint32_t fragment_at; /* where in it the file begins */
} __attribute__((packed));

#define KV_SQ_NONE UINT32_MAX

/* Longest text of a link: a path with its NUL has PATH_MAX bytes (symlink(2)). */
#define KV_SQ_LINK 4095

struct kv_sq;

/*
 * Opens the image. 0 and the reference of its root directory, or -errno and in ret_why what is
 * wrong (a text of at most 200 bytes that lives as long as the program or as the process).
 */
int kv_sq_open(const struct kv_sq_source *source, struct kv_sq **ret, uint64_t *ret_root,
	       const char **ret_why);
void kv_sq_close(struct kv_sq *s);
/* Answers one request; payload, which holds what comes with it, has room for KV_SQ_PAYLOAD bytes.
 */
void kv_sq_answer(struct kv_sq *s, const struct kv_sq_request *rq, uint8_t *payload,
		  struct kv_sq_reply *ret);

/* ---- inside the reader ---- */

#include <sqfs/block.h>
#include <sqfs/compressor.h>
#include <sqfs/dir.h>
#include <sqfs/error.h>
#include <sqfs/inode.h>
#include <sqfs/io.h>
#include <sqfs/meta_reader.h>
#include <sqfs/super.h>

#define KV_SQ_INODES  8
#define KV_SQ_BLOCKS  64
#define KV_SQ_READERS 32
#define KV_SQ_WAITING 16384
#define KV_SQ_FIRSTS  1024

/*
 * Readers of one part of the metadata. Each of libsquashfs' readers keeps the one block that it
 * read last: which of them reads a block, its place decides, so that together they are a cache.
 */
struct kv_sq_meta {
	uint64_t start, end;
	sqfs_meta_reader_t *readers[KV_SQ_READERS]; /* made when first asked for */
};

/* A table of entries of one size: owners, fragments. */
struct kv_sq_table {
	uint64_t list; /* where the places of its blocks are listed */
	uint32_t count, size;
	sqfs_meta_reader_t *reader;
	uint64_t at; /* of the block that was asked for last */
	uint32_t block;
	bool known; /* whether those two are */
};

/* A block that was decompressed, by its place in the image. */
struct kv_sq_block {
	uint64_t at, asked;
	uint32_t n;
	uint8_t *bytes; /* of the image's block size; NULL while unused */
};

/* The first inode in a block of the inode table that a list named. */
struct kv_sq_first {
	uint64_t block;
	uint32_t at;
	bool known;
};

struct kv_sq {
	sqfs_file_t file; /* libsquashfs' view of source; its first member is its object */
	struct kv_sq_source source;
	sqfs_super_t super;
	sqfs_compressor_t *cmp;
	struct kv_sq_meta inode_table, dir_table;
	struct kv_sq_table owners, fragments;
	struct {
		uint64_t ref;
		sqfs_inode_generic_t *inode;
	} inodes[KV_SQ_INODES]; /* the last ones that were asked about */
	unsigned next_inode;
	struct { /* the list that was begun last */
		uint64_t ref, done, left;
		uint32_t count, start_block, ino;
		sqfs_meta_reader_t *reader;
	} list;
	struct {
		/* Directories that a walk in order comes to, the next one last. */
		uint64_t waiting[KV_SQ_WAITING];
		size_t n;
		char *skip; /* names of directories that it does not enter, or NULL */
		size_t skip_n;
	} ahead;
	struct kv_sq_first firsts[KV_SQ_FIRSTS];
	struct kv_sq_block blocks[KV_SQ_BLOCKS];
	uint64_t asked;  /* clock of the blocks' use */
	uint8_t *packed; /* a block as the image has it */
	const char *why; /* of the last failure */
};

/* Remembers what failed, and of what; returns the -errno that fits libsquashfs' error. */
int kv_sq_fail(struct kv_sq *s, const char *part, int error);
/* The inode at ref; stays valid until KV_SQ_INODES others have been asked for. */
int kv_sq_inode_at(struct kv_sq *s, uint64_t ref, sqfs_inode_generic_t **ret);
/* The reader for the block at this place; NULL without memory. */
sqfs_meta_reader_t *kv_sq_reader(struct kv_sq *s, struct kv_sq_meta *m, uint64_t place);
/* Entry i of the table. 0 or libsquashfs' error. */
int kv_sq_table_entry(struct kv_sq *s, struct kv_sq_table *t, uint32_t i, void *ret);
/* Where all bytes of a regular file lie in the image one behind the other, as they are; else 0. */
uint64_t kv_sq_plain_at(struct kv_sq *s, const sqfs_inode_generic_t *inode);
/* n bytes of a regular file at off, all of which it has. */
int kv_sq_read(struct kv_sq *s, const sqfs_inode_generic_t *inode, uint64_t off, uint8_t *buf,
	       size_t n);
/* Answers KV_SQ_LIST. */
int kv_sq_list(struct kv_sq *s, const struct kv_sq_request *rq, uint8_t *payload,
	       struct kv_sq_reply *rp);
/* Answers KV_SQ_FRAGMENT. */
int kv_sq_fragment(struct kv_sq *s, uint64_t number, uint8_t *payload, struct kv_sq_reply *rp);
/* What is known of a block of the inode table; one of another block where nothing is. */
struct kv_sq_first *kv_sq_first_of(struct kv_sq *s, uint64_t block);
/* libsquashfs' compressor of the image, or our own for LZO. */
int kv_sq_compressor(const sqfs_super_t *super, sqfs_compressor_t **ret);

#endif
