/* Where the mounts of a live root are: /proc/self/mountinfo, whose paths are this process's own. */
#include "root/internal.h"

#define MAX_TEXT ((size_t)4 << 20)
#define PLACE    4 /* which word of a line it is, the first one being 0 */

static unsigned octal(const char *s)
{
	unsigned v = 0;

	for (size_t i = 0; i < 3; i++, s++) {
		if (*s < '0' || *s > '7')
			return 0;
		v = v * 8 + (unsigned)(*s - '0');
	}
	return v < 256 ? v : 0;
}

/* The first n bytes of s; blanks and backslashes in them stand as \040. */
static char *place_at(struct kv_arena *a, const char *s, size_t n)
{
	char *place = kv_strndup(a, s, n), *to = place;

	for (const char *p = place; *p; to++) {
		unsigned c = *p == '\\' ? octal(p + 1) : 0;

		*to = c ? (char)c : *p;
		p += c ? 4 : 1;
	}
	*to = '\0';
	return place;
}

static void read_mounts(struct kv_root *r)
{
	struct kv_span text;
	const char *line;

	r->mounts_read = true;
	if (kv_read_file(r->arena, "/proc/self/mountinfo", MAX_TEXT, &text, NULL) < 0 || !text.n)
		return;
	r->mounts = kv_map_new(r->arena);
	for (line = (const char *)text.p; *line; line += *line == '\n') {
		for (size_t i = 0; i < PLACE; i++) {
			line += strcspn(line, " \n");
			line += *line == ' ';
		}
		*kv_map_slot(r->mounts, place_at(r->arena, line, strcspn(line, " \n"))) = r;
		line += strcspn(line, "\n");
	}
}

bool kv_root_may_be_mount(struct kv_root *r, const char *real)
{
	/* What is laid over it lies on whatever it was taken from. */
	if (!r->live || r->overlays.n > 1)
		return true;
	if (!r->mounts_read)
		read_mounts(r);
	return !r->mounts || kv_map_get(r->mounts, real);
}
