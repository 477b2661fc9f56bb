/*
 * One source of files below a root: what a new kind of target (an image format, a recorded tree)
 * implements. Paths are relative to the tree's own root, without a leading '/', with no symlink on
 * the way ("" is the root itself): the resolver (resolve.c) has walked them component by component.
 */
#ifndef KV_ROOT_TREE_H
#define KV_ROOT_TREE_H

#include "root/root.h"

struct kv_tree;

struct kv_tree_ops {
	int (*lstat)(struct kv_tree *t, const char *rel, struct kv_stat *ret);
	int (*readlink)(struct kv_tree *t, const char *rel, struct kv_arena *a, const char **ret);
	int (*list)(struct kv_tree *t, const char *rel, struct kv_arena *a, kv_dirents *ret);
	/* The same for a walk, which a tree may answer with less; NULL: as list. */
	int (*walk)(struct kv_tree *t, const char *rel, struct kv_arena *a, kv_dirents *ret);
	/* See kv_root_will_skip(); may be NULL. */
	void (*will_skip)(struct kv_tree *t, const char *const *names, size_t n);
	int (*open)(struct kv_tree *t, const char *rel, struct kv_file **ret);
	/* The same of a regular file that lstat just told st of; may be NULL. */
	int (*open_known)(struct kv_tree *t, const char *rel, const struct kv_stat *st,
			  struct kv_file **ret);
	void (*close)(struct kv_tree *t);
	/* Whether rel is known to be a regular file without asking anybody; may be NULL. */
	bool (*is_regular)(struct kv_tree *t, const char *rel);
	/* 0 where this process may search the directory rel, as "rel/.." needs; may be NULL. */
	int (*search)(struct kv_tree *t, const char *rel);
	/* See kv_root_fault(); NULL for trees that know no faults of their own. */
	const char *(*fault)(struct kv_tree *t);
	/* See kv_root_env(); NULL for trees that say nothing about it. */
	const struct kv_env *(*env)(struct kv_tree *t);
	/* See kv_root_cwd(); NULL for the same. */
	const char *(*cwd)(struct kv_tree *t);
	/* Of recorded trees: whether rel was in a mount, and on a remote file system. */
	bool (*was_mount)(struct kv_tree *t, const char *rel);
	bool (*was_remote)(struct kv_tree *t, const char *rel);
};

struct kv_tree {
	const struct kv_tree_ops *ops;
};

struct kv_file_ops {
	int (*read)(struct kv_file *f, uint64_t off, void *buf, size_t n, size_t *ret_n);
	void (*close)(struct kv_file *f);
};

struct kv_file {
	const struct kv_file_ops *ops;
	struct kv_stat st;
	int fd;      /* of the host's file that holds the bytes as they are, else -1 */
	uint64_t at; /* where in it they begin: 0 unless it is an image */
	/* The root's list of files that are open, if one opened it; NULL until then. */
	struct kv_file **link, *next;
};

/* A host directory, or a single host file (rel "" only). Takes the O_PATH fd over. Memory from a.
 */
struct kv_tree *kv_tree_of_dir(struct kv_arena *a, int path_fd);
/* One regular file of these bytes. */
struct kv_tree *kv_tree_of_bytes(struct kv_arena *a, struct kv_span bytes);

#endif
