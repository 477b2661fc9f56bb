/*
 * Which release a libnixl.so is of: no text in it tells. With each release that changes anything
 * some of the names change that NIXL's own code exports, in which C++ has written the types of all
 * arguments: of the wheels 0.9.0 to 1.5.1 the names are others in all but 1.5.0 and 1.5.1, and the
 * same for CUDA 12 and 13.
 */
#include "inspect/internal.h"

static uint64_t sum_of_names(const struct kv_elf *e)
{
	uint64_t sum = 0;
	struct kv_elf_sym sym;

	for (size_t i = 1; i < kv_elf_n_syms(e); i++)
		if (kv_elf_sym(e, i, &sym) && sym.shndx != SHN_UNDEF && sym.bind != STB_LOCAL &&
		    strstr(sym.name, "nixl")) {
			uint64_t h = kv_elf_gnu_hash(sym.name);

			sum += h * h; /* in any order */
		}
	return sum;
}

enum kv_release kv_compare_releases(const struct kv_facts *f, const char *libnixl,
				    const char *other)
{
	const struct kv_elf *a = libnixl ? kv_loader_elf(f->loader, libnixl, NULL) : NULL;
	const struct kv_elf *b = other ? kv_loader_elf(f->loader, other, NULL) : NULL;

	if (!a || !b || a->machine != b->machine)
		return KV_RELEASE_UNTOLD;
	return a == b || sum_of_names(a) == sum_of_names(b) ? KV_RELEASE_SAME : KV_RELEASE_OTHER;
}
