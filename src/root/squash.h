/* Squashfs images (.sqsh) as trees. */
#ifndef KV_ROOT_SQUASH_H
#define KV_ROOT_SQUASH_H

#include "root/image.h"
#include "root/squash_box.h"

extern const struct kv_image_format kv_squash_format;

/*
 * The tree behind a line on which the hello has come; takes the box and the image over. What lies
 * in the image as it is, is read from there, with nobody asked but for its place.
 */
struct kv_tree *kv_squash_tree(struct kv_arena *a, const struct kv_box *box, int image,
			       uint64_t root);

#endif
