/*
 * What the reader of a squashfs image answered without being asked for it: lists of directories
 * that a walk will come to, inodes beside one that was asked for. It is kept as it came, and judged
 * when somebody asks. Lists are kept for a while only, as an image can have any number of them.
 */
#include <sys/auxv.h>

#include "root/squash_tree.h"

/* Bytes of what nobody asked for, after which no more of it is kept: a reader can send any amount.
 */
#define MOST_AHEAD ((size_t)32 << 20)

static bool has_room(struct kv_sq_tree *t, size_t n)
{
	if (t->ahead > MOST_AHEAD)
		return false;
	t->ahead += n;
	return true;
}

/* ---- by reference ---- */

struct slot {
	uint64_t ref;
	void *value; /* NULL while unused */
};

struct kv_sq_refs {
	struct kv_arena *arena;
	uint64_t seed; /* images must not be able to choose what collides */
	size_t n, size;
	struct slot *slots;
};

struct kv_sq_refs *kv_sq_refs_new(struct kv_arena *a)
{
	struct kv_sq_refs *r = kv_new(a, struct kv_sq_refs);
	const void *noise = (const void *)getauxval(AT_RANDOM);

	r->arena = a;
	if (noise)
		memcpy(&r->seed, noise, sizeof(r->seed));
	r->size = 64;
	r->slots = kv_alloc_n(a, r->size, sizeof(*r->slots));
	return r;
}

/* The finalizer of MurmurHash3. */
static struct slot *slot_of(const struct kv_sq_refs *r, uint64_t ref)
{
	uint64_t h = ref ^ r->seed;
	size_t i;

	h = (h ^ h >> 33) * UINT64_C(0xff51afd7ed558ccd);
	h = (h ^ h >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
	for (i = (size_t)(h ^ h >> 33) & (r->size - 1); r->slots[i].value;
	     i = (i + 1) & (r->size - 1))
		if (r->slots[i].ref == ref)
			break;
	return &r->slots[i];
}

void *kv_sq_refs_get(const struct kv_sq_refs *r, uint64_t ref)
{
	return slot_of(r, ref)->value;
}

void kv_sq_refs_put(struct kv_sq_refs *r, uint64_t ref, void *value)
{
	struct slot *s = slot_of(r, ref), *old = r->slots;
	size_t size = r->size;

	if (!s->value && ++r->n * 4 > size * 3) {
		r->size *= 2;
		r->slots = kv_alloc_n(r->arena, r->size, sizeof(*r->slots));
		for (size_t i = 0; i < size; i++)
			if (old[i].value)
				*slot_of(r, old[i].ref) = old[i];
		s = slot_of(r, ref);
	}
	*s = (struct slot){ ref, value };
}

/* ---- lists ---- */

/* Where a whole list lies in the answers that are kept. */
struct place {
	uint64_t answer; /* 0: nowhere */
	uint32_t at, n;
};

static struct kv_sq_answer *answer_of(struct kv_sq_tree *t, uint64_t number)
{
	return &t->answers[number % KV_ARRAY_SIZE(t->answers)];
}

bool kv_sq_known_list(struct kv_sq_tree *t, uint64_t ref, struct kv_span *ret)
{
	const struct place *p = kv_sq_refs_get(t->lists, ref);

	if (!p || !p->answer || answer_of(t, p->answer)->number != p->answer)
		return false;
	*ret = (struct kv_span){ answer_of(t, p->answer)->bytes + p->at, p->n };
	return true;
}

static void know_list(struct kv_sq_tree *t, uint64_t ref, struct place where, uint64_t asked)
{
	struct place *p = kv_sq_refs_get(t->lists, ref);

	if (!p && ref != asked && !has_room(t, 2 * sizeof(struct slot) + sizeof(*p)))
		return;
	if (!p) {
		p = kv_new(t->arena, struct place);
		kv_sq_refs_put(t->lists, ref, p);
	}
	*p = where;
}

/* The lists of one answer. */
static int take_lists(struct kv_sq_tree *t, const struct kv_sq_answer *answer, uint64_t asked)
{
	struct kv_span s = { answer->bytes, answer->n };
	struct kv_sq_list head;

	for (size_t at = 0; at < s.n; at += head.n) {
		if (s.n - at < sizeof(head))
			return kv_sq_nonsense(t, "its reader answers nonsense");
		memcpy(&head, s.p + at, sizeof(head));
		at += sizeof(head);
		if (s.n - at < head.n)
			return kv_sq_nonsense(t, "its reader answers nonsense");
		know_list(t, head.ref, (struct place){ answer->number, (uint32_t)at, head.n },
			  asked);
	}
	return 0;
}

int kv_sq_ask_list(struct kv_sq_tree *t, const struct kv_sq_request *rq, uint64_t *ret_more,
		   struct kv_span *ret)
{
	struct kv_sq_answer *answer = answer_of(t, ++t->n_answers);
	struct kv_sq_reply rp;
	uint8_t *bytes;
	int e = kv_sq_ask_window(t, rq, &rp);

	if (e < 0)
		return e;
	bytes = realloc(answer->bytes, rp.n + !rp.n);
	if (!bytes)
		return kv_box_cut(&t->box, "there is no memory left");
	memcpy(bytes, t->box.window, rp.n);
	*answer = (struct kv_sq_answer){ t->n_answers, bytes, rp.n };
	e = take_lists(t, answer, rq->ref);
	if (e < 0)
		return e;
	if (!kv_sq_known_list(t, rq->ref, ret))
		return kv_sq_nonsense(t, "its reader answers nonsense");
	if (rq->off || rp.more)
		know_list(t, rq->ref, (struct place){ 0 }, rq->ref);
	*ret_more = rp.more;
	return 0;
}

void kv_sq_forget_answers(struct kv_sq_tree *t)
{
	for (size_t i = 0; i < KV_ARRAY_SIZE(t->answers); i++)
		free(t->answers[i].bytes);
}

/* ---- inodes ---- */

int kv_sq_inode_of(struct kv_sq_tree *t, uint64_t ref, const struct kv_sq_inode **ret)
{
	struct kv_sq_request rq = { .op = KV_SQ_INODE, .ref = ref };
	struct kv_sq_inode head, *copy;
	struct kv_sq_reply rp;
	int e;

	*ret = kv_sq_refs_get(t->inodes, ref);
	if (*ret)
		return 0;
	e = kv_sq_ask(t, rq, &rp);
	if (e < 0)
		return e;
	for (size_t at = 0; at < rp.n; at += sizeof(head) + head.link_n) {
		if (rp.n - at < sizeof(head))
			return kv_sq_nonsense(t, "its reader answers nonsense");
		memcpy(&head, t->copy + at, sizeof(head));
		if (head.link_n > KV_SQ_LINK || rp.n - at - sizeof(head) < head.link_n)
			return kv_sq_nonsense(t, "its reader answers nonsense");
		if (kv_sq_refs_get(t->inodes, head.ref) ||
		    (head.ref != ref &&
		     !has_room(t, 2 * sizeof(struct slot) + sizeof(head) + head.link_n)))
			continue;
		copy = kv_alloc_raw(t->arena, sizeof(head) + head.link_n);
		memcpy(copy, t->copy + at, sizeof(head) + head.link_n);
		kv_sq_refs_put(t->inodes, head.ref, copy);
	}
	*ret = kv_sq_refs_get(t->inodes, ref);
	return *ret ? 0 : kv_sq_nonsense(t, "its reader answers nonsense");
}
