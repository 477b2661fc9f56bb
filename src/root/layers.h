/*
 * The layers of an image, merged into one tree as an overlay shows them: each layer as if it were
 * unpacked into a directory of its own, and those stacked. A later layer wins; directories merge;
 * a directory replaces a file and a file a directory; `.wh.NAME` takes NAME of the layers below
 * away, `.wh..wh..opq` everything of theirs in its directory (OCI image-spec, layer.md,
 * "Whiteouts"). Whiteouts never touch their own layer, wherever they stand in it.
 */
#ifndef KV_ROOT_LAYERS_H
#define KV_ROOT_LAYERS_H

#include "root/tar.h"
#include "root/tree.h"

/* Where a regular file's bytes are. */
struct kv_content {
	uint32_t layer;
	bool broken; /* a hard link to nothing */
	enum kv_place place;
	uint64_t ordinal, size;
	size_t n_ranges;
	struct kv_tar_range *ranges;
};

struct kv_layers;

struct kv_layers *kv_layers_new(struct kv_arena *a);
void kv_layers_free(struct kv_layers *l);
/* What is put from now on belongs to a layer on top of all before. */
void kv_layers_begin(struct kv_layers *l);
/* An entry of the current layer. */
int kv_layers_put(struct kv_layers *l, const struct kv_tar_entry *e, struct kv_err *err);

/* Questions as of struct kv_tree_ops. */
int kv_layers_lstat(const struct kv_layers *l, const char *rel, struct kv_stat *ret);
int kv_layers_readlink(const struct kv_layers *l, const char *rel, const char **ret);
int kv_layers_list(const struct kv_layers *l, const char *rel, struct kv_arena *a, kv_dirents *ret);
int kv_layers_content(struct kv_layers *l, const char *rel, struct kv_content **ret);

#endif
