/*
 * The answers of a root, so that they can be given again where the files are not: what was asked of
 * each path, and what came of it. A recording holds them as lines of text, and the bytes of files
 * beside it (docs/recording.md). Nothing is in them that was not asked for.
 */
#ifndef KV_ROOT_NOTES_H
#define KV_ROOT_NOTES_H

#include "root/root.h"

enum kv_note_question {
	KV_NOTE_STAT,
	KV_NOTE_LINK,
	KV_NOTE_LIST,
	KV_NOTE_WALK, /* a list of which only names that lead to something are kept */
	KV_NOTE_OPEN,
	KV_NOTE_READ,
	KV_NOTE_SEARCH,
	_KV_NOTE_COUNT,
};

/* n bytes of a file from off on. */
struct kv_note_part {
	uint64_t off, n;
	uint8_t *bytes; /* while they are noted */
	uint64_t at;    /* once they are recorded: where in the member they begin */
};

struct kv_note {
	const char *path; /* resolved */
	bool asked[_KV_NOTE_COUNT];
	int error[_KV_NOTE_COUNT]; /* -errno */
	struct kv_stat st;         /* of it only the type, identity and size are kept */
	const char *link;
	kv_dirents list, walk;
	KV_VEC(struct kv_note_part) parts;
	uint64_t end;  /* where reading met the end of the file; UINT64_MAX where it did not */
	bool aside;    /* its stat was asked for by a walk alone */
	bool is_mount; /* lies in a mount */
	bool remote;   /* on a file system where walking costs the site */
	bool needed;   /* it, or something below it, was asked for by more than a walk */
};

/* Types of files by a letter, as find(1) has them. */
#define KV_NOTE_TYPES 8
extern const struct kv_note_type {
	char letter;
	uint8_t dirent;
	uint32_t mode;
} kv_note_types[KV_NOTE_TYPES];
/* What a question is called. */
extern const char *const kv_note_words[_KV_NOTE_COUNT];

struct kv_notes {
	struct kv_arena *arena;
	struct kv_map *by_path;
	KV_VEC(struct kv_note *) all;
};

void kv_notes_init(struct kv_notes *n, struct kv_arena *a);
/* The note of a path, made where there is none. */
struct kv_note *kv_notes_of(struct kv_notes *n, const char *path);
struct kv_note *kv_notes_find(const struct kv_notes *n, const char *path);

/*
 * Writes them as lines, and the bytes of files as members of a tar below the directory `below`. To
 * be done once: what was noted is put in order.
 */
void kv_notes_write(struct kv_notes *n, const char *below, struct kv_buf *lines,
		    struct kv_buf *members);
/* Reads such lines; others are passed over. -EPROTO, and *ret_line says which one makes no sense.
 */
int kv_notes_read(struct kv_notes *n, const char *lines, size_t *ret_line);

/* Text as one word: bytes that are no part of a plain word as %XX. */
void kv_note_word(struct kv_buf *to, const char *text);
/* The word that ends at a space or a newline, without its %XX; NULL where they make no sense. */
const char *kv_note_text(struct kv_arena *a, const char **at);

#endif
