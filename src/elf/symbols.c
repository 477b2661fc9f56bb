/* Dynamic symbols, their hash tables (DT_GNU_HASH, DT_HASH), and questions about versions. */
#include "elf/elf.h"

/* The entry at `at` of a table that is known to hold it, field by field in the file's byte order.
 */
static uint32_t name_of(const struct kv_elf *e, uint64_t at, struct kv_elf_sym *ret)
{
	uint32_t name = 0, value = 0;
	uint8_t info = 0;

	kv_span_u32(e->symtab, at, e->be, &name);
	kv_span_u8(e->symtab, at + (e->is64 ? 4 : 12), &info);
	kv_span_u16(e->symtab, at + (e->is64 ? 6 : 14), e->be, &ret->shndx);
	if (e->is64) {
		kv_span_u64(e->symtab, at + 8, e->be, &ret->value);
	} else {
		kv_span_u32(e->symtab, at + 4, e->be, &value);
		ret->value = value;
	}
	ret->type = info & 0xf;
	ret->bind = info >> 4;
	return name;
}

bool kv_elf_sym(const struct kv_elf *e, size_t i, struct kv_elf_sym *ret)
{
	uint32_t name;

	if (i >= e->n_syms)
		return false;
	name = name_of(e, (uint64_t)i * (e->is64 ? sizeof(Elf64_Sym) : sizeof(Elf32_Sym)), ret);
	ret->version = 1;
	if (e->has_versym)
		kv_span_u16(e->versym, (uint64_t)i * 2, e->be, &ret->version);
	if (name >= e->strtab.n)
		return false;
	ret->name = (const char *)e->strtab.p + name; /* the table ends in NUL */
	return true;
}

uint32_t kv_elf_sysv_hash(const char *name)
{
	uint32_t h = 0;

	for (const uint8_t *p = (const uint8_t *)name; *p; p++) {
		h = (h << 4) + *p;
		h ^= h >> 24 & 0xf0;
	}
	return h & 0x0fffffff;
}

uint32_t kv_elf_gnu_hash(const char *name)
{
	uint32_t h = 5381;

	for (const uint8_t *p = (const uint8_t *)name; *p; p++)
		h = h * 33 + *p;
	return h;
}

static bool lookup_gnu(const struct kv_elf *e, const char *name, uint32_t h,
		       bool (*fn)(const struct kv_elf_sym *sym, void *arg), void *arg)
{
	struct kv_elf_sym sym;
	uint32_t i = 0, v = 0;

	if (!kv_elf_may_have(e, h))
		return false;
	kv_span_u32(e->gnu.buckets, (uint64_t)(h % e->gnu.n_buckets) * 4, e->be, &i);
	if (i < e->gnu.first)
		return false;
	for (; kv_span_u32(e->gnu.chains, (uint64_t)(i - e->gnu.first) * 4, e->be, &v); i++) {
		if ((v | 1) == (h | 1) && kv_elf_sym(e, i, &sym) && kv_streq(sym.name, name) &&
		    fn(&sym, arg))
			return true;
		if (v & 1)
			break;
	}
	return false;
}

static bool lookup_sysv(const struct kv_elf *e, const char *name,
			bool (*fn)(const struct kv_elf_sym *sym, void *arg), void *arg)
{
	uint32_t n_buckets, n_chains, i;
	struct kv_elf_sym sym;

	if (!kv_span_u32(e->hash, 0, e->be, &n_buckets) ||
	    !kv_span_u32(e->hash, 4, e->be, &n_chains) || !n_buckets)
		return false;
	if (!kv_span_u32(e->hash, 8 + (uint64_t)(kv_elf_sysv_hash(name) % n_buckets) * 4, e->be,
			 &i))
		return false;
	for (uint32_t steps = 0; i && steps < n_chains; steps++) {
		if (kv_elf_sym(e, i, &sym) && kv_streq(sym.name, name) && fn(&sym, arg))
			return true;
		if (!kv_span_u32(e->hash, 8 + ((uint64_t)n_buckets + i) * 4, e->be, &i))
			break;
	}
	return false;
}

bool kv_elf_lookup(const struct kv_elf *e, const char *name, uint32_t gnu_hash,
		   bool (*fn)(const struct kv_elf_sym *sym, void *arg), void *arg)
{
	if (e->gnu.n_buckets)
		return lookup_gnu(e, name, gnu_hash, fn, arg);
	return lookup_sysv(e, name, fn, arg);
}

bool kv_elf_defines_version(const struct kv_elf *e, const char *version)
{
	for (size_t i = 0; i < e->verdefs.n; i++)
		if (kv_streq(e->verdefs.v[i].name, version))
			return true;
	return false;
}

bool kv_elf_imports(const struct kv_elf *e, const char *name)
{
	struct kv_elf_sym sym;

	for (size_t i = 1; i < e->n_syms; i++)
		if (kv_elf_sym(e, i, &sym) && sym.shndx == SHN_UNDEF && kv_streq(sym.name, name))
			return true;
	return false;
}

static bool is_defined(const struct kv_elf_sym *sym, void *arg)
{
	(void)arg;
	return sym->shndx != SHN_UNDEF;
}

bool kv_elf_exports(const struct kv_elf *e, const char *name)
{
	return kv_elf_lookup(e, name, kv_elf_gnu_hash(name), is_defined, NULL);
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
