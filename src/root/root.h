/*
 * The files of a target, seen through one small interface: a directory or an image as the base,
 * with mounts and planned changes laid on top, so that a job's view, or the view after a repair,
 * can be examined before it exists.
 *
 * Paths are guest paths: absolute, "/usr/lib" is the target's. Symlinks, absolute ones too, resolve
 * inside the target; ".." at its root stays there, as after chroot(2). Nothing outside is ever
 * opened. Answers are remembered: a root is a snapshot for the length of one command.
 *
 * Functions return 0 or -errno, the errno that the target's own processes would see (ENOENT, ELOOP,
 * EACCES).
 */
#ifndef KV_ROOT_ROOT_H
#define KV_ROOT_ROOT_H

#include <sys/stat.h>

#include "base/base.h"

struct kv_root;

struct kv_stat {
	uint64_t dev, ino; /* identity of the file, unique within the root */
	uint64_t size;
	uint32_t mode; /* as st_mode: S_ISREG() and friends apply */
	uint32_t uid, gid;
	int64_t mtime_s;
};

struct kv_dirent {
	char *name;
	uint8_t type; /* DT_*; DT_UNKNOWN where the file system does not tell */
};

typedef KV_VEC(struct kv_dirent) kv_dirents;

/* An open regular file of a root. */
struct kv_file;

/*
 * Opens the directory or image host_path as a root. The root's memory comes from a; close gives
 * back its fds. -ENOTSUP for what is neither.
 */
int kv_root_open(struct kv_arena *a, const char *host_path, struct kv_root **ret,
		 struct kv_err *err);
void kv_root_close(struct kv_root *r);
/* Never to be rewound: a question can leave something there that later ones are answered from. */
struct kv_arena *kv_root_arena(struct kv_root *r);
/* O_PATH fd of the base directory, the root's own; -1 for an image. */
int kv_root_fd(const struct kv_root *r);
/* Whether the base is the running system's own "/". */
bool kv_root_is_live(const struct kv_root *r);
/* The format's name where the base is an image, which can be read only; else NULL. */
const char *kv_root_format(const struct kv_root *r);
/*
 * What is wrong with the base as such (a damaged image), in one line, once a question ran into it;
 * NULL while nothing is. Answers that came since then are worth nothing: "cannot tell".
 */
const char *kv_root_fault(const struct kv_root *r);
/*
 * Resolved paths that this process may not read and was asked about, walks excepted: another user's
 * process may find more there.
 */
const kv_strv *kv_root_denied(const struct kv_root *r);
/* The environment that the base itself gives to its processes (an image's configuration); NULL. */
const struct kv_env *kv_root_env(const struct kv_root *r);

/* The directory in which the base starts its processes (an image's configuration); NULL where
 * nothing tells. */
const char *kv_root_cwd(const struct kv_root *r);

struct kv_notes;

/* From now on every answer is noted in `notes`, which must outlive r (notes.h). */
void kv_root_note(struct kv_root *r, struct kv_notes *notes);

/* Lays the host's directory or file over guest, as a bind mount would. Missing parents are implied.
 */
int kv_root_bind(struct kv_root *r, const char *host, const char *guest, struct kv_err *err);
/* Lays a symlink with this text over guest. */
void kv_root_lay_link(struct kv_root *r, const char *guest, const char *text);
/* Lays the host's file, open for reading, over guest as a copy of it would lie there: no mount. The
 * fd stays the caller's. 0 or -errno. */
int kv_root_lay_file(struct kv_root *r, int host_fd, const char *guest);
/* Takes away what lies at guest. */
void kv_root_lay_absence(struct kv_root *r, const char *guest);
/* Lays a regular file with these bytes over guest; the bytes stay the caller's and must outlive r.
 */
void kv_root_lay_bytes(struct kv_root *r, const char *guest, struct kv_span bytes);
/* Number of layers on top; with kv_root_pop, takes back what was laid since. */
size_t kv_root_depth(const struct kv_root *r);
void kv_root_pop(struct kv_root *r, size_t depth);
/* Whether guest lies in a mount (a bind), so that writing to the base would not show there. */
bool kv_root_is_mounted(const struct kv_root *r, const char *guest);

/*
 * False for a directory of a live root that lies on another file system of a kind where walking
 * costs the site (NFS, Lustre, GPFS, FUSE, ...). The file system of "/" itself is always local.
 */
bool kv_root_is_local(struct kv_root *r, const char *guest);

enum { KV_NOFOLLOW = 1 };

int kv_root_stat(struct kv_root *r, const char *guest, unsigned flags, struct kv_stat *ret);
bool kv_root_is_dir(struct kv_root *r, const char *guest);
bool kv_root_is_file(struct kv_root *r, const char *guest);
/* The path with every symlink resolved. With KV_NOFOLLOW the last component is kept as it is. */
int kv_root_real(struct kv_root *r, const char *guest, unsigned flags, const char **ret);
int kv_root_readlink(struct kv_root *r, const char *guest, const char **ret);
/* Entries without "." and "..", sorted by name; the array stays the root's and is not changed. */
int kv_root_list(struct kv_root *r, const char *guest, kv_dirents *ret);
/* The same for a path that is resolved already and known to be a directory, in no order, memory
 * from a: for walks. */
int kv_root_list_real(struct kv_root *r, const char *real, struct kv_arena *a, kv_dirents *ret);
/*
 * Whether a directory with these entries is another system's root (an unpacked image, a container's
 * merged view) or an unpacked recording of one: what lies there belongs to processes of that root,
 * and a walk leaves it alone.
 */
bool kv_root_is_other(const kv_dirents *list);
/* A walk is about to begin that enters hardly any directory of these names: an image's reader,
 * which reads ahead of it, leaves them out. No answer is another for it. */
void kv_root_will_skip(struct kv_root *r, const char *const *names, size_t n);
/* The whole file, at most max bytes (-EFBIG where it is larger). */
int kv_root_slurp(struct kv_root *r, const char *guest, size_t max, struct kv_span *ret);

int kv_root_open_file(struct kv_root *r, const char *guest, struct kv_file **ret);
/* Reads at most n bytes at off; fewer only at the end of the file. */
int kv_file_read(struct kv_file *f, uint64_t off, void *buf, size_t n, size_t *ret_n);
/*
 * n bytes of a plain file at off as read-only memory, for as long as the process lives; -ENODATA
 * where it is no plain file or has no such bytes. Where another process cuts the file short
 * meanwhile, touching what is gone raises SIGBUS, which ends the command with "cannot tell".
 */
int kv_file_map(struct kv_file *f, uint64_t off, size_t n, struct kv_span *ret);
const struct kv_stat *kv_file_stat(const struct kv_file *f);
/* The host's fd where the file is the host's own, else -1; stays the file's. */
int kv_file_fd(const struct kv_file *f);
void kv_file_close(struct kv_file *f);

static inline void kv_file_closep(struct kv_file **f)
{
	kv_file_close(*f);
}
#define _file_ __attribute__((cleanup(kv_file_closep)))

#endif
