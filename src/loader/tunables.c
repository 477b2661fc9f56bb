/*
 * GLIBC_TUNABLES as far as it decides what loads: parse_tunables() of glibc's elf/dl-tunables.c.
 * "name=value:name=value"; the last of a name counts, a value out of bounds counts for nothing.
 */
#include "loader/internal.h"

struct tunable {
	const char *name, *value;
	size_t n_name, n_value;
};

/* Steps to the next pair. False at the end, or where the text is malformed: *ret_good tells. */
static bool next_pair(const char **text, struct tunable *ret, bool *ret_good)
{
	const char *s = *text;

	*ret_good = true;
	for (;;) {
		ret->name = s;
		ret->n_name = strcspn(s, "=:");
		s += ret->n_name;
		*ret_good = *s;
		if (!*s)
			return false;
		if (*s++ == '=')
			break;
	}
	ret->value = s;
	ret->n_value = strcspn(s, ":");
	*text = s + ret->n_value + (s[ret->n_value] == ':');
	return true;
}

/* Since 2.39 a text with a fault counts for nothing: one without '=', or a second one in a pair. */
static bool is_well_formed(const char *text)
{
	struct tunable t;
	bool good = true;

	while (good && *text && next_pair(&text, &t, &good))
		good = !memchr(t.value, '=', t.n_value);
	return good;
}

/* The value as _dl_strtoul() reads it; false where it is none. Before 2.39 what follows the digits
 * is passed over. */
static bool number(const struct tunable *t, bool strict, uint64_t *ret)
{
	char *end;

	if (!t->n_value || t->value[0] < '0' || t->value[0] > '9') {
		*ret = 0;
		return !strict;
	}
	*ret = strtoull(t->value, &end, 0);
	return !strict || end == t->value + t->n_value;
}

uint64_t kv_tunable(const struct kv_process *p, const char *name, uint64_t least, uint64_t most,
		    uint64_t standard)
{
	const char *text = p->tunables;
	bool strict = kv_loader_ldso(p->l)->version >= 39, good = true;
	uint64_t value = standard, n;
	struct tunable t;

	if (!text || (strict && !is_well_formed(text)))
		return standard;
	while (*text && next_pair(&text, &t, &good))
		if (t.n_name == strlen(name) && memcmp(t.name, name, t.n_name) == 0 &&
		    number(&t, strict, &n) && n >= least && n <= most)
			value = n;
	return value;
}
