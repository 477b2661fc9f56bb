/*
 * Patterns of file names as glob(3) matches them for ldconfig: fnmatch(3) with FNM_PERIOD in the C
 * locale. Own, as fnmatch(3) takes time that grows exponentially with the number of '*', and these
 * patterns are the target's.
 */
#include <ctype.h>

#include "base/base.h"

static bool in_named_class(const char *name, size_t n, unsigned char c)
{
	static const struct {
		const char *name;
		int (*is)(int c);
	} classes[] = {
		{ "alnum", isalnum }, { "alpha", isalpha }, { "blank", isblank },
		{ "cntrl", iscntrl }, { "digit", isdigit }, { "graph", isgraph },
		{ "lower", islower }, { "print", isprint }, { "punct", ispunct },
		{ "space", isspace }, { "upper", isupper }, { "xdigit", isxdigit },
	};

	for (size_t i = 0; i < KV_ARRAY_SIZE(classes); i++)
		if (strlen(classes[i].name) == n && strncmp(classes[i].name, name, n) == 0)
			return classes[i].is(c) != 0;
	return false;
}

/* One character of a bracket expression, an escaped one too; p is behind it then. */
static unsigned char member(const char **p)
{
	if (**p == '\\' && (*p)[1])
		++*p;
	return (unsigned char)*(*p)++;
}

/* Length of the bracket expression at p with *ret telling whether c is in it; 0 where it does not
 * end, so that its '[' stands for itself. */
static size_t bracket(const char *p, unsigned char c, bool *ret)
{
	const char *start = p++;
	bool invert = *p == '!' || *p == '^', in = false;

	p += invert;
	for (const char *first = p; *p && (*p != ']' || p == first);) {
		const char *end = *p == '[' && p[1] == ':' ? strstr(p + 2, ":]") : NULL;
		unsigned char low, high;

		if (end) {
			in |= in_named_class(p + 2, (size_t)(end - p) - 2, c);
			p = end + 2;
			continue;
		}
		low = high = member(&p);
		if (*p == '-' && p[1] && p[1] != ']') {
			p++;
			high = member(&p);
		}
		in |= low <= c && c <= high;
	}
	if (*p != ']')
		return 0;
	*ret = in != invert;
	return (size_t)(p - start) + 1;
}

/* Length of the pattern's first element where it matches c, else 0. */
static size_t element(const char *p, unsigned char c)
{
	bool in = false;
	size_t n;

	switch (*p) {
	case '\0':
		return 0;
	case '?':
		return 1;
	case '[':
		n = bracket(p, c, &in);
		if (n)
			return in ? n : 0;
		break;
	case '\\':
		if (p[1])
			return (unsigned char)p[1] == c ? 2 : 0;
		break;
	}
	return (unsigned char)*p == c ? 1 : 0;
}

bool kv_pattern_match(const char *p, const char *s)
{
	const char *star = NULL, *resume = NULL;

	/* FNM_PERIOD: only a '.' finds a hidden file. */
	if (*s == '.' && *p != '.' && !(p[0] == '\\' && p[1] == '.'))
		return false;
	while (*s || *p) {
		size_t n = *p == '*' || !*s ? 0 : element(p, (unsigned char)*s);

		if (*p == '*') {
			star = ++p;
			resume = s;
		} else if (n) {
			p += n;
			s++;
		} else {
			if (!star || !*resume)
				return false;
			p = star;
			s = ++resume;
		}
	}
	return true;
}

char *kv_pattern_text(struct kv_arena *a, const char *s)
{
	char *copy = kv_strdup(a, s), *to = copy;

	for (const char *from = copy; *from; from++) {
		if (*from == '\\' && from[1])
			from++;
		*to++ = *from;
	}
	*to = '\0';
	return copy;
}
