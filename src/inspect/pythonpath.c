/*
 * The parts of PYTHONPATH as CPython takes them (Modules/getpath.c, then site.py): split at each
 * colon, an empty one is the directory in which the job starts, and so is where a relative one
 * begins. An empty variable is as none. Before them comes what the command says (command.c), but
 * only once site.py has run.
 */
#include "inspect/internal.h"

struct kv_pythonpath kv_pythonpath(const struct kv_facts *f)
{
	const char *list = kv_env_get(f->env, "PYTHONPATH");

	return (struct kv_pythonpath){ .rest = list && *list ? list : NULL };
}

struct kv_pythonpath kv_import_path(const struct kv_facts *f)
{
	struct kv_pythonpath p = kv_pythonpath(f);

	p.first = f->python.first;
	return p;
}

bool kv_pythonpath_next(struct kv_facts *f, struct kv_pythonpath *p)
{
	size_t n;

	if (p->first) {
		p->text = p->dir = p->first;
		p->sure = f->python.first_is_sure;
		p->first = NULL;
		return true;
	}
	if (!p->rest)
		return false;
	n = strcspn(p->rest, ":");
	p->text = kv_strndup(f->arena, p->rest, n);
	p->rest = p->rest[n] ? p->rest + n + 1 : NULL;
	p->place++;
	p->dir = p->text[0] == '/' ? p->text : NULL;
	if (!p->dir && f->cwd)
		p->dir = p->text[0] ? kv_join(f->arena, f->cwd, p->text) : f->cwd;
	p->sure = p->dir;
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
