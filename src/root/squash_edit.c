/*
 * Writing a squashfs image that differs from another one in a few paths: the data of what is new,
 * then the tables by a process that may read the image, and the copy of what is old. That comes
 * last, since it is what takes time, and the superblock after it.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "root/squash_box.h"
#include "root/squash_write.h"

#define COPY_CHUNK ((uint64_t)64 << 20)
#define READ_CHUNK ((size_t)1 << 20)
#define PADDING    4096
/* What the tables of an image may grow by, beside the data of what is new. */
#define MAX_TABLES ((uint64_t)1 << 30)
/* The process is silent until it is done; it may use less processor time than this. */
#define DEADLINE_S 600

/* ---- the process that reads the tables ---- */

/* What it says, once. */
struct answer {
	int32_t error; /* 0 or -errno */
	char why[200];
	uint8_t super[KV_SQW_SUPER]; /* the new one */
};

static void open_writer(struct kv_sqw *w, const struct kv_sqw_job *job)
{
	w->job = job;
	w->out = KV_CELL_SPOOL;
	w->at = job->tables;
	w->arena = kv_arena_new();
	w->payload = kv_alloc_raw(w->arena, KV_SQ_PAYLOAD);
	w->inodes.name = "inode table";
	w->dirs.name = "directory table";
	w->inodes.plain = w->dirs.plain = w->s->super.flags & SQFS_FLAG_UNCOMPRESSED_INODES;
	w->inodes.start = w->s->super.inode_table_start;
	w->inodes.end = w->dirs.start = w->s->super.directory_table_start;
}

static int read_tables(struct kv_sqw *w)
{
	int e = kv_sqw_tables_start(w, &w->dirs.end);

	if (e == 0)
		e = kv_sqw_meta_open(w, &w->inodes);
	if (e == 0)
		e = kv_sqw_meta_open(w, &w->dirs);
	if (e == 0)
		e = kv_sqw_scan(w);
	return e < 0 ? e : kv_sqw_ids_open(w);
}

/* The new tables, and the new superblock. */
static int write_tables(struct kv_sqw *w, uint8_t *super)
{
	int e = w->s->file.read_at(&w->s->file, 0, super, KV_SQW_SUPER);

	if (e)
		return kv_sq_fail(w->s, "superblock", e);
	kv_sqw_set(super + KV_SQW_INODES, w->at, 8);
	e = kv_sqw_meta_close(w, &w->inodes);
	kv_sqw_set(super + KV_SQW_DIRS, w->at, 8);
	if (e == 0)
		e = kv_sqw_meta_close(w, &w->dirs);
	if (e == 0)
		e = kv_sqw_tables_write(w, super);
	kv_sqw_set(super + KV_SQW_INODE_COUNT, w->n_inodes, 4);
	kv_sqw_set(super + KV_SQW_MTIME, w->job->edit->now, 4);
	kv_sqw_set(super + KV_SQW_ROOT, w->root, 8);
	kv_sqw_set(super + KV_SQW_BYTES_USED, w->at, 8);
	return e;
}

static int all_tables(struct kv_sqw *w, const struct kv_sqw_job *job, uint8_t *super)
{
	int e;

	open_writer(w, job);
	e = read_tables(w);
	if (e == 0)
		e = kv_sqw_dirs(w);
	return e < 0 ? e : write_tables(w, super);
}

static void run(void *ctx)
{
	const struct kv_sqw_job *job = ctx;
	int image = KV_CELL_IN;
	struct kv_sq_source source;
	struct answer answer = { 0 };
	struct kv_sqw w = { 0 };
	const char *why = "";
	uint64_t root;

	if (kv_box_source(&image, &source) < 0)
		return;
	kv_cell_confine(&(struct kv_cell_limits){
		.memory = KV_BOX_MEMORY, .cpu_s = KV_BOX_CPU_S, .spool = job->limit });
	answer.error = kv_sq_open(&source, &w.s, &root, &why);
	if (answer.error == 0) {
		answer.error = all_tables(&w, job, answer.super);
		why = w.s->why;
	}
	if (answer.error)
		snprintf(answer.why, sizeof(answer.why), "%s", why);
	(void)!write(KV_CELL_SOCK, &answer, sizeof(answer));
}

/* ---- copying ---- */

static int copy_by_hand(const struct kv_squash_edit *e, uint64_t at, uint64_t n)
{
	_free_ uint8_t *buf = malloc(READ_CHUNK);
	size_t got;

	if (!buf)
		return -ENOMEM;
	while (n) {
		size_t take = n < READ_CHUNK ? (size_t)n : READ_CHUNK;
		int r = kv_read_all(e->image, buf, take, at, &got);

		if (r == 0 && got != take)
			r = -EIO;
		if (r == 0)
			r = kv_pwrite_all(e->out, buf, take, at);
		if (r < 0)
			return r;
		at += take;
		n -= take;
	}
	return 0;
}

/* Not every kernel and pair of file systems can do it; then we do. */
static int copy_part(const struct kv_squash_edit *e, uint64_t at, uint64_t n)
{
	off_t from = (off_t)at, to = (off_t)at;

	while (n) {
		ssize_t done = copy_file_range(e->image, &from, e->out, &to, (size_t)n, 0);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG))
			return -errno;
		if (done <= 0)
			return copy_by_hand(e, (uint64_t)from, n);
		n -= (uint64_t)done;
	}
	return 0;
}

/* How much of n bytes both files could be made to share. */
static uint64_t share(const struct kv_squash_edit *e, uint64_t n)
{
	struct file_clone_range range = { .src_fd = e->image };
	struct stat st;

	if (fstat(e->out, &st) < 0 || st.st_blksize <= 0)
		return 0;
	range.src_length = n - n % (uint64_t)st.st_blksize;
	return range.src_length && ioctl(e->out, FICLONERANGE, &range) == 0 ? range.src_length : 0;
}

int kv_squash_copy(const struct kv_squash_edit *e, uint64_t n, struct kv_err *err)
{
	uint64_t done = share(e, n);
	int r = 0;

	while (r == 0 && done < n) {
		uint64_t take = n - done < COPY_CHUNK ? n - done : COPY_CHUNK;

		r = copy_part(e, done, take);
		done += take;
		if (r == 0 && e->progress)
			e->progress(e->arg, done, n);
	}
	return r < 0 ? kv_err(err, r, "cannot copy the image: %s", strerror(-r)) : 0;
}

/* ---- all of it ---- */

static int read_super(const struct kv_squash_edit *e, uint8_t super[KV_SQW_SUPER], uint64_t *ret,
		      uint64_t *ret_size, struct kv_err *err)
{
	struct kv_span s = { super, KV_SQW_SUPER };
	struct stat st;
	size_t n = 0;
	int r = fstat(e->image, &st) < 0 ? -errno
					 : kv_read_all(e->image, super, KV_SQW_SUPER, 0, &n);

	if (r < 0)
		return kv_err(err, r, "cannot read it: %s", strerror(-r));
	*ret_size = (uint64_t)st.st_size;
	if (n < KV_SQW_SUPER || memcmp(super, "hsqs", 4) != 0)
		return kv_err(err, -EIO, "not a squashfs image");
	kv_span_u64(s, KV_SQW_INODES, false, ret);
	if (*ret < KV_SQW_SUPER || *ret > *ret_size)
		return kv_err(err, -EIO,
			      "damaged squashfs image: its superblock points outside of the image");
	return 0;
}

/* Has the tables written; super becomes the new one. */
static int ask_for_tables(struct kv_sqw_job *job, uint8_t super[KV_SQW_SUPER], struct kv_err *err)
{
	const struct kv_cell_job cell_job = {
		.in = job->edit->image,
		.spool = job->edit->out,
		.run = run,
		.ctx = job,
		.deadline_s = DEADLINE_S,
	};
	struct answer answer;
	struct kv_cell cell;
	ssize_t n;
	int r = kv_cell_start(&cell_job, &cell, err), status;

	if (r < 0)
		return r;
	n = kv_cell_receive(&cell, &answer, sizeof(answer));
	status = kv_cell_end(&cell, /* kill_it= */ n != 0);
	if (n == -EAGAIN)
		return kv_err(err, -EIO, "the reader of the image has been silent for too long");
	if (WIFSIGNALED(status))
		return kv_err(err, -EIO,
			      "damaged squashfs image: its reader died of it (signal %d)",
			      WTERMSIG(status));
	if (n != (ssize_t)sizeof(answer) || answer.error > 0 || answer.error < -4095)
		return kv_err(err, -EIO, "damaged squashfs image: its reader gave up");
	answer.why[sizeof(answer.why) - 1] = '\0';
	if (answer.error)
		return kv_err(err, answer.error, "%s", kv_printable(job->edit->arena, answer.why));
	memcpy(super, answer.super, KV_SQW_SUPER);
	return 0;
}

/* The new superblock, and zeros up to a whole page, as devices want it. */
static int finish(const struct kv_sqw_job *job, const uint8_t super[KV_SQW_SUPER],
		  struct kv_err *err)
{
	uint64_t used = 0;
	int r;

	kv_span_u64((struct kv_span){ super, KV_SQW_SUPER }, KV_SQW_BYTES_USED, false, &used);
	if (used < job->tables || used > job->limit)
		return kv_err(err, -EIO, "damaged squashfs image: its reader answers nonsense");
	r = kv_pwrite_all(job->edit->out, super, KV_SQW_SUPER, 0);
	used += (PADDING - used % PADDING) % PADDING;
	if (r == 0 && ftruncate(job->edit->out, (off_t)used) < 0)
		r = -errno;
	return r < 0 ? kv_err(err, r, "cannot write the new image: %s", strerror(-r)) : 0;
}

static int pack_files(const struct kv_squash_edit *e, const struct kv_sqw_packer *p, uint64_t *at,
		      struct kv_sqw_data *data, struct kv_err *err)
{
	for (size_t i = 0; i < e->edits->n; i++) {
		int r = 0;

		if (e->edits->v[i].kind == KV_EDIT_FILE)
			r = kv_sqw_pack_file(e, &e->edits->v[i], p, at, &data[i], err);
		if (r < 0)
			return r;
	}
	return 0;
}

int kv_squash_edit(const struct kv_squash_edit *e, struct kv_err *err)
{
	struct kv_sqw_data *data =
		kv_alloc_n(e->arena, e->edits->n + 1, sizeof(struct kv_sqw_data));
	struct kv_sqw_packer packer = { 0 };
	struct kv_sqw_job job = { .edit = e, .data = data, .packer = &packer };
	uint8_t super[KV_SQW_SUPER];
	uint64_t old_tables = 0, size = 0;
	int r = read_super(e, super, &old_tables, &size, err);

	if (r == 0)
		r = kv_sqw_packer_make(e->image, (struct kv_span){ super, sizeof(super) }, &packer,
				       err);
	job.tables = old_tables;
	if (r == 0)
		r = pack_files(e, &packer, &job.tables, data, err);
	job.limit = job.tables + (size - old_tables) + MAX_TABLES;
	if (r == 0)
		r = ask_for_tables(&job, super, err);
	if (r == 0)
		r = kv_squash_copy(e, old_tables, err);
	if (r == 0)
		r = finish(&job, super, err);
	kv_sqw_packer_done(&packer);
	return r;
}
