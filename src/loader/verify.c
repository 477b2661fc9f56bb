/*
 * What the loader thinks of one file: open_verify() and the checks of _dl_map_object_from_fd() in
 * glibc's elf/dl-load.c, in their order, with their texts.
 */
#include "loader/cache.h"

#define PAGE 4096u

static enum kv_open fatal(struct kv_opened *ret, const char *why)
{
	ret->why = why;
	return KV_OPEN_FATAL;
}

/* Passed over as if it were not there. */
static enum kv_open skip(struct kv_opened *ret, const char *why)
{
	ret->why = why;
	return KV_OPEN_SKIP;
}

/* What is wrong with e_ident behind its class; NULL where nothing is. */
static const char *ident_fault(struct kv_loader *l, const uint8_t *id)
{
	if (id[EI_DATA] != (l->be ? ELFDATA2MSB : ELFDATA2LSB))
		return l->be ? "ELF file data encoding not big-endian"
			     : "ELF file data encoding not little-endian";
	if (id[EI_VERSION] != EV_CURRENT)
		return "ELF file version ident does not match current one";
	if (id[EI_OSABI] != ELFOSABI_SYSV && id[EI_OSABI] != ELFOSABI_GNU)
		return "ELF file OS ABI invalid";
	/* VALID_ELF_ABIVERSION, libc-abis: absolute symbols came with 2.28. */
	if (id[EI_ABIVERSION] != 0 &&
	    !(id[EI_OSABI] == ELFOSABI_GNU &&
	      id[EI_ABIVERSION] < (kv_loader_ldso(l)->version < 28 ? 3 : 4)))
		return "ELF file ABI version invalid";
	for (size_t i = EI_PAD; i < EI_NIDENT; i++)
		if (id[i])
			return "nonzero padding in e_ident";
	return NULL;
}

static enum kv_open check_ident(struct kv_loader *l, const struct kv_elf *e, struct kv_opened *ret)
{
	const char *why;

	if (memcmp(e->ident, ELFMAG, SELFMAG) != 0)
		return fatal(ret, "invalid ELF header");
	if (e->ident[EI_CLASS] != (l->is64 ? ELFCLASS64 : ELFCLASS32)) {
		ret->other_class = true;
		return skip(ret, kv_wrong_class(l));
	}
	why = ident_fault(l, e->ident);
	if (!why)
		return KV_OPEN_OK;
	/* A patch of Debian's looks at the machine before it complains, in the loader's own byte
	 * order. */
	if (kv_loader_ldso(l)->is_debian &&
	    (e->be == l->be ? e->machine : __builtin_bswap16(e->machine)) != l->machine)
		return skip(ret, "wrong machine");
	return fatal(ret, why);
}

/* Until 2.35 (b46d250656): an object that is for a newer kernel, or no Linux, is passed over. The
 * kernel is taken to be this machine's. */
static bool is_kernel_too_old(struct kv_loader *l, const struct kv_elf *e)
{
	uint32_t os, kernel;

	if (kv_loader_ldso(l)->version >= 36 || !kv_elf_kernel(e, &os, &kernel))
		return false;
	return os != 0 || kernel > kv_cache_kernel();
}

static bool is_note_cut(const struct kv_elf *e)
{
	for (size_t i = 0; i < e->n_notes; i++) {
		const struct kv_elf_segment *n = &e->notes[i];

		if (n->filesz >= 32 && (n->align == 4 || n->align == 8) &&
		    (n->offset > e->st.size || e->st.size - n->offset < n->filesz))
			return true;
	}
	return false;
}

static enum kv_open check_header(struct kv_loader *l, const struct kv_elf *e, bool library,
				 struct kv_opened *ret)
{
	if (e->version != EV_CURRENT)
		return fatal(ret, "ELF file version does not match current one");
	if (e->machine != l->machine)
		return skip(ret, "wrong machine");
	if (e->type != ET_DYN && e->type != ET_EXEC)
		return fatal(ret, "only ET_DYN and ET_EXEC can be loaded");
	/* Until 2.29 here; later when it is mapped. */
	if (e->type == ET_EXEC && library && kv_loader_ldso(l)->version < 30)
		return fatal(ret, "cannot dynamically load executable");
	if (e->phentsize != (l->is64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr)))
		return fatal(ret, "ELF file's phentsize not the expected size");
	if (e->phdrs_short)
		return fatal(ret, "cannot read file data");
	/* The note is read until 2.35. */
	if (kv_loader_ldso(l)->version < 36 && is_note_cut(e))
		return fatal(ret, "cannot read file data");
	if (is_kernel_too_old(l, e))
		return skip(ret, "for a newer kernel, or no Linux (.note.ABI-tag)");
	return KV_OPEN_OK;
}

static enum kv_open open_error(struct kv_process *p, int error, struct kv_opened *ret)
{
	/* open() succeeds on a directory, read() does not. */
	if (error == -EISDIR) {
		p->err = EISDIR;
		return fatal(ret, kv_strf(p->arena, "cannot read file data%s", kv_errno_text(p)));
	}
	if (error == -EINVAL) {
		ret->why = "a device, FIFO or socket, which kvpath does not open";
		return KV_OPEN_UNKNOWN;
	}
	if (error == -EIO || error == -EMFILE || error == -ENFILE || error == -ENOMEM) {
		ret->why = kv_strf(p->arena, "kvpath cannot read it: %s", strerror(-error));
		return KV_OPEN_UNKNOWN;
	}
	p->err = -error;
	ret->why = strerror(-error);
	return KV_OPEN_SKIP;
}

enum kv_open kv_open_verify(struct kv_process *p, const char *path, struct kv_opened *ret)
{
	enum kv_open r;
	int error;

	*ret = (struct kv_opened){ .path = path };
	error = -ENOENT;
	ret->elf = *path ? kv_loader_elf(p->l, kv_guest(p->l, path), &error) : NULL;
	if (!ret->elf)
		return open_error(p, error, ret);
	p->err = -ret->elf->read_error;
	if (p->err)
		return fatal(ret, kv_strf(p->arena, "cannot read file data%s", kv_errno_text(p)));
	if (ret->elf->too_short)
		return fatal(ret, "file too short");
	r = check_ident(p->l, ret->elf, ret);
	if (r == KV_OPEN_OK)
		r = check_header(p->l, ret->elf, p->main != NULL, ret);
	if (r == KV_OPEN_SKIP)
		p->err = ENOENT;
	return r;
}

/* ---- mapping ---- */

static const char *check_segments(struct kv_loader *l, const struct kv_elf *e)
{
	bool old = kv_loader_ldso(l)->version < 35;

	for (size_t i = 0; i < e->loads.n; i++) {
		const struct kv_elf_segment *s = &e->loads.v[i];

		if (old && (s->align & (PAGE - 1)))
			return "ELF load command alignment not page-aligned";
		if (old && ((s->vaddr - s->offset) & (s->align - 1)))
			return "ELF load command address/offset not properly aligned";
		if ((s->vaddr - s->offset) & (PAGE - 1))
			return old ? "ELF load command address/offset not properly aligned"
				   : "ELF load command address/offset not page-aligned";
	}
	return e->loads.n ? NULL : "object file has no loadable segments";
}

/* What mapping an object touches at once: its dynamic section and strings, and the end of what the
 * file has of a segment, behind which zeros are written. */
static bool is_cut_at_once(const struct kv_elf *e)
{
	if (!e->truncated)
		return false;
	if (kv_elf_is_cut(e, e->dyn_addr, e->dyn_size) ||
	    kv_elf_is_cut(e, e->symtab->strtab_addr, e->symtab->strtab_size))
		return true;
	for (size_t i = 0; i < e->loads.n; i++) {
		const struct kv_elf_segment *s = &e->loads.v[i];

		if (s->filesz && s->memsz > s->filesz &&
		    kv_elf_is_cut(e, s->vaddr + s->filesz - 1, 1))
			return true;
	}
	return false;
}

static bool is_cut_by_pages(const struct kv_elf *e)
{
	for (size_t i = 0; i < e->loads.n; i++)
		if (kv_elf_is_cut(e, e->loads.v[i].vaddr, e->loads.v[i].filesz))
			return true;
	return false;
}

/* Where a stack is executable unless an object says otherwise (sysdeps/.../stackinfo.h). */
static unsigned stack_flags_of(const struct kv_loader *l, const struct kv_elf *e)
{
	if (e->has_stack)
		return e->stack_flags;
	return l->machine == EM_AARCH64 || l->machine == EM_RISCV ? 0 : PF_X;
}

/* Since 2.41; that it can be forced came into that release's branch, and all others. */
enum kv_stack_mode kv_stack_mode(const struct kv_process *p)
{
	if (kv_loader_ldso(p->l)->version < 41)
		return KV_STACK_AT_START;
	return (enum kv_stack_mode)kv_tunable(p, "glibc.rtld.execstack", KV_STACK_REFUSED,
					      KV_STACK_FORCED, KV_STACK_AT_START);
}

enum kv_open kv_check_mapping(struct kv_process *p, const struct kv_elf *e, enum kv_mapping kind,
			      const char **ret_why)
{
	bool tls_lost;

	*ret_why = check_segments(p->l, e);
	if (*ret_why)
		return KV_OPEN_FATAL;
	/* It gets its number now, and keeps it in vain where it is refused (see start.c). */
	tls_lost = p->tls_lost;
	p->tls_lost |= e->tls.memsz != 0;
	if (e->type != ET_DYN)
		*ret_why = "cannot dynamically load executable";
	if (!*ret_why && (!e->has_dynamic || e->empty_dynamic))
		*ret_why = "object file has no dynamic section";
	if (!*ret_why && is_cut_at_once(e)) {
		*ret_why = KV_TEXT_CUT;
		return KV_OPEN_ABORT;
	}
	if (!*ret_why && e->truncated && !is_cut_by_pages(e)) {
		*ret_why = "the file is cut short within its last page, which reads as zeros";
		return KV_OPEN_UNKNOWN;
	}
	if (!*ret_why && e->dynamic_lost) {
		*ret_why = KV_TEXT_DYNAMIC_LOST;
		return KV_OPEN_UNKNOWN;
	}
	/* Refused since 2.30 (2c75b545de). */
	if (!*ret_why && (e->flags_1 & DF_1_PIE) && kv_loader_ldso(p->l)->version >= 30)
		*ret_why = "cannot dynamically load position-independent executable";
	if (!*ret_why && kind == KV_MAP_DLOPEN && (e->flags_1 & DF_1_NOOPEN))
		*ret_why = "shared object cannot be dlopen()ed";
	if (!*ret_why && (stack_flags_of(p->l, e) & ~p->stack_flags & PF_X)) {
		/* Since 2.41 dlopen leaves the stack as it is (0ca8785a28). */
		if ((kind == KV_MAP_DLOPEN && kv_loader_ldso(p->l)->version >= 41) ||
		    kv_stack_mode(p) == KV_STACK_REFUSED)
			*ret_why = "cannot enable executable stack as shared object requires: "
				   "Invalid argument";
		else
			p->stack_flags |= PF_X;
	}
	if (*ret_why)
		return KV_OPEN_FATAL;
	p->tls_lost = tls_lost;
	return KV_OPEN_OK;
}
