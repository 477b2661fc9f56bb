/* Notes from the lines of a recording, which may be anybody's. */
#include <dirent.h>

#include "root/notes.h"

#define MAX_ERRNO 133 /* EHWPOISON, the last of Linux */

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

const char *kv_note_text(struct kv_arena *a, const char **at)
{
	size_t n = strcspn(*at, " \n"), k = 0;
	char *text = kv_strndup(a, *at, n);

	*at += n + ((*at)[n] == ' ');
	for (size_t i = 0; i < n; i++, k++) {
		int high, low;

		text[k] = text[i];
		if (text[i] != '%')
			continue;
		high = hex(text[i + 1]);
		low = high < 0 ? -1 : hex(text[i + 2]);
		if (low < 0 || !(high || low))
			return NULL;
		text[k] = (char)(high << 4 | low);
		i += 2;
	}
	text[k] = '\0';
	return text;
}

static bool number(const char **at, uint64_t *ret)
{
	char *end;

	if (**at < '0' || **at > '9')
		return false;
	errno = 0;
	*ret = strtoull(*at, &end, 10);
	if (errno || *end != ' ')
		return false;
	*at = end + 1;
	return true;
}

static struct kv_note *path_at(struct kv_notes *n, const char **at)
{
	const char *path = kv_note_text(n->arena, at);

	return path && path[0] == '/' ? kv_notes_of(n, path) : NULL;
}

static bool read_stat(struct kv_notes *n, const char *at)
{
	struct kv_stat st = { .dev = 1 };
	struct kv_note *note;

	for (size_t i = 0; i < KV_NOTE_TYPES; i++)
		if (kv_note_types[i].letter == *at)
			st.mode = kv_note_types[i].mode;
	if (!*at || at[1] != ' ' || !st.mode)
		return false;
	at += 2;
	if (!number(&at, &st.ino) || !number(&at, &st.size) || !(note = path_at(n, &at)))
		return false;
	note->asked[KV_NOTE_STAT] = true;
	note->st = st;
	return st.size <= INT64_MAX;
}

static bool read_fail(struct kv_notes *n, const char *at)
{
	size_t word = strcspn(at, " "), name;
	const char *error = at + word + (at[word] == ' ');
	struct kv_note *note;
	int e = 1;

	name = strcspn(error, " ");
	for (; e <= MAX_ERRNO; e++)
		if (strerrorname_np(e) && strlen(strerrorname_np(e)) == name &&
		    strncmp(strerrorname_np(e), error, name) == 0)
			break;
	at = error + name + (error[name] == ' ');
	note = path_at(n, &at);
	for (size_t q = 0; note && q < _KV_NOTE_COUNT; q++)
		if (strlen(kv_note_words[q]) == word &&
		    strncmp(kv_note_words[q], error - word - 1, word) == 0) {
			note->asked[q] = true;
			note->error[q] = e > MAX_ERRNO ? -EIO : -e;
			return true;
		}
	return false;
}

static bool read_link(struct kv_notes *n, const char *at)
{
	const char *text = kv_note_text(n->arena, &at);
	struct kv_note *note = text && *text ? path_at(n, &at) : NULL;

	if (!note)
		return false;
	note->asked[KV_NOTE_LINK] = true;
	note->link = text;
	return true;
}

static bool read_list(struct kv_notes *n, const char *at, enum kv_note_question q)
{
	struct kv_note *note = path_at(n, &at);
	kv_dirents *list = !note ? NULL : q == KV_NOTE_WALK ? &note->walk : &note->list;

	if (!note || note->asked[q])
		return false;
	note->asked[q] = true;
	while (*at && *at != '\n') {
		const char *word = kv_note_text(n->arena, &at);
		struct kv_dirent *d;

		if (!word || !word[0] || !word[1] || strchr(word + 1, '/'))
			return false;
		d = kv_vec_add(n->arena, list);
		*d = (struct kv_dirent){ kv_strdup(n->arena, word + 1), DT_UNKNOWN };
		for (size_t i = 0; i < KV_NOTE_TYPES; i++)
			if (kv_note_types[i].letter == word[0])
				d->type = kv_note_types[i].dirent;
	}
	return true;
}

static bool read_part(struct kv_notes *n, const char *at)
{
	struct kv_note_part part = { 0 }, *last;
	struct kv_note *note;

	if (!number(&at, &part.off) || !number(&at, &part.n) || !(note = path_at(n, &at)))
		return false;
	last = note->parts.n ? &note->parts.v[note->parts.n - 1] : NULL;
	/* In order and apart, so that none lies in another; offsets as files have them. */
	if (part.off > INT64_MAX || part.n > INT64_MAX - part.off ||
	    (last && part.off <= last->off + last->n))
		return false;
	part.at = last ? last->at + last->n : 0;
	kv_vec_push(n->arena, &note->parts, part);
	note->asked[KV_NOTE_READ] = true;
	return true;
}

static bool read_flag(struct kv_notes *n, const char *word, const char *at)
{
	struct kv_note *note;
	uint64_t end = UINT64_MAX;

	if (kv_streq(word, "end") && !number(&at, &end))
		return false;
	note = path_at(n, &at);
	if (!note)
		return false;
	if (kv_streq(word, "end")) {
		note->end = end;
	} else if (kv_streq(word, "none")) {
		note->asked[KV_NOTE_STAT] = true;
		note->error[KV_NOTE_STAT] = -ENOENT;
	}
	note->asked[KV_NOTE_OPEN] |= kv_streq(word, "open");
	note->is_mount |= kv_streq(word, "mount");
	note->remote |= kv_streq(word, "remote");
	return true;
}

static bool read_line(struct kv_notes *n, const char *line)
{
	static const char *const flags[] = { "none", "open", "mount", "remote", "end" };

	if (kv_starts(line, "stat "))
		return read_stat(n, line + 5);
	if (kv_starts(line, "fail "))
		return read_fail(n, line + 5);
	if (kv_starts(line, "link "))
		return read_link(n, line + 5);
	if (kv_starts(line, "list "))
		return read_list(n, line + 5, KV_NOTE_LIST);
	if (kv_starts(line, "walk "))
		return read_list(n, line + 5, KV_NOTE_WALK);
	if (kv_starts(line, "part "))
		return read_part(n, line + 5);
	for (size_t i = 0; i < KV_ARRAY_SIZE(flags); i++) {
		size_t length = strlen(flags[i]);

		if (kv_starts(line, flags[i]) && line[length] == ' ')
			return read_flag(n, flags[i], line + length + 1);
	}
	return true;
}

int kv_notes_read(struct kv_notes *n, const char *lines, size_t *ret_line)
{
	*ret_line = 1;
	for (; *lines; ++*ret_line) {
		if (!read_line(n, lines))
			return -EPROTO;
		lines += strcspn(lines, "\n");
		lines += *lines == '\n';
	}
	return 0;
}
