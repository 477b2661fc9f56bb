/*
 * The default backend of NIXL's python: read in its source as text, with what makes python run
 * something else.
 */
#include "inspect/internal.h"

#define MAX_TEXT ((size_t)4 << 20)

static void find_unchecked_pyc(struct kv_facts *f, struct kv_nixl *n)
{
	const char *path;
	struct kv_span s;

	if (!n->python)
		return;
	path = kv_strf(f->arena, "%s/__pycache__/_api.cpython-%c%s.pyc", n->path, n->python[0],
		       n->python + 2);
	if (kv_root_slurp(f->root, path, MAX_TEXT, &s) < 0 || !kv_pyc_is_unchecked(s))
		return;
	n->unchecked_pyc = path;
	n->other_pyc = !kv_pyc_is_of(s, n->api_source);
	n->pyc_names_backend = kv_span_find(s, 0, f->backend, strlen(f->backend)) < s.n;
}

kv_strv kv_taken_backends(struct kv_facts *f, const struct kv_pydefault *def, bool hooked)
{
	const char *env = def->env ? kv_env_get(f->env, def->env) : NULL;
	bool is_split = def->is_split;
	kv_strv ret = { 0 };

	if (def->kind != KV_PYDEFAULT_KVPATH && hooked && kv_has_hook(f)) {
		const char *other = kv_env_get(f->env, "KVPATH_BACKEND");

		env = kv_env_get(f->env, "NIXL_BACKEND");
		env = env && *env ? env : other ? other : "LIBFABRIC";
		is_split = true;
	} else if (!env || (!*env && def->skips_empty)) {
		return def->backends;
	}
	if (!is_split) {
		kv_vec_push(f->arena, &ret, kv_strdup(f->arena, env));
		return ret;
	}
	for (;;) {
		size_t len = strcspn(env, ",");

		kv_vec_push(f->arena, &ret, kv_strndup(f->arena, env, len));
		if (!env[len])
			return ret;
		env += len + 1;
	}
}

void kv_read_default(struct kv_facts *f, struct kv_nixl *n)
{
	const char *path = kv_join(f->arena, n->path, "_api.py");
	int e;

	e = kv_root_slurp(f->root, path, MAX_TEXT, &n->api_source);
	if (e == -ENOENT && kv_root_is_file(f->root, kv_strf(f->arena, "%sc", path))) {
		n->api_py = kv_strf(f->arena, "%sc", path);
		n->def.why = "it is compiled code without its source";
		return;
	}
	if (e == -ENOENT || e == -ENOTDIR)
		return;
	n->api_py = path;
	if (e < 0) {
		n->def.why = kv_strf(f->arena, "it could not be read: %s", strerror(-e));
		return;
	}
	/* Which one it is decides nothing for a repair by the environment. */
	if (f->brief)
		return;
	find_unchecked_pyc(f, n);
	kv_pydefault_find(f->arena, n->api_source, &n->def);
	/* What python runs instead of the source, nobody reads. */
	if (!n->other_pyc)
		n->default_backends = kv_taken_backends(f, &n->def, n->python != NULL);
}
