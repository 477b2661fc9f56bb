/*
 * OCI image layouts (a directory, or a tar of one) and docker archives (`docker save`, `podman
 * save`): what they hold, which image of it is meant, and its layers in order.
 *
 * Digests: those of manifests and configurations are checked. Layers are not hashed: of a plain
 * layer less than a hundredth is read, and hashing means reading it all. The registry's client did
 * it when it wrote the image; gzip and zstd have check sums of their own; a layer whose size is not
 * the manifest's is refused. Nothing of an image is executed.
 */
#ifndef KV_ROOT_OCI_H
#define KV_ROOT_OCI_H

#include "root/image.h"
#include "root/stack.h"

extern const struct kv_image_format kv_oci_layout_format, kv_oci_archive_format,
	kv_recording_format;

/* ---- the files of an image (oci_source.c) ---- */

struct kv_oci_source;

/* A layout directory by its O_PATH fd, or an archive. Takes no fd over; memory from a. */
int kv_oci_source_dir(struct kv_arena *a, int path_fd, struct kv_oci_source **ret,
		      struct kv_err *err);
int kv_oci_source_tar(struct kv_arena *a, int fd, struct kv_oci_source **ret, struct kv_err *err);
/* The blobs that it gave end with it. */
void kv_oci_source_close(struct kv_oci_source *s);
bool kv_oci_source_has(struct kv_oci_source *s, const char *name);
int kv_oci_source_blob(struct kv_oci_source *s, const char *name, struct kv_blob *ret);
/* The whole of a small file, at most 4 MiB, with a NUL behind it. */
int kv_oci_source_slurp(struct kv_oci_source *s, const char *name, struct kv_span *ret);

/* ---- which image (oci_choose.c) ---- */

struct kv_oci_image {
	const char *ref;       /* its name, for messages */
	const char *os, *arch; /* as Go names them: linux, amd64; NULL where nobody says */
	const char *id;        /* the same for the same image */
	kv_strv env;
	const char *cwd; /* NULL where it is no absolute path */
	kv_stack_layers
		layers; /* the names of their blobs; the blobs are found when it is chosen */
	KV_VEC(uint64_t) sizes; /* of the layers; UINT64_MAX where it is not told */
};

typedef KV_VEC(struct kv_oci_image) kv_oci_images;

/* All images of a layout, and of a docker archive. */
int kv_oci_list_layout(struct kv_arena *a, struct kv_oci_source *s, kv_oci_images *ret,
		       struct kv_err *err);
int kv_oci_list_docker(struct kv_arena *a, struct kv_oci_source *s, kv_oci_images *ret,
		       struct kv_err *err);
/* The one for the architecture `arch`, else the only one. */
int kv_oci_choose(struct kv_arena *a, const kv_oci_images *list, const char *arch,
		  const struct kv_oci_image **ret, struct kv_err *err);

#endif
