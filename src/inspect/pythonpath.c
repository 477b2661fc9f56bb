/*
 * The parts of PYTHONPATH as CPython takes them (Modules/getpath.c, then site.py): split at each
 * colon, an empty one is the directory in which the job starts, and so is where a relative one
 * begins. An empty variable is as none.
 */
#include "inspect/internal.h"

struct kv_pythonpath kv_pythonpath(const struct kv_facts *f)
{
	const char *list = kv_env_get(f->env, "PYTHONPATH");

	return (struct kv_pythonpath){ .rest = list && *list ? list : NULL };
}

bool kv_pythonpath_next(struct kv_facts *f, struct kv_pythonpath *p)
{
	size_t n;

	if (!p->rest)
		return false;
	n = strcspn(p->rest, ":");
	p->text = kv_strndup(f->arena, p->rest, n);
	p->rest = p->rest[n] ? p->rest + n + 1 : NULL;
	p->place++;
	p->dir = p->text[0] == '/' ? p->text : NULL;
	if (!p->dir && f->cwd)
		p->dir = p->text[0] ? kv_join(f->arena, f->cwd, p->text) : f->cwd;
	return true;
}

bool kv_pythonpath_may_be(const struct kv_pythonpath *p, const char *dir)
{
	const char *rest = p->text;
	size_t n, m = strlen(dir);

	while (kv_starts(rest, "./") || kv_starts(rest, "../"))
		rest = strchr(rest, '/') + 1;
	n = strlen(rest);
	while (n && rest[n - 1] == '/')
		n--;
	return n && m > n && dir[m - n - 1] == '/' && memcmp(dir + m - n, rest, n) == 0;
}
