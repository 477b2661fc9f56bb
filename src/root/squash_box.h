/*
 * The process that reads an image for us, and the line to it. libsquashfs and four decompressors
 * handle bytes that anybody may have made; they do it in a child that has the image, the line, and
 * nothing else, and whatever comes back from it is checked as if it were the image itself.
 */
#ifndef KV_ROOT_SQUASH_BOX_H
#define KV_ROOT_SQUASH_BOX_H

#include "root/cell.h"
#include "root/squash_image.h"

struct kv_box {
	struct kv_cell cell;
	uint8_t *window;   /* KV_SQ_PAYLOAD bytes shared with the child, which may change them at
			      any time: to be copied before they are looked at */
	unsigned patience; /* see squash_box.c */
	char fault[256];   /* why the line was cut, else "" */
};

/*
 * What the child does: answers on sock, with payload in window, until the other end is closed. It
 * sends one reply unasked, which says how opening went and, in `more`, the root's reference.
 */
typedef void kv_box_serve(int image, int sock, uint8_t *window);
kv_box_serve kv_box_serve_squash;

/* Largest honest need: a table of blocks, the blocks that are kept, xz's dictionary. */
#define KV_BOX_MEMORY ((uint64_t)384 << 20)
#define KV_BOX_CPU_S  120

/* The bytes of the open image; the fd stays where it is. 0 or -errno. */
int kv_box_source(int *image, struct kv_sq_source *ret);

/* Seconds of silence after which the reader counts as stuck. */
#define KV_BOX_DEADLINE_S 60

/* Starts the child; image stays the caller's. */
int kv_box_start(int image, kv_box_serve *serve, unsigned deadline_s, struct kv_box *ret,
		 struct kv_err *err);
/* The reply that a child sends unasked. */
int kv_box_hello(struct kv_box *b, struct kv_sq_reply *ret);
/*
 * Asks and waits. 0 where the child answered, ret->n is within the window and ret->error is a
 * negative errno or 0; else -EIO, and b->fault says why: nothing can be asked then any more.
 */
int kv_box_ask(struct kv_box *b, const struct kv_sq_request *rq, struct kv_sq_reply *ret);
/* Cuts the line for this reason; the first one counts. -EIO. */
int kv_box_cut(struct kv_box *b, const char *fmt, ...) KV_PRINTF(2, 3);
void kv_box_stop(struct kv_box *b);

/* kv_cell_confine() with what reading an image needs. */
void kv_box_confine(void);
/* Its limit of memory alone, for tests that read images in their own process. */
void kv_box_limit_memory(void);

#endif
