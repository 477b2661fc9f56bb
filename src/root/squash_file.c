/*
 * Files of squashfs images. What lies in the image as it is, is read there. Small files lie packed
 * with others in fragments: those are asked for as a whole and kept for a while, as a library's
 * neighbours are likely libraries of the same package. Of all others pages are kept, which an ELF
 * reader asks for many pieces of; any file's latest displace them.
 */
#include "root/squash_tree.h"

#define USUAL_BLOCK (128U << 10) /* mksquashfs' default */

#define PAGE    65536
#define N_PAGES 64

struct kv_sq_page {
	uint64_t ref, off;
	uint32_t n; /* 0 while unused */
	uint8_t *bytes;
};

struct squash_file {
	struct kv_file file;
	struct kv_sq_tree *t;
	uint64_t ref;
	uint32_t fragment, fragment_at; /* KV_SQ_NONE: not all of it lies in one */
};

/* n bytes at off, all of which the file has. */
static int read_through(struct squash_file *f, uint64_t off, uint8_t *buf, size_t n)
{
	struct kv_sq_request rq = { .op = KV_SQ_READ, .ref = f->ref };
	struct kv_sq_reply rp;

	for (size_t done = 0; done < n; done += rq.n) {
		int e;

		rq.off = off + done;
		rq.n = n - done < KV_SQ_PAYLOAD ? (uint32_t)(n - done) : KV_SQ_PAYLOAD;
		e = kv_sq_ask_window(f->t, &rq, &rp);
		if (e < 0)
			return e;
		if (rp.n != rq.n)
			return kv_sq_nonsense(f->t, "its reader answers nonsense");
		memcpy(buf + done, f->t->box.window, rq.n);
	}
	return 0;
}

/* The page that holds off, which lies inside of the file. */
static int page_at(struct squash_file *f, uint64_t off, const struct kv_sq_page **ret)
{
	uint64_t start = off - off % PAGE, left = f->file.st.size - start;
	uint64_t mixed = (f->ref * 31 + start / PAGE) * UINT64_C(0x9e3779b97f4a7c15);
	struct kv_sq_page *page = &f->t->pages[mixed >> 32 & (N_PAGES - 1)];
	uint32_t n = left < PAGE ? (uint32_t)left : PAGE;
	int e;

	*ret = page;
	if (page->n && page->ref == f->ref && page->off == start)
		return 0;
	page->n = 0;
	if (!page->bytes)
		page->bytes = kv_alloc_raw(f->t->arena, PAGE);
	e = read_through(f, start, page->bytes, n);
	if (e < 0)
		return e;
	page->ref = f->ref;
	page->off = start;
	page->n = n;
	return 0;
}

static int squash_read(struct kv_file *file, uint64_t off, void *buf, size_t n, size_t *ret_n)
{
	struct squash_file *f = (struct squash_file *)file;
	uint64_t size = file->st.size;
	const struct kv_sq_page *page;
	size_t done = 0;
	int e = 0;

	if (off > size)
		off = size;
	if (n > size - off)
		n = (size_t)(size - off);
	if (n > PAGE)
		e = read_through(f, off, buf, done = n);
	while (e == 0 && done < n) {
		uint64_t at = off + done;
		size_t in, take;

		e = page_at(f, at, &page);
		if (e < 0)
			break;
		in = (size_t)(at - page->off);
		take = page->n - in < n - done ? page->n - in : n - done;
		memcpy((uint8_t *)buf + done, page->bytes + in, take);
		done += take;
	}
	if (e == 0)
		*ret_n = n;
	return e;
}

/* The fragment, unpacked. It displaces the one that came first. */
static int piece_at(struct kv_sq_tree *t, uint32_t number, const struct kv_sq_piece **ret)
{
	struct kv_sq_request rq = { .op = KV_SQ_FRAGMENT, .ref = number };
	struct kv_sq_piece *piece = t->pieces;
	struct kv_sq_reply rp;
	int e;

	for (; piece < t->pieces + KV_ARRAY_SIZE(t->pieces); piece++)
		if (piece->n && piece->number == number) {
			*ret = piece;
			return 0;
		}
	e = kv_sq_ask_window(t, &rq, &rp);
	if (e < 0)
		return e;
	piece = &t->pieces[t->next_piece++ % KV_ARRAY_SIZE(t->pieces)];
	/* The arena's pages are large, and cost less than those of malloc(). */
	if (!piece->bytes || piece->room < rp.n) {
		piece->room = rp.n <= USUAL_BLOCK ? USUAL_BLOCK : KV_SQ_PAYLOAD;
		piece->bytes = kv_alloc_raw(t->arena, piece->room);
	}
	memcpy(piece->bytes, t->box.window, rp.n);
	piece->number = number;
	piece->n = rp.n;
	*ret = piece;
	return 0;
}

static int fragment_read(struct kv_file *file, uint64_t off, void *buf, size_t n, size_t *ret_n)
{
	const struct squash_file *f = (const struct squash_file *)file;
	const struct kv_sq_piece *piece;
	uint64_t size = file->st.size;
	int e = piece_at(f->t, f->fragment, &piece);

	if (e < 0)
		return e;
	if (f->fragment_at > piece->n || piece->n - f->fragment_at < size)
		return kv_sq_nonsense(f->t, "a file lies outside of its fragment");
	if (off > size)
		off = size;
	if (n > size - off)
		n = (size_t)(size - off);
	memcpy(buf, piece->bytes + f->fragment_at + off, n);
	*ret_n = n;
	return 0;
}

/* What was there when the image was opened can be gone. Threads may come here side by side. */
static int plain_read(struct kv_file *f, uint64_t off, void *buf, size_t n, size_t *ret_n)
{
	size_t got;
	int e;

	if (off > f->st.size)
		off = f->st.size;
	if (n > f->st.size - off)
		n = (size_t)(f->st.size - off);
	e = kv_read_all(f->fd, buf, n, f->at + off, &got);
	if (e < 0 || got < n) {
		atomic_store(&((struct squash_file *)f)->t->is_cut, true);
		return -EIO;
	}
	*ret_n = n;
	return 0;
}

static void squash_file_close(struct kv_file *f)
{
	free(f);
}

static const struct kv_file_ops file_ops = { squash_read, squash_file_close };
static const struct kv_file_ops fragment_ops = { fragment_read, squash_file_close };
static const struct kv_file_ops plain_ops = { plain_read, squash_file_close };

int kv_sq_open_node(struct kv_sq_tree *t, const struct kv_sq_node *node, struct kv_file **ret)
{
	struct squash_file *f = malloc(sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->file = (struct kv_file){ .ops = &file_ops, .fd = -1, .st = node->inode->st };
	if (node->inode->at && t->fd >= 0) {
		f->file.ops = &plain_ops;
		f->file.fd = t->fd;
		f->file.at = node->inode->at;
	} else if (node->inode->fragment != KV_SQ_NONE) {
		f->file.ops = &fragment_ops;
		f->fragment = node->inode->fragment;
		f->fragment_at = node->inode->fragment_at;
	} else if (!t->pages) {
		t->pages = kv_alloc_n(t->arena, N_PAGES, sizeof(*t->pages));
	}
	f->t = t;
	f->ref = node->ref;
	*ret = &f->file;
	return 0;
}
