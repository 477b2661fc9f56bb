/* Headers, dynamic section and version tables. Symbols are in symbols.c. */
#include "elf/elf.h"

#define MAX_DYNAMIC  65536 /* entries */
#define MAX_VERSIONS 65536
#define MAX_TABLE    ((uint64_t)64 << 20)

/* Names are read through a window of the string table: those of the dynamic section lie close
 * together. */
struct window {
	uint64_t at, n;
	char text[2048];
};

struct reader {
	struct kv_arena *arena;
	struct kv_file *file;
	struct kv_elf *e;
	uint64_t str_off, str_size; /* string table in the file */
	struct window window;
};

/* Values of the dynamic section that lead to tables. */
struct dynamic {
	uint64_t verneed, verneednum, verdef, verdefnum;
	uint64_t soname, rpath, runpath, pltrel;
	bool has_soname, has_rpath, has_runpath;
	KV_VEC(uint64_t) needed;
};

static bool read_at(struct reader *rd, uint64_t off, uint64_t n, struct kv_span *ret)
{
	uint8_t *p;
	size_t got;

	if (n > MAX_TABLE)
		return false;
	if (off > rd->e->st.size || rd->e->st.size - off < n) {
		rd->e->truncated = true;
		return false;
	}
	p = kv_alloc_raw(rd->arena, (size_t)n);
	if (kv_file_read(rd->file, off, p, (size_t)n, &got) < 0 || got < n) {
		rd->e->truncated = true;
		return false;
	}
	*ret = (struct kv_span){ p, (size_t)n };
	return true;
}

bool kv_elf_to_offset(const struct kv_elf *e, uint64_t vaddr, uint64_t *ret_off, uint64_t *ret_left)
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

uint64_t kv_elf_table_size(const struct kv_elf *e, uint64_t vaddr, uint64_t left)
{
	for (size_t i = 0; i < e->n_tables; i++)
		if (e->tables[i] > vaddr && e->tables[i] - vaddr < left)
			left = e->tables[i] - vaddr;
	return left;
}

/* The table at vaddr: n bytes, or, with n 0, all of it. */
static bool read_table(struct reader *rd, uint64_t vaddr, uint64_t n, struct kv_span *ret)
{
	uint64_t off, left;

	if (!vaddr || !kv_elf_to_offset(rd->e, vaddr, &off, &left))
		return false;
	if (!n)
		n = kv_elf_table_size(rd->e, vaddr, left);
	return n <= left && read_at(rd, off, n, ret);
}

bool kv_elf_word(const struct kv_elf *e, struct kv_span s, uint64_t off, uint64_t *ret)
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
	kv_elf_word(e, h, e->is64 ? 32 : 28, ret_phoff);
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
		kv_elf_word(e, ph, at + (e->is64 ? 8 : 4), &s.offset);
		kv_elf_word(e, ph, at + (e->is64 ? 16 : 8), &s.vaddr);
		kv_elf_word(e, ph, at + (e->is64 ? 32 : 16), &s.filesz);
		kv_elf_word(e, ph, at + (e->is64 ? 40 : 20), &s.memsz);
		kv_elf_word(e, ph, at + (e->is64 ? 48 : 28), &s.align);
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
	struct kv_elf_symtab *t = rd->e->symtab;

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
		t->strtab_addr = v;
		break;
	case DT_STRSZ:
		t->strtab_size = v;
		break;
	case DT_SYMTAB:
		t->symtab_addr = v;
		break;
	case DT_HASH:
		t->hash_addr = v;
		break;
	case DT_GNU_HASH:
		t->gnu_hash_addr = v;
		break;
	case DT_VERSYM:
		t->versym_addr = v;
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
		t->relocs[0].addr = v;
		break;
	case DT_RELASZ:
		t->relocs[0].size = v;
		break;
	case DT_REL:
		t->relocs[1].addr = v;
		break;
	case DT_RELSZ:
		t->relocs[1].size = v;
		break;
	case DT_JMPREL:
		t->relocs[2].addr = v;
		break;
	case DT_PLTRELSZ:
		t->relocs[2].size = v;
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
	for (uint64_t at = 0; kv_elf_word(e, s, at, &tag) && kv_elf_word(e, s, at + step / 2, &v);
	     at += step) {
		if (tag == DT_NULL)
			break;
		take_entry(rd, d, tag, v);
	}
	e->symtab->relocs[0].addends = true;
	e->symtab->relocs[2].addends = d->pltrel == DT_RELA;
	const uint64_t tables[] = {
		e->symtab->strtab_addr,
		e->symtab->symtab_addr,
		e->symtab->hash_addr,
		e->symtab->gnu_hash_addr,
		e->symtab->versym_addr,
		d->verneed,
		d->verdef,
		e->symtab->relocs[0].addr,
		e->symtab->relocs[1].addr,
		e->symtab->relocs[2].addr,
	};

	for (size_t i = 0; i < KV_ARRAY_SIZE(tables); i++)
		note_table(e, tables[i]);
	qsort(e->tables, e->n_tables, sizeof(*e->tables), by_value);
	return true;
}

/* The name at off of the string table, copied; "" where it is out of bounds. */
static const char *str_at(struct reader *rd, uint64_t off)
{
	struct window *w = &rd->window;
	const char *s;
	size_t got;

	if (off >= rd->str_size)
		return "";
	if (off < w->at || off - w->at >= w->n ||
	    !memchr(w->text + (off - w->at), 0, w->n - (off - w->at))) {
		/* A little before it too: needed names are listed in no order. */
		w->at = off > 512 ? off - 512 : 0;
		w->n = rd->str_size - w->at < sizeof(w->text) ? rd->str_size - w->at
							      : sizeof(w->text);
		if (kv_file_read(rd->file, rd->str_off + w->at, w->text, (size_t)w->n, &got) < 0)
			got = 0;
		w->n = got;
	}
	if (off - w->at >= w->n)
		return "";
	s = w->text + (off - w->at);
	return kv_strndup(rd->arena, s, strnlen(s, w->n - (off - w->at)));
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
					    .file = str_at(rd, file),
					    .name = str_at(rd, name),
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
				    .name = str_at(rd, name),
				    .hash = hash,
				    .index = index & 0x7fff,
				    .base = flags & VER_FLG_BASE,
			    }));
		if (!next)
			return;
		at += next;
	}
}

static bool find_strtab(struct reader *rd)
{
	const struct kv_elf_symtab *t = rd->e->symtab;
	uint64_t left;

	if (!t->strtab_addr || !kv_elf_to_offset(rd->e, t->strtab_addr, &rd->str_off, &left))
		return false;
	rd->str_size = t->strtab_size;
	return rd->str_size && rd->str_size <= left;
}

/* The header's bytes: of the file itself where it can be read, so that its map stays untouched. */
static void read_head(struct reader *rd, uint8_t *head, size_t size, struct kv_span *ret)
{
	size_t got = 0;

	rd->e->read_error = kv_file_read(rd->file, 0, head, size, &got);
	*ret = (struct kv_span){ head, got };
}

static struct kv_elf *parse(struct kv_arena *a, struct kv_file *f)
{
	struct kv_elf *e = kv_new(a, struct kv_elf);
	struct reader rd = { .arena = a, .file = f, .e = e };
	struct dynamic d = { 0 };
	uint64_t phoff = 0, dyn = 0, dynsz = 0, need;
	struct kv_span ph, h;
	uint8_t head[1024];

	e->st = *kv_file_stat(f);
	e->symtab = kv_new(a, struct kv_elf_symtab);
	read_head(&rd, head, sizeof(head), &h);
	if (e->read_error < 0)
		return e;
	e->too_short = h.n < sizeof(Elf32_Ehdr) ||
		       (h.p[EI_CLASS] != ELFCLASS32 && h.n < sizeof(Elf64_Ehdr));
	if (e->too_short || !read_header(&rd, h, &phoff))
		return e;
	need = (uint64_t)e->phnum * e->phentsize;
	if (!kv_span_sub(h, phoff, need, &ph) && !read_at(&rd, phoff, need, &ph)) {
		e->phdrs_short = true;
		return e;
	}
	read_phdrs(&rd, ph, &dyn, &dynsz);
	if (!e->has_dynamic || !read_dynamic(&rd, dyn, dynsz, &d))
		return e;
	e->has_strtab = find_strtab(&rd);
	if (!e->has_strtab)
		return e;
	if (d.has_soname)
		e->soname = str_at(&rd, d.soname);
	if (d.has_rpath)
		e->rpath = str_at(&rd, d.rpath);
	if (d.has_runpath)
		e->runpath = str_at(&rd, d.runpath);
	for (size_t i = 0; i < d.needed.n; i++)
		kv_vec_push(a, &e->needed, kv_strdup(a, str_at(&rd, d.needed.v[i])));
	read_verneeds(&rd, &d);
	read_verdefs(&rd, &d);
	return e;
}

/* Keeps what later questions about symbols and data need: the fd, or the bytes where there is none.
 */
static void keep_file(struct kv_elf *e, struct kv_arena *a, struct kv_file *f)
{
	struct kv_elf_symtab *t = e->symtab;
	uint8_t *p;

	t->arena = a;
	t->size = e->st.size;
	t->fd = kv_file_fd(f) < 0 ? -1 : kv_file_steal_fd(f);
	if (t->fd >= 0)
		return;
	p = kv_alloc_raw(a, (size_t)t->size);
	if (kv_file_read(f, 0, p, (size_t)t->size, &t->bytes.n) == 0)
		t->bytes.p = p;
}

struct kv_elf *kv_elf_parse(struct kv_arena *a, struct kv_file *f)
{
	struct kv_elf *e = parse(a, f);

	keep_file(e, a, f);
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
