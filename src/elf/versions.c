/* Versions that an object needs and defines, by their names. */
#include "elf/elf.h"

bool kv_elf_defines_version(const struct kv_elf *e, const char *version)
{
	for (size_t i = 0; i < e->verdefs.n; i++)
		if (kv_streq(e->verdefs.v[i].name, version))
			return true;
	return false;
}

static const char *newer(const char *best, const char *name, const char *prefix)
{
	size_t n = strlen(prefix);

	if (!kv_starts(name, prefix) || name[n] < '0' || name[n] > '9')
		return best;
	return !best || kv_version_cmp(best + n, name + n) < 0 ? name : best;
}

const char *kv_elf_max_need(const struct kv_elf *e, const char *prefix)
{
	const char *best = NULL;

	for (size_t i = 0; i < e->verneeds.n; i++)
		best = newer(best, e->verneeds.v[i].name, prefix);
	return best;
}

const char *kv_elf_max_def(const struct kv_elf *e, const char *prefix)
{
	const char *best = NULL;

	for (size_t i = 0; i < e->verdefs.n; i++)
		best = newer(best, e->verdefs.v[i].name, prefix);
	return best;
}
