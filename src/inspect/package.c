/* What the names and the metadata of a python package tell: its distribution, version, bindings. */
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

/* "311" for a site directory of python3.11; NULL where its path does not tell. */
static const char *abi_of_site(struct kv_facts *f, const char *site)
{
	const char *lib = strstr(site, "/python3.");

	lib = lib ? lib + strlen("/python3.") : NULL;
	return lib && *lib != '/' ? kv_strf(f->arena, "3%.*s", (int)strcspn(lib, "/"), lib) : NULL;
}

/*
 * A package can carry bindings for several pythons, of which each takes its own, or one without a
 * tag, or of the stable ABI. *ret_other: there are only those of others.
 */
const char *kv_package_bindings(struct kv_facts *f, const char *site, const char *dir,
				bool *ret_other)
{
	const char *abi = abi_of_site(f, site), *found = NULL;
	const char *tag = abi ? kv_strf(f->arena, ".cpython-%s-", abi) : NULL;
	kv_dirents list = { 0 };
	struct kv_dirent *d;

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
