/* KV701: keys that the launcher refuses. KV706: keys that are nearly those that it takes. */
#include <strings.h>

#include "launch/lint.h"

/* Whether name is one of the words of list; "x*" takes all that begin so. */
static bool takes(const char *list, const char *name, size_t n)
{
	for (const char *s = list; *s; s += strcspn(s, " "), s += *s == ' ') {
		size_t m = strcspn(s, " ");

		if (m == n && memcmp(s, name, n) == 0)
			return true;
		if (m && s[m - 1] == '*' && n >= m - 1 && memcmp(s, name, m - 1) == 0)
			return true;
	}
	return false;
}

/* '-', '_' and case are no difference; one letter more, less, another, or two exchanged is one. */
static bool same(char a, char b)
{
	return (a == '-' ? '_' : a) == (b == '-' ? '_' : b) || strncasecmp(&a, &b, 1) == 0;
}

static bool nearly(const char *a, size_t n, const char *b, size_t m)
{
	size_t head = 0, tail = 0;

	while (head < n && head < m && same(a[head], b[head]))
		head++;
	while (tail < n - head && tail < m - head && same(a[n - tail - 1], b[m - tail - 1]))
		tail++;
	n -= head + tail;
	m -= head + tail;
	return (n <= 1 && m <= 1) ||
	       (n == 2 && m == 2 && same(a[head], b[head + 1]) && same(a[head + 1], b[head]));
}

/* The one key that c is nearly, that its map does not have; NULL. */
static const char *meant(struct kv_arena *a, const char *list, const struct kv_yaml *map,
			 const struct kv_yaml *c, bool abbreviates)
{
	const char *found = NULL;
	size_t n = strlen(c->key);

	for (const char *s = list; n >= 5 && *s; s += strcspn(s, " "), s += *s == ' ') {
		size_t m = strcspn(s, " ");

		if (m < 5 || s[m - 1] == '*' || !nearly(c->key, n, s, m) ||
		    (abbreviates && n < m && memcmp(c->key, s, n) == 0))
			continue;
		if (found)
			return NULL;
		found = kv_strndup(a, s, m);
	}
	return found && !kv_yaml_get(map, found) ? found : NULL;
}

static void lint_map(struct kv_job *j, const struct kv_keys *k, const struct kv_yaml *map)
{
	struct kv_arena *a = j->arena;

	for (const struct kv_yaml *c = map->first; c; c = c->next) {
		const char *near, *what = *k->path ? kv_strf(a, "%s/%s", k->path, c->key) : c->key;

		if (!*c->key || kv_streq(c->key, "<<") || takes(k->keys, c->key, strlen(c->key)))
			continue;
		near = meant(a, k->keys, map, c, j->dialect->abbreviates);
		if (k->closed)
			kv_lint_add(
				j, "KV701", KV_WARNING, c->line, c->column,
				kv_strf(a,
					"%s: no key of a recipe of %s, which refuses what it "
					"does not know",
					what, j->dialect->name),
				near ? kv_strf(a, "perhaps %s is meant", near)
				     : kv_strf(a,
					       "see which launcher this is for; kvpath knows the "
					       "keys of %s as of 2026-08",
					       j->dialect->name));
		else if (near)
			kv_lint_add(j, "KV706", KV_WARNING, c->line, c->column,
				    kv_strf(a, "%s: nearly %s, which %s knows", what, near,
					    j->dialect->name),
				    kv_strf(a, "write %s, if that is what is meant", near));
	}
}

/* The maps at what is left of a path. */
static void descend(struct kv_job *j, const struct kv_keys *k, const char *path,
		    const struct kv_yaml *y)
{
	size_t n = strcspn(path, "/");
	const char *rest = path + n + (path[n] == '/');
	enum kv_yaml_kind kind = *path == '-' ? KV_YAML_LIST : KV_YAML_MAP;

	if (!*path) {
		if (y->kind == KV_YAML_MAP)
			lint_map(j, k, y);
		return;
	}
	if (y->kind != kind)
		return;
	for (const struct kv_yaml *c = y->first; c; c = c->next)
		if (*path == '-' || *path == '*' ||
		    (strlen(c->key) == n && memcmp(c->key, path, n) == 0))
			descend(j, k, rest, c);
}

void kv_lint_keys(struct kv_job *j)
{
	for (const struct kv_keys *k = j->dialect->keys; k && k->path; k++)
		descend(j, k, k->path, j->root);
}
