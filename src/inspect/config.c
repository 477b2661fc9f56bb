/*
 * NIXL's configuration file, of which one entry changes which plugins there are (ai-dynamo/nixl
 * src/utils/common/configuration.cpp). It is TOML; here its top level is read line by line. What a
 * line-wise reader can not follow, it leaves: then nothing is known of the file.
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

/* A string on one line; NULL where the value is something else. */
static const char *string_value(struct kv_arena *a, const char *s)
{
	const char *end;

	if ((*s != '"' && *s != '\'') || !strncmp(s, "\"\"\"", 3) || !strncmp(s, "'''", 3))
		return NULL;
	end = strchr(s + 1, *s);
	if (!end || (*s == '"' && memchr(s, '\\', (size_t)(end - s))))
		return NULL;
	return kv_strndup(a, s + 1, (size_t)(end - s) - 1);
}

/* Whether a value goes on in other lines. */
static bool spans_lines(const char *s)
{
	return *s == '[' || *s == '{' || !strncmp(s, "\"\"\"", 3) || !strncmp(s, "'''", 3);
}

/* Takes a line; false where reading ends with it. */
static bool take_line(struct kv_facts *f, const char *s, unsigned number)
{
	struct kv_config *c = &f->config;
	const char *end;

	s += strspn(s, " \t");
	if (!*s || *s == '#')
		return true;
	if (*s == '[')
		return false; /* a table: no name in it is looked for */
	end = key_end(s);
	if (!end || end == s || end[strspn(end, " \t")] != '=') {
		c->error = "not a key and a value";
		c->line = number;
		return false;
	}
	bool ours = is_key(s, end, KEY);

	s = end + strspn(end, " \t") + 1;
	s += strspn(s, " \t");
	if (!*s || *s == '#') {
		c->error = "a key without a value";
	} else if (ours) {
		c->plugin_dir = string_value(f->arena, s);
		if (isdigit((unsigned char)*s) || kv_starts(s, "true") || kv_starts(s, "false"))
			c->error = KEY " is not a string";
	}
	if (c->error || ours)
		c->line = number;
	return !c->error && !spans_lines(s);
}

static void parse(struct kv_facts *f, const char *text)
{
	unsigned number = 0;

	while (*text) {
		size_t n = strcspn(text, "\n"), len = n && text[n - 1] == '\r' ? n - 1 : n;

		if (!take_line(f, kv_strndup(f->arena, text, len), ++number))
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
	int r;

	*c = (struct kv_config){ .from = "" };
	if (named) {
		c->path = named;
		c->from = "NIXL_CONFIG_FILE";
	} else if (own && kv_root_is_file(f->root, own)) {
		c->path = own;
		c->from = "HOME";
	} else if (kv_root_is_file(f->root, "/etc/nixl.cfg")) {
		c->path = "/etc/nixl.cfg";
	}
	if (!c->path || (*c->path && *c->path != '/'))
		return; /* a relative one: the job's directory is not known */
	r = *c->path ? kv_root_slurp(f->root, c->path, MAX_CONFIG, &s) : -ENOENT;
	if (r == -ENOENT || r == -EISDIR || r == -ENOTDIR)
		c->error = "there is no such file";
	else if (r == 0)
		parse(f, (const char *)s.p);
}
