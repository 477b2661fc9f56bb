/*
 * Paths to descriptors, and the calls that change a target (see tree_fd.h). openat2 does the walk
 * in the kernel; where it is missing or filtered (Linux before 5.6, seccomp in containers answers
 * ENOSYS or EPERM) an O_PATH walk does the same component by component.
 */
#include <limits.h>
#include <linux/capability.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#include "repair/tree_fd.h"

#define OPENAT2_RETRIES 64

struct kv_tree_test kv_tree_test;

/* ---- paths ---- */

int kv_tree_path_check(const char *path, struct kv_err *err)
{
	const char *p = path;

	if (*p != '/' || strlen(path) >= PATH_MAX)
		return kv_err(err, -EINVAL, "%s: not an absolute path", path);
	while (*p && p[1]) {
		const char *name = p + 1;
		size_t n = strcspn(name, "/");

		p = name + n;
		if (n == 0 || (n == 1 && name[0] == '.') ||
		    (n == 2 && name[0] == '.' && name[1] == '.') || (*p && !p[1]))
			return kv_err(err, -EINVAL, "%s: not a canonical path", path);
	}
	return 0;
}

static int open_beneath(int root, const char *rel)
{
	struct open_how how = {
		.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};

	if (kv_tree_test.no_openat2)
		return -ENOSYS;
	for (unsigned i = 0; i < OPENAT2_RETRIES; i++) {
		long fd = syscall(SYS_openat2, root, rel, &how, sizeof(how));

		if (fd >= 0)
			return (int)fd;
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
	}
	return -EAGAIN;
}

/* The same without openat2. Also run after an error of openat2, to name the component at fault. */
static int walk_beneath(int root, const char *path, int *ret_fd, struct kv_err *err)
{
	_close_ int at = openat(root, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	const char *p = path + 1;
	int fd;

	if (at < 0)
		return kv_tree_err(err, -errno, "open", "/");
	while (*p) {
		size_t n = strcspn(p, "/");
		char name[NAME_MAX + 1], seen[PATH_MAX];
		struct stat st;

		snprintf(seen, sizeof(seen), "%.*s", (int)(p + n - path), path);
		if (n > NAME_MAX)
			return kv_tree_err(err, -ENAMETOOLONG, "open", seen);
		memcpy(name, p, n);
		name[n] = '\0';
		fd = openat(at, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			return kv_tree_err(err, -errno, "open", seen);
		close(at);
		at = fd;
		if (fstat(at, &st) < 0)
			return kv_tree_err(err, -errno, "stat", seen);
		if (S_ISLNK(st.st_mode))
			return kv_tree_err(err, -ELOOP, "open", seen);
		if (!S_ISDIR(st.st_mode))
			return kv_tree_err(err, -ENOTDIR, "open", seen);
		p += n + (p[n] == '/');
	}
	fd = openat(at, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return kv_tree_err(err, -errno, "open", path);
	*ret_fd = fd;
	return 0;
}

int kv_tree_dir(int root, const char *path, int *ret_fd, struct kv_err *err)
{
	int fd, r = kv_tree_path_check(path, err);

	if (r < 0)
		return r;
	fd = open_beneath(root, path[1] ? path + 1 : ".");
	if (fd < 0)
		return walk_beneath(root, path, ret_fd, err);
	*ret_fd = fd;
	return 0;
}

int kv_tree_parent(int root, const char *path, int *ret_fd, const char **ret_name,
		   struct kv_err *err)
{
	char dir[PATH_MAX];
	const char *slash;
	int r = kv_tree_path_check(path, err);

	if (r < 0)
		return r;
	if (!path[1])
		return kv_err(err, -EINVAL, "/: has no parent directory");
	slash = strrchr(path, '/');
	snprintf(dir, sizeof(dir), "%.*s", slash == path ? 1 : (int)(slash - path), path);
	r = kv_tree_dir(root, dir, ret_fd, err);
	if (r < 0)
		return r;
	*ret_name = slash + 1;
	return 0;
}

DIR *kv_tree_list(int dir)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
	int fd = openat(dir, ".", flags | O_NOATIME);
	DIR *d;

	/* O_NOATIME is for the owner alone. */
	if (fd < 0 && errno == EPERM)
		fd = openat(dir, ".", flags);
	d = fd < 0 ? NULL : fdopendir(fd);
	if (!d)
		kv_closep(&fd);
	return d;
}

/* ---- changes ---- */

/* Comes before every change: where a test wants one, the fault happens here. */
static int step(void)
{
	unsigned n = ++kv_tree_test.steps;

	if (n == kv_tree_test.stop_at)
		_exit(KV_TREE_STOPPED);
	if (kv_tree_test.fail_on && kv_tree_test.fail_at && n > kv_tree_test.fail_at)
		return -kv_tree_test.fail_errno;
	return n == kv_tree_test.fail_at ? -kv_tree_test.fail_errno : 0;
}

static int result(int r)
{
	return r < 0 ? -errno : 0;
}

int kv_tree_mkdir(int dir, const char *name, uint32_t mode)
{
	int r = step();

	return r < 0 ? r : result(mkdirat(dir, name, mode));
}

int kv_tree_symlink(const char *text, int dir, const char *name)
{
	int r = step();

	return r < 0 ? r : result(symlinkat(text, dir, name));
}

static bool test_exdev(int old_dir, int dir)
{
	return kv_tree_test.link_exdev && old_dir != dir;
}

int kv_tree_link(int old_dir, const char *old_name, int dir, const char *name)
{
	int r = step();

	if (r == 0 && test_exdev(old_dir, dir))
		r = -EXDEV;
	if (r == 0 && kv_tree_test.no_link)
		r = -EPERM;
	return r < 0 ? r : result(linkat(old_dir, old_name, dir, name, /* flags= */ 0));
}

int kv_tree_link_fd(int fd, int dir, const char *name)
{
	char proc[64];
	int r = step();

	/* AT_EMPTY_PATH would need CAP_DAC_READ_SEARCH. */
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	return r < 0 ? r : result(linkat(AT_FDCWD, proc, dir, name, AT_SYMLINK_FOLLOW));
}

int kv_tree_rename(int old_dir, const char *old_name, int dir, const char *name)
{
	int r = step();

	if (r == 0 && test_exdev(old_dir, dir))
		r = -EXDEV;
	return r < 0 ? r : result(renameat(old_dir, old_name, dir, name));
}

int kv_tree_rename_new(int old_dir, const char *old_name, int dir, const char *name)
{
	struct stat st;
	int r = step();

	if (r < 0)
		return r;
	if (test_exdev(old_dir, dir))
		return -EXDEV;
	r = -ENOSYS;
	if (!kv_tree_test.no_rename_flags)
		r = result(renameat2(old_dir, old_name, dir, name, RENAME_NOREPLACE));
	/* NFS and old kernels know no flags; a filter may say EPERM, and then so does what follows.
	 */
	if (r != -ENOSYS && r != -EINVAL && r != -EPERM)
		return r;
	r = kv_tree_link(old_dir, old_name, dir, name);
	if (r == 0)
		return kv_tree_unlink(old_dir, old_name);
	if (r == -EEXIST || r == -EXDEV)
		return r;
	/* Directories, and file systems without links. */
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return -EEXIST;
	return errno == ENOENT ? kv_tree_rename(old_dir, old_name, dir, name) : -errno;
}

int kv_tree_unlink(int dir, const char *name)
{
	int r = step();

	return r < 0 ? r : result(unlinkat(dir, name, /* flags= */ 0));
}

int kv_tree_rmdir(int dir, const char *name)
{
	int r = step();

	return r < 0 ? r : result(unlinkat(dir, name, AT_REMOVEDIR));
}

int kv_tree_chown(int dir, const char *name, uint32_t uid, uint32_t gid)
{
	int r = step();

	return r < 0 ? r : result(fchownat(dir, name, uid, gid, AT_SYMLINK_NOFOLLOW));
}

int kv_tree_own_fd(int fd, uint32_t uid, uint32_t gid, uint32_t mode)
{
	struct stat st;
	int r = step();

	if (r < 0 || fstat(fd, &st) < 0)
		return r < 0 ? r : -errno;
	if ((st.st_uid != uid || st.st_gid != gid) && fchown(fd, uid, gid) < 0)
		return -errno;
	r = step();
	return r < 0 ? r : result(fchmod(fd, mode));
}

int kv_tree_times(int fd, const struct timespec times[2])
{
	int r = step();

	return r < 0 ? r : result(futimens(fd, times));
}

int kv_tree_setxattr(int fd, const char *name, const void *value, size_t n)
{
	int r = step();

	return r < 0 ? r : result(fsetxattr(fd, name, value, n, /* flags= */ 0));
}

int kv_tree_removexattr(int fd, const char *name)
{
	int r = step();

	return r < 0 ? r : result(fremovexattr(fd, name));
}

int kv_tree_create(int dir, const char *name)
{
	int fd, r = step();

	if (r < 0)
		return r;
	fd = openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : fd;
}

int kv_tree_tmpfile(int dir)
{
	int fd, r = step();

	if (r < 0)
		return r;
	if (kv_tree_test.no_tmpfile)
		return -EOPNOTSUPP;
	fd = openat(dir, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	/* Kernels without O_TMPFILE see O_DIRECTORY|O_RDWR: EISDIR; some file systems say EINVAL.
	 */
	if (fd < 0 && (errno == EISDIR || errno == EINVAL || errno == ENOENT || errno == ENOSYS))
		return -EOPNOTSUPP;
	return fd < 0 ? -errno : fd;
}

int kv_tree_write(int fd, const void *bytes, size_t n)
{
	int r;

	/* A record that a crash has cut in two must be recognised as such. */
	if (kv_tree_test.stop_at && kv_tree_test.steps + 1 == kv_tree_test.stop_at)
		(void)!write(fd, bytes, n / 2);
	r = step();
	return r < 0 ? r : kv_write_all(fd, bytes, n);
}

int kv_tree_truncate(int fd, uint64_t size)
{
	int r = step();

	return r < 0 ? r : result(ftruncate(fd, (off_t)size));
}

int kv_tree_sync(int fd)
{
	int r = result(fsync(fd));

	return r == -EINVAL ? 0 : r;
}

/* Which right a call has lacked, as far as can be known. */
static const char *missing_right(void)
{
	static const struct {
		unsigned cap;
		const char *text;
	} needed[] = {
		{ CAP_DAC_OVERRIDE, "this root lacks CAP_DAC_OVERRIDE" },
		{ CAP_CHOWN, "this root lacks CAP_CHOWN" },
		{ CAP_FOWNER, "this root lacks CAP_FOWNER" },
	};
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2];

	if (geteuid() != 0)
		return "run kvpath as root or as the owner of the target's files";
	for (size_t i = 0; i < KV_ARRAY_SIZE(needed); i++)
		if (syscall(SYS_capget, &head, data) == 0 &&
		    !(data[0].effective >> needed[i].cap & 1))
			return needed[i].text;
	return "it is refused to root too: an immutable file (lsattr), a server that takes root "
	       "for "
	       "nobody, or an owner that this user namespace does not have";
}

int kv_tree_err(struct kv_err *err, int code, const char *verb, const char *path)
{
	switch (-code) {
	case EROFS:
		return kv_err(err, code,
			      "%s: read-only file system; make the container writable (enroot: "
			      "ENROOT_ROOTFS_WRITABLE=y, pyxis: --container-writable)",
			      path);
	case EACCES:
	case EPERM:
		return kv_err(err, code, "cannot %s %s: permission denied; %s", verb, path,
			      missing_right());
	case ENOSPC:
		return kv_err(err, code, "cannot %s %s: no space left on its file system", verb,
			      path);
	case EDQUOT:
		return kv_err(err, code,
			      "cannot %s %s: the quota of its file system is used up (for user %u)",
			      verb, path, geteuid());
	case ESTALE:
		/* The journal's own ESTALE is a path that somebody has changed. */
		return kv_err(err, -EIO,
			      "cannot %s %s: its server has lost it (stale file handle); try again "
			      "when the mount is well",
			      verb, path);
	case ELOOP:
		return kv_err(err, code,
			      "%s: is a symbolic link; kvpath changes files only through real "
			      "directories",
			      path);
	default:
		return kv_err(err, code, "cannot %s %s: %s", verb, path, strerror(-code));
	}
}
