/* Dynamic symbols, their hash tables (DT_GNU_HASH, DT_HASH), and questions about versions. */
#include "elf/elf.h"

void kv_elf_release(const struct kv_elf *e)
{
	kv_closep(&e->symtab->fd);
	e->symtab->fd = -1;
}

struct kv_span kv_elf_bytes(const struct kv_elf *e)
{
	struct kv_elf_symtab *t = e->symtab;

	if (!t->bytes.p && t->fd >= 0 && t->size)
		(void)kv_map_fd(t->fd, (size_t)t->size, &t->bytes);
	return t->bytes;
}

/* n bytes at vaddr of the mapped file; with n 0 the whole table. */
static bool table(const struct kv_elf *e, uint64_t vaddr, uint64_t n, struct kv_span *ret)
{
	uint64_t off, left;

	if (!vaddr || !kv_elf_to_offset(e, vaddr, &off, &left))
		return false;
	if (!n)
		n = kv_elf_table_size(e, vaddr, left);
	return n <= left && kv_span_sub(kv_elf_bytes(e), off, n, ret);
}

/* n bytes at vaddr, read into `into`, or taken from the bytes where there is no fd. */
static bool fetch(const struct kv_elf *e, uint64_t vaddr, uint64_t n, uint8_t *into,
		  struct kv_span *ret)
{
	uint64_t off, left;
	size_t got;

	if (e->symtab->fd < 0)
		return table(e, vaddr, n, ret);
	if (!vaddr || !kv_elf_to_offset(e, vaddr, &off, &left) || n > left ||
	    off > e->symtab->size || e->symtab->size - off < n ||
	    kv_read_all(e->symtab->fd, into, (size_t)n, off, &got) < 0 || got < n)
		return false;
	*ret = (struct kv_span){ into, (size_t)n };
	return true;
}

/* The same into the object's own memory; bounded by the file before it is taken. */
static bool fetch_kept(const struct kv_elf *e, uint64_t vaddr, uint64_t n, struct kv_span *ret)
{
	uint64_t off, left;

	if (!vaddr || !kv_elf_to_offset(e, vaddr, &off, &left) || n > left || n > e->symtab->size)
		return false;
	return fetch(e, vaddr, n, kv_alloc_raw(e->symtab->arena, (size_t)n), ret);
}

/* Larger tables are few, and taken from the map. */
#define MAX_SCRATCH ((size_t)192 << 10)

static bool fetch_scratch(const struct kv_elf *e, uint64_t vaddr, uint64_t n, struct kv_scratch *s,
			  struct kv_span *ret)
{
	if (n > MAX_SCRATCH)
		return table(e, vaddr, n, ret);
	if (!s->p)
		s->p = kv_alloc_raw(e->symtab->arena, MAX_SCRATCH);
	return fetch(e, vaddr, n, s->p, ret);
}

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

static bool read_gnu_hash(const struct kv_elf *e, struct kv_elf_symtab *t)
{
	uint64_t off, left, size;
	struct kv_span s;

	if (!kv_elf_to_offset(e, t->gnu_hash_addr, &off, &left))
		return false;
	/* No field states its size: it ends where the next table begins, in all that linkers and
	 * patchelf make. */
	size = kv_elf_table_size(e, t->gnu_hash_addr, left);
	if (size <= 16384 && fetch_kept(e, t->gnu_hash_addr, size, &s))
		return split_gnu_hash(e, t, s);
	return table(e, t->gnu_hash_addr, size, &s) && split_gnu_hash(e, t, s);
}

/* With the hash table alone; n_buckets is 0 where there is none that can be used. */
static const struct kv_elf_symtab *hash_of(const struct kv_elf *e)
{
	struct kv_elf_symtab *t = e->symtab;

	if (t->hash_read)
		return t;
	t->hash_read = true;
	if (!t->gnu_hash_addr || !read_gnu_hash(e, t))
		t->n_buckets = 0;
	return t;
}

static void read_symtab(const struct kv_elf *e, struct kv_elf_symtab *t)
{
	uint64_t entry = e->is64 ? sizeof(Elf64_Sym) : sizeof(Elf32_Sym);
	uint32_t n;

	t->ready = true;
	if (!hash_of(e)->n_buckets) {
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
	const struct kv_elf_symtab *t = hash_of(e);
	unsigned bits = e->is64 ? 64 : 32;
	uint64_t filter = 0;
	uint32_t half = 0;

	if (!t->n_buckets)
		return symtab_of(e)->n_syms != 0;
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

bool kv_elf_undefined(const struct kv_elf *e, struct kv_scratch scratch[3],
		      bool (*fn)(const struct kv_elf_sym *sym, void *arg), void *arg)
{
	const struct kv_elf_symtab *t = hash_of(e);
	uint64_t entry = e->is64 ? sizeof(Elf64_Sym) : sizeof(Elf32_Sym);
	/* A view of the first symbols, which the accessors read as they read a whole table. */
	struct kv_elf_symtab part = {
		.ready = true, .hash_read = true, .n_syms = t->first, .fd = -1
	};
	struct kv_elf view = *e;
	struct kv_elf_sym sym;

	if (!t->n_buckets || t->first > t->n_syms ||
	    !fetch_scratch(e, t->symtab_addr, t->first * entry, &scratch[0], &part.symtab) ||
	    !fetch_scratch(e, t->strtab_addr, t->strtab_size, &scratch[1], &part.strtab) ||
	    !part.strtab.n || part.strtab.p[part.strtab.n - 1] ||
	    (t->versym_addr &&
	     !fetch_scratch(e, t->versym_addr, (uint64_t)t->first * 2, &scratch[2], &part.versym)))
		return false;
	view.symtab = &part;
	for (size_t i = 1; i < part.n_syms; i++)
		if (kv_elf_sym(&view, i, &sym) && sym.shndx == SHN_UNDEF && sym.bind != STB_WEAK &&
		    sym.bind != STB_LOCAL && *sym.name && !fn(&sym, arg))
			return false;
	return true;
}

bool kv_elf_has_hash(const struct kv_elf *e, uint32_t h)
{
	const struct kv_elf_symtab *t = hash_of(e);
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
