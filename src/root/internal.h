/* What the files of a root share: its state, what is laid over its base, and resolving. */
#ifndef KV_ROOT_INTERNAL_H
#define KV_ROOT_INTERNAL_H

#include "root/tree.h"

/* Something that lies over a place: a mount, or a change of a plan. Later ones cover earlier ones.
 */
struct kv_overlay {
	const char *guest; /* resolved */
	struct kv_tree *tree;
	const char *link; /* a symlink's text, then tree is NULL */
	bool absent;      /* nothing lies here, then tree is NULL too */
	bool mount;
};

struct kv_known_dev {
	uint64_t dev;
	bool local;
};

struct kv_root {
	struct kv_arena *arena;
	int fd;            /* -1 for an image */
	bool unprivileged; /* this process is not root */
	bool live;
	const char *format;                 /* of an image, else NULL */
	KV_VEC(struct kv_overlay) overlays; /* [0] is the base, over "/" */
	struct kv_map *dirs;                /* see resolve.c */
	struct kv_map *lists;               /* resolved path -> kv_dirents, sorted */
	KV_VEC(struct kv_known_dev) devs;
	struct kv_map *mounts; /* places of a live root's mounts; NULL where they are not known */
	bool mounts_read;
	struct kv_file *files;  /* opened and not closed yet */
	struct kv_notes *notes; /* where answers are noted; NULL */
	kv_strv denied;         /* see kv_root_denied() */
	bool is_aside;          /* what is asked now is a walk's, and tells nothing by itself */
};

/* Lays the base. */
void kv_root_begin(struct kv_root *r, struct kv_tree *base);
/* What was found before need not hold when something else is laid. */
void kv_root_forget(struct kv_root *r);

/* The topmost overlay that the resolved path lies in, and its path there. */
const struct kv_overlay *kv_overlay_at(const struct kv_root *r, const char *real,
				       const char **ret_rel);
/* The same questions as of a tree, of a path whose directory is resolved. */
int kv_overlay_lstat(struct kv_root *r, const char *real, struct kv_stat *ret);
int kv_overlay_readlink(struct kv_root *r, const char *real, const char **ret);
int kv_overlay_list(struct kv_root *r, const char *real, bool walk, struct kv_arena *a,
		    kv_dirents *ret);

/* False where the directory of a live root is surely no mount's place. */
bool kv_root_may_be_mount(struct kv_root *r, const char *real);

/* Where the path leads, and what is there. 0 or -errno. */
int kv_root_resolve(struct kv_root *r, const char *path, unsigned flags, const char **ret,
		    struct kv_stat *st);
/* The same of a directory; cheaper, as what it came to is remembered. */
int kv_root_resolve_dir(struct kv_root *r, const char *path, const char **ret);

#endif
