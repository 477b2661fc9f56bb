/* Reads logs that others write. */
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#include "launch/follow.h"

#define MAX_TAIL  ((off_t)64 << 10)
#define MAX_AGAIN ((off_t)256 << 20) /* of a log that is read anew; the end judges all of it */
#define EVERY_NS  2000000000ULL
#define MAX_TURN  ((size_t)4 << 20) /* of one log, before the others have their turn */

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

void kv_follow_init(struct kv_follow *f, struct kv_arena *a, const char *backend)
{
	*f = (struct kv_follow){ .arena = a, .backend = backend };
	kv_log_init(&f->log, a);
}

void kv_follow_add(struct kv_follow *f, const char *name, const char *path)
{
	kv_vec_push(f->arena, &f->files,
		    ((struct kv_followed){ .name = name, .path = path, .fd = -1 }));
}

static bool open_it(struct kv_follow *f, struct kv_followed *file)
{
	time_t now = time(NULL);
	struct tm tm = { .tm_year = 70 };

	if (file->fd >= 0)
		return true;
	file->fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (file->fd < 0)
		return false;
	(void)gmtime_r(&now, &tm);
	kv_log_stream_open(&f->log, file->path,
			   (struct kv_log_date){ tm.tm_year + 1900, tm.tm_mon + 1 }, &file->stream);
	return true;
}

static void read_more(struct kv_followed *file)
{
	size_t room, total = 0;
	ssize_t n;

	do {
		uint8_t *to = kv_log_stream_room(&file->stream, &room);

		n = read(file->fd, to, room);
		if (n > 0)
			kv_log_stream_took(&file->stream, (size_t)n);
		total += n > 0 ? (size_t)n : 0;
	} while (n > 0 && total < MAX_TURN);
}

static size_t kinds_of(const struct kv_follow *f, const struct kv_followed *file)
{
	size_t n = 0;

	for (size_t i = 0; i < f->log.processes.n; i++)
		if (f->log.processes.v[i].file == file->stream.file)
			n += f->log.processes.v[i].events.n;
	return n;
}

static void judge(struct kv_follow *f, struct kv_followed *file, kv_follow_tell *tell, void *arg)
{
	struct kv_arena *a = kv_arena_new_small();
	struct kv_log_report report;
	struct kv_log log;

	kv_log_init(&log, a);
	if (kv_log_read(&log, file->path) == 0) {
		kv_log_finish(&log);
		kv_log_judge(&log, f->backend, &report);
		for (size_t i = 0; i < report.findings.list.n; i++) {
			const struct kv_finding *fi = &report.findings.list.v[i];

			if (kv_strv_has(&file->told, fi->id))
				continue;
			kv_vec_push(f->arena, &file->told, kv_strdup(f->arena, fi->id));
			tell(arg, file->name, fi);
		}
	}
	kv_arena_free(a);
}

void kv_follow_read(struct kv_follow *f, bool last, kv_follow_tell *tell, void *arg)
{
	for (size_t i = 0; i < f->files.n; i++) {
		struct kv_followed *file = &f->files.v[i];
		uint64_t now = now_ns();
		struct stat st;
		size_t kinds;

		if (!open_it(f, file))
			continue;
		read_more(file);
		kinds = kinds_of(f, file);
		if (kinds == file->kinds || fstat(file->fd, &st) < 0 || st.st_size > MAX_AGAIN ||
		    (!last && now - file->judged_ns < EVERY_NS))
			continue;
		file->kinds = kinds;
		file->judged_ns = now;
		judge(f, file, tell, arg);
	}
}

void kv_follow_close(struct kv_follow *f)
{
	for (size_t i = 0; i < f->files.n; i++)
		if (f->files.v[i].fd >= 0) {
			kv_log_stream_close(&f->files.v[i].stream);
			close(f->files.v[i].fd);
		}
	f->files.n = 0;
}

void kv_tail(struct kv_arena *a, const char *path, size_t n, kv_strv *ret)
{
	_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	char *text = kv_alloc(a, (size_t)MAX_TAIL + 1), *at;
	struct stat st;
	size_t got = 0, lines = 0;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
	    kv_read_all(fd, text, (size_t)MAX_TAIL,
			st.st_size > MAX_TAIL ? (uint64_t)(st.st_size - MAX_TAIL) : 0, &got) < 0)
		return;
	while (got && text[got - 1] == '\n')
		text[--got] = '\0';
	for (at = text + got; at > text && (lines += at[-1] == '\n') < n; at--)
		;
	while (*at) {
		size_t len = strcspn(at, "\n");

		kv_vec_push(a, ret, kv_strndup(a, at, len));
		at += len + (at[len] == '\n');
	}
}
