/* The header and the program headers. What they lead to is in dynamic.c and notes.c. */
#include "elf/dynamic.h"

#define HEAD 2048 /* holds the program headers and notes of nearly every object */

#define PROPERTY       5 /* NT_GNU_PROPERTY_TYPE_0 */
#define X86_ISA_NEEDED 0xc0008002u

struct reader {
	struct kv_elf *e;
	struct kv_file *file;
	struct kv_span head;
	uint64_t dyn, dynsz;
	bool has_property; /* PT_GNU_PROPERTY, beside which PT_NOTE is not asked */
};

/* n bytes at off: of the head, or read. */
static bool bytes_at(struct reader *rd, uint64_t off, uint64_t n, struct kv_span *ret)
{
	size_t got;
	uint8_t *p;

	if (kv_span_sub(rd->head, off, n, ret))
		return true;
	if (off > rd->e->st.size || rd->e->st.size - off < n)
		return false;
	p = kv_alloc_raw(rd->e->symtab->arena, (size_t)n);
	if (kv_file_read(rd->file, off, p, (size_t)n, &got) < 0 || got < n)
		return false;
	*ret = (struct kv_span){ p, (size_t)n };
	return true;
}

static bool read_header(struct reader *rd, uint64_t *ret_phoff)
{
	struct kv_elf *e = rd->e;
	struct kv_span h = rd->head;

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

/* The description of a GNU note: NT_GNU_PROPERTY_TYPE_0's records, each padded to a word. */
static void read_properties(struct kv_elf *e, struct kv_span s)
{
	uint32_t type, size, word = e->is64 ? 8 : 4;

	for (uint64_t at = 0; kv_span_u32(s, at, e->be, &type) &&
			      kv_span_u32(s, at + 4, e->be, &size) && s.n - at - 8 >= size;
	     at += 8 + ((uint64_t)size + word - 1) / word * word) {
		if (type == X86_ISA_NEEDED && size == 4)
			kv_span_u32(s, at + 8, e->be, &e->isa_needed);
		if (s.n - at < 16)
			return;
	}
}

static bool take_property(void *arg, uint32_t type, struct kv_span desc)
{
	if (type != PROPERTY)
		return false;
	read_properties(arg, desc);
	return true;
}

/* _dl_process_pt_gnu_property(): the note has to be aligned like a word. */
static void read_property_note(struct reader *rd, const struct kv_elf_segment *seg)
{
	uint64_t align = rd->e->is64 ? 8 : 4;
	struct kv_span s;

	if (seg->align == align && seg->filesz <= KV_ELF_MAX_NOTE &&
	    bytes_at(rd, seg->offset, seg->filesz, &s))
		kv_elf_each_note(s, rd->e->be, align, "GNU", take_property, rd->e);
}

static void read_phdr(struct reader *rd, uint32_t type, const struct kv_elf_segment *s)
{
	struct kv_elf *e = rd->e;
	struct kv_span text;

	switch (type) {
	case PT_LOAD:
		kv_vec_push(e->symtab->arena, &e->loads, *s);
		if (s->filesz && (s->offset > e->st.size || e->st.size - s->offset < s->filesz))
			e->truncated = true;
		break;
	case PT_DYNAMIC:
		e->has_dynamic = s->filesz != 0;
		e->empty_dynamic |= s->filesz == 0;
		rd->dyn = s->vaddr;
		e->dyn_flags = s->flags;
		rd->dynsz = s->memsz;
		break;
	case PT_INTERP:
		if (s->filesz && s->filesz < 4096 && bytes_at(rd, s->offset, s->filesz, &text) &&
		    kv_span_str(text, 0))
			e->interp = kv_strdup(e->symtab->arena, kv_span_str(text, 0));
		break;
	case PT_TLS:
		e->tls = (struct kv_elf_tls){ s->memsz, s->align, s->vaddr };
		break;
	case PT_GNU_STACK:
		e->has_stack = true;
		e->stack_flags = s->flags;
		break;
	case PT_GNU_PROPERTY:
		rd->has_property = true;
		read_property_note(rd, s);
		break;
	case PT_NOTE:
		if (e->n_notes < KV_ARRAY_SIZE(e->notes))
			e->notes[e->n_notes++] = *s;
		break;
	default:
		break;
	}
}

static void read_phdrs(struct reader *rd, struct kv_span ph)
{
	struct kv_elf *e = rd->e;

	for (uint64_t i = 0, at = 0; i < e->phnum; i++, at += e->phentsize) {
		struct kv_elf_segment s = { 0 };
		uint32_t type = PT_NULL;

		kv_span_u32(ph, at, e->be, &type);
		kv_span_u32(ph, at + (e->is64 ? 4 : 24), e->be, &s.flags);
		kv_elf_word(e, ph, at + (e->is64 ? 8 : 4), &s.offset);
		kv_elf_word(e, ph, at + (e->is64 ? 16 : 8), &s.vaddr);
		kv_elf_word(e, ph, at + (e->is64 ? 32 : 16), &s.filesz);
		kv_elf_word(e, ph, at + (e->is64 ? 40 : 20), &s.memsz);
		kv_elf_word(e, ph, at + (e->is64 ? 48 : 28), &s.align);
		read_phdr(rd, type, &s);
	}
	for (size_t i = 0; !rd->has_property && i < e->n_notes; i++)
		read_property_note(rd, &e->notes[i]);
}

static void parse(struct reader *rd, uint8_t *head)
{
	struct kv_elf *e = rd->e;
	uint64_t phoff = 0, need;
	struct kv_span ph;

	rd->head.p = head;
	e->read_error = kv_file_read(rd->file, 0, head, HEAD, &rd->head.n);
	if (e->read_error < 0)
		return;
	e->too_short = rd->head.n < sizeof(Elf32_Ehdr) ||
		       (head[EI_CLASS] != ELFCLASS32 && rd->head.n < sizeof(Elf64_Ehdr));
	if (e->too_short || !read_header(rd, &phoff))
		return;
	need = (uint64_t)e->phnum * e->phentsize;
	if (!bytes_at(rd, phoff, need, &ph)) {
		e->phdrs_short = true;
		return;
	}
	read_phdrs(rd, ph);
	e->dyn_addr = rd->dyn;
	e->dyn_size = rd->dynsz;
	if (e->has_dynamic)
		kv_elf_read_dynamic(e, rd->dyn, rd->dynsz);
}

struct kv_elf *kv_elf_parse(struct kv_arena *a, struct kv_file *f)
{
	struct kv_elf *e = kv_new(a, struct kv_elf);
	struct reader rd = { .e = e, .file = f };
	uint8_t head[HEAD];

	e->st = *kv_file_stat(f);
	e->symtab = kv_new(a, struct kv_elf_symtab);
	e->symtab->arena = a;
	e->symtab->file = f;
	parse(&rd, head);
	return e;
}

int kv_elf_read(struct kv_arena *a, struct kv_root *root, const char *guest, struct kv_elf **ret)
{
	struct kv_file *f;
	int e = kv_root_open_file(root, guest, &f);

	if (e < 0)
		return e;
	*ret = kv_elf_parse(a, f);
	return 0;
}

bool kv_elf_identify(struct kv_root *root, const char *guest, struct kv_elf_id *ret)
{
	_file_ struct kv_file *f = NULL;
	uint8_t head[20];
	struct kv_span s = { head, 0 };
	uint16_t type;

	if (kv_root_open_file(root, guest, &f) < 0 ||
	    kv_file_read(f, 0, head, sizeof(head), &s.n) < 0 || s.n < sizeof(head) ||
	    memcmp(head, ELFMAG, SELFMAG) != 0)
		return false;
	ret->is64 = head[EI_CLASS] == ELFCLASS64;
	ret->be = head[EI_DATA] == ELFDATA2MSB;
	kv_span_u16(s, 16, ret->be, &type);
	kv_span_u16(s, 18, ret->be, &ret->machine);
	return type == ET_DYN || type == ET_EXEC;
}

void kv_elf_release(const struct kv_elf *e)
{
	kv_file_close(e->symtab->file);
	e->symtab->file = NULL;
}
