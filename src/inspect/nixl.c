/*
 * NIXL installs: wheels (a package in a site directory whose _bindings module leads to libnixl.so)
 * and bare trees (a libnixl.so with plugins beside it). Each is examined in the process that would
 * use it: python + the binding, or a native program + libnixl.
 */
#include "inspect/internal.h"

#define MAX_TEXT    ((size_t)4 << 20)
#define MAX_LIBNIXL ((size_t)64 << 20)

/* Injected by the NVIDIA container runtime; never part of an image. */
const char *const kv_assumed_libs[] = { "libcuda.so.1", "libnvidia-ml.so.1", NULL };

static bool is_executable_elf(struct kv_facts *f, const char *path)
{
	const struct kv_elf *e = kv_loader_elf(f->loader, path, NULL);

	return e && (e->type == ET_EXEC || e->type == ET_DYN) && e->interp &&
	       e->machine == kv_loader_machine(f->loader);
}

static bool is_environment(struct kv_facts *f, const char *prefix)
{
	return prefix && kv_root_is_file(f->root, kv_join(f->arena, prefix, "pyvenv.cfg"));
}

/* The interpreter that has this site directory on its path: PREFIX/bin, then where distributions
 * put it. */
static const char *find_python(struct kv_facts *f, const char *site, const char *version)
{
	kv_strv dirs = { 0 };
	const char *prefix = kv_prefix_of_site(f, site);

	if (!kv_is_pythons(site) && f->python.path && is_executable_elf(f, f->python.path))
		return f->python.path;
	if (prefix)
		kv_vec_push(f->arena, &dirs, kv_join(f->arena, prefix, "bin"));
	/* A virtual environment has its own, and no other one looks there. */
	if (!is_environment(f, prefix)) {
		kv_vec_push(f->arena, &dirs, kv_strdup(f->arena, "/usr/bin"));
		kv_vec_push(f->arena, &dirs, kv_strdup(f->arena, "/usr/local/bin"));
		kv_vec_push(f->arena, &dirs, kv_strdup(f->arena, "/opt/conda/bin"));
	}
	for (size_t i = 0; i < dirs.n; i++) {
		const char *names[] = { version ? kv_strf(f->arena, "python%s", version)
						: "python3",
					"python3", "python" };

		for (size_t j = 0; j < KV_ARRAY_SIZE(names); j++) {
			const char *path = kv_join(f->arena, dirs.v[i], names[j]);

			if (is_executable_elf(f, path))
				return path;
		}
	}
	return NULL;
}

const char *kv_plugin_backend(struct kv_facts *f, const char *file)
{
	return kv_strndup(f->arena, file + strlen("libplugin_"),
			  strlen(file) - strlen("libplugin_.so"));
}

static void find_plugins(struct kv_facts *f, struct kv_nixl *n)
{
	kv_dirents list = { 0 };
	struct kv_dirent *d;

	if (!n->plugin_dir || !*n->plugin_dir || n->plugin_dir_untold ||
	    kv_root_list(f->root, n->plugin_dir, &list) < 0)
		return;
	kv_vec_each (d, &list) {
		struct kv_plugin *p;
		const char *spelled, *path;

		if (!kv_is_plugin(d->name))
			continue;
		if (f->brief && !kv_streq(kv_plugin_backend(f, d->name), f->backend))
			continue;
		spelled = kv_join(f->arena, n->plugin_dir, d->name);
		if (kv_root_real(f->root, spelled, 0, &path) < 0)
			path = spelled;
		p = kv_vec_add(f->arena, &n->plugins);
		p->name = kv_plugin_backend(f, d->name);
		p->spelled = spelled;
		p->path = path;
		p->elf = kv_loader_elf(f->loader, spelled, NULL);
	}
}

void kv_load_plugins(struct kv_facts *f, struct kv_nixl *n)
{
	n->imported = kv_process_mark(n->proc);
	if (n->start.loads == KV_LOADS_YES)
		n->fabric_before = kv_process_find(n->proc, "libfabric.so.1");
	for (size_t i = 0; i < n->plugins.n; i++) {
		struct kv_plugin *p = &n->plugins.v[i];
		struct kv_mark mark;

		if (n->start.loads != KV_LOADS_YES) {
			p->load = n->start;
			continue;
		}
		mark = kv_process_mark(n->proc);
		kv_process_dlopen(n->proc, p->spelled, n->caller, 0, &p->load);
		if (kv_streq(p->name, f->backend) && p->load.object)
			kv_stack_read(f, n->proc, &p->load, &n->stack);
		for (size_t j = 0; j < p->load.list.n; j++)
			if (p->load.list.v[j]->assumed)
				f->assumed = p->load.list.v[j]->name;
		kv_process_rewind(n->proc, mark);
	}
	for (size_t i = 0; i < n->plugins.n; i++)
		if (kv_streq(n->plugins.v[i].name, f->backend))
			n->wanted = &n->plugins.v[i];
}

/* Whether NIXL's own libraries have the name of the file. */
static bool reads_config(struct kv_facts *f, const struct kv_nixl *n)
{
	static const char name[] = "/etc/nixl.cfg";
	static const char *const libs[] = { "libnixl_common.so", "libnixl.so" };
	struct kv_span s;

	for (size_t i = 0; f->config.path && n->lib_dir && i < KV_ARRAY_SIZE(libs); i++)
		if (kv_root_slurp(f->root, kv_join(f->arena, n->lib_dir, libs[i]), MAX_LIBNIXL,
				  &s) == 0 &&
		    kv_span_find(s, 0, name, strlen(name)) < s.n)
			return true;
	return false;
}

/*
 * NIXL looks beside libnixl.so unless NIXL_PLUGIN_DIR, or else its configuration file, names
 * another place (nixl_plugin_manager.cpp). An empty one is a place too, without plugins. Code may
 * set the variable.
 */
static void set_plugin_dir(struct kv_facts *f, struct kv_nixl *n, const char *libnixl_spelled)
{
	const char *env = kv_env_get(f->env, "NIXL_PLUGIN_DIR");
	struct kv_code_dir by_code = { 0 };

	n->reads_config = reads_config(f, n);
	if (n->module)
		kv_code_plugin_dir(f, n, &by_code);
	if (by_code.untold) {
		n->plugin_dir_code = by_code.file;
		n->plugin_dir_untold = true;
		return;
	}
	if (env) {
		n->plugin_dir = env;
		n->plugin_dir_from_env = true;
	} else if (by_code.dir) {
		n->plugin_dir = by_code.dir;
		n->plugin_dir_code = by_code.file;
	} else if (n->reads_config && f->config.plugin_dir) {
		n->plugin_dir = f->config.plugin_dir;
		n->plugin_dir_file = f->config.path;
	} else if (libnixl_spelled) {
		n->plugin_dir = kv_join(f->arena, kv_dirname(f->arena, libnixl_spelled), "plugins");
	}
	if (!n->plugin_dir || !*n->plugin_dir || *n->plugin_dir == '/')
		return;
	n->plugin_dir_untold = !f->cwd;
	if (f->cwd)
		n->plugin_dir = kv_join(f->arena, f->cwd, n->plugin_dir);
}

/* Its directory is that of the name that is opened: where that is a link of a package manager to
 * its cache, plugins and what they need are sought beside the link. */
static void set_libnixl(struct kv_facts *f, struct kv_nixl *n, const char *spelled)
{
	const char *real;

	if (kv_root_real(f->root, spelled, 0, &real) < 0 ||
	    kv_root_real(f->root, kv_dirname(f->arena, spelled), 0, &n->lib_dir) < 0)
		return;
	n->libnixl = real;
	n->capi = kv_join(f->arena, n->lib_dir, "libnixl_capi.so");
	if (!kv_root_is_file(f->root, n->capi))
		n->capi = NULL;
}

/* Where a wheel has it. */
static const char *own_libnixl(struct kv_facts *f, const char *site, const char *module)
{
	return kv_strf(f->arena, "%s/.%s.mesonpy.libs/libnixl.so", site, module);
}

/* Where the process has another one than the wheel's: by LD_PRELOAD, or a variable that comes
 * before a RUNPATH. */
static void compare_with_own(struct kv_facts *f, struct kv_nixl *n)
{
	const char *own = own_libnixl(f, n->site, n->module), *real;

	if (kv_root_real(f->root, own, 0, &real) == 0 &&
	    kv_compare_releases(f, real, n->libnixl) == KV_RELEASE_OTHER)
		n->other_libnixl = real;
}

/* What the loader says of the binding is not all that there is to an import. */
static void judge_import(struct kv_facts *f, struct kv_nixl *n)
{
	bool sure;
	const char *fault = kv_package_fault(f, n, &sure);

	if (fault) {
		n->start = (struct kv_load){ .loads = sure ? KV_LOADS_NO : KV_LOADS_UNKNOWN,
					     .error = fault };
	} else if (!n->python_exe && n->start.missing_symbol) {
		/* Of an interpreter that was not found, or is a script that starts it. */
		n->start.loads = KV_LOADS_UNKNOWN;
		if (is_environment(f, kv_prefix_of_site(f, n->site)))
			n->start.error = kv_strf(f->arena, "the python of %s/bin is not there",
						 kv_prefix_of_site(f, n->site));
	}
}

/*
 * The python process up to the imported binding, then the plugins. Where the binding does not load,
 * libnixl's place is read from the tree, so that there is something to report on.
 */
static void run_python(struct kv_facts *f, struct kv_nixl *n)
{
	struct kv_process_opts opts = { .exe = n->python_exe,
					.env = f->env,
					.assumed = f->live ? NULL : kv_assumed_libs };
	struct kv_object *libnixl = NULL;

	n->proc = kv_process_start(f->loader, &opts, &n->start);
	if (n->start.object) {
		kv_import_torch(f, n);
		if (n->bindings)
			kv_process_dlopen(n->proc, n->bindings, NULL, 0, &n->start);
		judge_import(f, n);
		libnixl = n->start.object ? kv_process_find(n->proc, "libnixl.so") : NULL;
	}
	set_libnixl(f, n, libnixl ? libnixl->name : own_libnixl(f, n->site, n->module));
	if (libnixl && n->libnixl)
		compare_with_own(f, n);
	n->caller = libnixl;
	set_plugin_dir(f, n, libnixl ? libnixl->name : n->libnixl);
	find_plugins(f, n);
	kv_load_plugins(f, n);
	if (!n->torch || f->brief || !n->wanted || n->wanted->load.loads != KV_LOADS_YES)
		return;
	n->imports_torch = kv_package_imports(n, "torch");
	kv_load_without_torch(f, n, &opts);
	if (!n->fabric_before)
		kv_load_after_nccl(f, n);
}

static void run_native(struct kv_facts *f, struct kv_nixl *n)
{
	struct kv_process_opts opts = { .env = f->env,
					.assumed = f->live ? NULL : kv_assumed_libs };

	n->proc = kv_process_start(f->loader, &opts, &n->start);
	if (n->start.object)
		kv_process_dlopen(n->proc, n->libnixl, NULL, 0, &n->start);
	n->caller = n->start.object;
	set_plugin_dir(f, n, n->libnixl);
	find_plugins(f, n);
	kv_load_plugins(f, n);
}

/* Packages that lie elsewhere can be linked into a site directory. One that is known from there is
 * another to a python that comes to it by this one alone, or first. */
static bool is_known_package(struct kv_facts *f, const char *site, const char *bindings)
{
	const char *a, *b;

	for (size_t i = 0; i < f->nixls.n; i++)
		if (f->nixls.v[i].bindings && kv_root_real(f->root, bindings, 0, &a) == 0 &&
		    kv_root_real(f->root, f->nixls.v[i].bindings, 0, &b) == 0 && kv_streq(a, b) &&
		    !kv_comes_before(f, site, f->nixls.v[i].site))
			return true;
	return false;
}

static unsigned claim_of(const char *module)
{
	return kv_streq(module, "nixl") ? 2 : kv_starts(module, "nixl_cu") ? 1 : 0;
}

/* Whether a is imported rather than b. A package nixl with a binding of its own (0.6.1) is what it
 * says. */
static bool comes_before(const char *a, const char *b)
{
	if (claim_of(a) != claim_of(b))
		return claim_of(a) > claim_of(b);
	return strcmp(a, b) > 0;
}

/*
 * Several CUDA variants side by side: what the metapackage takes (metapackage.c). Where that is not
 * told, the one whose libcudart the process finds stands for it.
 */
static void choose_in_site(struct kv_facts *f, size_t first, size_t end)
{
	unsigned cuda;
	enum kv_meta asks = kv_meta_asks(f, &f->nixls.v[first], &cuda);
	const char *asked = asks == KV_META_CUDA ? kv_strf(f->arena, "nixl_cu%u", cuda) : NULL;
	size_t best = end;

	for (size_t i = first; i < end; i++) {
		struct kv_nixl *n = &f->nixls.v[i];
		bool no_cudart = n->wanted && n->wanted->load.missing &&
				 kv_starts(n->wanted->load.missing, "libcudart.so.");

		n->active = false;
		n->asked_by_torch = asked && kv_streq(n->module, asked);
		if (claim_of(n->module) < 2 &&
		    (asked ? !n->asked_by_torch : asks == KV_META_UNTOLD && no_cudart))
			continue;
		if (best == end || comes_before(n->module, f->nixls.v[best].module))
			best = i;
	}
	for (size_t i = first; best == end && i < end; i++)
		if (i + 1 == end || claim_of(f->nixls.v[i + 1].module) == 0)
			best = i; /* sorted by name: the highest CUDA */
	f->nixls.v[best].active = true;
}

void kv_choose_active(struct kv_facts *f)
{
	size_t end;

	for (size_t i = 0; i < f->nixls.n; i = end) {
		const char *site = f->nixls.v[i].site;

		for (end = i + 1; site && end < f->nixls.n; end++)
			if (f->nixls.v[end].site != site)
				break;
		if (end - i > 1)
			choose_in_site(f, i, end);
	}
}

/* What a person is told of it. */
static void describe(struct kv_facts *f, struct kv_nixl *n, const char *info)
{
	const char *file = kv_join(f->arena, info, "METADATA"), *text;

	text = kv_package_metadata(f, file, "Name");
	n->dist = text ? text : n->dist;
	text = kv_package_metadata(f, file, "Version");
	n->version = text ? text : n->version;
}

/* A wheel whose binding is gone, and whose libraries are there. */
static bool is_cut_wheel(struct kv_facts *f, const char *site, const char *module)
{
	kv_dirents list = { 0 };

	return kv_root_list(f->root, kv_join(f->arena, site, module), &list) == 0 &&
	       kv_root_is_file(f->root, own_libnixl(f, site, module));
}

static struct kv_nixl *add_package(struct kv_facts *f, const char *site, const char *module)
{
	struct kv_nixl *n = kv_vec_add(f->arena, &f->nixls);

	n->site = site;
	n->module = n->dist = module;
	n->path = kv_join(f->arena, site, module);
	n->version = "";
	n->active = true;
	return n;
}

static void look_into(struct kv_facts *f, struct kv_nixl *n, const char *info)
{
	n->python = n->bindings ? kv_package_python(f, kv_basename(n->bindings)) : NULL;
	n->python_exe = find_python(f, n->site, n->python);
	if (info && !f->brief)
		describe(f, n, info);
	kv_read_default(f, n);
	run_python(f, n);
}

static void find_in_site(struct kv_facts *f, const char *site)
{
	kv_dirents list = { 0 };
	struct kv_dirent *d;
	const char *meta = NULL;

	if (kv_root_list(f->root, site, &list) < 0)
		return;
	kv_vec_each (d, &list) {
		const char *dir, *bindings, *info;
		struct kv_nixl *n;
		bool other;

		if (kv_starts(d->name, "nixl") && kv_ends(d->name, ".dist-info"))
			kv_package_editable(f, site, d->name);
		if (!kv_starts(d->name, "nixl") || strchr(d->name, '.'))
			continue;
		dir = kv_join(f->arena, site, d->name);
		info = kv_package_info(f, site, &list, d->name);
		bindings = kv_package_bindings(f, site, dir, &other);
		if (!bindings && !is_cut_wheel(f, site, d->name)) {
			if (kv_streq(d->name, "nixl") && info)
				meta = kv_package_metadata(f, kv_join(f->arena, info, "METADATA"),
							   "Version");
			continue;
		}
		if (bindings && is_known_package(f, site, bindings))
			continue;
		n = add_package(f, site, kv_strdup(f->arena, d->name));
		n->bindings = bindings;
		n->of_other_python = other;
		n->meta = meta; /* the metapackage's directory comes first by name */
		look_into(f, n, info);
	}
}

static bool is_known_libnixl(const struct kv_facts *f, const char *real)
{
	for (size_t i = 0; i < f->nixls.n; i++)
		if (f->nixls.v[i].libnixl && kv_streq(f->nixls.v[i].libnixl, real))
			return true;
	return false;
}

static bool is_any_imported(struct kv_facts *f)
{
	for (size_t i = 0; i < f->nixls.n; i++)
		if (f->nixls.v[i].site && kv_way_to(f, f->nixls.v[i].site).rank != KV_NOWHERE)
			return true;
	return false;
}

/* A wheel's libraries where a python looks, whose package is not there, or is a link that leads
 * nowhere; where python has another NIXL, it takes that. */
static bool is_gone_package(struct kv_facts *f, const char *dir)
{
	static const char tail[] = ".mesonpy.libs";
	const char *libs = kv_basename(dir), *site = kv_dirname(f->arena, dir), *module;
	kv_dirents list = { 0 };
	struct kv_stat st;

	if (!kv_starts(libs, ".nixl") || !kv_ends(libs, tail))
		return false;
	module = kv_strndup(f->arena, libs + 1, strlen(libs) - strlen(tail) - 1);
	if (kv_root_stat(f->root, kv_join(f->arena, site, module), 0, &st) != -ENOENT ||
	    kv_way_to(f, site).rank == KV_NOWHERE || is_any_imported(f) ||
	    kv_root_list(f->root, site, &list) < 0)
		return false;
	look_into(f, add_package(f, site, module), kv_package_info(f, site, &list, module));
	return true;
}

static void find_bare_trees(struct kv_facts *f)
{
	for (size_t i = 0; i < f->scan->libnixls.n; i++) {
		const char *real;
		struct kv_nixl *n;

		if (kv_root_real(f->root, f->scan->libnixls.v[i], 0, &real) < 0 ||
		    is_known_libnixl(f, real) || !kv_loader_elf(f->loader, real, NULL) ||
		    kv_loader_elf(f->loader, real, NULL)->machine != kv_loader_machine(f->loader) ||
		    is_gone_package(f, kv_dirname(f->arena, real)))
			continue;
		n = kv_vec_add(f->arena, &f->nixls);
		n->dist = n->version = "";
		n->active = true;
		n->path = kv_dirname(f->arena, real);
		set_libnixl(f, n, real);
		run_native(f, n);
	}
}

/* The walk leaves some file systems out; what is on the path is looked at all the same. */
static bool was_walked(struct kv_facts *f, const char *dir)
{
	const kv_strv *const lists[] = { &f->scan->sites, &f->scan->packages };

	for (size_t i = 0; i < KV_ARRAY_SIZE(lists); i++)
		for (size_t j = 0; j < lists[i]->n; j++)
			if (kv_same_dir(f, lists[i]->v[j], dir))
				return true;
	return false;
}

static void find_on_path(struct kv_facts *f)
{
	struct kv_pythonpath p = kv_import_path(f);

	while (kv_pythonpath_next(f, &p))
		if (p.dir && kv_root_is_dir(f->root, p.dir) && !was_walked(f, p.dir))
			find_in_site(f, p.dir);
}

void kv_find_nixls(struct kv_facts *f)
{
	for (size_t i = 0; i < f->scan->sites.n; i++)
		find_in_site(f, f->scan->sites.v[i]);
	for (size_t i = 0; i < f->scan->packages.n; i++)
		find_in_site(f, f->scan->packages.v[i]);
	find_on_path(f);
	kv_choose_active(f);
	find_bare_trees(f);
}
