/*
 * A target's tree held by file descriptors, for writing. A path is turned into (fd of its parent,
 * last component) without following any symlink, and every change is an *at() call on that pair:
 * nothing outside the root can be reached, whatever the target holds or turns into meanwhile.
 *
 * The functions that change something return 0 or -errno and leave the message to the caller.
 */
#ifndef KV_REPAIR_TREE_FD_H
#define KV_REPAIR_TREE_FD_H

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#include "base/base.h"

/* Faults for tests to inject; all zero in the programs. Every change of the target counts as one
 * step. */
struct kv_tree_test {
	unsigned stop_at; /* _exit in place of this step (a write: after half of its bytes) */
	unsigned fail_at; /* this step gives -fail_errno */
	int fail_errno;
	bool fail_on;         /* and so do all after it */
	unsigned steps;       /* steps so far */
	bool no_openat2;      /* as under a seccomp filter that knows no openat2 */
	bool no_link;         /* a file system without hard links */
	bool link_exdev;      /* hard links and renames do not reach the state directory */
	bool no_tmpfile;      /* no O_TMPFILE */
	bool no_rename_flags; /* no renameat2 flags */
	bool no_xattr;        /* no extended attributes to guard the state directory with */
	unsigned lock_wait_ms;
};

#define KV_TREE_STOPPED 77

extern struct kv_tree_test kv_tree_test;

/* The directory at path: absolute and canonical, every component a real directory. -ELOOP names the
 * symlink that is in the way. */
int kv_tree_dir(int root, const char *path, int *ret_fd, struct kv_err *err);
/* The parent directory of path, and the last component, which points into path. */
int kv_tree_parent(int root, const char *path, int *ret_fd, const char **ret_name,
		   struct kv_err *err);
/* For reading what dir holds, without moving its access time where that is allowed. NULL with
 * errno. */
DIR *kv_tree_list(int dir);
/* 0, or -EINVAL where path is not absolute and canonical. */
int kv_tree_path_check(const char *path, struct kv_err *err);

int kv_tree_mkdir(int dir, const char *name, uint32_t mode);
int kv_tree_symlink(const char *text, int dir, const char *name);
int kv_tree_link(int old_dir, const char *old_name, int dir, const char *name);
/* Gives the unnamed file fd (O_TMPFILE) a name. */
int kv_tree_link_fd(int fd, int dir, const char *name);
/* Replaces what is at name. */
int kv_tree_rename(int old_dir, const char *old_name, int dir, const char *name);
/* -EEXIST where name exists. */
int kv_tree_rename_new(int old_dir, const char *old_name, int dir, const char *name);
int kv_tree_unlink(int dir, const char *name);
int kv_tree_rmdir(int dir, const char *name);
int kv_tree_chown(int dir, const char *name, uint32_t uid, uint32_t gid);
/* Owner first, since changing it clears set-id bits. */
int kv_tree_own_fd(int fd, uint32_t uid, uint32_t gid, uint32_t mode);
int kv_tree_times(int fd, const struct timespec times[2]);
int kv_tree_setxattr(int fd, const char *name, const void *value, size_t n);
int kv_tree_removexattr(int fd, const char *name);
/* Returns the fd of a new file, readable and writable by its owner alone. */
int kv_tree_create(int dir, const char *name);
/* Likewise without a name; -EOPNOTSUPP where the file system has none such. */
int kv_tree_tmpfile(int dir);
int kv_tree_write(int fd, const void *bytes, size_t n);
int kv_tree_truncate(int fd, uint64_t size);
/* fsync, where a directory that cannot be synced is none to wait for. */
int kv_tree_sync(int fd);

/* Says what failed on path, and what is missing where that is known. Returns code. */
int kv_tree_err(struct kv_err *err, int code, const char *verb, const char *path);

#endif
