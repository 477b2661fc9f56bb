/* Dynamic symbols, their hash tables (DT_GNU_HASH, DT_HASH), and questions about versions. */
#include "elf/elf.h"

/* n bytes at vaddr of the mapped file; with n 0 the whole table. */
static bool table(const struct kv_elf *e, uint64_t vaddr, uint64_t n, struct kv_span *ret)
{
	uint64_t off, left;

	if (!vaddr || !kv_elf_to_offset(e, vaddr, &off, &left))
		return false;
	if (!n)
		n = kv_elf_table_size(e, vaddr, left);
	return n <= left && kv_span_sub(e->file, off, n, ret);
}

/* The chains up to the end of the one that holds symbol `last`: no field states their number. */
static bool read_chains(const struct kv_elf *e, struct kv_elf_symtab *t, uint64_t addr,
			uint32_t last)
{
	uint64_t off, left, at = (uint64_t)(last - t->first) * 4;
	struct kv_span s;
	uint32_t v;

	if (!kv_elf_to_offset(e, addr, &off, &left) || !kv_span_sub(e->file, off, left, &s))
		return false;
	for (; kv_span_u32(s, at, e->be, &v); at += 4)
		if (v & 1) {
			t->n_syms = t->first + (size_t)at / 4 + 1;
			return kv_span_sub(s, 0, at + 4, &t->chains);
		}
	return false;
}

static bool read_gnu_hash(const struct kv_elf *e, struct kv_elf_symtab *t)
{
	uint64_t n;
	uint32_t v, last = 0;
	struct kv_span s;

	if (!table(e, t->gnu_hash_addr, 16, &s) || !kv_span_u32(s, 0, e->be, &t->n_buckets) ||
	    !kv_span_u32(s, 4, e->be, &t->first) || !kv_span_u32(s, 8, e->be, &t->n_bloom) ||
	    !kv_span_u32(s, 12, e->be, &t->shift))
		return false;
	/* A power of two, as ld.so requires (elf/dl-setup_hash.c). */
	if (!t->n_buckets || !t->n_bloom || (t->n_bloom & (t->n_bloom - 1)) || t->shift > 31)
		return false;
	n = (uint64_t)t->n_bloom * (e->is64 ? 8 : 4) + (uint64_t)t->n_buckets * 4;
	if (!table(e, t->gnu_hash_addr + 16, n, &s) ||
	    !kv_span_sub(s, 0, n - (uint64_t)t->n_buckets * 4, &t->bloom) ||
	    !kv_span_sub(s, t->bloom.n, (uint64_t)t->n_buckets * 4, &t->buckets))
		return false;
	for (uint64_t at = 0; kv_span_u32(t->buckets, at, e->be, &v); at += 4)
		last = v > last ? v : last;
	if (last < t->first) {
		t->n_syms = t->first;
		return true;
	}
	return read_chains(e, t, t->gnu_hash_addr + 16 + n, last);
}

static void read_symtab(const struct kv_elf *e, struct kv_elf_symtab *t)
{
	uint64_t entry = e->is64 ? sizeof(Elf64_Sym) : sizeof(Elf32_Sym);
	uint32_t n;

	t->ready = true;
	if (!t->gnu_hash_addr || !read_gnu_hash(e, t)) {
		t->n_buckets = 0;
		t->n_syms = 0;
		if (table(e, t->hash_addr, 0, &t->hash) && kv_span_u32(t->hash, 4, e->be, &n))
			t->n_syms = n;
	}
	/* Names are read as strings: the table has to end in NUL, as that of any linker does. */
	if (!table(e, t->strtab_addr, t->strtab_size, &t->strtab) || !t->strtab.n ||
	    t->strtab.p[t->strtab.n - 1] ||
	    !table(e, t->symtab_addr, t->n_syms * entry, &t->symtab))
		t->n_syms = t->n_buckets = 0;
	if (t->n_syms && t->versym_addr &&
	    !table(e, t->versym_addr, (uint64_t)t->n_syms * 2, &t->versym))
		t->versym = (struct kv_span){ 0 };
}

static const struct kv_elf_symtab *symtab_of(const struct kv_elf *e)
{
	if (!e->symtab->ready)
		read_symtab(e, e->symtab);
	return e->symtab;
}

bool kv_elf_has_versym(const struct kv_elf *e)
{
	return symtab_of(e)->versym.n != 0;
}

size_t kv_elf_n_syms(const struct kv_elf *e)
{
	return symtab_of(e)->n_syms;
}

size_t kv_elf_first_hashed(const struct kv_elf *e)
{
	const struct kv_elf_symtab *t = symtab_of(e);

	return t->n_buckets && t->first < t->n_syms ? t->first : t->n_syms;
}

bool kv_elf_may_have(const struct kv_elf *e, uint32_t h)
{
	const struct kv_elf_symtab *t = symtab_of(e);
	unsigned bits = e->is64 ? 64 : 32;
	uint64_t filter = 0;
	uint32_t half = 0;

	if (!t->n_buckets)
		return t->n_syms != 0;
	if (e->is64) {
		kv_span_u64(t->bloom, (uint64_t)(h / 64 & (t->n_bloom - 1)) * 8, e->be, &filter);
	} else {
		kv_span_u32(t->bloom, (uint64_t)(h / 32 & (t->n_bloom - 1)) * 4, e->be, &half);
		filter = half;
	}
	return filter >> (h & (bits - 1)) & filter >> ((h >> t->shift) & (bits - 1)) & 1;
}

/* The entry at `at` of a table that is known to hold it, field by field in the file's byte order.
 */
static uint32_t name_of(const struct kv_elf *e, const struct kv_elf_symtab *t, uint64_t at,
			struct kv_elf_sym *ret)
{
	uint32_t name = 0, value = 0;
	uint8_t info = 0;

	kv_span_u32(t->symtab, at, e->be, &name);
	kv_span_u8(t->symtab, at + (e->is64 ? 4 : 12), &info);
	kv_span_u16(t->symtab, at + (e->is64 ? 6 : 14), e->be, &ret->shndx);
	if (e->is64) {
		kv_span_u64(t->symtab, at + 8, e->be, &ret->value);
	} else {
		kv_span_u32(t->symtab, at + 4, e->be, &value);
		ret->value = value;
	}
	ret->type = info & 0xf;
	ret->bind = info >> 4;
	return name;
}

bool kv_elf_sym(const struct kv_elf *e, size_t i, struct kv_elf_sym *ret)
{
	const struct kv_elf_symtab *t = symtab_of(e);
	uint32_t name;

	if (i >= t->n_syms)
		return false;
	name = name_of(e, t, (uint64_t)i * (e->is64 ? sizeof(Elf64_Sym) : sizeof(Elf32_Sym)), ret);
	ret->version = 1;
	kv_span_u16(t->versym, (uint64_t)i * 2, e->be, &ret->version);
	if (name >= t->strtab.n)
		return false;
	ret->name = (const char *)t->strtab.p + name;
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

static bool lookup_gnu(const struct kv_elf *e, const struct kv_elf_symtab *t, const char *name,
		       uint32_t h, bool (*fn)(const struct kv_elf_sym *sym, void *arg), void *arg)
{
	struct kv_elf_sym sym;
	uint32_t i = 0, v = 0;

	if (!kv_elf_may_have(e, h))
		return false;
	kv_span_u32(t->buckets, (uint64_t)(h % t->n_buckets) * 4, e->be, &i);
	if (i < t->first)
		return false;
	for (; kv_span_u32(t->chains, (uint64_t)(i - t->first) * 4, e->be, &v); i++) {
		if ((v | 1) == (h | 1) && kv_elf_sym(e, i, &sym) && kv_streq(sym.name, name) &&
		    fn(&sym, arg))
			return true;
		if (v & 1)
			break;
	}
	return false;
}

bool kv_elf_has_hash(const struct kv_elf *e, uint32_t h)
{
	const struct kv_elf_symtab *t = symtab_of(e);
	uint32_t i = 0, v = 0;

	if (!t->n_buckets || !kv_elf_may_have(e, h))
		return false;
	kv_span_u32(t->buckets, (uint64_t)(h % t->n_buckets) * 4, e->be, &i);
	if (i < t->first)
		return false;
	for (; kv_span_u32(t->chains, (uint64_t)(i - t->first) * 4, e->be, &v); i++) {
		if ((v | 1) == (h | 1))
			return true;
		if (v & 1)
			break;
	}
	return false;
}

static bool lookup_sysv(const struct kv_elf *e, const struct kv_elf_symtab *t, const char *name,
			bool (*fn)(const struct kv_elf_sym *sym, void *arg), void *arg)
{
	uint32_t n_buckets, n_chains, i;
	struct kv_elf_sym sym;

	if (!kv_span_u32(t->hash, 0, e->be, &n_buckets) ||
	    !kv_span_u32(t->hash, 4, e->be, &n_chains) || !n_buckets)
		return false;
	if (!kv_span_u32(t->hash, 8 + (uint64_t)(kv_elf_sysv_hash(name) % n_buckets) * 4, e->be,
			 &i))
		return false;
	for (uint32_t steps = 0; i && steps < n_chains; steps++) {
		if (kv_elf_sym(e, i, &sym) && kv_streq(sym.name, name) && fn(&sym, arg))
			return true;
		if (!kv_span_u32(t->hash, 8 + ((uint64_t)n_buckets + i) * 4, e->be, &i))
			break;
	}
	return false;
}

bool kv_elf_lookup(const struct kv_elf *e, const char *name, uint32_t gnu_hash,
		   bool (*fn)(const struct kv_elf_sym *sym, void *arg), void *arg)
{
	const struct kv_elf_symtab *t = symtab_of(e);

	if (t->n_buckets)
		return lookup_gnu(e, t, name, gnu_hash, fn, arg);
	return lookup_sysv(e, t, name, fn, arg);
}

void kv_elf_relocs(const struct kv_elf *e, bool (*fn)(size_t sym, void *arg), void *arg)
{
	const struct kv_elf_symtab *t = e->symtab;

	for (size_t i = 0; i < KV_ARRAY_SIZE(t->relocs); i++) {
		uint64_t w = e->is64 ? 8 : 4, step = w * (t->relocs[i].addends ? 3 : 2), info;
		struct kv_span s;

		if (!t->relocs[i].size || !table(e, t->relocs[i].addr, t->relocs[i].size, &s))
			continue;
		for (uint64_t at = 0; kv_elf_word(e, s, at + w, &info); at += step) {
			size_t sym = (size_t)(e->is64 ? info >> 32 : info >> 8);

			if (sym && fn(sym, arg))
				return;
		}
	}
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

	for (size_t i = 1; i < kv_elf_n_syms(e); i++)
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
