/*
 * The locks on a target. Among many that wait, as when all tasks of a job repair one container,
 * each has its turn: what is waited for at most 30 s is the end of one other's work. The lock file
 * needs the state directory, whose making and removal must be alone too: a flock on the root
 * directory covers them. NFS has no flock on directories, so the lock file is what keeps nodes that
 * share a root apart. Both end with the process that holds them.
 */
#include <limits.h>
#include <sys/file.h>

#include "repair/state.h"

#define WAIT_MS  30000
#define TURNS    20  /* no longer than so many times that in all */
#define LOOKS    120 /* so often in that time it is looked whose turn it is */
#define POLL_MS  20
#define TELL_MS  1000
#define LOCK_MAX 256

static const char lock_path[] = KV_STATE_DIR "/lock";

void (*kv_journal_waits)(const char *who);

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Who wrote the lock file last: the holder, as far as can be known. */
static void holder(const struct kv_state *s, char ret[LOCK_MAX])
{
	_close_ int dir = -EBADF;
	_close_ int fd = -EBADF;
	size_t n = 0;

	snprintf(ret, LOCK_MAX, "another kvpath");
	if (kv_tree_dir(s->root, KV_STATE_DIR, &dir, NULL) < 0)
		return;
	fd = openat(dir, "lock", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || kv_read_all(fd, ret, LOCK_MAX - 1, 0, &n) < 0 || n == 0) {
		snprintf(ret, LOCK_MAX, "another kvpath");
		return;
	}
	ret[n] = '\0';
	ret[strcspn(ret, "\n")] = '\0';
}

/* Polls: a blocking lock could not be given up after the time allowed. 0, or -errno as try gave it.
 */
static int wait_for(struct kv_state *s, int (*try)(int fd), int fd, struct kv_err *err)
{
	char who[LOCK_MAX] = "", now[LOCK_MAX];
	unsigned wait_ms = kv_tree_test.lock_wait_ms ? kv_tree_test.lock_wait_ms : WAIT_MS;
	uint64_t start = now_ms(), looked = start;
	bool told = !kv_journal_waits;

	if (!s->deadline_ms) {
		s->deadline_ms = start + wait_ms;
		s->last_ms = start + (uint64_t)TURNS * wait_ms;
	}
	for (;;) {
		uint64_t t = now_ms();
		int r = try(fd);

		if (r != -EAGAIN)
			return r;
		if (t - looked >= wait_ms / LOOKS) {
			looked = t;
			holder(s, now);
			if (*who && strcmp(who, now) != 0)
				s->deadline_ms = t + wait_ms;
			memcpy(who, now, sizeof(who));
		}
		if (t >= s->deadline_ms || t >= s->last_ms)
			break;
		if (!told && t - start >= TELL_MS) {
			told = true;
			kv_journal_waits(who);
		}
		usleep(POLL_MS * 1000);
	}
	holder(s, who);
	return kv_err(err, -EBUSY,
		      "%s has been working on this target for more than %u s; try again "
		      "when it has ended",
		      who, wait_ms / 1000);
}

static int flock_nb(int fd, int how)
{
	if (flock(fd, how | LOCK_NB) == 0)
		return 0;
	return errno == EWOULDBLOCK || errno == EINTR ? -EAGAIN : -errno;
}

static int try_flock(int fd)
{
	return flock_nb(fd, LOCK_EX);
}

static int try_share(int fd)
{
	return flock_nb(fd, LOCK_SH);
}

static int try_ofd(int fd)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	if (fcntl(fd, F_OFD_SETLK, &l) == 0)
		return 0;
	return errno == EAGAIN || errno == EACCES || errno == EINTR ? -EAGAIN : -errno;
}

int kv_state_lock_root(struct kv_state *s, bool shared, struct kv_err *err)
{
	int r = wait_for(s, shared ? try_share : try_flock, s->root, err);

	if (r == -EBUSY)
		return r;
	s->flocked = r == 0;
	return 0;
}

static int open_lock(struct kv_state *s)
{
	int fd = openat(s->dir, "lock", O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0 || errno != ENOENT)
		return fd < 0 ? -errno : fd;
	fd = kv_tree_create(s->dir, "lock");
	if (fd == -EEXIST)
		fd = openat(s->dir, "lock", O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	return fd == -1 ? -errno : fd;
}

static int sign_lock(int fd)
{
	char host[HOST_NAME_MAX + 1] = "", text[LOCK_MAX];
	int n, r;

	gethostname(host, sizeof(host) - 1);
	n = snprintf(text, sizeof(text), "kvpath (pid %ld on %s)\n", (long)getpid(), host);
	r = kv_tree_truncate(fd, 0);
	return r < 0 ? r : kv_tree_write(fd, text, (size_t)n < sizeof(text) ? (size_t)n : 0);
}

int kv_state_lock_file(struct kv_state *s, struct kv_err *err)
{
	struct stat held, named;
	_close_ int fd = open_lock(s);
	int r;

	if (fd < 0)
		return kv_tree_err(err, fd, "lock", lock_path);
	r = wait_for(s, try_ofd, fd, err);
	if (r == -EBUSY)
		return r;
	/* A file system without byte-range locks is fine while the other lock holds. */
	if (r < 0 && !s->flocked)
		return kv_tree_err(err, r, "lock", lock_path);
	/* Whoever had it may have removed the state directory meanwhile. */
	if (fstat(fd, &held) < 0 || fstatat(s->dir, "lock", &named, AT_SYMLINK_NOFOLLOW) < 0 ||
	    held.st_dev != named.st_dev || held.st_ino != named.st_ino)
		return kv_err(err, -EAGAIN, "%s: another kvpath has just ended its work; try again",
			      lock_path);
	r = sign_lock(fd);
	if (r < 0)
		return kv_tree_err(err, r, "write", lock_path);
	s->lock = kv_steal_fd(&fd);
	return 0;
}
