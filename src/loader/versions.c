/* Version needs against definitions: _dl_check_map_versions() and match_symbol() of glibc's
 * elf/dl-version.c. */
#include "loader/internal.h"

static bool abort_no_provider(struct kv_process *p, const struct kv_object *o, const char *file,
			      struct kv_load *ret)
{
	ret->loads = KV_LOADS_ABORT;
	ret->missing = file;
	ret->requirer = o;
	ret->error = "Inconsistency detected by ld.so: dl-version.c: _dl_check_map_versions: "
		     "Assertion `needed != NULL' failed!";
	(void)p;
	return false;
}

static bool check_object(struct kv_process *p, const struct kv_object *o, struct kv_load *ret)
{
	for (size_t i = 0; i < o->elf->verneeds.n; i++) {
		const struct kv_elf_verneed *v = &o->elf->verneeds.v[i];
		const struct kv_object *provider = kv_process_named(p, v->file);
		bool found = false;

		if (!provider)
			return abort_no_provider(p, o, v->file, ret);
		/* Assumed, or without version information: accepted. */
		if (!provider->elf || !provider->elf->has_verdef || v->weak)
			continue;
		for (size_t j = 0; j < provider->elf->verdefs.n && !found; j++)
			found = provider->elf->verdefs.v[j].hash == v->hash &&
				kv_streq(provider->elf->verdefs.v[j].name, v->name);
		if (found)
			continue;
		ret->loads = KV_LOADS_NO;
		ret->missing_version = v->name;
		ret->provider = provider;
		ret->requirer = o;
		ret->error = kv_strf(p->arena, "%s: version `%s' not found (required by %s)",
				     provider->name, v->name, o->name);
		return false;
	}
	return true;
}

bool kv_check_versions(struct kv_process *p, const kv_objects *list, bool at_startup,
		       struct kv_load *ret)
{
	for (size_t i = 0; i < list->n; i++) {
		const struct kv_object *o = list->v[i];

		if (!o->elf || !o->elf->has_strtab || (o->relocated && !at_startup))
			continue;
		if (!check_object(p, o, ret))
			return false;
	}
	return true;
}
