/* Plugins that lie outside of every NIXL: what a bare process makes of them, and whose they are. */
#include "inspect/internal.h"

static bool is_in_plugin_dir(const struct kv_facts *f, const char *path)
{
	for (size_t i = 0; i < f->nixls.n; i++)
		for (size_t j = 0; j < f->nixls.v[i].plugins.n; j++)
			if (kv_streq(f->nixls.v[i].plugins.v[j].path, path))
				return true;
	return false;
}

/* The NIXL whose own tree holds a library of that name: then the plugin belongs there. */
static const struct kv_nixl *home_of(const struct kv_facts *f, const char *missing)
{
	for (size_t i = 0; missing && i < f->nixls.n; i++) {
		const struct kv_nixl *n = &f->nixls.v[i];
		const char *bundled =
			n->site ? kv_strf(f->arena, "%s/%s.libs/%s", n->site, n->module, missing)
				: NULL;

		if (n->lib_dir && kv_root_is_file(f->root, kv_join(f->arena, n->lib_dir, missing)))
			return n;
		if (bundled && kv_root_is_file(f->root, bundled))
			return n;
	}
	return NULL;
}

/* A wheel carries a second copy of each plugin below NAME.libs, which nothing loads from there. */
static bool is_wheel_spare(const struct kv_facts *f, const char *path)
{
	for (size_t i = 0; i < f->nixls.n; i++) {
		const struct kv_nixl *n = &f->nixls.v[i];

		if (n->site &&
		    kv_starts(path, kv_strf(f->arena, "%s/%s.libs/", n->site, n->module)))
			return true;
	}
	return false;
}

void kv_find_orphans(struct kv_facts *f)
{
	struct kv_process_opts opts = { .env = f->env,
					.assumed = f->live ? NULL : kv_assumed_libs };
	struct kv_process *proc = NULL;
	struct kv_load start;

	for (size_t i = 0; i < f->scan->plugins.n; i++) {
		const char *path = f->scan->plugins.v[i];
		struct kv_orphan *o;
		struct kv_mark mark;

		if (is_in_plugin_dir(f, path) || is_wheel_spare(f, path))
			continue;
		if (!proc)
			proc = kv_process_start(f->loader, &opts, &start);
		if (!start.object)
			return;
		o = kv_vec_add(f->arena, &f->orphans);
		o->path = path;
		o->name = kv_plugin_backend(f, kv_basename(path));
		mark = kv_process_mark(proc);
		kv_process_dlopen(proc, path, NULL, 0, &o->load);
		kv_process_rewind(proc, mark);
		o->home = home_of(f, o->load.missing);
	}
}
