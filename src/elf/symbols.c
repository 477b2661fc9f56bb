/* Dynamic symbols, their hash tables (DT_GNU_HASH, DT_HASH), and questions about versions. */
#include "elf/elf.h"

#define MAX_HASH ((uint64_t)64 << 20)

static uint64_t entry_size(const struct kv_elf *e)
{
	return e->is64 ? sizeof(Elf64_Sym) : sizeof(Elf32_Sym);
}

/* ---- what is read when the object is met ---- */

/* Puts the parts of DT_GNU_HASH in their places; false where s does not hold all of it. */
static bool split_gnu_hash(const struct kv_elf *e, struct kv_elf_symtab *t, struct kv_span s)
{
	uint64_t bloom, buckets, at;
	uint32_t v, last = 0;

	if (!kv_span_u32(s, 0, e->be, &t->n_buckets) || !kv_span_u32(s, 4, e->be, &t->first) ||
	    !kv_span_u32(s, 8, e->be, &t->n_bloom) || !kv_span_u32(s, 12, e->be, &t->shift))
		return false;
	/* A power of two, as ld.so requires (elf/dl-setup_hash.c). */
	if (!t->n_buckets || !t->n_bloom || (t->n_bloom & (t->n_bloom - 1)) || t->shift > 31)
		return false;
	bloom = (uint64_t)t->n_bloom * (e->is64 ? 8 : 4);
	buckets = (uint64_t)t->n_buckets * 4;
	if (!kv_span_sub(s, 16, bloom, &t->bloom) ||
	    !kv_span_sub(s, 16 + bloom, buckets, &t->buckets) ||
	    !kv_span_sub(s, 16 + bloom + buckets, s.n - 16 - bloom - buckets, &s))
		return false;
	for (at = 0; kv_span_u32(t->buckets, at, e->be, &v); at += 4)
		last = v > last ? v : last;
	t->n_syms = t->first;
	t->chains = (struct kv_span){ 0 };
	if (last < t->first)
		return true;
	/* The chains end where the one that holds the last symbol does: no field states their
	 * number. */
	for (at = (uint64_t)(last - t->first) * 4; kv_span_u32(s, at, e->be, &v); at += 4)
		if (v & 1) {
			t->n_syms = t->first + (size_t)at / 4 + 1;
			return kv_span_sub(s, 0, at + 4, &t->chains);
		}
	return false;
}

/* All of DT_GNU_HASH: of the tables, or, where it is larger than was thought, by itself. */
static bool find_gnu_hash(const struct kv_elf *e, struct kv_elf_symtab *t, struct kv_span *ret)
{
	uint32_t n_buckets, n_bloom, first;
	uint64_t need, off, left, hashed;

	if (!t->gnu_hash_addr || !kv_elf_table(e, t->gnu_hash_addr, 0, ret) ||
	    !kv_span_u32(*ret, 0, e->be, &n_buckets) || !kv_span_u32(*ret, 4, e->be, &first) ||
	    !kv_span_u32(*ret, 8, e->be, &n_bloom))
		return false;
	hashed = first < t->max_syms ? t->max_syms - first : 0;
	need = 16 + (uint64_t)n_bloom * (e->is64 ? 8 : 4) + (n_buckets + hashed) * 4;
	if (ret->n >= need || !kv_elf_to_offset(e, t->gnu_hash_addr, &off, &left) ||
	    left <= ret->n || need > MAX_HASH)
		return true;
	*ret = kv_elf_read_at(e, t->arena, off, need < left ? need : left);
	return true;
}

static bool read_gnu_hash(const struct kv_elf *e, struct kv_elf_symtab *t)
{
	struct kv_span s;

	if (find_gnu_hash(e, t, &s) && split_gnu_hash(e, t, s))
		return true;
	t->n_buckets = 0;
	return false;
}

struct highest {
	uint32_t sym;
};

static bool note_highest(const struct kv_elf_reloc *r, void *arg)
{
	struct highest *h = arg;

	h->sym = r->sym > h->sym ? r->sym : h->sym;
	return false;
}

/* Only symbols that relocations name count where no hash table tells how many there are. */
static size_t count_by_relocs(const struct kv_elf *e)
{
	struct highest h = { 0 };
	struct kv_span s;
	size_t n;

	kv_elf_relocs(e, NULL, note_highest, &h);
	if (!kv_elf_table(e, e->symtab->symtab_addr, 0, &s))
		return 0;
	n = s.n / entry_size(e);
	return h.sym < n ? h.sym + 1 : n;
}

static void count_syms(const struct kv_elf *e)
{
	struct kv_elf_symtab *t = e->symtab;
	uint32_t n = 0;

	if (read_gnu_hash(e, t) && t->chains.n)
		return;
	/* An object that defines nothing may have an empty table, whose first symbol says nothing.
	 */
	if (t->hash_addr && kv_elf_table(e, t->hash_addr, 0, &t->hash) &&
	    kv_span_u32(t->hash, 4, e->be, &n))
		t->n_syms = n;
	else
		t->n_syms = count_by_relocs(e);
}

/* The entry at `at` of a table that is known to hold it; returns where its name is. */
static uint32_t sym_at(const struct kv_elf *e, struct kv_span symtab, uint64_t at,
		       struct kv_elf_sym *ret)
{
	uint32_t name = 0, value = 0;
	uint8_t info = 0, other = 0;

	kv_span_u32(symtab, at, e->be, &name);
	kv_span_u8(symtab, at + (e->is64 ? 4 : 12), &info);
	kv_span_u8(symtab, at + (e->is64 ? 5 : 13), &other);
	kv_span_u16(symtab, at + (e->is64 ? 6 : 14), e->be, &ret->shndx);
	if (e->is64) {
		kv_span_u64(symtab, at + 8, e->be, &ret->value);
	} else {
		kv_span_u32(symtab, at + 4, e->be, &value);
		ret->value = value;
	}
	ret->type = info & 0xf;
	ret->bind = info >> 4;
	ret->hidden = (other & 3) == STV_HIDDEN || (other & 3) == STV_INTERNAL;
	return name;
}

static void read_symbols(const struct kv_elf *e)
{
	struct kv_elf_symtab *t = e->symtab;

	t->read = true;
	count_syms(e);
	if (!kv_elf_table(e, t->strtab_addr, t->strtab_size, &t->strtab) ||
	    !kv_elf_table(e, t->symtab_addr, t->n_syms * entry_size(e), &t->symtab)) {
		t->symtab = (struct kv_span){ 0 };
		t->n_syms = t->n_buckets = 0;
		return;
	}
	t->strtab_ends = t->strtab.n && !t->strtab.p[t->strtab.n - 1];
	if (kv_elf_has_versym(e))
		(void)kv_elf_table(e, t->versym_addr, (uint64_t)t->n_syms * 2, &t->versym);
	t->plain = e->is64 && e->be == (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__) && t->n_buckets &&
		   t->strtab_ends && t->n_syms == t->first + t->chains.n / 4 &&
		   t->symtab.n == t->n_syms * sizeof(Elf64_Sym) &&
		   (!t->versym.n || t->versym.n == t->n_syms * 2);
}

/* The symbols, read when they are first asked for: a load that fails before needs none. */
static const struct kv_elf_symtab *symtab_of(const struct kv_elf *e)
{
	if (!e->symtab->read)
		read_symbols(e);
	return e->symtab;
}

/* ---- questions ---- */

/* A symbol's name; NULL where it is out of bounds. */
static const char *name_at(const struct kv_elf_symtab *t, uint64_t off)
{
	if (t->strtab_ends && off < t->strtab.n)
		return (const char *)t->strtab.p + off;
	return kv_span_str(t->strtab, off);
}

/*
 * Index of the first symbol behind i that may be undefined, 0: none. Every symbol is asked, so the
 * fields are looked at by themselves: SHN_UNDEF is 0 in either byte order, and so is the value with
 * which ld.so takes none for a definition.
 */
static size_t next_undefined(const struct kv_elf *e, size_t i)
{
	struct kv_span s = e->symtab->symtab;
	size_t size = entry_size(e), n = s.n / size;
	uint64_t value = 0;
	uint32_t low;
	uint16_t shndx;

	if (!kv_elf_is_hashed(e))
		return i + 1 < n ? i + 1 : 0;
	i++;
	for (const uint8_t *p = s.p + i * size; e->is64 && i < n; p += sizeof(Elf64_Sym), i++) {
		memcpy(&shndx, p + 6, 2);
		memcpy(&value, p + 8, 8);
		if (!shndx || !value)
			return i;
	}
	for (; !e->is64 && i < n; i++) {
		memcpy(&low, s.p + i * size + 4, 4);
		memcpy(&shndx, s.p + i * size + 14, 2);
		if (!shndx || !low)
			return i;
	}
	return 0;
}

/* Entry i of a plain table, and its version; false where its name is out of bounds. */
static bool plain_sym(const struct kv_elf_symtab *t, size_t i, struct kv_elf_sym *ret)
{
	Elf64_Sym sym;

	memcpy(&sym, t->symtab.p + i * sizeof(sym), sizeof(sym));
	if (sym.st_name >= t->strtab.n)
		return false;
	ret->name = (const char *)t->strtab.p + sym.st_name;
	ret->value = sym.st_value;
	ret->shndx = sym.st_shndx;
	ret->type = ELF64_ST_TYPE(sym.st_info);
	ret->bind = ELF64_ST_BIND(sym.st_info);
	ret->hidden = (sym.st_other & 3) == STV_HIDDEN || (sym.st_other & 3) == STV_INTERNAL;
	ret->version = 1;
	if (t->versym.n)
		memcpy(&ret->version, t->versym.p + i * 2, 2);
	return true;
}

/* Entry i, and its version; false where there is none, or its name is out of bounds. */
static bool sym_of(const struct kv_elf *e, size_t i, struct kv_elf_sym *ret)
{
	const struct kv_elf_symtab *t = e->symtab;
	uint32_t name;

	if (i >= t->n_syms)
		return false;
	if (t->plain)
		return plain_sym(t, i, ret);
	name = sym_at(e, t->symtab, (uint64_t)i * entry_size(e), ret);
	ret->version = 1;
	kv_span_u16(t->versym, (uint64_t)i * 2, e->be, &ret->version);
	ret->name = name_at(t, name);
	return ret->name != NULL;
}

/* Whether ld.so may look elsewhere for it, although it is defined: nothing finds what is in no hash
 * table. */
static bool is_undefined(const struct kv_elf *e, const struct kv_elf_sym *sym)
{
	return sym->shndx == SHN_UNDEF || !kv_elf_is_hashed(e) ||
	       (!sym->value && sym->type != STT_TLS);
}

bool kv_elf_next_ref(const struct kv_elf *e, struct kv_elf_ref *r)
{
	const struct kv_elf_symtab *t = symtab_of(e);
	/* Names may overlap in the string table, but not without end: a forgery could keep us busy
	 * for hours. */
	const uint64_t budget = 4 * t->strtab_size + (1 << 20);
	struct kv_elf_sym sym = { 0 };
	size_t len;

	for (size_t i = r->sym; t->n_syms && (i = next_undefined(e, i));) {
		if (!sym_of(e, i, &sym) || sym.bind == STB_LOCAL || sym.hidden ||
		    !is_undefined(e, &sym) || !*sym.name)
			continue;
		len = strlen(sym.name);
		r->passed += len;
		if (r->passed > budget)
			return false;
		r->name = sym.name;
		r->sym = (uint32_t)i;
		r->version = sym.version & 0x7fff;
		r->weak = sym.bind == STB_WEAK;
		r->tls = sym.type == STT_TLS;
		if (r->weak && r->version < 2)
			continue;
		r->hash = kv_elf_gnu_hash_n(r->name, len);
		return true;
	}
	return false;
}

/* l_versyms is set where there are versions to number (elf/dl-version.c _dl_check_map_versions). */
bool kv_elf_has_versym(const struct kv_elf *e)
{
	return e->symtab->versym_addr && (e->verneeds.n || e->verdefs.n);
}

bool kv_elf_is_hashed(const struct kv_elf *e)
{
	return symtab_of(e)->n_buckets || e->symtab->hash_addr;
}

size_t kv_elf_n_syms(const struct kv_elf *e)
{
	return symtab_of(e)->n_syms;
}

bool kv_elf_sym(const struct kv_elf *e, size_t i, struct kv_elf_sym *ret)
{
	return i < symtab_of(e)->n_syms && sym_of(e, i, ret);
}

static bool lookup_gnu(const struct kv_elf *e, const char *name, uint32_t h,
		       bool (*fn)(const struct kv_elf_sym *sym, void *arg), void *arg)
{
	const struct kv_elf_symtab *t = e->symtab;
	struct kv_elf_sym sym;
	uint32_t i = 0, v = 0;

	if (!kv_elf_may_define(e, h))
		return false;
	kv_span_u32(t->buckets, (uint64_t)(h % t->n_buckets) * 4, e->be, &i);
	if (i < t->first)
		return false;
	for (; kv_span_u32(t->chains, (uint64_t)(i - t->first) * 4, e->be, &v); i++) {
		if ((v | 1) == (h | 1) && sym_of(e, i, &sym) && kv_streq(sym.name, name) &&
		    fn(&sym, arg))
			return true;
		if (v & 1)
			break;
	}
	return false;
}

bool kv_elf_first(const struct kv_elf *e, const char *name, uint32_t h, struct kv_elf_sym *ret)
{
	const struct kv_elf_symtab *t = e->symtab;
	uint32_t i, v = 0;

	memcpy(&i, t->buckets.p + (size_t)(h % t->n_buckets) * 4, 4);
	for (; i >= t->first && i < t->n_syms && !(v & 1); i++) {
		memcpy(&v, t->chains.p + (size_t)(i - t->first) * 4, 4);
		if ((v | 1) == (h | 1) && plain_sym(t, i, ret) && kv_streq(ret->name, name))
			return true;
	}
	return false;
}

static bool lookup_sysv(const struct kv_elf *e, const char *name,
			bool (*fn)(const struct kv_elf_sym *sym, void *arg), void *arg)
{
	uint32_t n_buckets, n_chains, i;
	struct kv_span hash = e->symtab->hash;
	struct kv_elf_sym sym;

	if (!kv_span_u32(hash, 0, e->be, &n_buckets) || !kv_span_u32(hash, 4, e->be, &n_chains) ||
	    !n_buckets ||
	    !kv_span_u32(hash, 8 + (uint64_t)(kv_elf_sysv_hash(name) % n_buckets) * 4, e->be, &i))
		return false;
	for (uint32_t steps = 0; i && steps < n_chains; steps++) {
		if (sym_of(e, i, &sym) && kv_streq(sym.name, name) && fn(&sym, arg))
			return true;
		if (!kv_span_u32(hash, 8 + ((uint64_t)n_buckets + i) * 4, e->be, &i))
			break;
	}
	return false;
}

bool kv_elf_lookup(const struct kv_elf *e, const char *name, uint32_t gnu_hash,
		   bool (*fn)(const struct kv_elf_sym *sym, void *arg), void *arg)
{
	if (symtab_of(e)->n_buckets)
		return lookup_gnu(e, name, gnu_hash, fn, arg);
	return e->symtab->n_syms && lookup_sysv(e, name, fn, arg);
}
