/*
 * One layer of an image: a tar stream, plain or compressed with gzip or zstd, read once from start
 * to end by a child process that can do nothing else (tar_scan.c). What it tells is checked here
 * again, as if the child belonged to whoever wrote the archive.
 *
 * A plain archive has random access: an entry's bytes are read from the archive itself whenever
 * they are asked for. A compressed stream has none. Its reader therefore keeps, in an unlinked
 * temporary file (the spool), those bytes that the questions of kvpath are about (keep.c): small
 * texts, and of shared objects the tables and not the code. Whatever else is asked for costs
 * another pass over the stream. Neither memory nor the spool ever holds a whole image.
 */
#ifndef KV_ROOT_TAR_H
#define KV_ROOT_TAR_H

#include "base/base.h"

/* A part of a host file. */
struct kv_blob {
	int fd;
	uint64_t off, size;
};

/* Where the bytes of an entry are. */
enum kv_place {
	KV_PLACE_STREAM, /* only in the stream */
	KV_PLACE_BLOB,   /* in the blob, offsets from its start */
	KV_PLACE_SPOOL,
	_KV_PLACE_COUNT,
};

/* n bytes of the file, from its offset off on, lie at offset `at` of the place. */
struct kv_tar_range {
	uint64_t off, n, at;
};

#define KV_TAR_MAX_RANGES 16

struct kv_tar_entry {
	uint64_t ordinal; /* counted from 0 over the archive: names may come twice */
	const char *path; /* "usr/lib/x": no "", "." or ".." in it, and no '/' at its ends; "" is
			     the root */
	const char *link; /* of a symlink its text; of a hard link the path of the other name */
	bool hard;        /* then mode and size say nothing */
	uint32_t mode, uid, gid;
	int64_t mtime_s;
	uint64_t size;
	enum kv_place place;
	size_t n_ranges;
	struct kv_tar_range ranges[KV_TAR_MAX_RANGES];
};

#define KV_TAR_ALL UINT64_MAX

struct kv_tar_job {
	struct kv_blob blob;
	int spool_fd;       /* -1: nothing is kept */
	uint64_t spool_at;  /* where to write in the spool */
	uint64_t spool_max; /* and up to where */
	uint64_t want;      /* the entry that is kept whole, and the only one told; KV_TAR_ALL */
};

/* Takes one entry, whose strings last for the call. An error ends the pass. */
typedef int (*kv_tar_take)(void *ctx, const struct kv_tar_entry *e, struct kv_err *err);

/* One pass in a child. Yields where the spool now ends. */
int kv_tar_pass(const struct kv_tar_job *job, kv_tar_take take, void *ctx, uint64_t *ret_spool_at,
		struct kv_err *err);

/* ---- between the child and its parent ---- */

enum kv_tar_kind {
	KV_TAR_ENTRY,
	KV_TAR_BEAT, /* still at work */
	KV_TAR_DONE, /* size: where the spool ends */
	KV_TAR_FAIL, /* path: why */
};

/* Followed by the ranges, the path and the link, without NULs. */
struct kv_tar_rec {
	uint32_t kind, path_n, link_n, n_ranges;
	uint32_t mode, uid, gid, hard;
	uint32_t place, pad;
	uint64_t ordinal, size;
	int64_t mtime_s;
};

#define KV_TAR_MAX_PATH 4095

/* What the child does; emit takes the bytes of records, and with n 0 passes on what it gathered. It
 * is also called in-process, by fuzzing. */
typedef bool (*kv_tar_emit)(void *ctx, const void *bytes, size_t n);
void kv_tar_scan(const struct kv_tar_job *job, kv_tar_emit emit, void *ctx);

/*
 * path as the archive spells it, as struct kv_tar_entry wants it; ret has room for
 * KV_TAR_MAX_PATH + 1 bytes. False where ".." is in it, or where it or a name is too long.
 * Leading slashes are taken off, as docker and tar do.
 */
bool kv_tar_normal(const char *path, char *ret);

/* Whether the blob is no compressed stream that kvpath knows; else whether it is zstd and not gzip.
 */
bool kv_tar_is_plain(const struct kv_blob *b, bool *ret_zstd);

/*
 * Takes the bytes of the records one after the other, in pieces of any size, and hands the entries
 * on. What does not keep to the protocol is an error.
 */
struct kv_tar_reader {
	uint64_t blob_size, spool_max;
	kv_tar_take take;
	void *ctx;
	bool done;
	uint64_t spool_at;
	size_t n;
	uint8_t buf[sizeof(struct kv_tar_rec) + KV_TAR_MAX_RANGES * sizeof(struct kv_tar_range) +
		    2 * (KV_TAR_MAX_PATH + 1)];
};
int kv_tar_feed(struct kv_tar_reader *r, const uint8_t *p, size_t n, struct kv_err *err);

/* ---- what is kept of a compressed stream (keep.c) ---- */

struct kv_keep {
	uint64_t size;
	bool whole, objects, decided, elf;
	uint64_t head_max;
	uint8_t *head; /* the first head_n bytes of the file, up to head_max */
	size_t head_n, head_cap;
	size_t n_cuts, n_parts;
	struct kv_keep_cut {
		uint64_t off, end;
	} cuts[8]; /* what is kept of the head */
	struct kv_keep_part {
		uint64_t off, n, got;
		uint8_t *bytes;
	} parts[8]; /* and besides it; may overlap with it */
};

/* Begins a file. Its bytes are then given in order; holes are left out. */
void kv_keep_begin(struct kv_keep *k, const char *path, uint64_t size);
void kv_keep_data(struct kv_keep *k, uint64_t off, const void *p, size_t n);
/* Whether anything is kept, then cuts and parts say what; to be asked when all bytes were given. */
bool kv_keep_end(struct kv_keep *k);
void kv_keep_clear(struct kv_keep *k);

#endif
