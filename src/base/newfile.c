/* Files that are there whole or not at all: see newfile.h. */
#include "base/newfile.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>

struct kv_newfile_test kv_newfile_test;

static const int signals[] = { SIGHUP, SIGINT, SIGQUIT, SIGPIPE, SIGTERM };

/* What the signals remove. */
static volatile sig_atomic_t pending;
static int pending_dir;
static char pending_name[64];

static void on_signal(int sig)
{
	if (pending)
		unlinkat(pending_dir, pending_name, 0);
	/* SA_RESETHAND: now it does what it does. */
	raise(sig);
}

static void watch(const struct kv_newfile *f)
{
	struct sigaction act = { .sa_handler = on_signal, .sa_flags = SA_RESETHAND }, old;

	pending_dir = f->dir;
	memcpy(pending_name, f->temp, sizeof(pending_name));
	pending = 1;
	for (size_t i = 0; i < KV_ARRAY_SIZE(signals); i++)
		if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL)
			sigaction(signals[i], &act, NULL);
}

/* A hidden name that nobody has. It has to be unlike others, not secret. */
static void hidden_name(char ret[64])
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	snprintf(ret, 64, ".kvpath-%ld-%llx%lx.new", (long)getpid(), (unsigned long long)t.tv_sec,
		 t.tv_nsec);
}

static int open_named(struct kv_newfile *f)
{
	hidden_name(f->temp);
	f->fd = openat(f->dir, f->temp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (f->fd >= 0) {
		watch(f);
		return 0;
	}
	*f->temp = '\0';
	return -errno;
}

int kv_newfile_open(struct kv_arena *a, const char *path, struct kv_newfile *ret,
		    struct kv_err *err)
{
	const char *dir = kv_dirname(a, path);
	struct kv_newfile f = { .fd = -EBADF, .name = kv_strdup(a, kv_basename(path)) };
	int r = 0;

	*ret = f;
	ret->dir = -EBADF;
	f.dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (f.dir < 0)
		return kv_err(err, -errno, "%s: %s", dir, strerror(errno));
	if (!kv_newfile_test.no_tmpfile)
		f.fd = openat(f.dir, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0666);
	f.path = kv_strf(a, "/proc/self/fd/%d", f.fd);
	/* Without /proc it could not be given a name. */
	if (f.fd >= 0 && access(f.path, F_OK) < 0) {
		close(f.fd);
		f.fd = -EBADF;
	}
	if (f.fd < 0)
		r = open_named(&f);
	if (*f.temp)
		f.path = kv_join(a, dir, f.temp);
	if (r < 0) {
		close(f.dir);
		return kv_err(err, r, "cannot write in %s: %s", dir, strerror(-r));
	}
	*ret = f;
	return 0;
}

/* Its name, where nothing has that. */
static int name_new(const struct kv_newfile *f)
{
	int r = *f->temp ? linkat(f->dir, f->temp, f->dir, f->name, 0)
			 : linkat(AT_FDCWD, f->path, f->dir, f->name, AT_SYMLINK_FOLLOW);

	return r < 0 ? -errno : 0;
}

/* Its name, in the place of what has it: there is no moment at which nothing has. */
static int name_over(struct kv_newfile *f)
{
	int r = 0;

	if (!*f->temp) {
		hidden_name(f->temp);
		if (linkat(AT_FDCWD, f->path, f->dir, f->temp, AT_SYMLINK_FOLLOW) < 0) {
			r = -errno;
			*f->temp = '\0';
			return r;
		}
		watch(f);
	}
	if (renameat(f->dir, f->temp, f->dir, f->name) < 0)
		return -errno;
	*f->temp = '\0';
	pending = 0;
	return 0;
}

/*
 * A device that is taken away is missed by the whole machine, and /dev/stdout is a link that others
 * follow: whoever names one wants its reader to have the bytes, and not a file in its place.
 */
static bool may_replace(int dir, const char *name)
{
	struct stat st;
	char text[6];

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return true;
	if (!S_ISLNK(st.st_mode))
		return S_ISREG(st.st_mode);
	if (readlinkat(dir, name, text, sizeof(text)) == (ssize_t)sizeof(text) &&
	    memcmp(text, "/proc/", sizeof(text)) == 0)
		return false;
	return fstatat(dir, name, &st, 0) < 0 || S_ISREG(st.st_mode);
}

int kv_newfile_check(const char *path, struct kv_err *err)
{
	return may_replace(AT_FDCWD, path)
		       ? 0
		       : kv_err(err, -EINVAL, "%s: is not a regular file", path);
}

int kv_newfile_commit(struct kv_newfile *f, bool replace, struct kv_err *err)
{
	int r = fsync(f->fd) < 0 ? -errno : 0;

	if (r == 0 && replace && !may_replace(f->dir, f->name))
		return kv_err(err, -EINVAL, "%s: is not a regular file", f->name);
	if (r == 0)
		r = replace ? name_over(f) : name_new(f);
	/* Some file systems cannot sync a directory; there is none to wait for then. */
	if (r == 0 && fsync(f->dir) < 0 && errno != EINVAL)
		r = -errno;
	if (r == -EEXIST)
		return kv_err(err, r, "it exists already");
	return r < 0 ? kv_err(err, r, "cannot write: %s", strerror(-r)) : 0;
}

void kv_newfile_close(struct kv_newfile *f)
{
	if (f->dir >= 0 && *f->temp)
		unlinkat(f->dir, f->temp, 0);
	pending = 0;
	kv_closep(&f->fd);
	kv_closep(&f->dir);
	f->fd = f->dir = -EBADF;
}
