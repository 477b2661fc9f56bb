/*
 * Asking the reader of a squashfs image, and taking its lists. Whatever is wrong with an answer
 * cuts the line: a reader that lied once is not asked again.
 */
#include "root/squash_tree.h"

#define MAX_ENTRIES 1000000 /* of one directory */
#define MAX_DIRS    2000000 /* of one image */

const char *kv_sq_text(struct kv_arena *a, const struct kv_box *box, uint32_t n)
{
	const char *text = kv_strndup(a, (const char *)box->window, n < 200 ? n : 200);

	return *text ? kv_printable(a, text) : "damaged squashfs image";
}

int kv_sq_ask_window(struct kv_sq_tree *t, const struct kv_sq_request *rq, struct kv_sq_reply *ret)
{
	int e = kv_box_ask(&t->box, rq, ret);

	if (e == 0 && ret->error)
		e = kv_box_cut(&t->box, "%s", kv_sq_text(t->arena, &t->box, ret->n));
	return e;
}

int kv_sq_ask(struct kv_sq_tree *t, struct kv_sq_request rq, struct kv_sq_reply *ret)
{
	int e = kv_sq_ask_window(t, &rq, ret);

	if (e == 0)
		memcpy(t->copy, t->box.window, ret->n);
	return e;
}

int kv_sq_nonsense(struct kv_sq_tree *t, const char *what)
{
	return kv_box_cut(&t->box, "damaged squashfs image: %s", what);
}

/* ---- lists ---- */

/* What is done with each entry of a list. */
struct taker {
	struct kv_sq_tree *t;
	const char *rel;
	struct kv_arena *arena;
	kv_dirents *list;
	struct kv_sq_node *dir; /* whose names are kept, or NULL */
	char before[256];       /* the name before, "" at first */
	size_t n;
};

static const char *rel_of(struct kv_arena *a, const char *dir, const char *name)
{
	return *dir ? kv_strf(a, "%s/%s", dir, name) : kv_strdup(a, name);
}

int kv_sq_know_dir(struct kv_sq_tree *t, const char *rel, uint64_t ref, struct kv_sq_node **ret)
{
	struct kv_sq_node **slot = (struct kv_sq_node **)kv_map_slot(t->dirs, rel);
	char key[17];
	void **place;

	if (!*slot) {
		if (++t->n_dirs > MAX_DIRS)
			return kv_sq_nonsense(t,
					      "it has more directories than kvpath walks through");
		for (unsigned i = 0; i < 16; i++)
			key[i] = (char)('a' + (ref >> (4 * i) & 15));
		key[16] = '\0';
		place = kv_map_slot(t->places, key);
		if (*place)
			return kv_sq_nonsense(t, "a directory lies in two places");
		*slot = kv_new(t->arena, struct kv_sq_node);
		**slot = (struct kv_sq_node){ .ref = ref, .type = DT_DIR };
		*place = *slot;
	}
	*ret = *slot;
	return 0;
}

/*
 * A name must be one that a file can have, and names must ascend: that is the format's order
 * (squashfs' lookup relies on it), and it makes each of them the only one.
 */
static bool is_name(struct taker *k, const char *name, size_t n)
{
	char copy[256];

	if (!n || memchr(name, '/', n) || memchr(name, 0, n) || (n == 1 && name[0] == '.') ||
	    (n == 2 && name[0] == '.' && name[1] == '.'))
		return false;
	memcpy(copy, name, n);
	copy[n] = '\0';
	if (strcmp(copy, k->before) <= 0)
		return false;
	memcpy(k->before, copy, n + 1);
	return true;
}

static int take(struct taker *k, uint64_t ref, uint8_t type, const char *name, size_t n)
{
	struct kv_sq_node *node = NULL;
	char *kept;
	int e = 0;

	if (!is_name(k, name, n))
		return kv_sq_nonsense(k->t,
				      "a directory has a name that cannot be, or twice the same");
	if (type == DT_UNKNOWN || type > DT_SOCK)
		return kv_sq_nonsense(k->t, "its reader answers nonsense");
	if (++k->n > MAX_ENTRIES)
		return kv_sq_nonsense(k->t, "a directory has more entries than kvpath looks at");
	kept = kv_strdup(k->arena, k->before);
	kv_vec_push(k->arena, k->list, ((struct kv_dirent){ kept, type }));
	if (type == DT_DIR)
		e = kv_sq_know_dir(k->t, rel_of(k->arena, k->rel, kept), ref, &node);
	if (e < 0 || !k->dir)
		return e;
	if (!node) {
		node = kv_new(k->arena, struct kv_sq_node);
		*node = (struct kv_sq_node){ .ref = ref, .type = type };
	}
	*kv_map_slot(k->dir->names, kept) = node;
	return 0;
}

static int take_all(struct taker *k, size_t n)
{
	struct kv_span s = { k->t->copy, n };
	struct kv_sq_entry entry;

	while (s.n) {
		int e;

		if (s.n < sizeof(entry))
			return kv_sq_nonsense(k->t, "its reader answers nonsense");
		memcpy(&entry, s.p, sizeof(entry));
		if (s.n - sizeof(entry) < entry.n)
			return kv_sq_nonsense(k->t, "its reader answers nonsense");
		e = take(k, entry.ref, entry.type, (const char *)s.p + sizeof(entry), entry.n);
		if (e < 0)
			return e;
		s.p += sizeof(entry) + entry.n;
		s.n -= sizeof(entry) + entry.n;
	}
	return 0;
}

int kv_sq_list_dir(struct kv_sq_tree *t, const char *rel, uint64_t ref, struct kv_arena *a,
		   kv_dirents *ret, struct kv_sq_node *dir)
{
	struct taker k = { .t = t, .rel = rel, .arena = a, .list = ret, .dir = dir };
	struct kv_sq_request rq = { .op = KV_SQ_LIST, .ref = ref };
	struct kv_sq_reply rp;

	do {
		int e = kv_sq_ask(t, rq, &rp);

		if (e == 0)
			e = take_all(&k, rp.n);
		if (e < 0)
			return e;
		/* It goes on, or ends. */
		if (rp.more && (rp.more <= rq.off || !rp.n))
			return kv_sq_nonsense(t, "its reader answers nonsense");
		rq.off = rp.more;
	} while (rq.off);
	return 0;
}
