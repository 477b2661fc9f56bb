/*
 * Images: targets that are one file (or a directory in a layout of its own) and are read as trees
 * without being unpacked. A new format is one file with its struct kv_image_format, and one entry
 * in the table of image.c.
 */
#ifndef KV_ROOT_IMAGE_H
#define KV_ROOT_IMAGE_H

#include "root/tree.h"

struct kv_image_format {
	const char *name; /* as messages name it */
	/*
	 * Whether fd is an image of this format, by what it holds and not by its name. fd is
	 * readable where st says that it is a regular file, and an O_PATH one for a directory;
	 * nothing else is asked about. Cheap: it is asked for every target that is no "/".
	 */
	bool (*is)(int fd, const struct stat *st);
	/*
	 * Opens it as a tree with memory from a. The tree takes fd over where this succeeds, and
	 * only then. err says in one line what is wrong, without the path: callers put it in
	 * front.
	 */
	int (*open)(struct kv_arena *a, int fd, struct kv_tree **ret, struct kv_err *err);
};

/* The first member of a recorded host's tar (docs/recording.md); no image, but read as one. */
#define KV_RECORDING_INDEX "kvpath-host"
/* That of a recorded target. */
#define KV_RECORDING_TARGET "kvpath-target"

/* The format that knows fd, NULL where none does. */
const struct kv_image_format *kv_image_probe(int fd, const struct stat *st);
/* The formats' names, "squashfs, ...", for messages. */
const char *kv_image_names(struct kv_arena *a);

#endif
