/*
 * A squashfs image of any bytes, as the process that reads it for kvpath does: opened, toured from
 * its root, every kind of question asked about what is met. The limit of memory that the process
 * has stands in as the allocator's.
 */
#include "fuzz.h"
#include "root/squash_box.h"

const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "allocator_may_return_null=1:max_allocation_size_mb=150";
}

/* A block may unfold to a megabyte: this bounds the time of one input. */
#define QUESTIONS 48
#define MAX_DEPTH 5

struct tour {
	struct kv_sq *s;
	unsigned left;
	uint8_t payload[KV_SQ_PAYLOAD];
};

static int read_bytes(void *arg, uint64_t off, void *buf, size_t n)
{
	const struct kv_span *s = arg;

	KV_PROMISE(off <= s->n && s->n - off >= n);
	if (n)
		memcpy(buf, s->p + off, n);
	return 0;
}

static bool ask(struct tour *t, struct kv_sq_request rq, struct kv_sq_reply *ret)
{
	if (!t->left)
		return false;
	t->left--;
	kv_sq_answer(t->s, &rq, t->payload, ret);
	KV_PROMISE(ret->n <= KV_SQ_PAYLOAD && ret->error <= 0 && ret->error > -4096);
	KV_PROMISE(!ret->error || (ret->n && ret->n <= 200));
	return !ret->error;
}

static void ask_inode(struct tour *t, uint64_t ref)
{
	struct kv_sq_inode inode, other;
	struct kv_sq_reply rp;

	if (!ask(t, (struct kv_sq_request){ .op = KV_SQ_INODE, .ref = ref }, &rp))
		return;
	KV_PROMISE(rp.n >= sizeof(inode));
	memcpy(&inode, t->payload, sizeof(inode));
	KV_PROMISE(inode.ref == ref);
	for (uint32_t at = 0; at < rp.n; at += (uint32_t)sizeof(other) + other.link_n) {
		KV_PROMISE(rp.n - at >= sizeof(other));
		memcpy(&other, t->payload + at, sizeof(other));
		KV_PROMISE(other.link_n <= KV_SQ_LINK && rp.n - at - sizeof(other) >= other.link_n);
	}
	/* The beginning, and across the end. */
	ask(t, (struct kv_sq_request){ KV_SQ_READ, 5000, ref, 0 }, &rp);
	ask(t, (struct kv_sq_request){ KV_SQ_READ, 5000, ref, inode.size - 2000 }, &rp);
	if (inode.fragment != KV_SQ_NONE)
		ask(t, (struct kv_sq_request){ .op = KV_SQ_FRAGMENT, .ref = inode.fragment }, &rp);
}

/* The lists of an answer, without what is in them. */
static void check_lists(const uint8_t *p, uint32_t n)
{
	struct kv_sq_list head;

	for (uint32_t at = 0; at < n; at += head.n) {
		KV_PROMISE(n - at >= sizeof(head));
		memcpy(&head, p + at, sizeof(head));
		at += (uint32_t)sizeof(head);
		KV_PROMISE(n - at >= head.n);
	}
}

static void tour_dir(struct tour *t, uint64_t ref, unsigned depth)
{
	struct kv_sq_request rq = { .op = KV_SQ_LIST, .ref = ref, .n = depth % 2 == 0 };
	struct kv_sq_reply rp;
	struct kv_sq_entry entry;
	struct kv_sq_list head;
	uint8_t *copy;

	if (depth > MAX_DEPTH || !ask(t, rq, &rp))
		return;
	check_lists(t->payload, rp.n);
	KV_PROMISE(rp.n >= sizeof(head));
	memcpy(&head, t->payload, sizeof(head));
	KV_PROMISE(head.ref == ref);
	copy = malloc(head.n + !head.n);
	if (!copy)
		return;
	memcpy(copy, t->payload + sizeof(head), head.n);
	rq.off = rp.more;
	if (rq.off)
		ask(t, rq, &rp);
	for (uint32_t at = 0; t->left && at < head.n; at += entry.n + 1U) {
		KV_PROMISE(head.n - at > sizeof(entry));
		memcpy(&entry, copy + at, sizeof(entry));
		at += (uint32_t)sizeof(entry);
		KV_PROMISE(entry.n && head.n - at > entry.n && !copy[at + entry.n]);
		ask_inode(t, entry.ref);
		tour_dir(t, entry.ref, depth + 1);
	}
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kv_span span = { data, size };
	struct kv_sq_source source = { read_bytes, &span, size };
	static struct tour t;
	struct kv_sq_reply rp;
	const char *why = NULL;
	uint64_t root;

	kv_box_limit_memory();
	t.left = QUESTIONS;
	if (kv_sq_open(&source, &t.s, &root, &why) < 0) {
		KV_PROMISE(why && *why && strlen(why) <= 200);
		return 0;
	}
	memcpy(t.payload, "skip", 5);
	ask(&t, (struct kv_sq_request){ .op = KV_SQ_SKIP, .n = 5 }, &rp);
	ask_inode(&t, root);
	tour_dir(&t, root, 0);
	kv_sq_close(t.s);
	return 0;
}
