/*
 * NIXL's configuration file, of which one entry changes which plugins there are (ai-dynamo/nixl
 * src/utils/common/configuration.cpp). It is TOML; here it is read line by line. Where a line-wise
 * reader can not follow, it ends, and what the file says can not be told.
 */
#include <ctype.h>

#include "inspect/internal.h"

#define MAX_CONFIG ((size_t)1 << 20)
#define KEY        "NIXL_PLUGIN_DIR"

/* The end of a key at s: bare, or quoted. */
static const char *key_end(const char *s)
{
	const char *p = s;

	if (*p == '"' || *p == '\'') {
		p = strchr(p + 1, *p);
		return p ? p + 1 : NULL;
	}
	while (isalnum((unsigned char)*p) || *p == '_' || *p == '-' || *p == '.')
		p++;
	return p;
}

static bool is_key(const char *s, const char *end, const char *name)
{
	if (*s == '"' || *s == '\'')
		s++, end--;
	return (size_t)(end - s) == strlen(name) && !strncmp(s, name, strlen(name));
}

/* The end of a string on one line; NULL where it has none there, or has escapes. */
static const char *string_end(const char *s)
{
	const char *end = strchr(s + 1, *s);

	return end && !(*s == '"' && memchr(s, '\\', (size_t)(end - s))) ? end + 1 : NULL;
}

/* The end of a number or a truth value; NULL for what is neither, or is of a rarer form. */
static const char *word_end(const char *s)
{
	const char *p = s + (*s == '+' || *s == '-');
	size_t n = strspn(p, "0123456789");

	if (kv_starts(s, "true") || kv_starts(s, "false"))
		return s + (*s == 't' ? 4 : 5);
	if (!n || (*p == '0' && n > 1))
		return NULL;
	p += n;
	return *p == '.' && isdigit((unsigned char)p[1]) ? p + 1 + strspn(p + 1, "0123456789") : p;
}

static bool ends_here(const char *s)
{
	s += strspn(s, " \t");
	return !*s || *s == '#';
}

/* What is wrong with a value for certain; NULL. *ret_end: behind it, NULL where it can not be
 * followed. */
static const char *value_fault(const char *s, bool ours, const char **ret_end)
{
	bool is_string = *s == '"' || *s == '\'';

	*ret_end = NULL;
	if (ends_here(s))
		return "a key without a value";
	if (ours && (*s == '[' || *s == '{' || word_end(s)))
		return KEY " is not a string";
	if (is_string && !kv_starts(s, "\"\"\"") && !kv_starts(s, "'''")) {
		if (!strchr(s + 1, *s))
			return "a string without an end";
		*ret_end = string_end(s);
	} else if (!is_string) {
		*ret_end = word_end(s);
		if (isalpha((unsigned char)*s) && !*ret_end && !kv_starts(s, "inf") &&
		    !kv_starts(s, "nan"))
			return "a value that is none";
	}
	return *ret_end && !ends_here(*ret_end) ? "text behind a value" : NULL;
}

/* Takes a line; false where reading ends with it. */
static bool take_line(struct kv_facts *f, const char *s, unsigned number, bool *in_table)
{
	struct kv_config *c = &f->config;
	const char *end, *key;
	bool ours;

	s += strspn(s, " \t");
	if (!*s || *s == '#')
		return true;
	*in_table |= *s == '[';
	if (*s == '[')
		return true; /* a table: no name in it is looked for */
	key = s;
	end = key_end(s);
	if (!end || end == s || end[strspn(end, " \t")] != '=') {
		c->error = "not a key and a value";
		c->line = number;
		return false;
	}
	ours = !*in_table && is_key(key, end, KEY);
	s = end + strspn(end, " \t") + 1;
	s += strspn(s, " \t");
	c->error = value_fault(s, ours, &end);
	if (!c->error && ours && c->plugin_dir)
		c->error = KEY " is there twice";
	c->unfollowed = !c->error && !end;
	if (ours && !c->error && end)
		c->plugin_dir = kv_strndup(f->arena, s + 1, strcspn(s + 1, (char[]){ *s, 0 }));
	if (c->error || c->unfollowed || ours)
		c->line = number;
	return !c->error && !c->unfollowed;
}

static void parse(struct kv_facts *f, const char *text)
{
	bool in_table = false;
	unsigned number = 0;

	while (*text) {
		size_t n = strcspn(text, "\n"), len = n && text[n - 1] == '\r' ? n - 1 : n;

		if (!take_line(f, kv_strndup(f->arena, text, len), ++number, &in_table))
			return;
		text += n + (text[n] == '\n');
	}
}

void kv_find_config(struct kv_facts *f)
{
	struct kv_config *c = &f->config;
	const char *named = kv_env_get(f->env, "NIXL_CONFIG_FILE"),
		   *home = kv_env_get(f->env, "HOME");
	const char *own = home && *home == '/' ? kv_join(f->arena, home, ".nixl.cfg") : NULL;
	struct kv_span s;
	struct kv_stat st;
	int r;

	*c = (struct kv_config){ .from = "" };
	if (named) {
		c->path = named;
		c->from = "NIXL_CONFIG_FILE";
	} else if (own && kv_root_stat(f->root, own, 0, &st) == 0) {
		c->path = own;
		c->from = "HOME";
	} else if (kv_root_stat(f->root, "/etc/nixl.cfg", 0, &st) == 0) {
		c->path = "/etc/nixl.cfg";
	}
	if (!c->path)
		return;
	if (*c->path && *c->path != '/' && f->cwd)
		c->path = kv_join(f->arena, f->cwd, c->path);
	c->untold = *c->path && *c->path != '/';
	if (c->untold)
		return;
	r = *c->path ? kv_root_slurp(f->root, c->path, MAX_CONFIG, &s) : -ENOENT;
	if (r == -ENOENT || r == -ENOTDIR)
		c->error = "there is no such file";
	else if (r == -EISDIR)
		c->error = "it is a directory";
	else if (r == 0)
		parse(f, (const char *)s.p);
}
