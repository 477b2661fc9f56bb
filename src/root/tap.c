/*
 * Noting what a root answers. It is the answers that are noted and not the files: they are what the
 * verdict rests on, also where a file changes meanwhile.
 */
#include "root/tap.h"

#define MAX_DENIED 256

struct tap_file {
	struct kv_file file, *inner;
	struct kv_note *note;
	struct kv_arena *arena;
};

void kv_root_note(struct kv_root *r, struct kv_notes *notes)
{
	kv_notes_init(notes, r->arena);
	r->notes = notes;
}

static struct kv_note *note_of(struct kv_root *r, const char *real, enum kv_note_question q,
			       int error)
{
	struct kv_note *note = kv_notes_of(r->notes, real);

	note->asked[q] = true;
	note->error[q] = error;
	return note;
}

static void deny(struct kv_root *r, const char *real, int error)
{
	if ((error == -EACCES || error == -EPERM || error == -EIO) && !r->is_aside &&
	    r->denied.n < MAX_DENIED && !kv_strv_has(&r->denied, real))
		kv_vec_push(r->arena, &r->denied, kv_strdup(r->arena, real));
}

void kv_tap_stat(struct kv_root *r, const char *real, int error, const struct kv_stat *st)
{
	struct kv_note *note;

	deny(r, real, error);
	if (!r->notes)
		return;
	note = kv_notes_of(r->notes, real);
	note->aside = r->is_aside && (note->aside || !note->asked[KV_NOTE_STAT]);
	note_of(r, real, KV_NOTE_STAT, error);
	if (error == 0)
		note->st = *st;
}

void kv_tap_link(struct kv_root *r, const char *real, int error, const char *text)
{
	deny(r, real, error);
	if (r->notes)
		note_of(r, real, KV_NOTE_LINK, error)->link =
			error ? NULL : kv_strdup(r->arena, text);
}

void kv_tap_list(struct kv_root *r, const char *real, bool walk, int error, const kv_dirents *list)
{
	struct kv_note *note;
	const struct kv_dirent *d;
	kv_dirents copy = { 0 };

	if (!walk)
		deny(r, real, error);
	if (!r->notes)
		return;
	note = note_of(r, real, walk ? KV_NOTE_WALK : KV_NOTE_LIST, error);
	if (error == 0)
		kv_vec_each (d, list)
			kv_vec_push(r->arena, &copy,
				    ((struct kv_dirent){ kv_strdup(r->arena, d->name), d->type }));
	*(walk ? &note->walk : &note->list) = copy;
}

void kv_tap_again(struct kv_root *r, const char *real)
{
	struct kv_note *note = r->notes && !r->is_aside ? kv_notes_find(r->notes, real) : NULL;

	if (note)
		note->aside = false;
}

void kv_tap_search(struct kv_root *r, const char *real, int error)
{
	deny(r, real, error);
	if (r->notes && error)
		note_of(r, real, KV_NOTE_SEARCH, error);
}

/* ---- files ---- */

static bool is_noted(const struct kv_note *note, uint64_t off, uint64_t n)
{
	for (size_t i = 0; i < note->parts.n; i++)
		if (off >= note->parts.v[i].off &&
		    off - note->parts.v[i].off < note->parts.v[i].n &&
		    n <= note->parts.v[i].n - (off - note->parts.v[i].off))
			return true;
	return false;
}

static int tap_read(struct kv_file *file, uint64_t off, void *buf, size_t n, size_t *ret_n)
{
	struct tap_file *f = (struct tap_file *)file;
	struct kv_note *note = f->note;
	int e = kv_file_read(f->inner, off, buf, n, ret_n);

	note->asked[KV_NOTE_READ] = true;
	if (e < 0) {
		note->error[KV_NOTE_READ] = e;
		return e;
	}
	if (*ret_n < n)
		note->end = off + *ret_n;
	if (*ret_n && !is_noted(note, off, *ret_n)) {
		uint8_t *copy = kv_alloc_raw(f->arena, *ret_n);

		memcpy(copy, buf, *ret_n);
		kv_vec_push(f->arena, &note->parts,
			    ((struct kv_note_part){ .off = off, .n = *ret_n, .bytes = copy }));
	}
	return 0;
}

static void tap_close(struct kv_file *file)
{
	kv_file_close(((struct tap_file *)file)->inner);
	free(file);
}

static const struct kv_file_ops tap_file_ops = { tap_read, tap_close };

int kv_tap_open(struct kv_root *r, const char *real, int error, struct kv_file **f)
{
	struct tap_file *tap;

	deny(r, real, error);
	if (!r->notes)
		return error;
	if (error < 0) {
		note_of(r, real, KV_NOTE_OPEN, error);
		return error;
	}
	tap = calloc(1, sizeof(*tap));
	if (!tap) {
		kv_file_close(*f);
		return -ENOMEM;
	}
	/* It has no descriptor of the host's, so that it is read and never mapped. */
	*tap = (struct tap_file){ .file = { .ops = &tap_file_ops, .st = (*f)->st, .fd = -1 },
				  .inner = *f,
				  .note = note_of(r, real, KV_NOTE_OPEN, 0),
				  .arena = r->arena };
	*f = &tap->file;
	return 0;
}
