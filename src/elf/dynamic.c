/* The dynamic section, and the version tables that it leads to. */
#include "elf/dynamic.h"

#define MAX_DYNAMIC  65536 /* entries */
#define USUAL        4096  /* bytes of a dynamic section that are read without taking memory */
#define MAX_VERSIONS 65536
/* Bytes of names that are copied of one object. Those of a real one are a few thousand. */
#define MAX_NAMES ((size_t)8 << 20)

struct dynamic {
	struct kv_elf *e;
	struct kv_span entries, strings;
	size_t copied, n_deps, n_needed;
	uint64_t verneed, verdef;
	uint64_t soname, rpath, runpath, pltrel;
	bool has_soname, has_rpath, has_runpath;
};

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Names of which only the place is noted. */
static bool take_name(struct dynamic *d, uint64_t tag, uint64_t v)
{
	switch (tag) {
	case DT_NEEDED:
		d->n_needed++;
		d->n_deps++;
		return true;
	case DT_AUXILIARY:
	case DT_FILTER:
		d->n_deps++;
		return true;
	case DT_SONAME:
		d->soname = v;
		d->has_soname = true;
		return true;
	case DT_RPATH:
		d->rpath = v;
		d->has_rpath = true;
		return true;
	case DT_RUNPATH:
		d->runpath = v;
		d->has_runpath = true;
		return true;
	default:
		return false;
	}
}

static void take_flags(struct dynamic *d, uint64_t tag, uint64_t v)
{
	switch (tag) {
	case DT_FLAGS:
		d->e->flags = v;
		d->e->bind_now |= (v & DF_BIND_NOW) != 0;
		break;
	case DT_FLAGS_1:
		d->e->flags_1 = v;
		d->e->bind_now |= (v & DF_1_NOW) != 0;
		break;
	case DT_BIND_NOW:
		d->e->bind_now = true;
		break;
	case DT_PLTREL:
		d->pltrel = v;
		break;
	case DT_DEBUG:
		d->e->has_debug = true;
		break;
	case DT_RELR:
		d->e->has_relr = true;
		break;
	case DT_INIT_ARRAY:
		d->e->has_init_array = true;
		break;
	default:
		break;
	}
}

/* Where the value of a tag goes that states a table's address or size; NULL for any other tag. */
static uint64_t *place_of(struct dynamic *d, uint64_t tag)
{
	struct kv_elf_symtab *t = d->e->symtab;

	switch (tag) {
	case DT_STRTAB:
		return &t->strtab_addr;
	case DT_STRSZ:
		return &t->strtab_size;
	case DT_SYMTAB:
		return &t->symtab_addr;
	case DT_HASH:
		return &t->hash_addr;
	case DT_GNU_HASH:
		return &t->gnu_hash_addr;
	case DT_VERSYM:
		return &t->versym_addr;
	case DT_VERNEED:
		return &d->verneed;
	case DT_VERDEF:
		return &d->verdef;
	case DT_RELA:
		return &t->relocs[0].addr;
	case DT_RELASZ:
		return &t->relocs[0].size;
	case DT_RELACOUNT:
		return &t->relocs[0].n_relative;
	case DT_REL:
		return &t->relocs[1].addr;
	case DT_RELSZ:
		return &t->relocs[1].size;
	case DT_RELCOUNT:
		return &t->relocs[1].n_relative;
	case DT_JMPREL:
		return &t->relocs[2].addr;
	case DT_PLTRELSZ:
		return &t->relocs[2].size;
	default:
		return NULL;
	}
}

/* Entry i; false where there is none, or the list ends. */
static inline bool entry(const struct dynamic *d, size_t i, uint64_t *ret_tag, uint64_t *ret_v)
{
	uint64_t word = d->e->is64 ? 8 : 4;

	return kv_elf_word(d->e, d->entries, i * 2 * word, ret_tag) &&
	       kv_elf_word(d->e, d->entries, (i * 2 + 1) * word, ret_v) && *ret_tag != DT_NULL;
}

/* The bytes of the section, in room where they fit. */
static bool find_entries(struct dynamic *d, uint64_t addr, uint64_t size, uint8_t room[USUAL])
{
	struct kv_elf *e = d->e;
	uint64_t off, left;

	if (!kv_elf_to_offset(e, addr, &off, &left))
		return false;
	if (size > left)
		size = left;
	if (size > MAX_DYNAMIC * (e->is64 ? 16 : 8))
		return false;
	if (size > USUAL)
		d->entries = kv_elf_read_at(e, e->symtab->arena, off, size);
	else
		d->entries = (struct kv_span){ room, kv_elf_read_to(e, off, room, (size_t)size) };
	return true;
}

static void read_entries(struct dynamic *d)
{
	struct kv_elf_symtab *t = d->e->symtab;
	uint64_t tag, v, *place;

	for (size_t i = 0; entry(d, i, &tag, &v); i++) {
		place = place_of(d, tag);
		if (place)
			*place = v;
		else if (!take_name(d, tag, v))
			take_flags(d, tag, v);
	}
	t->relocs[0].addends = true;
	t->relocs[2].addends = d->pltrel == DT_RELA;
}

static void sort_tables(struct dynamic *d)
{
	struct kv_elf_symtab *t = d->e->symtab;
	const uint64_t addrs[] = { t->strtab_addr,   t->symtab_addr,    t->hash_addr,
				   t->gnu_hash_addr, t->versym_addr,    d->verneed,
				   d->verdef,        t->relocs[0].addr, t->relocs[1].addr,
				   t->relocs[2].addr };

	for (size_t i = 0; i < KV_ARRAY_SIZE(addrs); i++)
		if (addrs[i])
			t->tables[t->n_tables++] = addrs[i];
	qsort(t->tables, t->n_tables, sizeof(*t->tables), by_value);
}

/* The name at off of the string table; "" where it is out of bounds. */
static char *str_at(struct dynamic *d, uint64_t off)
{
	const struct kv_elf_symtab *t = d->e->symtab;
	const char *s = d->copied < MAX_NAMES ? kv_span_str(d->strings, off) : NULL;

	d->copied += s ? strlen(s) + 1 : 0;
	return kv_strdup(t->arena, s && d->copied < MAX_NAMES ? s : "");
}

/* A version's name needs no copy: the tables stay. */
static const char *version_at(struct dynamic *d, uint64_t off)
{
	const char *s = kv_span_str(d->strings, off);

	return s ? s : "";
}

/*
 * Like ld.so, which follows the chain of records and looks at no count (elf/dl-version.c). Offsets
 * are relative to the record that holds them, not to the section.
 */
static void read_needs_of(struct dynamic *d, struct kv_span s, uint64_t at, const char *file)
{
	struct kv_elf *e = d->e;
	uint16_t other, flags;
	uint32_t name, hash, next;

	while (e->verneeds.n < MAX_VERSIONS) {
		if (!kv_span_u32(s, at, e->be, &hash) || !kv_span_u16(s, at + 4, e->be, &flags) ||
		    !kv_span_u16(s, at + 6, e->be, &other) ||
		    !kv_span_u32(s, at + 8, e->be, &name) || !kv_span_u32(s, at + 12, e->be, &next))
			return;
		kv_vec_push(e->symtab->arena, &e->verneeds,
			    ((struct kv_elf_version){
				    .file = file,
				    .name = version_at(d, name),
				    .hash = hash,
				    .weak = flags & VER_FLG_WEAK,
				    .hidden = other & 0x8000,
				    .index = other & 0x7fff,
			    }));
		if (!next)
			return;
		at += next;
	}
}

static void read_verneeds(struct dynamic *d)
{
	struct kv_elf *e = d->e;
	uint64_t at = 0;
	struct kv_span s;

	e->has_verneed = d->verneed != 0;
	if (!d->verneed || !kv_elf_table(e, d->verneed, 0, &s))
		return;
	for (uint64_t i = 0; i < MAX_VERSIONS; i++) {
		uint32_t file, aux, next;

		if (!kv_span_u32(s, at + 4, e->be, &file) || !kv_span_u32(s, at + 8, e->be, &aux) ||
		    !kv_span_u32(s, at + 12, e->be, &next))
			return;
		read_needs_of(d, s, at + aux, version_at(d, file));
		if (!next)
			return;
		at += next;
	}
}

static void read_verdefs(struct dynamic *d)
{
	struct kv_elf *e = d->e;
	uint64_t at = 0;
	struct kv_span s;

	e->has_verdef = d->verdef != 0;
	if (!d->verdef || !kv_elf_table(e, d->verdef, 0, &s))
		return;
	for (uint64_t i = 0; i < MAX_VERSIONS; i++) {
		uint16_t flags, index;
		uint32_t hash, aux, next, name;

		if (!kv_span_u16(s, at + 2, e->be, &flags) ||
		    !kv_span_u16(s, at + 4, e->be, &index) ||
		    !kv_span_u32(s, at + 8, e->be, &hash) ||
		    !kv_span_u32(s, at + 12, e->be, &aux) ||
		    !kv_span_u32(s, at + 16, e->be, &next) ||
		    !kv_span_u32(s, at + aux, e->be, &name))
			return;
		kv_vec_push(e->symtab->arena, &e->verdefs,
			    ((struct kv_elf_version){
				    .name = version_at(d, name),
				    .hash = hash,
				    .index = index & 0x7fff,
				    .base = flags & VER_FLG_BASE,
			    }));
		if (!next)
			return;
		at += next;
	}
}

static void read_names(struct dynamic *d)
{
	struct kv_elf *e = d->e;
	struct kv_arena *a = e->symtab->arena;
	uint64_t tag, v;

	if (d->has_soname)
		e->soname = str_at(d, d->soname);
	if (d->has_rpath)
		e->rpath = str_at(d, d->rpath);
	if (d->has_runpath)
		e->runpath = str_at(d, d->runpath);
	e->deps.v = kv_alloc_n(a, e->deps.cap = d->n_deps, sizeof(*e->deps.v));
	e->needed.v = kv_alloc_n(a, e->needed.cap = d->n_needed, sizeof(*e->needed.v));
	for (size_t i = 0; e->deps.n < d->n_deps && entry(d, i, &tag, &v); i++) {
		char *name;

		if (tag != DT_NEEDED && tag != DT_AUXILIARY && tag != DT_FILTER)
			continue;
		name = str_at(d, v);
		kv_vec_push(a, &e->deps, ((struct kv_elf_dep){ name, (int64_t)tag }));
		if (tag == DT_NEEDED)
			kv_vec_push(a, &e->needed, name);
	}
}

void kv_elf_read_dynamic(struct kv_elf *e, uint64_t addr, uint64_t size)
{
	struct dynamic d = { .e = e };
	struct kv_elf_symtab *t = e->symtab;
	uint8_t room[USUAL];

	e->dynamic_lost = !find_entries(&d, addr, size, room);
	if (e->dynamic_lost)
		return;
	read_entries(&d);
	sort_tables(&d);
	kv_elf_find_tables(e, d.verneed, d.verdef);
	e->has_strtab =
		t->strtab_size && kv_elf_table(e, t->strtab_addr, t->strtab_size, &d.strings);
	if (!e->has_strtab)
		return;
	read_names(&d);
	read_verneeds(&d);
	read_verdefs(&d);
}
