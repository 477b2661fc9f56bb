/* Headers, dynamic section and version tables. Symbols are in symbols.c. */
#include "elf/elf.h"

#define MAX_DYNAMIC  65536 /* entries */
#define MAX_VERSIONS 65536

struct reader {
	struct kv_arena *arena;
	struct kv_elf *e;
};

/* Values of the dynamic section that lead to tables. */
struct dynamic {
	uint64_t strtab, strsz, symtab, versym, verneed, verneednum, verdef, verdefnum, gnu_hash,
		hash;
	uint64_t soname, rpath, runpath;
	uint64_t rela, relasz, rel, relsz, jmprel, pltrelsz, pltrel;
	bool has_soname, has_rpath, has_runpath;
	KV_VEC(uint64_t) needed;
};

static bool read_at(struct reader *rd, uint64_t off, uint64_t n, struct kv_span *ret)
{
	if (kv_span_sub(rd->e->file, off, n, ret))
		return true;
	rd->e->truncated = true;
	return false;
}

/* File offset of vaddr and how many bytes of the file follow it in its segment. */
static bool to_offset(const struct kv_elf *e, uint64_t vaddr, uint64_t *ret_off, uint64_t *ret_left)
{
	for (size_t i = 0; i < e->loads.n; i++) {
		const struct kv_elf_segment *s = &e->loads.v[i];

		if (vaddr >= s->vaddr && vaddr - s->vaddr < s->filesz) {
			*ret_off = s->offset + (vaddr - s->vaddr);
			*ret_left = s->filesz - (vaddr - s->vaddr);
			return true;
		}
	}
	return false;
}

/* The table at vaddr: n bytes, or, with n 0, up to the next table or the segment's end. */
static bool read_table(struct reader *rd, uint64_t vaddr, uint64_t n, struct kv_span *ret)
{
	uint64_t off, left;

	if (!vaddr || !to_offset(rd->e, vaddr, &off, &left))
		return false;
	if (!n) {
		n = left;
		for (size_t i = 0; i < rd->e->n_tables; i++)
			if (rd->e->tables[i] > vaddr && rd->e->tables[i] - vaddr < n)
				n = rd->e->tables[i] - vaddr;
	}
	return n <= left && read_at(rd, off, n, ret);
}

static bool word(const struct kv_elf *e, struct kv_span s, uint64_t off, uint64_t *ret)
{
	uint32_t w;

	if (e->is64)
		return kv_span_u64(s, off, e->be, ret);
	if (!kv_span_u32(s, off, e->be, &w))
		return false;
	*ret = w;
	return true;
}

static bool read_header(struct reader *rd, struct kv_span h, uint64_t *ret_phoff)
{
	struct kv_elf *e = rd->e;

	memcpy(e->ident, h.p, EI_NIDENT);
	e->is64 = e->ident[EI_CLASS] == ELFCLASS64;
	e->be = e->ident[EI_DATA] == ELFDATA2MSB;
	if (memcmp(e->ident, ELFMAG, SELFMAG) != 0)
		return false;
	kv_span_u16(h, 16, e->be, &e->type);
	kv_span_u16(h, 18, e->be, &e->machine);
	kv_span_u32(h, 20, e->be, &e->version);
	word(e, h, e->is64 ? 32 : 28, ret_phoff);
	kv_span_u16(h, e->is64 ? 54 : 42, e->be, &e->phentsize);
	kv_span_u16(h, e->is64 ? 56 : 44, e->be, &e->phnum);
	return e->phentsize == (e->is64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr));
}

/* Fills loads and interp; yields the place of PT_DYNAMIC. */
static void read_phdrs(struct reader *rd, struct kv_span ph, uint64_t *ret_dyn, uint64_t *ret_dynsz)
{
	struct kv_elf *e = rd->e;

	for (uint64_t i = 0, at = 0; i < e->phnum; i++, at += e->phentsize) {
		struct kv_elf_segment s = { 0 };
		struct kv_span text;
		uint32_t type = PT_NULL;

		kv_span_u32(ph, at, e->be, &type);
		kv_span_u32(ph, at + (e->is64 ? 4 : 24), e->be, &s.flags);
		word(e, ph, at + (e->is64 ? 8 : 4), &s.offset);
		word(e, ph, at + (e->is64 ? 16 : 8), &s.vaddr);
		word(e, ph, at + (e->is64 ? 32 : 16), &s.filesz);
		word(e, ph, at + (e->is64 ? 40 : 20), &s.memsz);
		word(e, ph, at + (e->is64 ? 48 : 28), &s.align);
		if (type == PT_LOAD) {
			kv_vec_push(rd->arena, &e->loads, s);
			if (s.filesz && (s.offset > e->st.size || e->st.size - s.offset < s.filesz))
				e->truncated = true;
		} else if (type == PT_DYNAMIC) {
			e->has_dynamic = true;
			*ret_dyn = s.vaddr;
			*ret_dynsz = s.memsz;
		} else if (type == PT_INTERP && s.filesz && s.filesz < 4096 &&
			   read_at(rd, s.offset, s.filesz, &text)) {
			e->interp = kv_span_str(text, 0);
		}
	}
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void note_table(struct kv_elf *e, uint64_t addr)
{
	if (addr && e->n_tables < KV_ARRAY_SIZE(e->tables))
		e->tables[e->n_tables++] = addr;
}

static void take_entry(struct reader *rd, struct dynamic *d, uint64_t tag, uint64_t v)
{
	switch (tag) {
	case DT_NEEDED:
		kv_vec_push(rd->arena, &d->needed, v);
		break;
	case DT_SONAME:
		d->soname = v;
		d->has_soname = true;
		break;
	case DT_RPATH:
		d->rpath = v;
		d->has_rpath = true;
		break;
	case DT_RUNPATH:
		d->runpath = v;
		d->has_runpath = true;
		break;
	case DT_STRTAB:
		d->strtab = v;
		break;
	case DT_STRSZ:
		d->strsz = v;
		break;
	case DT_SYMTAB:
		d->symtab = v;
		break;
	case DT_HASH:
		d->hash = v;
		break;
	case DT_GNU_HASH:
		d->gnu_hash = v;
		break;
	case DT_VERSYM:
		d->versym = v;
		break;
	case DT_VERNEED:
		d->verneed = v;
		break;
	case DT_VERNEEDNUM:
		d->verneednum = v;
		break;
	case DT_VERDEF:
		d->verdef = v;
		break;
	case DT_VERDEFNUM:
		d->verdefnum = v;
		break;
	case DT_RELA:
		d->rela = v;
		break;
	case DT_RELASZ:
		d->relasz = v;
		break;
	case DT_REL:
		d->rel = v;
		break;
	case DT_RELSZ:
		d->relsz = v;
		break;
	case DT_JMPREL:
		d->jmprel = v;
		break;
	case DT_PLTRELSZ:
		d->pltrelsz = v;
		break;
	case DT_PLTREL:
		d->pltrel = v;
		break;
	case DT_FLAGS:
		rd->e->flags = v;
		break;
	case DT_FLAGS_1:
		rd->e->flags_1 = v;
		break;
	default:
		break;
	}
}

static bool read_dynamic(struct reader *rd, uint64_t addr, uint64_t size, struct dynamic *d)
{
	struct kv_elf *e = rd->e;
	uint64_t step = e->is64 ? 16 : 8, tag, v;
	struct kv_span s;

	if (size > MAX_DYNAMIC * step || !read_table(rd, addr, size, &s))
		return false;
	for (uint64_t at = 0; word(e, s, at, &tag) && word(e, s, at + step / 2, &v); at += step) {
		if (tag == DT_NULL)
			break;
		take_entry(rd, d, tag, v);
	}
	const uint64_t tables[] = { d->strtab,  d->symtab, d->hash, d->gnu_hash, d->versym,
				    d->verneed, d->verdef, d->rela, d->rel,      d->jmprel };

	for (size_t i = 0; i < KV_ARRAY_SIZE(tables); i++)
		note_table(e, tables[i]);
	qsort(e->tables, e->n_tables, sizeof(*e->tables), by_value);
	return true;
}

static const char *str_at(const struct kv_elf *e, uint64_t off)
{
	const char *s = kv_span_str(e->strtab, off);

	return s ? s : "";
}

/* vna and vd_aux offsets are relative to the record that holds them, not to the section. */
static void read_verneeds(struct reader *rd, const struct dynamic *d)
{
	struct kv_elf *e = rd->e;
	uint64_t at = 0;
	struct kv_span s;

	if (!d->verneed || !read_table(rd, d->verneed, 0, &s))
		return;
	for (uint64_t i = 0; i < d->verneednum && i < MAX_VERSIONS; i++) {
		uint16_t count, other, flags;
		uint32_t file, aux, next, name, hash, aux_next;
		uint64_t aux_at;

		if (!kv_span_u16(s, at + 2, e->be, &count) ||
		    !kv_span_u32(s, at + 4, e->be, &file) || !kv_span_u32(s, at + 8, e->be, &aux) ||
		    !kv_span_u32(s, at + 12, e->be, &next))
			return;
		aux_at = at + aux;
		for (uint16_t j = 0; j < count && e->verneeds.n < MAX_VERSIONS; j++) {
			if (!kv_span_u32(s, aux_at, e->be, &hash) ||
			    !kv_span_u16(s, aux_at + 4, e->be, &flags) ||
			    !kv_span_u16(s, aux_at + 6, e->be, &other) ||
			    !kv_span_u32(s, aux_at + 8, e->be, &name) ||
			    !kv_span_u32(s, aux_at + 12, e->be, &aux_next))
				return;
			kv_vec_push(rd->arena, &e->verneeds,
				    ((struct kv_elf_verneed){
					    .file = str_at(e, file),
					    .name = str_at(e, name),
					    .hash = hash,
					    .weak = flags & VER_FLG_WEAK,
					    .index = other & 0x7fff,
				    }));
			if (!aux_next)
				break;
			aux_at += aux_next;
		}
		if (!next)
			return;
		at += next;
	}
}

static void read_verdefs(struct reader *rd, const struct dynamic *d)
{
	struct kv_elf *e = rd->e;
	uint64_t at = 0;
	struct kv_span s;

	e->has_verdef = d->verdef != 0;
	if (!d->verdef || !read_table(rd, d->verdef, 0, &s))
		return;
	for (uint64_t i = 0; i < d->verdefnum && i < MAX_VERSIONS; i++) {
		uint16_t flags, index;
		uint32_t hash, aux, next, name;

		if (!kv_span_u16(s, at + 2, e->be, &flags) ||
		    !kv_span_u16(s, at + 4, e->be, &index) ||
		    !kv_span_u32(s, at + 8, e->be, &hash) ||
		    !kv_span_u32(s, at + 12, e->be, &aux) ||
		    !kv_span_u32(s, at + 16, e->be, &next) ||
		    !kv_span_u32(s, at + aux, e->be, &name))
			return;
		kv_vec_push(rd->arena, &e->verdefs,
			    ((struct kv_elf_verdef){
				    .name = str_at(e, name),
				    .hash = hash,
				    .index = index & 0x7fff,
				    .base = flags & VER_FLG_BASE,
			    }));
		if (!next)
			return;
		at += next;
	}
}

/*
 * DT_GNU_HASH states no size, and what follows it may be anything: read the header, then the
 * buckets, then the chains up to the end of the last.
 */
static bool read_chains(struct reader *rd, uint64_t addr, uint32_t last)
{
	struct kv_elf *e = rd->e;
	uint64_t off, left, end = (uint64_t)(last - e->gnu.first) * 4;
	struct kv_span s;
	uint32_t v;

	for (;; end += 256) {
		if (!to_offset(e, addr + end, &off, &left))
			return false;
		left = left < 256 ? left & ~(uint64_t)3 : 256;
		if (!left || !read_at(rd, off, left, &s))
			return false;
		for (uint64_t at = 0; kv_span_u32(s, at, e->be, &v); at += 4)
			if (v & 1) {
				e->n_syms = e->gnu.first + (size_t)(end + at) / 4 + 1;
				return read_table(rd, addr, end + at + 4, &e->gnu.chains);
			}
	}
}

static bool read_gnu_hash(struct reader *rd, uint64_t addr)
{
	struct kv_elf *e = rd->e;
	uint64_t word_size = e->is64 ? 8 : 4, n;
	uint32_t v, last = 0;
	struct kv_span s;

	if (!read_table(rd, addr, 16, &s) || !kv_span_u32(s, 0, e->be, &e->gnu.n_buckets) ||
	    !kv_span_u32(s, 4, e->be, &e->gnu.first) ||
	    !kv_span_u32(s, 8, e->be, &e->gnu.n_bloom) ||
	    !kv_span_u32(s, 12, e->be, &e->gnu.shift) || !e->gnu.n_bloom ||
	    (e->gnu.n_bloom & (e->gnu.n_bloom - 1)) || e->gnu.shift > 31)
		return false;
	n = (uint64_t)e->gnu.n_bloom * word_size + (uint64_t)e->gnu.n_buckets * 4;
	if (!read_table(rd, addr + 16, n, &s) ||
	    !kv_span_sub(s, 0, e->gnu.n_bloom * word_size, &e->gnu.bloom) ||
	    !kv_span_sub(s, e->gnu.bloom.n, n - e->gnu.bloom.n, &e->gnu.buckets))
		return false;
	for (uint64_t at = 0; kv_span_u32(e->gnu.buckets, at, e->be, &v); at += 4)
		last = v > last ? v : last;
	if (last < e->gnu.first) {
		e->n_syms = e->gnu.first;
		return true;
	}
	return read_chains(rd, addr + 16 + n, last);
}

static void read_symbols(struct reader *rd, const struct dynamic *d)
{
	struct kv_elf *e = rd->e;
	uint64_t entry = e->is64 ? sizeof(Elf64_Sym) : sizeof(Elf32_Sym);
	uint32_t n;

	if (!d->gnu_hash || !read_gnu_hash(rd, d->gnu_hash)) {
		e->gnu.n_buckets = 0;
		if (d->hash && read_table(rd, d->hash, 0, &e->hash) &&
		    kv_span_u32(e->hash, 4, e->be, &n))
			e->n_syms = n;
	}
	if (e->n_syms && !read_table(rd, d->symtab, e->n_syms * entry, &e->symtab))
		e->n_syms = 0;
	if (d->versym && e->n_syms)
		e->has_versym = read_table(rd, d->versym, e->n_syms * 2, &e->versym);
	e->relocs[0].addr = d->rela;
	e->relocs[0].size = d->relasz;
	e->relocs[0].addends = true;
	e->relocs[1].addr = d->rel;
	e->relocs[1].size = d->relsz;
	e->relocs[2].addr = d->jmprel;
	e->relocs[2].size = d->pltrelsz;
	e->relocs[2].addends = d->pltrel == DT_RELA;
}

/* A string table that does not end in NUL is copied to one that does: names are then safe to read.
 */
static bool read_strtab(struct reader *rd, const struct dynamic *d)
{
	struct kv_elf *e = rd->e;

	if (!d->strtab || !read_table(rd, d->strtab, d->strsz, &e->strtab) || !e->strtab.n)
		return false;
	if (e->strtab.p[e->strtab.n - 1])
		e->strtab.p = (const uint8_t *)kv_strndup(rd->arena, (const char *)e->strtab.p,
							  e->strtab.n);
	return true;
}

struct kv_elf *kv_elf_parse(struct kv_arena *a, struct kv_file *f)
{
	struct kv_elf *e = kv_new(a, struct kv_elf);
	struct reader rd = { a, e };
	struct dynamic d = { 0 };
	uint64_t phoff = 0, dyn = 0, dynsz = 0, need;
	struct kv_span ph;

	e->st = *kv_file_stat(f);
	e->read_error = kv_file_map(f, a, &e->file);
	if (e->read_error < 0)
		return e;
	e->too_short = e->file.n < sizeof(Elf32_Ehdr) ||
		       (e->file.p[EI_CLASS] != ELFCLASS32 && e->file.n < sizeof(Elf64_Ehdr));
	if (e->too_short || !read_header(&rd, e->file, &phoff))
		return e;
	need = (uint64_t)e->phnum * e->phentsize;
	if (!read_at(&rd, phoff, need, &ph)) {
		e->phdrs_short = true;
		return e;
	}
	read_phdrs(&rd, ph, &dyn, &dynsz);
	if (!e->has_dynamic || !read_dynamic(&rd, dyn, dynsz, &d))
		return e;
	e->has_strtab = read_strtab(&rd, &d);
	if (!e->has_strtab)
		return e;
	if (d.has_soname)
		e->soname = str_at(e, d.soname);
	if (d.has_rpath)
		e->rpath = str_at(e, d.rpath);
	if (d.has_runpath)
		e->runpath = str_at(e, d.runpath);
	for (size_t i = 0; i < d.needed.n; i++)
		kv_vec_push(a, &e->needed, kv_strdup(a, str_at(e, d.needed.v[i])));
	read_verneeds(&rd, &d);
	read_verdefs(&rd, &d);
	read_symbols(&rd, &d);
	return e;
}

int kv_elf_read(struct kv_root *r, const char *guest, struct kv_elf **ret)
{
	_file_ struct kv_file *f = NULL;
	int e = kv_root_open_file(r, guest, &f);

	if (e < 0)
		return e;
	*ret = kv_elf_parse(kv_root_arena(r), f);
	return 0;
}

void kv_elf_relocs(const struct kv_elf *e, bool (*fn)(size_t sym, void *arg), void *arg)
{
	for (size_t t = 0; t < KV_ARRAY_SIZE(e->relocs); t++) {
		uint64_t w = e->is64 ? 8 : 4, step = w * (e->relocs[t].addends ? 3 : 2), off, left,
			 info;
		struct kv_span s;

		if (!e->relocs[t].addr || !e->relocs[t].size ||
		    !to_offset(e, e->relocs[t].addr, &off, &left) || e->relocs[t].size > left ||
		    !kv_span_sub(e->file, off, e->relocs[t].size, &s))
			continue;
		for (uint64_t at = 0; word(e, s, at + w, &info); at += step) {
			size_t sym = (size_t)(e->is64 ? info >> 32 : info >> 8);

			if (sym && fn(sym, arg))
				return;
		}
	}
}
