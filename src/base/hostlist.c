/*
 * Slurm's host lists. What is compressed are digits at the end of names that follow each other:
 * names with one prefix share a pair of brackets, numbers that are one apart become a range where
 * its width writes each of them as it was.
 */
#include <ctype.h>

#include "base/hostlist.h"

/* So that a number, and one more, fits. */
#define MAX_DIGITS 18
/* Of brackets in a name; Slurm has as many dimensions or fewer. */
#define MAX_DEPTH 5

static const char digits[] = "0123456789";

struct expander {
	struct kv_arena *arena;
	kv_strv *names;
	const char *text; /* all of it, for messages */
	struct kv_err *err;
};

static int bad(const struct expander *x, const char *why)
{
	return kv_err(x->err, -EINVAL, "host list %.200s: %s", x->text, why);
}

static int add_name(const struct expander *x, char *name)
{
	if (x->names->n >= KV_HOSTLIST_MAX)
		return bad(x, "more hosts than a sweep can have, 65535");
	/* It becomes an argument of ssh. */
	if (!*name || *name == '-')
		return bad(x, "a name is empty or begins with '-'");
	for (const char *p = name; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("-_.@:", *p))
			return bad(x, "a name has a character that no host's name has");
	kv_vec_push(x->arena, x->names, name);
	return 0;
}

static int expand_name(const struct expander *x, const char *prefix, const char *rest, int depth);

/* One of a bracket's ranges: "07" or "07-12". */
static int expand_range(const struct expander *x, const char *prefix, const char *range, size_t n,
			const char *rest, int depth)
{
	size_t low_n = strspn(range, digits), high_n = 0;
	unsigned long long low, high;

	if (low_n < n && range[low_n] == '-')
		high_n = strspn(range + low_n + 1, digits);
	if (!low_n || low_n > MAX_DIGITS || high_n > MAX_DIGITS ||
	    low_n + (high_n ? high_n + 1 : 0) != n)
		return bad(x, "in brackets, numbers and ranges of them are expected");
	low = strtoull(range, NULL, 10);
	high = high_n ? strtoull(range + low_n + 1, NULL, 10) : low;
	if (high < low || high - low >= KV_HOSTLIST_MAX)
		return bad(x, "a range ends before it begins, or is too long");
	for (unsigned long long i = low; i <= high; i++) {
		int r = expand_name(x, kv_strf(x->arena, "%s%0*llu", prefix, (int)low_n, i), rest,
				    depth + 1);

		if (r < 0)
			return r;
	}
	return 0;
}

static int expand_name(const struct expander *x, const char *prefix, const char *rest, int depth)
{
	size_t plain = strcspn(rest, "[]"), inside;
	const char *at;

	if (!rest[plain])
		return add_name(x, kv_cat(x->arena, prefix, rest));
	at = rest + plain + 1;
	inside = strcspn(at, "[]");
	if (rest[plain] != '[' || at[inside] != ']' || depth >= MAX_DEPTH)
		return bad(x, "its brackets do not pair");
	prefix = kv_strf(x->arena, "%s%.*s", prefix, (int)plain, rest);
	for (const char *end = at + inside; at <= end;) {
		size_t n = strcspn(at, ",]");
		int r = expand_range(x, prefix, at, n, end + 1, depth);

		if (r < 0)
			return r;
		at += n + 1;
	}
	return 0;
}

static bool ends_name(char c, int depth)
{
	return !c || (depth == 0 && (c == ',' || isspace((unsigned char)c)));
}

int kv_hostlist_expand(struct kv_arena *a, const char *text, kv_strv *ret, struct kv_err *err)
{
	const struct expander x = { a, ret, text, err };

	while (*text) {
		size_t n = 0;
		int depth = 0, r;

		text += strspn(text, ", \t\r\n");
		for (; !ends_name(text[n], depth); n++)
			depth += text[n] == '[' ? 1 : text[n] == ']' && depth ? -1 : 0;
		if (!n)
			break;
		r = expand_name(&x, "", kv_strndup(a, text, n), 0);
		if (r < 0)
			return r;
		text += n;
	}
	return 0;
}

/* ---- and back ---- */

struct name {
	size_t prefix, width; /* bytes before the digits at the end, and how many those are */
	unsigned long long number;
};

static struct name name_of(const char *s)
{
	size_t n = strlen(s), at = n;

	while (at && isdigit((unsigned char)s[at - 1]) && n - at < MAX_DIGITS)
		at--;
	return (struct name){ at, n - at, at < n ? strtoull(s + at, NULL, 10) : 0 };
}

/* Whether s is the next number behind `last`, as a range of that width writes it. */
static bool follows(struct kv_arena *a, const char *s, struct name n, unsigned long long last,
		    size_t width)
{
	return n.number == last + 1 &&
	       kv_streq(s + n.prefix, kv_strf(a, "%0*llu", (int)width, n.number));
}

static bool same_prefix(const char *s, struct name n, const char *t, struct name m)
{
	return n.width && m.width && n.prefix == m.prefix && memcmp(s, t, n.prefix) == 0;
}

/* The names from i on that share brackets; how many they are. */
static size_t put_group(struct kv_arena *a, struct kv_buf *out, const kv_strv *names, size_t i)
{
	const char *first = names->v[i];
	struct name n = name_of(first);
	struct kv_arena_mark mark = kv_arena_mark(a);
	_buf_ struct kv_buf ranges = { 0 };
	size_t end = i;
	bool many = false;

	while (end < names->n) {
		const char *low = names->v[end];
		struct name m = name_of(low), last = m;
		size_t from = end;

		if (end > i && !same_prefix(first, n, low, m))
			break;
		for (end++; n.width && end < names->n; end++) {
			struct name next = name_of(names->v[end]);

			if (!same_prefix(first, n, names->v[end], next) ||
			    !follows(a, names->v[end], next, last.number, m.width))
				break;
			last = next;
		}
		many |= from > i || end > from + 1;
		kv_buf_fmt(&ranges, "%s%s", from > i ? "," : "", low + n.prefix);
		if (end > from + 1)
			kv_buf_fmt(&ranges, "-%s", names->v[end - 1] + n.prefix);
		if (!n.width)
			break;
	}
	kv_arena_rewind(a, mark);
	kv_buf_fmt(out, "%s%.*s%s%s%s", i ? "," : "", (int)n.prefix, first, many ? "[" : "",
		   ranges.text, many ? "]" : "");
	return end - i;
}

char *kv_hostlist_compress(struct kv_arena *a, const kv_strv *names)
{
	_buf_ struct kv_buf out = { 0 };

	for (size_t i = 0; i < names->n;)
		i += put_group(a, &out, names, i);
	return kv_strdup(a, out.text ? out.text : "");
}
