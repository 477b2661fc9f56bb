/* Version needs against definitions: _dl_check_map_versions() and match_symbol() of glibc's
 * elf/dl-version.c. */
#include "loader/internal.h"

/* DSO_FILENAME() */
static const char *file_name(const struct kv_object *o)
{
	return *o->name ? o->name : "<main program>";
}

static bool abort_no_provider(const struct kv_object *o, const char *file, struct kv_load *ret)
{
	ret->loads = KV_LOADS_ABORT;
	ret->missing = file;
	ret->requirer = o;
	ret->error = "Inconsistency detected by ld.so: dl-version.c: _dl_check_map_versions: "
		     "Assertion `needed != NULL' failed!";
	return false;
}

static bool defines(const struct kv_elf *e, const struct kv_elf_version *v)
{
	for (size_t i = 0; i < e->verdefs.n; i++)
		if (e->verdefs.v[i].hash == v->hash && kv_streq(e->verdefs.v[i].name, v->name))
			return true;
	return false;
}

/* A fault; the first stays what the load failed of, the texts of all are joined. */
static void add_fault(struct kv_process *p, struct kv_load *ret, const char *text)
{
	ret->loads = KV_LOADS_NO;
	ret->error = ret->error ? kv_strf(p->arena, "%s\n%s", ret->error, text) : text;
}

static void missing_version(struct kv_process *p, const struct kv_object *o,
			    const struct kv_object *provider, const struct kv_elf_version *v,
			    struct kv_load *ret)
{
	if (!ret->missing_version) {
		ret->missing_version = v->name;
		ret->provider = provider;
		ret->requirer = o;
	}
	add_fault(p, ret,
		  kv_strf(p->arena, "%s: version `%s' not found (required by %s)",
			  file_name(provider), v->name, file_name(o)));
}

/* Since 2.36: relative relocations in the new form, without the version that says that the loader
 * must know it. */
static bool lacks_relr_marker(struct kv_process *p, const struct kv_elf *e)
{
	if (!e->has_relr || !e->has_verneed || kv_loader_ldso(p->l)->version < 36)
		return false;
	for (size_t i = 0; i < e->verneeds.n; i++)
		if (kv_streq(e->verneeds.v[i].name, "GLIBC_ABI_DT_RELR"))
			return false;
	for (size_t i = 0; i < e->needed.n; i++)
		if (kv_starts(e->needed.v[i], "libc.so."))
			return true;
	return false;
}

static bool check_object(struct kv_process *p, const struct kv_object *o, bool at_startup,
			 struct kv_load *ret)
{
	for (size_t i = 0; i < o->elf->verneeds.n; i++) {
		const struct kv_elf_version *v = &o->elf->verneeds.v[i];
		const struct kv_object *provider = kv_process_named(p, v->file);

		if (!provider)
			return abort_no_provider(o, v->file, ret);
		/* Assumed, or without version information: accepted. */
		if (!provider->elf || !provider->elf->has_verdef || v->weak ||
		    defines(provider->elf, v))
			continue;
		missing_version(p, o, provider, v, ret);
		if (!at_startup)
			return false;
	}
	if (!lacks_relr_marker(p, o->elf))
		return true;
	ret->requirer = o;
	add_fault(p, ret,
		  kv_strf(p->arena, "%s: DT_RELR without GLIBC_ABI_DT_RELR dependency",
			  file_name(o)));
	return false;
}

bool kv_check_versions(struct kv_process *p, const kv_objects *list, bool at_startup,
		       struct kv_load *ret)
{
	for (size_t i = 0; i < list->n; i++) {
		const struct kv_object *o = list->v[i];

		if (!o->elf || !o->elf->has_strtab || (o->relocated && !at_startup))
			continue;
		if (!check_object(p, o, at_startup, ret))
			return false;
	}
	return ret->loads == KV_LOADS_YES;
}
