/*
 * Files as streams: plain ones are read in large blocks, compressed ones are decompressed by a
 * child that can do nothing else (root/cell.h), as what is in them is not trusted.
 */
#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#include "log/log.h"
#include "root/cell.h"

#define WINDOW     ((size_t)128 << 10)
#define MESSAGE    ((size_t)64 << 10)
#define MAX_CPU_S  900
#define MAX_MEMORY ((uint64_t)512 << 20) /* zstd's window may have 128 MiB */
#define DEADLINE_S 86400                 /* a pipe may be silent, and its reader with it */

/* The first byte of each message of the child. */
enum message { DATA, END, DAMAGED, NOT_READ };

static ssize_t read_some(int fd, void *buf, size_t n)
{
	ssize_t r;

	do
		r = read(fd, buf, n);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r;
}

/* ---- the child ---- */

struct unpack {
	const uint8_t *head; /* what was read of the stream already */
	size_t head_n;
	uint8_t window[WINDOW];
};

static uint8_t message[MESSAGE];

static void tell(enum message kind, size_t n)
{
	message[0] = (uint8_t)kind;
	if (kv_write_all(KV_CELL_SOCK, message, 1 + n) < 0)
		_exit(1); /* nobody listens */
}

static la_ssize_t on_read(struct archive *ar, void *ctx, const void **ret)
{
	struct unpack *u = ctx;
	ssize_t n = (ssize_t)u->head_n;

	(void)ar;
	*ret = u->head;
	if (n) {
		u->head_n = 0;
		return n;
	}
	*ret = u->window;
	n = read_some(KV_CELL_IN, u->window, sizeof(u->window));
	if (n < 0) {
		tell(NOT_READ, 0);
		_exit(1);
	}
	return n;
}

/* True where all of it was told. */
static bool unpack(struct unpack *u)
{
	struct archive *ar = archive_read_new();
	struct archive_entry *entry;
	la_ssize_t n;
	int r;

	if (!ar || archive_read_support_filter_gzip(ar) != ARCHIVE_OK ||
	    archive_read_support_filter_zstd(ar) != ARCHIVE_OK ||
	    archive_read_support_format_raw(ar) != ARCHIVE_OK ||
	    archive_read_support_format_empty(ar) != ARCHIVE_OK ||
	    archive_read_open(ar, u, NULL, on_read, NULL) != ARCHIVE_OK)
		return false;
	r = archive_read_next_header(ar, &entry);
	if (r == ARCHIVE_EOF)
		return true;
	/* Without a filter, the start only looked like compressed data. */
	if (r != ARCHIVE_OK || archive_filter_code(ar, 0) == ARCHIVE_FILTER_NONE)
		return false;
	while ((n = archive_read_data(ar, message + 1, sizeof(message) - 1)) > 0)
		tell(DATA, (size_t)n);
	return n == 0;
}

static void child(void *ctx)
{
	kv_cell_confine(&(struct kv_cell_limits){
		.memory = MAX_MEMORY, .cpu_s = MAX_CPU_S, .is_tolerant = true });
	tell(unpack(ctx) ? END : DAMAGED, 0);
}

/* ---- the stream ---- */

/* All of fd; 0 or -errno. */
static int drain(struct kv_log_stream *s, int fd)
{
	ssize_t n;
	size_t room;
	uint8_t *to;

	for (;;) {
		to = kv_log_stream_room(s, &room);
		n = read_some(fd, to, room);
		if (n <= 0)
			return (int)n;
		kv_log_stream_took(s, (size_t)n);
	}
}

static void take(struct kv_log_stream *s, const uint8_t *p, size_t n)
{
	while (n) {
		size_t room;
		uint8_t *to = kv_log_stream_room(s, &room);

		room = n < room ? n : room;
		memcpy(to, p, room);
		kv_log_stream_took(s, room);
		p += room;
		n -= room;
	}
}

/* What the child tells, until it has told how it ended. */
static enum message listen_to(struct kv_log_stream *s, struct kv_cell *cell)
{
	ssize_t n;

	do {
		n = kv_cell_receive(cell, message, sizeof(message));
		if (n > 0 && message[0] == DATA)
			take(s, message + 1, (size_t)n - 1);
	} while (n > 0 && message[0] == DATA);
	return n > 0 ? (enum message)message[0] : DAMAGED;
}

static int drain_unpacked(struct kv_log_stream *s, int fd, const uint8_t *head, size_t n,
			  const char **error)
{
	_free_ struct unpack *u = malloc(sizeof(*u));
	_free_ uint8_t *copy = malloc(n);
	struct kv_cell_job job = {
		.in = fd, .spool = -1, .run = child, .ctx = u, .deadline_s = DEADLINE_S
	};
	struct kv_err err = { 0 };
	enum message last;
	struct kv_cell cell;
	int r;

	if (!u || !copy)
		return -ENOMEM;
	memcpy(copy, head, n);
	u->head = copy;
	u->head_n = n;
	r = kv_cell_start(&job, &cell, &err);
	if (r < 0)
		return r;
	last = listen_to(s, &cell);
	(void)kv_cell_end(&cell, /* kill_it= */ true);
	if (last == END)
		return 0;
	*error = last == NOT_READ ? "it could not be read to its end"
				  : "its compressed data is damaged or cut off";
	return -EBADMSG;
}

static const char *format_of(const uint8_t *p, size_t n)
{
	if (n >= 3 && memcmp(p, "\x1f\x8b\x08", 3) == 0)
		return "gzip";
	if (n >= 4 && memcmp(p, "\x28\xb5\x2f\xfd", 4) == 0)
		return "zstd";
	return "plain";
}

/* Reads until the format can be told, as a pipe may give a byte at a time. */
static int read_start(struct kv_log_stream *s, int fd, size_t *ret_n)
{
	size_t room, n = 0;
	uint8_t *to = kv_log_stream_room(s, &room);

	while (n < 4) {
		ssize_t r = read_some(fd, to + n, room - n);

		if (r < 0)
			return (int)r;
		if (r == 0)
			break;
		n += (size_t)r;
	}
	*ret_n = n;
	return 0;
}

static int read_fd(struct kv_log_stream *s, int fd, const char **error)
{
	struct kv_log_file *f = &s->log->files.v[s->file];
	size_t room, n = 0;
	uint8_t *start = kv_log_stream_room(s, &room);
	int r = read_start(s, fd, &n);

	if (r < 0)
		return r;
	f->format = format_of(start, n);
	if (!kv_streq(f->format, "plain"))
		return drain_unpacked(s, fd, start, n, error);
	kv_log_stream_took(s, n);
	return drain(s, fd);
}

/* Of the file's last change; of now where it is no file. */
static struct kv_log_date date_of(int fd)
{
	struct stat st;
	time_t t = time(NULL);
	struct tm tm;

	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		t = st.st_mtime;
	if (!gmtime_r(&t, &tm))
		return (struct kv_log_date){ 1970, 1 };
	return (struct kv_log_date){ tm.tm_year + 1900, tm.tm_mon + 1 };
}

int kv_log_read(struct kv_log *l, const char *path)
{
	bool is_stdin = kv_streq(path, "-");
	_close_ int fd = is_stdin ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
				  : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	int r = fd < 0 ? -errno : 0;
	struct kv_log_stream s;
	const char *error = NULL;

	kv_log_stream_open(l, path, date_of(fd), &s);
	if (r == 0)
		r = read_fd(&s, fd, &error);
	kv_log_stream_close(&s);
	if (r < 0)
		l->files.v[s.file].error = error ? error : kv_strdup(l->arena, strerror(-r));
	return r;
}
