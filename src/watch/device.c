/*
 * Counters of EFA devices, from sysfs. All that a device has is read, by the names that it has
 * there; counters.def says what is known about names.
 *
 * To open some thousand files each second would cost more than to read them, so they are kept open
 * for as long as their directory is the same one and was not changed: a driver that is loaded again
 * makes new directories.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#include "watch/watch.h"

#define IB           "sys/class/infiniband"
#define PORT         IB "/%s/ports/1/hw_counters"
#define VERBS        "sys/class/infiniband_verbs"
#define MAX_DEVICES  1024
#define MAX_COUNTERS 256
#define MAX_NAME     64

/*
 * Links of a recorded tree stay in it. Without openat2 (before Linux 5.6, under emulators) they are
 * followed as they are, which for a tree as sysfs makes it is the same: its links are relative.
 */
static int open_in(const struct kv_watch *w, const char *path, int flags)
{
	struct open_how how = {
		.flags = (uint64_t)(flags | O_CLOEXEC),
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	long fd = syscall(SYS_openat2, w->root_fd, path, &how, sizeof(how));

	if (fd < 0 && errno == ENOSYS)
		fd = openat(w->root_fd, path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : (int)fd;
}

/* Reads a small file. False where there is none, or too much. */
static bool read_text(int fd, char *text, size_t size)
{
	ssize_t n = fd < 0 ? -1 : pread(fd, text, size - 1, 0);

	if (n < 0 || (size_t)n == size - 1)
		return false;
	while (n && (text[n - 1] == '\n' || text[n - 1] == ' '))
		n--;
	text[n] = '\0';
	return true;
}

static bool read_number(int fd, uint64_t *ret)
{
	char text[64], *end;

	if (!read_text(fd, text, sizeof(text)) || text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	*ret = strtoull(text, &end, 10);
	return errno == 0 && *end == '\0';
}

/* ---- directories of counters that are kept open ---- */

struct kept_file {
	char name[MAX_NAME];
	int fd;
};

struct kept_dir {
	char *path;
	dev_t dev;
	ino_t ino;
	struct timespec mtime;
	bool used;  /* in this sample */
	bool stale; /* to be opened anew */
	struct kept_file *files;
	size_t n;
};

struct kv_watch_kept {
	struct kept_dir *v;
	size_t n, n_fds;
};

static void drop_files(struct kv_watch_kept *k, struct kept_dir *d)
{
	for (size_t i = 0; i < d->n; i++)
		close(d->files[i].fd);
	k->n_fds -= d->n;
	free(d->files);
	d->files = NULL;
	d->n = 0;
}

static void drop_unused(struct kv_watch_kept *k)
{
	size_t n = 0;

	for (size_t i = 0; i < k->n; i++) {
		if (k->v[i].used) {
			k->v[i].used = false;
			k->v[n++] = k->v[i];
			continue;
		}
		drop_files(k, &k->v[i]);
		free(k->v[i].path);
	}
	k->n = n;
}

void kv_watch_close_devices(struct kv_watch *w)
{
	if (!w->kept)
		return;
	for (size_t i = 0; i < w->kept->n; i++)
		w->kept->v[i].used = false;
	drop_unused(w->kept);
	free(w->kept->v);
	free(w->kept);
	w->kept = NULL;
}

static void *grow(void *v, size_t n, size_t size)
{
	void *more = reallocarray(v, n, size);

	if (!more)
		abort();
	return more;
}

static struct kept_dir *kept_of(struct kv_watch *w, const char *path)
{
	struct kv_watch_kept *k = w->kept;

	if (!k) {
		k = w->kept = grow(NULL, 1, sizeof(*k));
		*k = (struct kv_watch_kept){ 0 };
	}
	for (size_t i = 0; i < k->n; i++)
		if (kv_streq(k->v[i].path, path))
			return &k->v[i];
	k->v = grow(k->v, k->n + 1, sizeof(*k->v));
	k->v[k->n] = (struct kept_dir){ .path = strdup(path), .stale = true };
	return &k->v[k->n++];
}

/* Half of what may be open: the rest is for all else. */
static bool may_keep(const struct kv_watch_kept *k)
{
	struct rlimit lim;

	return getrlimit(RLIMIT_NOFILE, &lim) == 0 && k->n_fds < lim.rlim_cur / 2;
}

static bool is_shown(const char *name)
{
	static const char *const names[] = {
#define KV_WATCH_COUNTER(name, shown, help) (shown) ? #name : "",
#include "watch/counters.def"
#undef KV_WATCH_COUNTER
	};

	for (size_t i = 0; i < KV_ARRAY_SIZE(names); i++)
		if (kv_streq(names[i], name))
			return true;
	return false;
}

static bool is_counter_name(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_");

	/* How long the kernel keeps what it read from the device: no counter. */
	return n && !s[n] && n < MAX_NAME && (*s < '0' || *s > '9') && !kv_streq(s, "lifespan");
}

/* Among the first n: what another directory had; in one directory no name is twice. */
static bool has_counter(const struct kv_watch_device *d, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (kv_streq(d->counters.v[i].name, name))
			return true;
	return false;
}

static void take(struct kv_arena *a, struct kv_watch_device *d, size_t had, const char *name,
		 uint64_t value)
{
	if (d->counters.n < MAX_COUNTERS && !has_counter(d, had, name))
		kv_vec_push(a, &d->counters,
			    ((struct kv_watch_counter){ kv_strdup(a, name), value }));
}

/* Opens what is in the directory, and reads it at once: fd is given up. */
static void open_files(struct kv_watch *w, struct kept_dir *k, int fd, struct kv_arena *a,
		       struct kv_watch_device *d)
{
	DIR *dir = fdopendir(fd);
	struct dirent *e;
	size_t had = d->counters.n;

	drop_files(w->kept, k);
	k->stale = false;
	while (dir && k->n < MAX_COUNTERS && (e = readdir(dir))) {
		_close_ int file = -EBADF;
		uint64_t value;

		if (!is_counter_name(e->d_name) || (w->brief && !is_shown(e->d_name)))
			continue;
		file = openat(fd, e->d_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
		if (!read_number(file, &value)) {
			k->stale = true;
			continue;
		}
		take(a, d, had, e->d_name, value);
		if (!may_keep(w->kept)) {
			k->stale = true;
			continue;
		}
		k->files = grow(k->files, k->n + 1, sizeof(*k->files));
		strcpy(k->files[k->n].name, e->d_name);
		k->files[k->n++].fd = kv_steal_fd(&file);
		w->kept->n_fds++;
	}
	if (dir)
		closedir(dir);
	else
		close(fd);
}

/* A directory that changed just now may change again without its time telling. */
static bool is_settled(const struct stat *st)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec - st->st_mtim.tv_sec > 1;
}

/*
 * Whether the directory at the path is the one whose files are open. Nothing is opened for it, so
 * that it may be asked of the path as it is; where a link of a recorded tree leads out of it, the
 * answer is no, and the slow way is taken.
 */
static bool is_current(const struct kv_watch *w, const struct kept_dir *k)
{
	struct stat st;

	return !k->stale && fstatat(w->root_fd, k->path, &st, 0) == 0 && k->ino == st.st_ino &&
	       k->dev == st.st_dev && memcmp(&k->mtime, &st.st_mtim, sizeof(k->mtime)) == 0;
}

/* False where one can not be read any more: then the directory is another one by now. */
static bool read_kept(struct kept_dir *k, struct kv_arena *a, struct kv_watch_device *d)
{
	size_t had = d->counters.n;

	for (size_t i = 0; i < k->n; i++) {
		uint64_t value;

		if (!read_number(k->files[i].fd, &value)) {
			d->counters.n = had;
			k->stale = true;
			return false;
		}
		take(a, d, had, k->files[i].name, value);
	}
	return true;
}

/* Adds all counters of a directory. 0 where there is no such directory, else its inode. */
static uint64_t read_counters(struct kv_watch *w, struct kv_arena *a, const char *path,
			      struct kv_watch_device *d)
{
	struct kept_dir *k = kept_of(w, path);
	int fd;
	struct stat st;

	if (is_current(w, k) && read_kept(k, a, d)) {
		k->used = true;
		return k->ino;
	}
	fd = open_in(w, path, O_RDONLY | O_DIRECTORY);
	if (fd < 0 || fstat(fd, &st) < 0) {
		kv_closep(&fd);
		return 0;
	}
	k->used = true;
	open_files(w, k, fd, a, d);
	k->stale |= !is_settled(&st);
	k->ino = st.st_ino;
	k->dev = st.st_dev;
	k->mtime = st.st_mtim;
	return st.st_ino;
}

static bool is_efa(const struct kv_watch *w, struct kv_arena *a, const char *device)
{
	_close_ int fd =
		open_in(w, kv_strf(a, IB "/%s/device/driver", device), O_PATH | O_NOFOLLOW);
	char text[512];
	ssize_t n = fd < 0 ? -1 : readlinkat(fd, "", text, sizeof(text) - 1);

	if (n < 0)
		return false;
	text[n] = '\0';
	return kv_streq(kv_basename(text), "efa");
}

static int counter_by_name(const void *a, const void *b)
{
	return strcmp(((const struct kv_watch_counter *)a)->name,
		      ((const struct kv_watch_counter *)b)->name);
}

static int device_by_name(const void *a, const void *b)
{
	return strverscmp(((const struct kv_watch_device *)a)->name,
			  ((const struct kv_watch_device *)b)->name);
}

/* What is kept is a device's that was of the driver, as long as its directory is the same one. */
static bool is_known(const struct kv_watch *w, struct kv_arena *a, const char *name)
{
	const char *path = kv_strf(a, PORT, name);

	for (size_t i = 0; w->kept && i < w->kept->n; i++)
		if (kv_streq(w->kept->v[i].path, path))
			return !w->kept->v[i].stale;
	return false;
}

static void add_device(struct kv_watch *w, struct kv_watch_sample *s, const char *name)
{
	struct kv_arena *a = s->arena;
	struct kv_watch_device d = { .name = kv_strdup(a, name) };

	/* The port's; kernels since 5.14 have the device's own in a directory of their own. */
	d.id = read_counters(w, a, kv_strf(a, PORT, name), &d);
	if (!w->brief)
		(void)read_counters(w, a, kv_strf(a, IB "/%s/hw_counters", name), &d);
	if (d.counters.n)
		qsort(d.counters.v, d.counters.n, sizeof(*d.counters.v), counter_by_name);
	kv_vec_push(a, &s->devices, d);
}

void kv_watch_devices(struct kv_watch *w, struct kv_watch_sample *s)
{
	int fd = open_in(w, IB, O_RDONLY | O_DIRECTORY);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!dir) {
		/* Without RDMA in the kernel there is no such class. */
		s->efa_error = fd == -ENOENT ? 0 : fd < 0 ? fd : -errno;
		if (fd >= 0)
			close(fd);
		return;
	}
	while (s->devices.n < MAX_DEVICES && (e = readdir(dir)))
		if (e->d_name[0] != '.' &&
		    (is_known(w, s->arena, e->d_name) || is_efa(w, s->arena, e->d_name)))
			add_device(w, s, e->d_name);
	closedir(dir);
	if (s->devices.n)
		qsort(s->devices.v, s->devices.n, sizeof(*s->devices.v), device_by_name);
	if (w->kept)
		drop_unused(w->kept);
}

const char *kv_watch_efa_of(const struct kv_watch *w, struct kv_arena *a, const char *uverbs)
{
	_close_ int fd = open_in(w, kv_strf(a, VERBS "/%s/ibdev", uverbs), O_RDONLY | O_NONBLOCK);
	char name[MAX_NAME];

	if (!read_text(fd, name, sizeof(name)) || strchr(name, '/') || !is_efa(w, a, name))
		return NULL;
	return kv_strdup(a, name);
}
