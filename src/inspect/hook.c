/*
 * The import hook of `kvpath run`, where the environment has it: python imports the first
 * sitecustomize on its path at start, and this one gives NIXL's agents their default.
 */
#include "inspect/internal.h"

#define MAX_HOOK ((size_t)64 << 10)

extern const char kv_launch_sitecustomize_py[];

bool kv_has_hook(struct kv_facts *f)
{
	const char *path = kv_env_get(f->env, "PYTHONPATH");

	while (path && *path) {
		size_t n = strcspn(path, ":");
		const char *dir = kv_strndup(f->arena, path, n);
		struct kv_span text;

		path += n + (path[n] == ':');
		/* A relative one depends on where the process is. */
		if (n && dir[0] != '/')
			return false;
		if (n && kv_root_slurp(f->root, kv_join(f->arena, dir, "sitecustomize.py"),
				       MAX_HOOK, &text) == 0)
			return text.n == strlen(kv_launch_sitecustomize_py) &&
			       memcmp(text.p, kv_launch_sitecustomize_py, text.n) == 0;
	}
	return false;
}
