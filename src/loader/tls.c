/*
 * The static TLS block: what a library with the initial-exec model takes of it, and when dlopen
 * finds no room any more (glibc elf/dl-tls.c _dl_determine_tlsoffset(), elf/dl-reloc.c
 * _dl_try_allocate_static_tls()).
 */
#include "loader/internal.h"

/* What is left for dlopen: 64 + DL_NNS * 100 until 2.31; since then as much by default. */
#define SURPLUS 1664
/* How much of it a namespace has for others than libc. */
#define OTHER_IE_TLS 144

/* struct pthread is a multiple of this, and the block's alignment at least this. */
#define TCB_ALIGN 64

/* Since 2.41 the area for restartable sequences lies in the block (sysdeps/.../rseq-internal.h). */
#define RSEQ 32

static uint64_t round_up(uint64_t n, uint64_t align)
{
	return align ? (n + align - 1) / align * align : n;
}

/* Above the thread pointer on AArch64 and RISC-V, below it on x86-64 (TLS_DTV_AT_TP,
 * TLS_TCB_AT_TP). */
static bool is_above(const struct kv_loader *l)
{
	return l->machine == EM_AARCH64 || l->machine == EM_RISCV;
}

struct layout {
	uint64_t offset, free_top, free_bottom, max_align;
};

static uint64_t first_byte(const struct kv_elf_tls *tls)
{
	return tls->align ? tls->vaddr & (tls->align - 1) : 0;
}

/* Downwards: a module's offset is where it begins, counted from the thread pointer. */
static uint64_t place_below(struct layout *lay, const struct kv_elf_tls *tls)
{
	uint64_t align = tls->align ? tls->align : 1;
	uint64_t first = (0 - first_byte(tls)) & (align - 1), off;

	if (lay->free_bottom - lay->free_top >= tls->memsz) {
		off = round_up(lay->free_top + tls->memsz - first, align) + first;
		if (off <= lay->free_bottom) {
			lay->free_top = off;
			return off;
		}
	}
	off = round_up(lay->offset + tls->memsz - first, align) + first;
	if (off > lay->offset + tls->memsz + (lay->free_bottom - lay->free_top)) {
		lay->free_top = lay->offset;
		lay->free_bottom = off - tls->memsz;
	}
	lay->offset = off;
	return off;
}

/* Upwards: after the thread control block's two words. */
static uint64_t place_above(struct layout *lay, const struct kv_elf_tls *tls)
{
	uint64_t align = tls->align ? tls->align : 1;
	uint64_t first = (0 - first_byte(tls)) & (align - 1), off;

	if (tls->memsz <= lay->free_top - lay->free_bottom) {
		off = round_up(lay->free_bottom, align);
		if (off - lay->free_bottom < first)
			off += align;
		if (off + tls->memsz - first <= lay->free_top) {
			lay->free_bottom = off + tls->memsz - first;
			return off - first;
		}
	}
	off = round_up(lay->offset, align);
	if (off - lay->offset < first)
		off += align;
	if (off - first - lay->offset > lay->free_top - lay->free_bottom) {
		lay->free_bottom = lay->offset;
		lay->free_top = off - first;
	}
	lay->offset = off + tls->memsz - first;
	return off - first;
}

/* _dl_tls_static_surplus_init(). Before it, who can do without took what there was. */
static uint64_t surplus(const struct kv_process *p, uint64_t *ret_optional)
{
	uint64_t libc = kv_loader_ldso(p->l)->version < 35 ? 192 : 144, spaces;

	*ret_optional = UINT64_MAX;
	if (!kv_loader_ldso(p->l)->has_tls_tunables)
		return SURPLUS;
	spaces = kv_tunable(p, "glibc.rtld.nns", 1, 16, 4);
	*ret_optional = kv_tunable(p, "glibc.rtld.optional_static_tls", 0, SIZE_MAX, 512);
	return SURPLUS - 512 + *ret_optional - 4 * (libc + OTHER_IE_TLS) +
	       spaces * (libc + OTHER_IE_TLS);
}

void kv_tls_start(struct kv_process *p)
{
	bool above = is_above(p->l);
	struct layout lay = { .offset = above ? 16 : 0, .max_align = TCB_ALIGN };

	for (size_t i = 0; i < p->loaded.n; i++) {
		struct kv_object *o = p->loaded.v[i];

		if (!o->elf || !o->elf->tls.memsz)
			continue;
		if (o->elf->tls.align > lay.max_align)
			lay.max_align = o->elf->tls.align;
		o->tls_offset =
			above ? place_above(&lay, &o->elf->tls) : place_below(&lay, &o->elf->tls);
	}
	if (kv_loader_ldso(p->l)->version >= 41)
		lay.offset = round_up(lay.offset + RSEQ, RSEQ);
	p->tls.used = lay.offset;
	p->tls_size = round_up(lay.offset + surplus(p, &p->tls.optional), lay.max_align);
	p->tls_align = lay.max_align;
	p->tls_at_start = p->tls;
}

bool kv_tls_fits(const struct kv_process *p)
{
	struct kv_process then = *p;

	for (size_t i = 0; i < p->loaded.n; i++) {
		struct kv_object copy = *p->loaded.v[i];

		if (copy.elf && copy.elf->tls.memsz && !kv_tls_make_static(&then, &copy, false))
			return false;
	}
	return true;
}

/* Bytes of the block that the object would take; 0 where it has no room. *ret_at: the offset. */
static uint64_t room_for(const struct kv_process *p, const struct kv_elf_tls *tls, uint64_t *ret_at)
{
	uint64_t free = p->tls_size - p->tls.used, align = tls->align ? tls->align : 1, size, use;

	if (align > p->tls_align)
		return 0;
	if (is_above(p->l)) {
		*ret_at = round_up(p->tls.used, align);
		if (*ret_at > p->tls_size || p->tls_size - *ret_at < tls->memsz)
			return 0;
		return *ret_at + tls->memsz - p->tls.used;
	}
	size = tls->memsz + first_byte(tls);
	if (free < size)
		return 0;
	use = free - (free - size) / align * align - first_byte(tls);
	*ret_at = p->tls.used + use;
	return use;
}

bool kv_tls_make_static(struct kv_process *p, struct kv_object *o, bool optional)
{
	uint64_t use, at;

	if (o->tls_offset)
		return true;
	use = room_for(p, &o->elf->tls, &at);
	if (!use || (optional && use > p->tls.optional))
		return false;
	if (optional && kv_loader_ldso(p->l)->has_tls_tunables)
		p->tls.optional -= use;
	p->tls.used += use;
	o->tls_offset = at;
	return true;
}
