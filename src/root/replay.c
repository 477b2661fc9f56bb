/*
 * A tree of notes. What nobody asked for when they were taken is not known: then the tree has a
 * fault, and whoever asked can not tell.
 */
#include "root/replay.h"
#include "root/internal.h"
#include "root/notes.h"

struct replay_tree {
	struct kv_tree tree;
	struct kv_arena *arena;
	struct kv_root *files;
	const char *below, *fault;
	struct kv_notes notes;
};

struct replay_file {
	struct kv_file file, *bytes; /* NULL where none was read */
	struct replay_tree *tree;
	const struct kv_note *note;
};

static struct replay_tree *of(struct kv_tree *t)
{
	return (struct replay_tree *)t;
}

static const struct kv_note *note_of(struct kv_tree *t, const char *rel)
{
	return kv_notes_find(&of(t)->notes, kv_strf(of(t)->arena, "/%s", rel));
}

static int unknown(struct replay_tree *t, const char *path)
{
	if (!t->fault)
		t->fault = kv_strf(t->arena,
				   "it does not tell about %.1024s, as nothing asked for that when "
				   "it was recorded",
				   kv_printable(t->arena, path));
	return -EIO;
}

static int unknown_at(struct kv_tree *t, const char *rel)
{
	return unknown(of(t), kv_strf(of(t)->arena, "/%s", rel));
}

/* Whether the whole list of its directory is known, and it is not in it. */
static bool is_absent(struct kv_tree *t, const char *rel)
{
	const char *path = kv_strf(of(t)->arena, "/%s", rel);
	const struct kv_note *dir = kv_notes_find(&of(t)->notes, kv_dirname(of(t)->arena, path));
	const struct kv_dirent *d;

	if (!*rel || !dir || !dir->asked[KV_NOTE_LIST] || dir->error[KV_NOTE_LIST])
		return false;
	kv_vec_each (d, &dir->list)
		if (kv_streq(d->name, kv_basename(path)))
			return false;
	return true;
}

static int replay_lstat(struct kv_tree *t, const char *rel, struct kv_stat *ret)
{
	const struct kv_note *note = note_of(t, rel);

	if (note && note->asked[KV_NOTE_STAT]) {
		*ret = note->st;
		return note->error[KV_NOTE_STAT];
	}
	*ret = (struct kv_stat){ .mode = S_IFDIR };
	if (!*rel)
		return 0;
	return is_absent(t, rel) ? -ENOENT : unknown_at(t, rel);
}

static int replay_readlink(struct kv_tree *t, const char *rel, struct kv_arena *a, const char **ret)
{
	const struct kv_note *note = note_of(t, rel);

	(void)a;
	if (!note || !note->asked[KV_NOTE_LINK])
		return unknown_at(t, rel);
	*ret = note->link;
	return note->error[KV_NOTE_LINK];
}

static int copy_list(const kv_dirents *from, struct kv_arena *a, kv_dirents *ret)
{
	const struct kv_dirent *d;

	kv_vec_each (d, from)
		kv_vec_push(a, ret, ((struct kv_dirent){ kv_strdup(a, d->name), d->type }));
	return 0;
}

static int replay_list(struct kv_tree *t, const char *rel, struct kv_arena *a, kv_dirents *ret)
{
	const struct kv_note *note = note_of(t, rel);

	if (!note || !note->asked[KV_NOTE_LIST])
		return unknown_at(t, rel);
	return note->error[KV_NOTE_LIST] ? note->error[KV_NOTE_LIST]
					 : copy_list(&note->list, a, ret);
}

/* A directory in which nothing led to anything has no note. */
static int replay_walk(struct kv_tree *t, const char *rel, struct kv_arena *a, kv_dirents *ret)
{
	const struct kv_note *note = note_of(t, rel);

	if (!note || !note->asked[KV_NOTE_WALK])
		return 0;
	return note->error[KV_NOTE_WALK] ? note->error[KV_NOTE_WALK]
					 : copy_list(&note->walk, a, ret);
}

/* ---- files ---- */

static const struct kv_note_part *part_at(const struct kv_note *note, uint64_t off)
{
	for (size_t i = 0; i < note->parts.n; i++)
		if (off >= note->parts.v[i].off && off - note->parts.v[i].off < note->parts.v[i].n)
			return &note->parts.v[i];
	return NULL;
}

/* Where the file ended for whoever read it. */
static uint64_t end_of(const struct kv_note *note)
{
	const struct kv_note_part *last = note->parts.n ? &note->parts.v[note->parts.n - 1] : NULL;

	if (note->end != UINT64_MAX)
		return note->end;
	/* Files of /proc have no size and content all the same. */
	return last && last->off + last->n > note->st.size ? last->off + last->n : note->st.size;
}

static int replay_read(struct kv_file *file, uint64_t off, void *buf, size_t n, size_t *ret_n)
{
	struct replay_file *f = (struct replay_file *)file;
	uint64_t end = end_of(f->note);
	size_t done = 0;

	if (off >= end)
		n = 0;
	else if (n > end - off)
		n = (size_t)(end - off);
	while (done < n) {
		const struct kv_note_part *p = part_at(f->note, off + done);
		uint64_t skip = p ? off + done - p->off : 0;
		size_t want = n - done, got = 0;

		if (!p && f->note->error[KV_NOTE_READ])
			return f->note->error[KV_NOTE_READ];
		if (!p || !f->bytes)
			return unknown(f->tree, f->note->path);
		want = want < p->n - skip ? want : (size_t)(p->n - skip);
		if (kv_file_read(f->bytes, p->at + skip, (uint8_t *)buf + done, want, &got) < 0 ||
		    got < want) {
			if (!f->tree->fault)
				f->tree->fault =
					kv_strf(f->tree->arena, "%.1024s is cut off in it",
						kv_printable(f->tree->arena, f->note->path));
			return -EIO;
		}
		done += got;
	}
	*ret_n = done;
	return 0;
}

static void replay_file_close(struct kv_file *file)
{
	kv_file_close(((struct replay_file *)file)->bytes);
	free(file);
}

static const struct kv_file_ops replay_file_ops = { replay_read, replay_file_close };

static int replay_open(struct kv_tree *t, const char *rel, struct kv_file **ret)
{
	const struct kv_note *note = note_of(t, rel);
	struct replay_file *f;
	struct kv_stat st;
	int e = replay_lstat(t, rel, &st);

	if (e < 0)
		return e;
	if (S_ISDIR(st.mode))
		return note && note->error[KV_NOTE_OPEN] ? note->error[KV_NOTE_OPEN] : -EISDIR;
	if (!note || !note->asked[KV_NOTE_OPEN])
		return unknown_at(t, rel);
	if (note->error[KV_NOTE_OPEN])
		return note->error[KV_NOTE_OPEN];
	f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	*f = (struct replay_file){ .file = { .ops = &replay_file_ops, .st = st, .fd = -1 },
				   .tree = of(t),
				   .note = note };
	if (kv_root_open_file(of(t)->files, kv_cat(of(t)->arena, of(t)->below, note->path),
			      &f->bytes) < 0)
		f->bytes = NULL;
	*ret = &f->file;
	return 0;
}

/* ---- the rest ---- */

static int replay_search(struct kv_tree *t, const char *rel)
{
	const struct kv_note *note = note_of(t, rel);

	return note ? note->error[KV_NOTE_SEARCH] : 0;
}

static void replay_close(struct kv_tree *t)
{
	(void)t;
}

static const char *replay_fault(struct kv_tree *t)
{
	const char *fault = kv_root_fault(of(t)->files);

	return fault ? fault : of(t)->fault;
}

static bool was_mount(struct kv_tree *t, const char *rel)
{
	const struct kv_note *note = note_of(t, rel);

	return note && note->is_mount;
}

static bool was_remote(struct kv_tree *t, const char *rel)
{
	const struct kv_note *note = note_of(t, rel);

	return note && note->remote;
}

static const struct kv_tree_ops replay_ops = {
	.lstat = replay_lstat,
	.readlink = replay_readlink,
	.list = replay_list,
	.walk = replay_walk,
	.open = replay_open,
	.close = replay_close,
	.search = replay_search,
	.fault = replay_fault,
	.was_mount = was_mount,
	.was_remote = was_remote,
};

int kv_replay_open(struct kv_arena *a, const struct kv_replay *from, struct kv_root **ret,
		   struct kv_err *err)
{
	struct replay_tree *t = kv_new(a, struct replay_tree);
	struct kv_root *r = kv_new(a, struct kv_root);
	size_t line;

	*t = (struct replay_tree){
		.tree = { &replay_ops }, .arena = a, .files = from->files, .below = from->below
	};
	kv_notes_init(&t->notes, a);
	if (kv_notes_read(&t->notes, from->lines, &line) < 0)
		return kv_err(err, -EPROTO, "line %zu makes no sense", line);
	*r = (struct kv_root){ .arena = a,
			       .fd = -1,
			       /* Where it was not, nothing refused a search. */
			       .unprivileged = true,
			       .live = from->live,
			       .format = from->format };
	kv_root_begin(r, &t->tree);
	*ret = r;
	return 0;
}
