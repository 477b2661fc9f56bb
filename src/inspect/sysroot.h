/*
 * Where the facts of a host come from: this machine's own /sys, /proc and /dev, or a tree that was
 * recorded on another (docs/recording.md). Both answer the same questions in the same way, so that
 * what is found about a host can be found again from its recording, on any machine and without any
 * privilege. Nothing is executed and nothing is changed.
 *
 * A tree can not hold device nodes, errors and an environment: these stand in its index, the file
 * kvpath-host at its top.
 */
#ifndef KV_INSPECT_SYSROOT_H
#define KV_INSPECT_SYSROOT_H

#include "root/image.h"

#define KV_SYSROOT_INDEX   KV_RECORDING_INDEX
#define KV_SYSROOT_NO_HOST "host none"

struct kv_sysroot;

/* A device node, and how open(2) for reading and writing ended. */
struct kv_node {
	bool there;
	bool right; /* a character device of the number that sysfs gives */
	int error;  /* errno; 0 where it opened, or would by all that is recorded */
};

/* One question that was asked, and its answer: what a recording holds. */
struct kv_asked {
	enum kv_question {
		KV_ASKED_TEXT,
		KV_ASKED_LIST,
		KV_ASKED_REAL,
		KV_ASKED_LINK,
		KV_ASKED_NODE
	} question;
	const char *path;
	int error;        /* -errno */
	const char *text; /* KV_ASKED_TEXT: without the newline at its end */
	struct kv_node node;
};

typedef KV_VEC(struct kv_asked) kv_askeds;

/* What is there and tells nothing: it could not be read, or what it holds is not what stands there
 * on any host. */
struct kv_untold {
	const char *path, *why;
};

typedef KV_VEC(struct kv_untold) kv_untolds;

/* path: a recorded tree, a directory or a tar; NULL for this machine. */
int kv_sysroot_open(struct kv_arena *a, const char *path, struct kv_sysroot **ret,
		    struct kv_err *err);
void kv_sysroot_close(struct kv_sysroot *s);
struct kv_arena *kv_sysroot_arena(const struct kv_sysroot *s);
/* NULL for this machine. */
const char *kv_sysroot_path(const struct kv_sysroot *s);
/* The files that it answers from. */
struct kv_root *kv_sysroot_files(const struct kv_sysroot *s);
/* What was asked so far, in order. */
const kv_askeds *kv_sysroot_asked(const struct kv_sysroot *s);
/* The questions so far that ended so, each path once. */
const kv_untolds *kv_sysroot_untold(const struct kv_sysroot *s);
/* Notes that the text of this file is not of its kind. */
void kv_sysroot_odd(struct kv_sysroot *s, const char *path);
/* False for a recording of a target that was on no host. */
bool kv_sysroot_has_host(const struct kv_sysroot *s);
/* The environment that was recorded; NULL where none was. */
const struct kv_env *kv_sysroot_env(const struct kv_sysroot *s);

/* The text of a small file, without the newline at its end; NULL for whatever can not be read. */
const char *kv_sysroot_value(struct kv_sysroot *s, const char *dir, const char *name);
/* Entries of a directory, sorted. 0 or -errno. */
int kv_sysroot_list(struct kv_sysroot *s, const char *path, kv_dirents *ret);
/*
 * The last name in a link's text: of a driver, a device; NULL. What it leads to need not be visible
 * (/sys/bus can be hidden where /sys/devices is not).
 */
const char *kv_sysroot_target(struct kv_sysroot *s, const char *path);
/* The path with its links resolved. 0 or -errno. */
int kv_sysroot_real(struct kv_sysroot *s, const char *path, const char **ret);
/*
 * Whether the device node can be used. number: "231:192" as sysfs has it; NULL where it does not
 * tell, and then the node is not opened.
 */
void kv_sysroot_node(struct kv_sysroot *s, const char *path, const char *number,
		     struct kv_node *ret);

#endif
