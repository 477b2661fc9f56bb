/* What the names and the metadata of a python package tell: its distribution, version, bindings. */
#include <ctype.h>

#include "inspect/internal.h"

#define MAX_TEXT ((size_t)4 << 20)

/* "Key: value" of a METADATA file. */
const char *kv_package_metadata(struct kv_facts *f, const char *file, const char *key)
{
	struct kv_span s;
	const char *line, *end;
	size_t n = strlen(key);

	if (kv_root_slurp(f->root, file, MAX_TEXT, &s) < 0)
		return NULL;
	for (line = (const char *)s.p; line && *line; line = end ? end + 1 : NULL) {
		end = strchr(line, '\n');
		if (end == line)
			return NULL; /* the headers end */
		if (strncmp(line, key, n) != 0 || line[n] != ':')
			continue;
		line += n + 1 + strspn(line + n + 1, " ");
		return kv_strndup(f->arena, line, strcspn(line, "\r\n"));
	}
	return NULL;
}

/* The dist-info directory of a module: same name up to '-', as wheels normalise it. */
const char *kv_package_info(struct kv_facts *f, const char *site, const kv_dirents *list,
			    const char *module)
{
	size_t n = strlen(module);

	for (size_t i = 0; i < list->n; i++)
		if (strncmp(list->v[i].name, module, n) == 0 && list->v[i].name[n] == '-' &&
		    kv_ends(list->v[i].name, ".dist-info"))
			return kv_join(f->arena, site, list->v[i].name);
	return NULL;
}

/* Metadata of a NIXL whose package is elsewhere, by code: direct_url.json says so (PEP 610). */
void kv_package_editable(struct kv_facts *f, const char *site, const char *info)
{
	static const char key[] = "\"editable\"";
	const char *module = kv_strndup(f->arena, info, strcspn(info, "-"));
	const char *dir = kv_join(f->arena, site, info), *at;
	struct kv_span s;

	if (kv_root_is_dir(f->root, kv_join(f->arena, site, module)) ||
	    kv_root_slurp(f->root, kv_join(f->arena, dir, "direct_url.json"), MAX_TEXT, &s) < 0)
		return;
	at = strstr((const char *)s.p, key);
	at = at ? at + strlen(key) : NULL;
	if (at && kv_starts(at + strspn(at, ": \t\r\n"), "true"))
		kv_vec_push(f->arena, &f->editables, ((struct kv_editable){ module, dir }));
}

/* "3.11" from "_bindings.cpython-311-x86_64-linux-gnu.so"; NULL where the file name has no such
 * tag. */
const char *kv_package_python(struct kv_facts *f, const char *bindings)
{
	const char *tag = strstr(bindings, ".cpython-");
	size_t n;

	if (!tag)
		return NULL;
	tag += strlen(".cpython-");
	n = strspn(tag, "0123456789");
	return n < 2 ? NULL : kv_strf(f->arena, "%c.%.*s", tag[0], (int)n - 1, tag + 1);
}

const char *kv_package_python_of_site(struct kv_facts *f, const char *site)
{
	const char *lib = strstr(site, "/python3.");

	lib = lib ? lib + strlen("/python") : NULL;
	return lib && lib[2] != '/' ? kv_strndup(f->arena, lib, strcspn(lib, "/")) : NULL;
}

bool kv_is_pythons(const char *site)
{
	return strstr(site, "/lib/python") || strstr(site, "/lib64/python");
}

/*
 * A package can carry bindings for several pythons, of which each takes its own, or one without a
 * tag, or of the stable ABI. *ret_other: there are only those of others.
 */
const char *kv_package_bindings(struct kv_facts *f, const char *site, const char *dir,
				bool *ret_other)
{
	const char *python = kv_package_python_of_site(f, site), *found = NULL, *tag;
	kv_dirents list = { 0 };
	struct kv_dirent *d;

	if (!kv_is_pythons(site))
		python = f->python.version;
	tag = python ? kv_strf(f->arena, ".cpython-3%s-", python + 2) : NULL;
	*ret_other = false;
	if (kv_root_list(f->root, dir, &list) < 0)
		return NULL;
	kv_vec_each (d, &list) {
		bool other = tag && strstr(d->name, ".cpython-") && !strstr(d->name, tag);

		if (!kv_starts(d->name, "_bindings.") || !kv_ends(d->name, ".so") ||
		    (found && (other || !*ret_other)))
			continue;
		found = kv_join(f->arena, dir, d->name);
		*ret_other = other;
	}
	return found;
}

/* ---- what the import needs besides ---- */

bool kv_package_imports(const struct kv_nixl *n, const char *module)
{
	const char *text = (const char *)n->api_source.p;
	size_t len = strlen(module);

	for (const char *line = text; line && *line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (kv_starts(line, "import ") && kv_starts(line + 7, module) &&
		    !isalnum((unsigned char)line[7 + len]) && line[7 + len] != '_')
			return true;
	}
	return false;
}

bool kv_package_has_module(struct kv_facts *f, const char *dir, const char *module)
{
	return kv_root_is_dir(f->root, kv_join(f->arena, dir, module)) ||
	       kv_root_is_file(f->root, kv_strf(f->arena, "%s/%s.py", dir, module));
}

bool kv_package_is_regular(struct kv_facts *f, const char *dir, const char *module)
{
	static const char *const forms[] = { "/__init__.py", "/__init__.pyc", ".py", ".pyc" };
	const char *path = kv_join(f->arena, dir, module);

	for (size_t i = 0; i < KV_ARRAY_SIZE(forms); i++)
		if (kv_root_is_file(f->root, kv_strf(f->arena, "%s%s", path, forms[i])))
			return true;
	return false;
}

enum where { NOWHERE_SEEN, OF_ANOTHER_PYTHON, ON_THE_PATH };

/* Whether the python that has the one directory of packages on its path has this one too. */
static bool is_on_its_path(struct kv_facts *f, const struct kv_way *of, const char *dir)
{
	struct kv_way w = kv_way_to(f, dir);
	const char *below;

	if (w.rank == KV_NOWHERE)
		return false;
	if (!of->bin || !w.bin || kv_same_dir(f, w.bin, of->bin))
		return true;
	below = kv_python_below(f, of->bin);
	return below && kv_same_dir(f, w.bin, below);
}

/* What counts as the module: kv_package_has_module() or kv_package_is_regular(). */
typedef bool has_module(struct kv_facts *f, const char *dir, const char *module);

/* In a directory that some python has on its path, as far as that is seen; python's own library is
 * above its site directory. *ret: it, where it is on the path. */
static enum where where_is(struct kv_facts *f, const char *site, const char *module,
			   has_module *has, const char **ret)
{
	struct kv_way of = kv_way_to(f, site);
	const kv_strv *lists[] = { &f->scan->sites, &f->scan->packages };
	struct kv_pythonpath p = kv_import_path(f);
	enum where found = NOWHERE_SEEN;

	/* One that any python takes is the job's. */
	if (!of.bin && f->python.path)
		of.bin = f->python.bin;
	while (kv_pythonpath_next(f, &p))
		if (p.dir && has(f, p.dir, module)) {
			*ret = p.dir;
			return ON_THE_PATH;
		}
	for (size_t i = 0; i < KV_ARRAY_SIZE(lists); i++) {
		for (size_t j = 0; j < lists[i]->n; j++) {
			const char *dir = lists[i]->v[j], *above = kv_dirname(f->arena, dir);

			if (!has(f, dir, module) && !has(f, above, module))
				continue;
			if (is_on_its_path(f, &of, dir)) {
				*ret = has(f, dir, module) ? dir : above;
				return ON_THE_PATH;
			}
			found = OF_ANOTHER_PYTHON;
		}
	}
	return found;
}

/*
 * What python takes for the package, as it comes before it on the path: one of its name without a
 * binding. *ret_sure: nor does it lead to the package itself.
 */
static const char *shadow_fault(struct kv_facts *f, const struct kv_nixl *n, bool *ret_sure)
{
	struct kv_pythonpath p = kv_import_path(f);

	while (kv_pythonpath_next(f, &p)) {
		struct kv_span s;
		const char *dir;
		bool other;

		/* What only may be on the path is no ground to say so. */
		if (!p.sure)
			continue;
		if (kv_same_dir(f, p.dir, n->site))
			return NULL;
		dir = kv_join(f->arena, p.dir, n->module);
		if (!kv_package_is_regular(f, p.dir, n->module))
			continue;
		if (kv_package_bindings(f, p.dir, dir, &other))
			return NULL; /* a NIXL of its own */
		*ret_sure = kv_root_slurp(f->root, kv_join(f->arena, dir, "__init__.py"), MAX_TEXT,
					  &s) == 0 &&
			    !strstr((const char *)s.p, "__path__") &&
			    !strstr((const char *)s.p, "sys.");
		return kv_strf(f->arena,
			       "python can not import %s from %s: %s comes first on %s and has no "
			       "_bindings",
			       n->module, n->site, dir, p.place ? "PYTHONPATH" : "its path");
	}
	return NULL;
}

/* A python whose library is not where PYTHONHOME says does not start. */
static const char *home_fault(struct kv_facts *f, const struct kv_nixl *n)
{
	const char *home = kv_env_get(f->env, "PYTHONHOME");
	const char *dir = home ? kv_strndup(f->arena, home, strcspn(home, ":")) : NULL;

	if (!dir || *dir != '/' || !n->python ||
	    kv_root_is_dir(f->root, kv_strf(f->arena, "%s/lib/python%s", dir, n->python)) ||
	    kv_root_is_dir(f->root, kv_strf(f->arena, "%s/lib64/python%s", dir, n->python)))
		return NULL;
	return kv_strf(f->arena, "python does not start: PYTHONHOME=%s has no lib/python%s", home,
		       n->python);
}

bool kv_path_is_plain(struct kv_facts *f, const char *module)
{
	struct kv_pythonpath p = kv_import_path(f);

	if (f->scan->stopped || f->scan->unreadable.n)
		return false;
	while (kv_pythonpath_next(f, &p))
		if (!p.dir || kv_root_is_file(f->root, p.dir))
			return false;
	for (size_t i = 0; i < f->scan->sites.n; i++) {
		const char *site = f->scan->sites.v[i];
		kv_dirents list = { 0 };
		const struct kv_dirent *d;

		if (kv_root_list(f->root, site, &list) < 0)
			return false;
		kv_vec_each (d, &list)
			if (strstr(d->name, "customize."))
				return false;
		if (kv_site_may_bring(f, site, module))
			return false;
	}
	return true;
}

const char *kv_package_place(struct kv_facts *f, const char *site, const char *module)
{
	struct kv_pythonpath p = kv_import_path(f);
	const char *dir = NULL;

	while (kv_pythonpath_next(f, &p))
		if (p.sure && kv_package_has_module(f, p.dir, module))
			return p.dir;
	if (kv_package_has_module(f, site, module))
		return site;
	return where_is(f, site, module, kv_package_has_module, &dir) == ON_THE_PATH ? dir : NULL;
}

/* Why it can not import a module that it needs; NULL. */
static const char *lack(struct kv_facts *f, const struct kv_nixl *n, const char *module,
			bool *ret_sure)
{
	const char *dir;
	enum where where;

	if (kv_package_is_regular(f, n->site, module))
		return NULL;
	where = where_is(f, n->site, module, kv_package_is_regular, &dir);
	if (where == ON_THE_PATH)
		return NULL;
	dir = kv_package_place(f, n->site, module);
	*ret_sure = !dir && !n->other_pyc && kv_path_is_plain(f, module);
	if (dir)
		return kv_strf(
			f->arena,
			"python can not use %s: %s/%s has no __init__.py, as what is left of "
			"a package that was removed",
			n->module, dir, module);
	return kv_strf(f->arena, "python can not import %s: No module named '%s'%s", n->module,
		       module, where == OF_ANOTHER_PYTHON ? "; another python has it" : "");
}

const char *kv_package_fault(struct kv_facts *f, const struct kv_nixl *n, bool *ret_sure)
{
	static const char *const modules[] = { "numpy", "torch" };
	const char *fault, *to;

	*ret_sure = true;
	if (!n->bindings)
		return kv_strf(f->arena, "python can not import %s: %s %s", n->module, n->path,
			       kv_root_is_dir(f->root, n->path) ? "has no _bindings"
			       : kv_root_readlink(f->root, n->path, &to) == 0
				       ? "is a link that leads nowhere"
				       : "is not there");
	if (n->of_other_python)
		return kv_strf(f->arena,
			       "%s is for another python than the one that imports it from %s",
			       n->bindings, n->site);
	if (n->start.loads != KV_LOADS_YES)
		return NULL;
	fault = home_fault(f, n);
	if (!fault)
		fault = shadow_fault(f, n, ret_sure);
	if (fault)
		return fault;
	if (!n->api_py)
		return kv_strf(f->arena, "python can not import %s: %s has no _api.py", n->module,
			       n->path);
	fault = kv_meta_fault(f, n, ret_sure);
	if (fault)
		return fault;
	*ret_sure = true;
	for (size_t i = 0; !fault && i < KV_ARRAY_SIZE(modules); i++)
		if (kv_package_imports(n, modules[i]))
			fault = lack(f, n, modules[i], ret_sure);
	return fault;
}
