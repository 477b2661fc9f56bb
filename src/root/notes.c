/* Notes as a table by path, and written as text: one line a fact, words separated by one space. */
#include <dirent.h>

#include "root/notes.h"
#include "root/tar_write.h"

void kv_notes_init(struct kv_notes *n, struct kv_arena *a)
{
	*n = (struct kv_notes){ .arena = a, .by_path = kv_map_new(a) };
}

struct kv_note *kv_notes_of(struct kv_notes *n, const char *path)
{
	struct kv_note **slot = (struct kv_note **)kv_map_slot(n->by_path, path);

	if (!*slot) {
		*slot = kv_new(n->arena, struct kv_note);
		(*slot)->path = kv_strdup(n->arena, path);
		(*slot)->end = UINT64_MAX;
		kv_vec_push(n->arena, &n->all, *slot);
	}
	return *slot;
}

struct kv_note *kv_notes_find(const struct kv_notes *n, const char *path)
{
	return kv_map_get(n->by_path, path);
}

/* ---- words ---- */

void kv_note_word(struct kv_buf *to, const char *text)
{
	for (const uint8_t *p = (const uint8_t *)text; *p; p++)
		if (*p <= ' ' || *p == '%' || *p >= 0x7f)
			kv_buf_fmt(to, "%%%02X", *p);
		else
			kv_buf_add(to, p, 1);
}

const char *const kv_note_words[_KV_NOTE_COUNT] = { "stat", "link", "list",  "walk",
						    "open", "read", "search" };

const struct kv_note_type kv_note_types[KV_NOTE_TYPES] = {
	{ 'f', DT_REG, S_IFREG },   { 'd', DT_DIR, S_IFDIR }, { 'l', DT_LNK, S_IFLNK },
	{ 'c', DT_CHR, S_IFCHR },   { 'b', DT_BLK, S_IFBLK }, { 'p', DT_FIFO, S_IFIFO },
	{ 's', DT_SOCK, S_IFSOCK }, { 'u', DT_UNKNOWN, 0 },
};

/* ---- writing ---- */

static bool is_asked(const struct kv_note *note)
{
	if (note->is_mount || (note->asked[KV_NOTE_STAT] && !note->aside) ||
	    (note->asked[KV_NOTE_WALK] && note->error[KV_NOTE_WALK]))
		return true;
	for (size_t q = KV_NOTE_LINK; q < _KV_NOTE_COUNT; q++)
		if (note->asked[q] && q != KV_NOTE_WALK)
			return true;
	return false;
}

static void mark_needed(struct kv_notes *n)
{
	for (size_t i = 0, had = n->all.n; i < had; i++) {
		struct kv_note *note = n->all.v[i];

		if (!is_asked(note))
			continue;
		while (!note->needed) {
			note->needed = true;
			note = kv_notes_of(n, kv_dirname(n->arena, note->path));
		}
	}
}

static void write_list(struct kv_notes *n, const struct kv_note *note, bool walk, struct kv_buf *to)
{
	const kv_dirents *list = walk ? &note->walk : &note->list;
	/* Which it can only be by all its names (inspect/scan.c). */
	bool is_other = walk && kv_root_is_other(list);
	const struct kv_dirent *d;

	kv_buf_str(to, walk ? "walk " : "list ");
	kv_note_word(to, note->path);
	kv_vec_each (d, list) {
		const struct kv_note *entry =
			walk ? kv_notes_find(n, kv_join(n->arena, note->path, d->name)) : NULL;
		char letter = 'u';

		if (walk && !is_other && !(entry && entry->needed))
			continue;
		for (size_t i = 0; i < KV_NOTE_TYPES; i++)
			if (kv_note_types[i].dirent == d->type)
				letter = kv_note_types[i].letter;
		kv_buf_fmt(to, " %c", letter);
		kv_note_word(to, d->name);
	}
	kv_buf_str(to, "\n");
}

static void write_error(const struct kv_note *note, enum kv_note_question q, struct kv_buf *to)
{
	const char *name = strerrorname_np(-note->error[q]);

	if (q == KV_NOTE_STAT && note->error[q] == -ENOENT) {
		kv_buf_str(to, "none ");
		kv_note_word(to, note->path);
		kv_buf_str(to, "\n");
		return;
	}
	kv_buf_fmt(to, "fail %s %s ", kv_note_words[q], name ? name : "EIO");
	kv_note_word(to, note->path);
	kv_buf_str(to, "\n");
}

static int by_offset(const void *a, const void *b)
{
	const struct kv_note_part *x = a, *y = b;

	return x->off != y->off ? (x->off < y->off ? -1 : 1) : x->n > y->n ? -1 : x->n < y->n;
}

/* What was read of the file, in order, as one member; parts that touch are one. */
static void write_parts(struct kv_note *note, struct kv_buf *lines, struct kv_buf *bytes)
{
	uint64_t begin = 0, end = 0;

	if (note->parts.n > 1)
		qsort(note->parts.v, note->parts.n, sizeof(*note->parts.v), by_offset);
	for (size_t i = 0; i <= note->parts.n; i++) {
		const struct kv_note_part *p = i < note->parts.n ? &note->parts.v[i] : NULL;
		uint64_t skip;

		if (end > begin && (!p || p->off > end)) {
			kv_buf_fmt(lines, "part %llu %llu ", (unsigned long long)begin,
				   (unsigned long long)(end - begin));
			kv_note_word(lines, note->path);
			kv_buf_str(lines, "\n");
		}
		if (!p)
			return;
		if (p->off > end || end == begin)
			begin = end = p->off;
		skip = end - p->off;
		if (p->n > skip) {
			kv_buf_add(bytes, p->bytes + skip, (size_t)(p->n - skip));
			end = p->off + p->n;
		}
	}
}

static void write_stat(const struct kv_note *note, struct kv_map *numbers, size_t *count,
		       struct kv_buf *to)
{
	char identity[64], letter = 'u';
	void **slot;

	for (size_t i = 0; i < KV_NOTE_TYPES; i++)
		if (kv_note_types[i].mode && kv_note_types[i].mode == (note->st.mode & S_IFMT))
			letter = kv_note_types[i].letter;
	/* Devices and inodes are numbered anew: only which are the same one tells something. */
	snprintf(identity, sizeof(identity), "%llx:%llx", (unsigned long long)note->st.dev,
		 (unsigned long long)note->st.ino);
	slot = kv_map_slot(numbers, identity);
	if (!*slot)
		*slot = (void *)++*count;
	kv_buf_fmt(to, "stat %c %zu %llu ", letter, (size_t)*slot,
		   S_ISREG(note->st.mode) ? (unsigned long long)note->st.size : 0);
	kv_note_word(to, note->path);
	kv_buf_str(to, "\n");
}

static int by_path(const void *a, const void *b)
{
	return strcmp((*(struct kv_note *const *)a)->path, (*(struct kv_note *const *)b)->path);
}

static void write_flag(const char *word, const struct kv_note *note, bool is_set, struct kv_buf *to)
{
	if (!is_set)
		return;
	kv_buf_str(to, word);
	kv_note_word(to, note->path);
	kv_buf_str(to, "\n");
}

static void write_answers(struct kv_notes *n, struct kv_note *note, struct kv_buf *to)
{
	for (enum kv_note_question q = 0; q < _KV_NOTE_COUNT; q++)
		if (note->asked[q] && note->error[q])
			write_error(note, q, to);
	if (note->asked[KV_NOTE_LINK] && !note->error[KV_NOTE_LINK]) {
		kv_buf_str(to, "link ");
		kv_note_word(to, note->link);
		kv_buf_str(to, " ");
		kv_note_word(to, note->path);
		kv_buf_str(to, "\n");
	}
	if (note->asked[KV_NOTE_LIST] && !note->error[KV_NOTE_LIST])
		write_list(n, note, /* walk= */ false, to);
	if (note->asked[KV_NOTE_WALK] && !note->error[KV_NOTE_WALK])
		write_list(n, note, /* walk= */ true, to);
	write_flag("open ", note, note->asked[KV_NOTE_OPEN] && !note->error[KV_NOTE_OPEN], to);
	write_flag("mount ", note, note->is_mount, to);
	write_flag("remote ", note, note->remote, to);
}

void kv_notes_write(struct kv_notes *n, const char *below, struct kv_buf *lines,
		    struct kv_buf *members)
{
	struct kv_map *numbers = kv_map_new(n->arena);
	size_t count = 0;

	mark_needed(n);
	if (n->all.n > 1)
		qsort(n->all.v, n->all.n, sizeof(*n->all.v), by_path);
	for (size_t i = 0; i < n->all.n; i++) {
		struct kv_note *note = n->all.v[i];
		_buf_ struct kv_buf bytes = { 0 };

		if (!note->needed)
			continue;
		if (note->asked[KV_NOTE_STAT] && !note->error[KV_NOTE_STAT])
			write_stat(note, numbers, &count, lines);
		write_answers(n, note, lines);
		write_parts(note, lines, &bytes);
		if (note->end != UINT64_MAX && note->end != note->st.size) {
			kv_buf_fmt(lines, "end %llu ", (unsigned long long)note->end);
			write_flag("", note, true, lines);
		}
		if (bytes.n)
			kv_tar_add(members, kv_cat(n->arena, below, note->path), S_IFREG,
				   (struct kv_span){ (const uint8_t *)bytes.text, bytes.n });
	}
}
