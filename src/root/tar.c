/* A pass over one archive: the confined child, and the check of what it tells. */
#include <locale.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "root/cell.h"
#include "root/tar.h"

#define DEADLINE_S 60
#define MAX_CPU_S  900
#define MAX_MEMORY ((uint64_t)1 << 30)
#define MESSAGE    65536

/* ---- what both sides use ---- */

bool kv_tar_normal(const char *path, char *ret)
{
	size_t at = 0;

	while (*path) {
		size_t n = strcspn(path, "/");

		if (n > 255 || (n == 2 && memcmp(path, "..", 2) == 0))
			return false;
		if (n && !(n == 1 && *path == '.')) {
			if (at + n + 1 > KV_TAR_MAX_PATH)
				return false;
			if (at)
				ret[at++] = '/';
			memcpy(ret + at, path, n);
			at += n;
		}
		path += n + (path[n] == '/');
	}
	ret[at] = '\0';
	return true;
}

bool kv_tar_is_plain(const struct kv_blob *b, bool *ret_zstd)
{
	uint8_t magic[4] = { 0 };
	size_t n = 0;
	bool gzip;

	(void)kv_read_all(b->fd, magic, b->size < 4 ? (size_t)b->size : 4, b->off, &n);
	gzip = magic[0] == 0x1f && magic[1] == 0x8b;
	/* A frame, or one to be skipped (RFC 8878, 3.1). */
	*ret_zstd = memcmp(magic, "\x28\xb5\x2f\xfd", 4) == 0 ||
		    ((magic[0] & 0xf0) == 0x50 && memcmp(magic + 1, "\x2a\x4d\x18", 3) == 0);
	return !gzip && !*ret_zstd;
}

/* ---- what the child tells ---- */

static bool is_normal(const char *path)
{
	char again[KV_TAR_MAX_PATH + 1];

	return kv_tar_normal(path, again) && kv_streq(path, again);
}

static bool ranges_ok(const struct kv_tar_reader *r, const struct kv_tar_entry *e)
{
	uint64_t limit = e->place == KV_PLACE_BLOB ? r->blob_size : r->spool_max;

	for (size_t i = 0; i < e->n_ranges; i++) {
		const struct kv_tar_range *g = &e->ranges[i];

		if (g->off > e->size || g->n > e->size - g->off || g->at > limit)
			return false;
		/* A plain archive that was cut off in the middle of a file. */
		if (g->n > limit - g->at)
			return false;
	}
	return true;
}

static int take_record(struct kv_tar_reader *r, const struct kv_tar_rec *rec, struct kv_err *err)
{
	const char *rest = (const char *)r->buf + sizeof(*rec);
	char path[KV_TAR_MAX_PATH + 1], link[KV_TAR_MAX_PATH + 1];
	struct kv_tar_entry e = {
		.ordinal = rec->ordinal,
		.path = path,
		.link = rec->link_n ? link : NULL,
		.hard = rec->hard,
		.mode = rec->mode & (S_IFMT | 07777),
		.uid = rec->uid,
		.gid = rec->gid,
		.mtime_s = rec->mtime_s,
		.size = rec->size,
		.place = rec->place,
		.n_ranges = rec->n_ranges,
	};

	memcpy(e.ranges, rest, rec->n_ranges * sizeof(e.ranges[0]));
	rest += rec->n_ranges * sizeof(e.ranges[0]);
	memcpy(path, rest, rec->path_n);
	path[rec->path_n] = '\0';
	memcpy(link, rest + rec->path_n, rec->link_n);
	link[rec->link_n] = '\0';
	if (rec->kind == KV_TAR_FAIL)
		return kv_err(err, -EBADMSG, "%s", path);
	if (strlen(path) != rec->path_n || strlen(link) != rec->link_n || !is_normal(path) ||
	    (e.hard && !(e.link && is_normal(link))) || (S_ISLNK(e.mode) && !e.link) ||
	    e.size > INT64_MAX)
		return kv_err(err, -EBADMSG, "\"%.256s\" is no valid entry", path);
	if (!ranges_ok(r, &e))
		return kv_err(err, -EBADMSG, "the archive ends within \"%.256s\"", path);
	return r->take(r->ctx, &e, err);
}

/* How long the record at the start of the buffer is; 0 while that is not known, -EBADMSG. */
static int64_t record_size(const struct kv_tar_reader *r, struct kv_tar_rec *rec)
{
	if (r->n < sizeof(*rec))
		return 0;
	memcpy(rec, r->buf, sizeof(*rec));
	if (rec->kind > KV_TAR_FAIL || rec->n_ranges > KV_TAR_MAX_RANGES ||
	    rec->path_n > KV_TAR_MAX_PATH || rec->link_n > KV_TAR_MAX_PATH ||
	    rec->place >= _KV_PLACE_COUNT)
		return -EBADMSG;
	return (int64_t)(sizeof(*rec) + rec->n_ranges * sizeof(struct kv_tar_range) + rec->path_n +
			 rec->link_n);
}

int kv_tar_feed(struct kv_tar_reader *r, const uint8_t *p, size_t n, struct kv_err *err)
{
	struct kv_tar_rec rec;
	int e = 0;

	while (e == 0 && n) {
		int64_t size = record_size(r, &rec);
		size_t want = size ? (size_t)size : sizeof(rec), take;

		if (size < 0 || r->done)
			return kv_err(err, -EBADMSG, "its reader said what makes no sense");
		take = want - r->n < n ? want - r->n : n;
		memcpy(r->buf + r->n, p, take);
		r->n += take;
		p += take;
		n -= take;
		size = record_size(r, &rec);
		if (size <= 0 || r->n < (size_t)size)
			continue;
		if (rec.kind == KV_TAR_ENTRY || rec.kind == KV_TAR_FAIL)
			e = take_record(r, &rec, err);
		else if (rec.kind == KV_TAR_DONE) {
			r->done = true;
			r->spool_at = rec.size;
		}
		r->n = 0;
	}
	return e;
}

/* ---- the child ---- */

struct out {
	size_t n;
	uint8_t buf[MESSAGE];
};

static bool emit(void *ctx, const void *bytes, size_t n)
{
	struct out *o = ctx;

	if (!n || n > sizeof(o->buf) - o->n) {
		if (kv_write_all(KV_CELL_SOCK, o->buf, o->n) < 0)
			_exit(1); /* nobody listens */
		o->n = 0;
	}
	if (n)
		memcpy(o->buf + o->n, bytes, n);
	o->n += n;
	return true;
}

static void child(void *ctx)
{
	static struct out o;
	struct kv_tar_job job = *(const struct kv_tar_job *)ctx;

	/* pax headers are UTF-8; the locale's file can not be opened later. */
	setlocale(LC_CTYPE, "C.UTF-8");
	kv_cell_confine(&(struct kv_cell_limits){
		.memory = MAX_MEMORY,
		.cpu_s = MAX_CPU_S,
		.spool = job.spool_fd < 0 ? 0 : job.spool_max,
		/* libarchive and iconv() try what they can do without. */
		.is_tolerant = true,
	});
	job.blob.fd = KV_CELL_IN;
	job.spool_fd = job.spool_fd < 0 ? -1 : KV_CELL_SPOOL;
	kv_tar_scan(&job, emit, &o);
	emit(&o, NULL, 0);
}

/* ---- the pass ---- */

static int listen_to(struct kv_cell *cell, struct kv_tar_reader *r, struct kv_err *err)
{
	static uint8_t buf[MESSAGE];
	int e = 0;

	while (e == 0) {
		ssize_t n = kv_cell_receive(cell, buf, sizeof(buf));

		if (n == -EAGAIN)
			return kv_err(err, -ETIMEDOUT, "its reader made no progress for %d s",
				      DEADLINE_S);
		if (n < 0)
			return kv_err(err, (int)n, "its reader: %s", strerror((int)-n));
		if (n == 0)
			break;
		e = kv_tar_feed(r, buf, (size_t)n, err);
	}
	return e;
}

int kv_tar_pass(const struct kv_tar_job *job, kv_tar_take take, void *ctx, uint64_t *ret_spool_at,
		struct kv_err *err)
{
	const struct kv_cell_job child_job = {
		.in = job->blob.fd,
		.spool = job->spool_fd,
		.run = child,
		.ctx = (void *)(uintptr_t)job,
		.deadline_s = DEADLINE_S,
	};
	struct kv_tar_reader r = {
		.blob_size = job->blob.size,
		.spool_max = job->spool_max,
		.take = take,
		.ctx = ctx,
	};
	struct kv_cell cell;
	int e, status;

	e = kv_cell_start(&child_job, &cell, err);
	if (e < 0)
		return e;
	e = listen_to(&cell, &r, err);
	status = kv_cell_end(&cell, /* kill_it= */ e < 0);
	if (e < 0)
		return e;
	if (!r.done && WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU)
		return kv_err(err, -ETIMEDOUT, "reading it took more than %d s of processor time",
			      MAX_CPU_S);
	if (!r.done || r.spool_at > job->spool_max)
		return kv_err(err, -EBADMSG, "its reader ended early (status 0x%x)",
			      (unsigned)status);
	*ret_spool_at = r.spool_at;
	return 0;
}
