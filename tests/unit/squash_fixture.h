/* What the tests of squashfs images share: a tree with one of everything, and images of it. */
#ifndef KV_TEST_SQUASH_FIXTURE_H
#define KV_TEST_SQUASH_FIXTURE_H

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>

#include "root/root.h"

#include <cmocka.h>

struct sqfix {
	struct kv_arena *a;
	char top[64]; /* temporary directory: top/tree, and the images */
};

/* Makes the temporary directory with an empty tree in it. */
struct sqfix *sqfix_new(void);
void sqfix_free(struct sqfix *f);
/* The host's path of a name in the temporary directory. */
const char *sqfix_path(struct sqfix *f, const char *name);
void sqfix_dir(struct sqfix *f, const char *rel);
/* A file of n bytes: noise, or zeros where seed is 0. */
void sqfix_file(struct sqfix *f, const char *rel, size_t n, unsigned seed);
void sqfix_link(struct sqfix *f, const char *rel, const char *text);
/* One of every kind of file, sizes around a block's, many names, links, holes. */
void sqfix_everything(struct sqfix *f);
/* mksquashfs top/tree top/image OPTIONS; returns the image's path. */
const char *sqfix_image(struct sqfix *f, const char *image, const char *options);
/* The image's bytes, in the arena. */
struct kv_span sqfix_bytes(struct sqfix *f, const char *image);
/* Writes bytes as an image; returns its path. */
const char *sqfix_write(struct sqfix *f, const char *image, const void *bytes, size_t n);
/* Whether mksquashfs knows this compression. */
bool sqfix_can(struct sqfix *f, const char *compression);
/*
 * Looks at everything that the root has, as a check might: lists, stats, links, bytes. Returns how
 * many answers were errors of the image (-EIO).
 */
size_t sqfix_look_around(struct kv_root *r);

/* Two roots, the second of which should have what the first has. */
struct sqfix_pair {
	struct kv_root *dir, *image;
	struct kv_arena *a;
	size_t n_files, n_links, n_dirs, n_others;
};

/* Every path's stat, list, link and bytes; counts what there is. */
void sqfix_same(struct sqfix_pair *p);

#endif
