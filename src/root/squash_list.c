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
	const char *before;     /* the name before, "" at first */
	size_t n;
};

int kv_sq_know_dir(struct kv_sq_tree *t, const char *rel, uint64_t ref, struct kv_sq_node **ret)
{
	struct kv_sq_node **slot = (struct kv_sq_node **)kv_map_slot(t->dirs, rel);

	if (!*slot) {
		if (++t->n_dirs > MAX_DIRS)
			return kv_sq_nonsense(t,
					      "it has more directories than kvpath walks through");
		if (kv_sq_refs_get(t->places, ref))
			return kv_sq_nonsense(t, "a directory lies in two places");
		*slot = kv_new(t->arena, struct kv_sq_node);
		**slot = (struct kv_sq_node){ .ref = ref, .type = DT_DIR };
		kv_sq_refs_put(t->places, ref, *slot);
	}
	*ret = *slot;
	return 0;
}

/*
 * A name must be one that a file can have, and names must ascend: that is the format's order
 * (squashfs' lookup relies on it), and it makes each of them the only one.
 */
static bool is_name(const struct taker *k, const char *name, size_t n)
{
	return n && strlen(name) == n && !memchr(name, '/', n) && !kv_streq(name, ".") &&
	       !kv_streq(name, "..") && strcmp(name, k->before) > 0;
}

static int know_subdir(struct taker *k, uint64_t ref, const char *name, struct kv_sq_node **ret)
{
	/* It lives as long as the list; the map has its own. */
	const char *rel = *k->rel ? kv_join(k->arena, k->rel, name) : name;

	return kv_sq_know_dir(k->t, rel, ref, ret);
}

/* The name has its NUL, and stays where it is. */
static int take(struct taker *k, const struct kv_sq_entry *entry, char *name)
{
	struct kv_sq_node *node = NULL;
	int e = 0;

	if (!is_name(k, name, entry->n))
		return kv_sq_nonsense(k->t,
				      "a directory has a name that cannot be, or twice the same");
	if (entry->type == DT_UNKNOWN || entry->type > DT_SOCK)
		return kv_sq_nonsense(k->t, "its reader answers nonsense");
	if (++k->n > MAX_ENTRIES)
		return kv_sq_nonsense(k->t, "a directory has more entries than kvpath looks at");
	k->before = name;
	kv_vec_push(k->arena, k->list, ((struct kv_dirent){ name, entry->type }));
	if (entry->type == DT_DIR)
		e = know_subdir(k, entry->ref, name, &node);
	if (e < 0 || !k->dir)
		return e;
	if (!node) {
		node = kv_new(k->arena, struct kv_sq_node);
		*node = (struct kv_sq_node){ .ref = entry->ref, .type = entry->type };
	}
	*kv_map_slot(k->dir->names, name) = node;
	return 0;
}

/* Names are looked at where they stay: copied to the list's memory, all at once. */
static int take_all(struct taker *k, struct kv_span s)
{
	uint8_t *copy = kv_alloc_raw(k->arena, s.n);
	struct kv_sq_entry entry;

	memcpy(copy, s.p, s.n);
	for (size_t at = 0; at < s.n; at += entry.n + 1U) {
		int e;

		if (s.n - at < sizeof(entry))
			return kv_sq_nonsense(k->t, "its reader answers nonsense");
		memcpy(&entry, copy + at, sizeof(entry));
		at += sizeof(entry);
		if (s.n - at <= entry.n || copy[at + entry.n])
			return kv_sq_nonsense(k->t, "its reader answers nonsense");
		e = take(k, &entry, (char *)copy + at);
		if (e < 0)
			return e;
	}
	return 0;
}

int kv_sq_list_dir(struct kv_sq_tree *t, const char *rel, uint64_t ref, struct kv_arena *a,
		   kv_dirents *ret, struct kv_sq_node *dir, bool ahead)
{
	struct taker k = { .t = t, .rel = rel, .arena = a, .list = ret, .dir = dir, .before = "" };
	struct kv_sq_request rq = { .op = KV_SQ_LIST, .ref = ref, .n = ahead };
	struct kv_span entries;
	uint64_t more = 0;
	int e;

	if (kv_sq_known_list(t, ref, &entries))
		return take_all(&k, entries);
	do {
		e = kv_sq_ask_list(t, &rq, &more, &entries);
		if (e == 0)
			e = take_all(&k, entries);
		if (e < 0)
			return e;
		/* It goes on, or ends. */
		if (more && (more <= rq.off || !entries.n))
			return kv_sq_nonsense(t, "its reader answers nonsense");
		rq.off = more;
	} while (rq.off);
	return 0;
}
