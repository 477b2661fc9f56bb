/*
 * The tables that the dynamic section points to. They lie together at the start of the file, or,
 * where patchelf moved some, in a few pieces: each piece is read by one call, and kept.
 */
#include "elf/elf.h"

#define MAX_TABLES ((uint64_t)64 << 20)  /* of one object */
#define MAPPED     ((uint64_t)128 << 10) /* pieces from this many bytes on */
#define GAP        4096                  /* what lies between two tables is read along */
#define PAGE       4096u
#define RELOCS     ((size_t)16 << 10) /* bytes of relocations read at a time */
#define RUN        16                 /* segments behind one another that are taken for one */

/*
 * Segments are mapped by whole pages: what the file has before and behind one in its first and last
 * page can be read too, unless zeros were written behind it. A later segment covers an earlier one.
 */
static const struct kv_elf_segment *segment_at(const struct kv_elf *e, uint64_t vaddr,
					       uint64_t *ret_off, uint64_t *ret_left)
{
	for (size_t i = e->loads.n; i-- > 0;) {
		const struct kv_elf_segment *s = &e->loads.v[i];
		uint64_t before = s->vaddr % PAGE, n = s->filesz + before, at;

		if (!s->filesz || s->offset < before || vaddr < s->vaddr - before ||
		    s->filesz > UINT64_MAX / 2)
			continue;
		at = vaddr - (s->vaddr - before);
		if (s->memsz <= s->filesz)
			n = (n + PAGE - 1) / PAGE * PAGE;
		if (at >= n)
			continue;
		*ret_off = s->offset - before + at;
		*ret_left = n - at;
		return s;
	}
	return NULL;
}

/*
 * What patchelf puts in front of a program's first segment is a segment of its own, and its tables
 * go on in the next one, which lies behind it in the file too.
 */
bool kv_elf_to_offset(const struct kv_elf *e, uint64_t vaddr, uint64_t *ret_off, uint64_t *ret_left)
{
	uint64_t off, left;

	if (!segment_at(e, vaddr, ret_off, ret_left))
		return false;
	for (int i = 0; i < RUN && *ret_left <= UINT64_MAX - vaddr; i++) {
		if (!segment_at(e, vaddr + *ret_left, &off, &left) || off != *ret_off + *ret_left ||
		    left > UINT64_MAX - *ret_left)
			break;
		*ret_left += left;
	}
	return true;
}

bool kv_elf_is_debug_readonly(const struct kv_elf *e)
{
	uint64_t off, left;
	const struct kv_elf_segment *s = segment_at(e, e->dyn_addr, &off, &left);

	return e->has_debug && (e->dyn_flags & PF_W) && s && !(s->flags & PF_W);
}

bool kv_elf_is_cut(const struct kv_elf *e, uint64_t vaddr, uint64_t n)
{
	uint64_t end = (e->st.size + PAGE - 1) / PAGE * PAGE, off, left;

	if (!kv_elf_to_offset(e, vaddr, &off, &left))
		return false; /* no byte of the file */
	if (n > left)
		n = left;
	return off > end || end - off < n;
}

/* Of much, few pages are looked at: it is mapped, if it is a host's file that holds all of it. */
static bool map_much(struct kv_file *f, uint64_t off, uint64_t n, struct kv_span *ret)
{
	return n >= MAPPED && kv_file_map(f, off, (size_t)n, ret) == 0;
}

struct kv_span kv_elf_read_at(const struct kv_elf *e, struct kv_arena *a, uint64_t off, uint64_t n)
{
	struct kv_span s = { 0 };
	uint8_t *p;

	if (!e->symtab->file || off >= e->st.size)
		return s;
	if (n > e->st.size - off)
		n = e->st.size - off;
	if (map_much(e->symtab->file, off, n, &s))
		return s;
	p = kv_alloc_raw(a, (size_t)n);
	if (kv_file_read(e->symtab->file, off, p, (size_t)n, &s.n) == 0)
		s.p = p;
	return s;
}

size_t kv_elf_read_to(const struct kv_elf *e, uint64_t off, uint8_t *buf, size_t n)
{
	size_t got = 0;

	if (!e->symtab->file || off >= e->st.size)
		return 0;
	return kv_file_read(e->symtab->file, off, buf, n, &got) == 0 ? got : 0;
}

/* Size of the table at vaddr: up to the next table or the end of what is mapped there, `left`. */
static uint64_t size_of(const struct kv_elf *e, uint64_t vaddr, uint64_t left)
{
	const struct kv_elf_symtab *t = e->symtab;

	for (size_t i = 0; i < t->n_tables; i++)
		if (t->tables[i] > vaddr && t->tables[i] - vaddr < left)
			left = t->tables[i] - vaddr;
	return left;
}

/* Notes the piece of the file that holds the table; n 0: all of it. At most `most` bytes. */
static void add_piece(struct kv_elf *e, uint64_t vaddr, uint64_t n, uint64_t most)
{
	struct kv_elf_symtab *t = e->symtab;
	uint64_t off, left, end;

	if (!vaddr || !kv_elf_to_offset(e, vaddr, &off, &left))
		return;
	if (!n)
		n = size_of(e, vaddr, left);
	if (n > most)
		n = most;
	/* What a file lacks in its last page reads as zeros; beyond that there is nothing. */
	end = (e->st.size + PAGE - 1) / PAGE * PAGE;
	if (n > left || off >= end)
		return;
	if (n > end - off)
		n = end - off;
	for (size_t i = 0; i < t->n_pieces; i++) {
		struct kv_elf_piece *p = &t->pieces[i];
		uint64_t from = off < p->off ? off : p->off;
		uint64_t to = off + n > p->off + p->n ? off + n : p->off + p->n;

		if (to - from <= n + p->n + GAP) {
			p->off = from;
			p->n = to - from;
			return;
		}
	}
	if (t->n_pieces < KV_ELF_PIECES)
		t->pieces[t->n_pieces++] = (struct kv_elf_piece){ .off = off, .n = n };
}

/* What the file lacks of a piece is zero, as it is in the last page of a map. */
static bool read_piece(const struct kv_elf *e, struct kv_elf_piece *piece)
{
	struct kv_file *f = e->symtab->file;
	struct kv_span s;
	uint8_t *room;
	size_t got = 0;

	if (piece->p || !f)
		return piece->p != NULL;
	if (map_much(f, piece->off, piece->n, &s)) {
		piece->p = s.p;
		return true;
	}
	room = kv_alloc_raw(e->symtab->arena, (size_t)piece->n);
	if (kv_file_read(f, piece->off, room, (size_t)piece->n, &got) < 0)
		return false;
	memset(room + got, 0, (size_t)piece->n - got);
	piece->p = room;
	return true;
}

/* How many symbols there are at most: their table and that of their versions end where others
 * begin, unless patchelf moved what followed and left a hole. */
static uint64_t max_syms(const struct kv_elf *e)
{
	const struct kv_elf_symtab *t = e->symtab;
	uint64_t off, left, n = 0, versions;

	if (kv_elf_to_offset(e, t->symtab_addr, &off, &left))
		n = size_of(e, t->symtab_addr, left) /
		    (e->is64 ? sizeof(Elf64_Sym) : sizeof(Elf32_Sym));
	if (!t->versym_addr || !kv_elf_to_offset(e, t->versym_addr, &off, &left))
		return n;
	versions = size_of(e, t->versym_addr, left) / 2;
	return versions < n ? versions : n;
}

void kv_elf_find_tables(struct kv_elf *e, uint64_t verneed, uint64_t verdef)
{
	struct kv_elf_symtab *t = e->symtab;
	uint64_t n = t->max_syms = max_syms(e), total = 0;

	add_piece(e, t->symtab_addr, 0, n * (e->is64 ? sizeof(Elf64_Sym) : sizeof(Elf32_Sym)));
	add_piece(e, t->strtab_addr, t->strtab_size, MAX_TABLES);
	add_piece(e, t->versym_addr, 0, n * 2);
	/* No field states how large a hash table is. GNU ld makes some 7 bytes a symbol. */
	add_piece(e, t->gnu_hash_addr, 0, n * 8 + 64);
	add_piece(e, t->hash_addr, 0, n * 8 + 64);
	add_piece(e, verneed, 0, 1 << 20);
	add_piece(e, verdef, 0, 1 << 20);
	for (size_t i = 0; i < t->n_pieces; i++)
		total += t->pieces[i].n;
	if (total > MAX_TABLES)
		t->n_pieces = 0;
}

bool kv_elf_table(const struct kv_elf *e, uint64_t vaddr, uint64_t n, struct kv_span *ret)
{
	struct kv_elf_symtab *t = e->symtab;
	uint64_t off, left;

	if (!vaddr || !kv_elf_to_offset(e, vaddr, &off, &left))
		return false;
	for (size_t i = 0; i < t->n_pieces; i++) {
		struct kv_elf_piece *p = &t->pieces[i];

		if (off < p->off || off - p->off >= p->n)
			continue;
		if (!n) {
			n = size_of(e, vaddr, left);
			n = n < p->n - (off - p->off) ? n : p->n - (off - p->off);
		}
		return read_piece(e, p) &&
		       kv_span_sub((struct kv_span){ p->p, (size_t)p->n }, off - p->off, n, ret);
	}
	return false;
}

/* The relocations of one table, in chunks. 1: fn wants no more. */
static int relocs_of(const struct kv_elf *e, size_t which, const uint32_t *only, uint8_t *chunk,
		     bool (*fn)(const struct kv_elf_reloc *r, void *arg), void *arg)
{
	const struct kv_elf_symtab *t = e->symtab;
	uint64_t w = e->is64 ? 8 : 4, step = w * (t->relocs[which].addends ? 3 : 2), off, left;
	uint64_t size = t->relocs[which].size, n_relative = t->relocs[which].n_relative, info;
	struct kv_elf_reloc r = { .plt = which == 2 };

	if (!size)
		return 0;
	if (!t->file || !kv_elf_to_offset(e, t->relocs[which].addr, &off, &left) || left < size)
		return -EINVAL;
	/* What linkers sort to the front, and count (DT_RELACOUNT), are most of them. */
	n_relative = !only ? 0 : n_relative < size / step ? n_relative : size / step;
	for (uint64_t done = n_relative * step; done < size;) {
		uint64_t n = size - done < RELOCS ? size - done : RELOCS / step * step;
		struct kv_span s = { chunk, 0 };

		if (kv_file_read(t->file, off + done, chunk, (size_t)n, &s.n) < 0)
			return -EIO;
		for (uint64_t at = 0; kv_elf_word(e, s, at + w, &info); at += step) {
			r.type = (uint32_t)(e->is64 ? info & 0xffffffff : info & 0xff);
			if (only && r.type != only[0] && r.type != only[1])
				continue;
			r.sym = (uint32_t)(e->is64 ? info >> 32 : info >> 8);
			kv_elf_word(e, s, at, &r.offset);
			if (fn(&r, arg))
				return 1;
		}
		/* The sizes may promise exabytes that the file does not have. */
		if (s.n < n)
			break;
		done += n;
	}
	return 0;
}

bool kv_elf_relocs(const struct kv_elf *e, const uint32_t only[2],
		   bool (*fn)(const struct kv_elf_reloc *r, void *arg), void *arg)
{
	uint8_t chunk[RELOCS];
	bool good = true;

	for (size_t i = 0; i < KV_ARRAY_SIZE(e->symtab->relocs); i++) {
		int r = relocs_of(e, i, only, chunk, fn, arg);

		if (r > 0)
			break;
		good &= r == 0;
	}
	return good;
}
