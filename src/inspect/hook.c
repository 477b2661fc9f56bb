/*
 * The import hook of `kvpath run`, where the environment has it: python imports the first
 * sitecustomize on its path at start, and this one gives NIXL's agents their default.
 */
#include "inspect/internal.h"

#define MAX_HOOK ((size_t)64 << 10)

extern const char kv_launch_sitecustomize_py[];

bool kv_has_hook(struct kv_facts *f)
{
	struct kv_pythonpath p = kv_pythonpath(f);

	while (kv_pythonpath_next(f, &p)) {
		struct kv_span text;

		if (!p.dir && *p.text)
			return false;
		if (p.dir && kv_root_slurp(f->root, kv_join(f->arena, p.dir, "sitecustomize.py"),
					   MAX_HOOK, &text) == 0)
			return text.n == strlen(kv_launch_sitecustomize_py) &&
			       memcmp(text.p, kv_launch_sitecustomize_py, text.n) == 0;
	}
	return false;
}
