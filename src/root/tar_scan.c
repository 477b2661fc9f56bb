/*
 * What the child does: one pass of libarchive over a tar stream, each entry told as a record. It
 * runs boxed in (tar.c); nothing here is trusted by the parent.
 */
#include <archive.h>
#include <archive_entry.h>
#include <sys/stat.h>

#include "root/tar.h"

#define WINDOW  ((size_t)128 << 10)
#define BEAT    ((uint64_t)64 << 20) /* a sign of life each so many bytes of the stream */
#define MAX_OUT ((uint64_t)256 << 30)

struct scan {
	const struct kv_tar_job *job;
	kv_tar_emit emit;
	void *ctx;
	struct archive *ar;
	uint64_t pos; /* in the blob */
	uint64_t spool_at, beat_at;
	bool plain, spool_full;
	uint8_t window[WINDOW];
};

/* ---- the stream's bytes ---- */

static la_ssize_t on_read(struct archive *ar, void *ctx, const void **ret)
{
	struct scan *s = ctx;
	uint64_t left = s->job->blob.size - s->pos;
	size_t got = 0;
	int e = kv_read_all(s->job->blob.fd, s->window, left < WINDOW ? (size_t)left : WINDOW,
			    s->job->blob.off + s->pos, &got);

	if (e < 0) {
		archive_set_error(ar, -e, "%s", strerror(-e));
		return ARCHIVE_FATAL;
	}
	s->pos += got;
	*ret = s->window;
	return (la_ssize_t)got;
}

static la_int64_t on_skip(struct archive *ar, void *ctx, la_int64_t request)
{
	struct scan *s = ctx;
	uint64_t left = s->job->blob.size - s->pos, n = request < 0 ? 0 : (uint64_t)request;

	(void)ar;
	n = n < left ? n : left;
	s->pos += n;
	return (la_int64_t)n;
}

/* ---- records ---- */

static void tell(struct scan *s, struct kv_tar_rec *rec, const char *path, const char *link,
		 const struct kv_tar_range *ranges)
{
	rec->path_n = path ? (uint32_t)strlen(path) : 0;
	rec->link_n = link ? (uint32_t)strlen(link) : 0;
	(void)(s->emit(s->ctx, rec, sizeof(*rec)) &&
	       (!rec->n_ranges || s->emit(s->ctx, ranges, rec->n_ranges * sizeof(*ranges))) &&
	       (!rec->path_n || s->emit(s->ctx, path, rec->path_n)) &&
	       (!rec->link_n || s->emit(s->ctx, link, rec->link_n)));
}

static void fail(struct scan *s, const char *why)
{
	struct kv_tar_rec rec = { .kind = KV_TAR_FAIL };
	char text[512];

	snprintf(text, sizeof(text), "%s", why ? why : "no valid tar archive");
	tell(s, &rec, text, NULL, NULL);
}

/* Counts what the stream has yielded so far. False where it is too much. */
static bool alive(struct scan *s)
{
	uint64_t out = (uint64_t)archive_filter_bytes(s->ar, 0);
	struct kv_tar_rec rec = { .kind = KV_TAR_BEAT };

	if (out > MAX_OUT) {
		archive_set_error(s->ar, E2BIG, "more than %llu GiB when decompressed",
				  (unsigned long long)(MAX_OUT >> 30));
		return false;
	}
	if (out - s->beat_at >= BEAT) {
		s->beat_at = out;
		tell(s, &rec, NULL, NULL, NULL);
		return s->emit(s->ctx, NULL, 0);
	}
	return true;
}

/* ---- content ---- */

/* Appends to the spool; false where it is full, then nothing more is kept. */
static bool spool(struct scan *s, const void *p, uint64_t n)
{
	uint64_t done = 0;

	if (s->spool_full || n > s->job->spool_max - s->spool_at)
		s->spool_full = true;
	while (!s->spool_full && done < n) {
		ssize_t r = pwrite(s->job->spool_fd, (const char *)p + done, (size_t)(n - done),
				   (off_t)(s->spool_at + done));

		if (r <= 0 && errno != EINTR)
			s->spool_full = true;
		else if (r > 0)
			done += (uint64_t)r;
	}
	if (!s->spool_full)
		s->spool_at += n;
	return !s->spool_full;
}

/* One file's whole content, holes as zeros, to the spool. */
static int take_whole(struct scan *s, struct kv_tar_rec *rec, struct kv_tar_range *range)
{
	static const uint8_t zeros[65536];
	const void *p;
	size_t n;
	la_int64_t off = 0;
	uint64_t done = 0;
	int r;

	*range = (struct kv_tar_range){ 0, rec->size, s->spool_at };
	while ((r = archive_read_data_block(s->ar, &p, &n, &off)) == ARCHIVE_OK && alive(s)) {
		for (uint64_t hole = 0; (uint64_t)off > done; done += hole) {
			hole = (uint64_t)off - done;
			hole = hole < sizeof(zeros) ? hole : sizeof(zeros);
			if (!spool(s, zeros, hole))
				return ARCHIVE_OK;
		}
		if ((uint64_t)off < done || n > rec->size - done || !spool(s, p, n))
			return ARCHIVE_OK;
		done += n;
	}
	for (uint64_t hole; r == ARCHIVE_EOF && done < rec->size; done += hole) {
		hole = rec->size - done < sizeof(zeros) ? rec->size - done : sizeof(zeros);
		if (!spool(s, zeros, hole))
			return ARCHIVE_OK;
	}
	if (r != ARCHIVE_EOF)
		return r == ARCHIVE_OK ? ARCHIVE_FATAL : r;
	rec->place = KV_PLACE_SPOOL;
	rec->n_ranges = 1;
	return ARCHIVE_OK;
}

/* The parts that keep.c wants, to the spool. */
static void spool_parts(struct scan *s, struct kv_keep *k, struct kv_tar_rec *rec,
			struct kv_tar_range *ranges)
{
	uint32_t n = 0;

	if (!kv_keep_end(k))
		return;
	for (size_t i = 0; i < k->n_cuts; i++) {
		uint64_t off = k->cuts[i].off, size = k->cuts[i].end - off;

		ranges[n++] = (struct kv_tar_range){ off, size, s->spool_at };
		if (!spool(s, k->head + off, size))
			return;
	}
	for (size_t i = 0; i < k->n_parts; i++) {
		if (!k->parts[i].got)
			continue;
		ranges[n++] =
			(struct kv_tar_range){ k->parts[i].off, k->parts[i].got, s->spool_at };
		if (!spool(s, k->parts[i].bytes, k->parts[i].got))
			return;
	}
	rec->place = KV_PLACE_SPOOL;
	rec->n_ranges = n;
}

static int take_parts(struct scan *s, const char *path, struct kv_tar_rec *rec,
		      struct kv_tar_range *ranges)
{
	struct kv_keep k = { 0 };
	const void *p;
	size_t n;
	la_int64_t off;
	int r;

	kv_keep_begin(&k, path, rec->size);
	while ((r = archive_read_data_block(s->ar, &p, &n, &off)) == ARCHIVE_OK) {
		if (!alive(s)) {
			r = ARCHIVE_FATAL;
			break;
		}
		if (off >= 0)
			kv_keep_data(&k, (uint64_t)off, p, n);
	}
	if (r == ARCHIVE_EOF)
		spool_parts(s, &k, rec, ranges);
	kv_keep_clear(&k);
	return r == ARCHIVE_EOF ? ARCHIVE_OK : r;
}

static int take_data(struct scan *s, struct archive_entry *e, const char *path,
		     struct kv_tar_rec *rec, struct kv_tar_range *ranges)
{
	rec->place = KV_PLACE_STREAM;
	if (!S_ISREG(rec->mode) || rec->hard || !rec->size)
		return ARCHIVE_OK;
	if (s->job->want == rec->ordinal)
		return take_whole(s, rec, ranges);
	if (s->job->want != KV_TAR_ALL)
		return ARCHIVE_OK;
	/* After its header the stream stands at an entry's first byte; sparse ones are pieced
	 * together by libarchive. */
	if (s->plain && archive_entry_sparse_count(e) == 0) {
		ranges[0] = (struct kv_tar_range){ 0, rec->size,
						   (uint64_t)archive_filter_bytes(s->ar, 0) };
		rec->place = KV_PLACE_BLOB;
		rec->n_ranges = 1;
		return ARCHIVE_OK;
	}
	return s->job->spool_fd < 0 ? ARCHIVE_OK : take_parts(s, path, rec, ranges);
}

/* ---- entries ---- */

static bool refuse(struct scan *s, const char *name, const char *why)
{
	char text[512];

	snprintf(text, sizeof(text), "the entry \"%.256s\" %s", name ? name : "", why);
	fail(s, text);
	return false;
}

/* False where the pass ends here; what was wrong has been told. */
static bool take_entry(struct scan *s, struct archive_entry *e, uint64_t ordinal)
{
	const char *raw = archive_entry_pathname(e), *hard = archive_entry_hardlink(e);
	const char *link = hard ? hard : archive_entry_symlink(e);
	struct kv_tar_rec rec = {
		.kind = KV_TAR_ENTRY,
		.ordinal = ordinal,
		.mode = archive_entry_mode(e),
		.uid = (uint32_t)archive_entry_uid(e),
		.gid = (uint32_t)archive_entry_gid(e),
		.mtime_s = archive_entry_mtime(e),
		.size = archive_entry_size(e) < 0 ? 0 : (uint64_t)archive_entry_size(e),
		.hard = hard != NULL,
	};
	struct kv_tar_range ranges[KV_TAR_MAX_RANGES];
	char path[KV_TAR_MAX_PATH + 1], to[KV_TAR_MAX_PATH + 1];

	if (s->job->want != KV_TAR_ALL && s->job->want != ordinal)
		return true;
	if (!raw || !kv_tar_normal(raw, path))
		return refuse(s, raw, "leads out of the root, or is too long");
	/* A hard link to outside is as broken as one to itself. */
	if (hard)
		link = kv_tar_normal(hard, to) && *to ? to : path;
	else if (S_ISLNK(rec.mode) && (!link || !*link || strlen(link) > KV_TAR_MAX_PATH))
		return refuse(s, raw, "is a link without a text, or with too long a one");
	else if (!S_ISLNK(rec.mode))
		link = NULL;
	if (take_data(s, e, path, &rec, ranges) < ARCHIVE_WARN) {
		fail(s, archive_error_string(s->ar));
		return false;
	}
	tell(s, &rec, path, link, ranges);
	return s->job->want == KV_TAR_ALL;
}

static bool open_stream(struct scan *s)
{
	bool zstd;

	/* One filter, by what the bytes say: libarchive alone would also look into nested ones. */
	s->plain = kv_tar_is_plain(&s->job->blob, &zstd);
	if (zstd)
		archive_read_support_filter_zstd(s->ar);
	else if (!s->plain)
		archive_read_support_filter_gzip(s->ar);
	archive_read_support_format_tar(s->ar);
	archive_read_set_read_callback(s->ar, on_read);
	archive_read_set_skip_callback(s->ar, on_skip);
	archive_read_set_callback_data(s->ar, s);
	return archive_read_open1(s->ar) == ARCHIVE_OK;
}

static void scan_all(struct scan *s)
{
	struct kv_tar_rec done = { .kind = KV_TAR_DONE };
	struct archive_entry *e;
	uint64_t ordinal = 0;
	int r;

	while ((r = archive_read_next_header(s->ar, &e)) >= ARCHIVE_WARN && r != ARCHIVE_EOF) {
		if (!alive(s))
			return fail(s, archive_error_string(s->ar));
		if (!take_entry(s, e, ordinal++))
			break;
	}
	if (r < ARCHIVE_WARN)
		return fail(s, archive_error_string(s->ar));
	done.size = s->spool_at;
	tell(s, &done, NULL, NULL, NULL);
}

void kv_tar_scan(const struct kv_tar_job *job, kv_tar_emit emit, void *ctx)
{
	struct scan *s = calloc(1, sizeof(*s));

	if (!s)
		return;
	s->job = job;
	s->emit = emit;
	s->ctx = ctx;
	s->spool_at = job->spool_at;
	s->ar = archive_read_new();
	if (s->ar && open_stream(s))
		scan_all(s);
	else
		fail(s, s->ar ? archive_error_string(s->ar) : "out of memory");
	archive_read_free(s->ar);
	free(s);
}
