/*
 * The target as the root of a process, without a byte written in it: a mount namespace of its own,
 * and an overlay whose upper side is a tmpfs. All host directories are taken as detached mounts
 * (open_tree) before the chroot and put in place after it, so that no path of the target is ever
 * resolved outside of it.
 */
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "prove/parts.h"

#define MAX_MOUNTS 64

struct tree {
	const char *host, *guest;
	int fd;
	bool optional; /* not every host has it */
};

static int tree_take(struct tree *t, struct kv_err *err)
{
	t->fd = open_tree(AT_FDCWD, t->host, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
	if (t->fd >= 0 || t->optional)
		return 0;
	return kv_err(err, -errno, "open_tree %s: %s", t->host, strerror(errno));
}

/* mkdir -p inside the new root; what exists is left alone, a symlink is followed within that root.
 */
static int make_dirs(const char *guest, bool leaf_is_dir, struct kv_err *err)
{
	char path[4096];
	size_t n = strlen(guest);
	int fd;

	if (n >= sizeof(path) || guest[0] != '/')
		return kv_err(err, -EINVAL,
			      "mount point %s: must be an absolute path of the target", guest);
	memcpy(path, guest, n + 1);
	for (char *p = path + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			return kv_err(err, -errno, "mkdir %s in the target's overlay: %s", path,
				      strerror(errno));
		*p = '/';
	}
	if (leaf_is_dir) {
		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			return kv_err(err, -errno, "mkdir %s in the target's overlay: %s", path,
				      strerror(errno));
		return 0;
	}
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0644);
	if (fd < 0 && access(path, F_OK) < 0)
		return kv_err(err, -errno, "create %s in the target's overlay: %s", path,
			      strerror(errno));
	if (fd >= 0)
		close(fd);
	return 0;
}

static int tree_put(const struct tree *t, bool may_make, struct kv_err *err)
{
	struct stat st;
	int r;

	if (t->fd < 0)
		return 0;
	if (fstat(t->fd, &st) < 0)
		return kv_err(err, -errno, "fstat of %s: %s", t->host, strerror(errno));
	if (may_make && access(t->guest, F_OK) < 0) {
		r = make_dirs(t->guest, S_ISDIR(st.st_mode), err);
		if (r < 0)
			return r;
	}
	if (move_mount(t->fd, "", AT_FDCWD, t->guest, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return kv_err(err, -errno, "mount %s at %s of the target: %s", t->host, t->guest,
			      strerror(errno));
	return 0;
}

/* A tmpfs on a directory that every host has; only this namespace sees it. */
static int stage_make(const char **ret, struct kv_err *err)
{
	static const char *const dirs[] = { "/tmp", "/run", "/mnt", "/var" };
	int e = ENOENT;

	for (size_t i = 0; i < KV_ARRAY_SIZE(dirs); i++) {
		if (mount("tmpfs", dirs[i], "tmpfs", MS_NOSUID | MS_NODEV, "mode=0700") == 0) {
			*ret = dirs[i];
			return 0;
		}
		e = errno;
	}
	return kv_err(err, -e, "mount a tmpfs for the overlay: %s", strerror(e));
}

/* Fallback where overlayfs refuses the target's file system: the target itself, read-only. */
static int mount_read_only(int target, struct kv_err *err)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
	_close_ int tree = open_tree(
		target, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE | AT_EMPTY_PATH);

	if (tree < 0)
		return kv_err(err, -errno, "open_tree of the target: %s", strerror(errno));
	if (mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) < 0)
		return kv_err(err, -errno, "mount_setattr read-only of the target: %s",
			      strerror(errno));
	if (move_mount(tree, "", AT_FDCWD, "root", MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return kv_err(err, -errno, "move_mount of the target: %s", strerror(errno));
	return 0;
}

/* Mounts the target at "root" of the stage, which is the working directory. */
static int mount_target(int target, bool *ret_writable, struct kv_err *err)
{
	char options[128];

	if (mkdir("upper", 0755) < 0 || mkdir("work", 0755) < 0 || mkdir("root", 0755) < 0)
		return kv_err(err, -errno, "mkdir in the overlay's tmpfs: %s", strerror(errno));
	/* By descriptor: no colon or comma of the target's path can be taken for an option. */
	snprintf(options, sizeof(options), "lowerdir=/proc/self/fd/%d,upperdir=upper,workdir=work",
		 target);
	*ret_writable = mount("overlay", "root", "overlay", 0, options) == 0;
	return *ret_writable ? 0 : mount_read_only(target, err);
}

/* /proc afresh; where that is forbidden (a container that masks it), the one that is there. */
static int mount_proc(const struct tree *host_proc, bool writable, struct kv_err *err)
{
	if (writable && access("/proc", F_OK) < 0) {
		int r = make_dirs("/proc", true, err);

		if (r < 0)
			return r;
	}
	if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == 0)
		return 0;
	return tree_put(host_proc, writable, err);
}

static int enter_root(int target, const struct tree *trees, size_t n, struct kv_err *err)
{
	const char *stage = "/";
	bool writable;
	int r = stage_make(&stage, err);

	if (r < 0)
		return r;
	if (chdir(stage) < 0)
		return kv_err(err, -errno, "chdir %s: %s", stage, strerror(errno));
	r = mount_target(target, &writable, err);
	if (r < 0)
		return r;
	if (chdir("root") < 0 || chroot(".") < 0 || chdir("/") < 0)
		return kv_err(err, -errno, "chroot into the target: %s", strerror(errno));
	/* trees[0] is /proc. */
	r = mount_proc(&trees[0], writable, err);
	for (size_t i = 1; i < n && r == 0; i++)
		r = tree_put(&trees[i], writable, err);
	if (r == 0 && !writable)
		mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777");
	return r;
}

static int new_namespace(const char *target, struct kv_err *err)
{
	if (unshare(CLONE_NEWNS) < 0)
		return kv_err(err, -errno,
			      "unshare: %s: to run inside %s kvpath needs root (CAP_SYS_ADMIN); "
			      "without it, run "
			      "kvpath in the container itself",
			      strerror(errno), target);
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return kv_err(err, -errno, "make the mounts private: %s", strerror(errno));
	return 0;
}

int kv_prove_enter(const struct kv_prove_request *req, struct kv_err *err)
{
	struct tree trees[3 + MAX_MOUNTS] = {
		{ "/proc", "/proc", -EBADF, true },
		{ "/sys", "/sys", -EBADF, true },
		{ "/dev", "/dev", -EBADF, true },
	};
	_close_ int target = -EBADF;
	size_t n = 3;
	int r = new_namespace(req->target, err);

	if (r < 0)
		return r;
	if (req->n_mounts > MAX_MOUNTS)
		return kv_err(err, -E2BIG, "%zu mounts: at most %d", req->n_mounts, MAX_MOUNTS);
	for (size_t i = 0; i < req->n_mounts; i++)
		trees[n++] =
			(struct tree){ req->mounts[i].host, req->mounts[i].guest, -EBADF, false };
	for (size_t i = 0; i < n && r == 0; i++)
		r = tree_take(&trees[i], err);
	if (r == 0 && kv_streq(req->target, "/")) {
		/* Here only the mounts are wanted, on what is there: nothing is made on the host.
		 */
		for (size_t i = 3; i < n && r == 0; i++)
			r = tree_put(&trees[i], false, err);
		return r;
	}
	if (r < 0)
		return r;
	target = open(req->target, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (target < 0)
		return kv_err(err, -errno, "open %s: %s", req->target, strerror(errno));
	/* The descriptors in trees end with the exec: they are close-on-exec like all others here.
	 */
	return enter_root(target, trees, n, err);
}
