/*
 * What torch maps before NIXL comes: libtorch_global_deps.so with RTLD_GLOBAL, and, where that
 * fails for a CUDA library, first the libraries of the nvidia-* wheels beside it (torch/__init__.py
 * _load_global_deps(), _preload_cuda_deps()); then its extension module _C with all of torch. Which
 * ones these are, and where they lie, differs between versions of torch: it is read from the
 * target's own.
 */
#include "inspect/internal.h"

#define MAX_TEXT ((size_t)4 << 20)
#define MAX_LIBS 64

/* An entry of torch's table: "cublas": "libcublas.so.*[0-9]". */
struct cuda_lib {
	const char *folder, *pattern;
};

typedef KV_VEC(struct cuda_lib) cuda_libs;

/* The string literal at text, which begins with its quote; *ret_end is behind its end. NULL where
 * it is none on one line. */
static const char *literal(struct kv_arena *a, const char *text, const char **ret_end)
{
	const char quotes[] = { *text, '\n', '\0' };
	size_t n;

	if (*text != '"' && *text != '\'')
		return NULL;
	n = strcspn(text + 1, quotes);
	if (text[1 + n] != *text)
		return NULL;
	*ret_end = text + n + 2;
	return kv_strndup(a, text + 1, n);
}

static const char *skip_space(const char *text)
{
	return text + strspn(text, " \t\r\n,");
}

/* The dict that is assigned to the name cuda_libs. */
static void read_table(struct kv_facts *f, const char *text, cuda_libs *ret)
{
	const char *at = strstr(text, "cuda_libs");

	at = at ? strchr(at, '{') : NULL;
	while (at && ret->n < MAX_LIBS) {
		struct cuda_lib lib;

		at = skip_space(at + (*at == '{'));
		lib.folder = literal(f->arena, at, &at);
		if (!lib.folder)
			return;
		at = skip_space(at);
		if (*at++ != ':')
			return;
		at = skip_space(at);
		lib.pattern = literal(f->arena, at, &at);
		if (!lib.pattern)
			return;
		kv_vec_push(f->arena, ret, lib);
	}
}

/* Whether torch takes the error for one of these libraries: their names up to the first dot. */
static bool is_about(const char *error, const cuda_libs *libs)
{
	for (size_t i = 0; error && i < libs->n; i++) {
		size_t n = strcspn(libs->v[i].pattern, ".");

		for (const char *at = error; *at; at++)
			if (strncmp(at, libs->v[i].pattern, n) == 0)
				return true;
	}
	return false;
}

/* It looks through the whole of sys.path, which need not be where torch lies. */
static void preload(struct kv_facts *f, const struct kv_nixl *n, const struct cuda_lib *lib)
{
	const char *folder = kv_strf(f->arena, "nvidia/%s/lib", lib->folder);
	const char *dir = kv_package_place(f, n->site, folder);
	kv_dirents list = { 0 };
	const struct kv_dirent *d;
	struct kv_load load;

	if (!dir)
		return;
	dir = kv_join(f->arena, dir, folder);
	if (kv_root_list(f->root, dir, &list) < 0)
		return;
	kv_vec_each (d, &list) {
		if (!kv_pattern_match(lib->pattern, d->name))
			continue;
		kv_process_dlopen(n->proc, kv_join(f->arena, dir, d->name), NULL, 0, &load);
		return;
	}
}

static bool load_global_deps(struct kv_facts *f, const struct kv_nixl *n, const char *dir)
{
	const char *deps = kv_join(f->arena, dir, "torch/lib/libtorch_global_deps.so");
	cuda_libs libs = { 0 };
	struct kv_load load;
	struct kv_span s;

	if (!kv_root_is_file(f->root, deps))
		return false;
	kv_process_dlopen(n->proc, deps, NULL, KV_DLOPEN_GLOBAL, &load);
	if (load.object ||
	    kv_root_slurp(f->root, kv_join(f->arena, dir, "torch/__init__.py"), MAX_TEXT, &s) < 0)
		return load.object != NULL;
	read_table(f, (const char *)s.p, &libs);
	if (!is_about(load.error, &libs))
		return false;
	for (size_t i = 0; i < libs.n; i++)
		preload(f, n, &libs.v[i]);
	kv_process_dlopen(n->proc, deps, NULL, KV_DLOPEN_GLOBAL, &load);
	return load.object != NULL;
}

static void load_extension(struct kv_facts *f, const struct kv_nixl *n, const char *dir)
{
	const char *torch = kv_join(f->arena, dir, "torch");
	const char *own = n->python ? kv_strf(f->arena, ".cpython-3%s-", n->python + 2) : "";
	kv_dirents list = { 0 };
	const struct kv_dirent *d;
	struct kv_load load;

	if (kv_root_list(f->root, torch, &list) < 0)
		return;
	kv_vec_each (d, &list) {
		if (!kv_starts(d->name, "_C.") || !kv_ends(d->name, ".so") ||
		    (strstr(d->name, ".cpython-") && !strstr(d->name, own)))
			continue;
		kv_process_dlopen(n->proc, kv_join(f->arena, torch, d->name), NULL, 0, &load);
		return;
	}
}

void kv_import_torch(struct kv_facts *f, struct kv_nixl *n)
{
	const char *dir = kv_package_place(f, n->site, "torch");

	if (!dir || !load_global_deps(f, n, dir))
		return;
	n->torch = dir;
	load_extension(f, n, dir);
}

/* Whether torch or the nvidia-* wheels beside it brought the file. */
static bool is_of_torch(struct kv_facts *f, const struct kv_nixl *n, const char *path)
{
	return kv_starts(path, kv_join(f->arena, n->torch, "torch/")) ||
	       kv_starts(path, kv_join(f->arena, n->torch, "nvidia/"));
}

void kv_load_without_torch(struct kv_facts *f, struct kv_nixl *n,
			   const struct kv_process_opts *opts)
{
	const kv_objects *list = &n->wanted->load.list;
	struct kv_process *p;
	struct kv_load load;

	for (size_t i = 0; i < list->n; i++)
		if (is_of_torch(f, n, list->v[i]->name))
			kv_vec_push(f->arena, &n->lent, kv_strdup(f->arena, list->v[i]->name));
	if (!n->lent.n)
		return;
	p = kv_process_start(f->loader, opts, &load);
	if (load.object)
		kv_process_dlopen(p, n->bindings, NULL, 0, &load);
	if (load.object)
		kv_process_dlopen(p, n->wanted->spelled, kv_process_find(p, "libnixl.so"), 0,
				  &load);
	n->alone = load;
}
