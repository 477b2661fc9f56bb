/*
 * What the loader thinks of one file: open_verify() and the checks of _dl_map_object_from_fd() in
 * glibc's elf/dl-load.c, in their order, with their texts.
 */
#include "loader/internal.h"

static enum kv_open fatal(struct kv_opened *ret, const char *why)
{
	ret->why = why;
	return KV_OPEN_FATAL;
}

static enum kv_open check_ident(const struct kv_loader *l, const struct kv_elf *e,
				struct kv_opened *ret)
{
	const uint8_t *id = e->ident;

	if (memcmp(id, ELFMAG, SELFMAG) != 0)
		return fatal(ret, "invalid ELF header");
	if (id[EI_CLASS] != (l->is64 ? ELFCLASS64 : ELFCLASS32)) {
		ret->other_class = true;
		ret->why = l->is64 ? "wrong ELF class: ELFCLASS32" : "wrong ELF class: ELFCLASS64";
		return KV_OPEN_SKIP;
	}
	if (id[EI_DATA] != (l->be ? ELFDATA2MSB : ELFDATA2LSB))
		return fatal(ret, l->be ? "ELF file data encoding not big-endian"
					: "ELF file data encoding not little-endian");
	if (id[EI_VERSION] != EV_CURRENT)
		return fatal(ret, "ELF file version ident does not match current one");
	if (id[EI_OSABI] != ELFOSABI_SYSV && id[EI_OSABI] != ELFOSABI_GNU)
		return fatal(ret, "ELF file OS ABI invalid");
	/* sysdeps/gnu/ldsodefs.h VALID_ELF_ABIVERSION, libc-abis */
	if (id[EI_ABIVERSION] != 0 && !(id[EI_OSABI] == ELFOSABI_GNU && id[EI_ABIVERSION] < 4))
		return fatal(ret, "ELF file ABI version invalid");
	for (size_t i = EI_PAD; i < EI_NIDENT; i++)
		if (id[i])
			return fatal(ret, "nonzero padding in e_ident");
	return KV_OPEN_OK;
}

static enum kv_open check_header(const struct kv_loader *l, const struct kv_elf *e,
				 struct kv_opened *ret)
{
	if (e->version != EV_CURRENT)
		return fatal(ret, "ELF file version does not match current one");
	if (e->machine != l->machine) {
		ret->why = "wrong machine";
		return KV_OPEN_SKIP;
	}
	if (e->type != ET_DYN && e->type != ET_EXEC)
		return fatal(ret, "only ET_DYN and ET_EXEC can be loaded");
	if (e->phentsize != (l->is64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr)))
		return fatal(ret, "ELF file's phentsize not the expected size");
	if (e->phdrs_short)
		return fatal(ret, "cannot read file data");
	return KV_OPEN_OK;
}

static enum kv_open check_segments(struct kv_loader *l, const struct kv_elf *e,
				   struct kv_opened *ret)
{
	for (size_t i = 0; i < e->loads.n; i++) {
		const struct kv_elf_segment *s = &e->loads.v[i];
		bool aligned = !s->align || ((s->vaddr - s->offset) & (s->align - 1)) == 0;

		if (!aligned || ((s->vaddr - s->offset) & 4095))
			return fatal(
				ret,
				kv_loader_ldso(l)->version >= 35
					? "ELF load command address/offset not page-aligned"
					: "ELF load command address/offset not properly aligned");
	}
	if (!e->loads.n)
		return fatal(ret, "object file has no loadable segments");
	if (!e->has_dynamic)
		return fatal(ret, "object file has no dynamic section");
	if (e->truncated) {
		ret->why = "the file is shorter than its program headers say: SIGBUS";
		return KV_OPEN_ABORT;
	}
	return KV_OPEN_OK;
}

static enum kv_open open_error(struct kv_loader *l, int error, struct kv_opened *ret)
{
	ret->why = strerror(-error);
	/* ENOTDIR is passed over since 2.39 (glibc a8dcffb306). */
	if (error == -ENOENT || error == -EACCES ||
	    (error == -ENOTDIR && kv_loader_ldso(l)->version >= 39))
		return KV_OPEN_SKIP;
	return KV_OPEN_STOP_LIST;
}

enum kv_open kv_open_verify(struct kv_loader *l, const char *path, struct kv_opened *ret)
{
	enum kv_open r;

	*ret = (struct kv_opened){ .path = path };
	ret->elf = kv_loader_elf(l, path, &ret->error);
	if (!ret->elf &&
	    ret->error == -EISDIR) /* open() succeeds on a directory, read() does not */
		return fatal(ret, "cannot read file data: Is a directory");
	if (!ret->elf)
		return open_error(l, ret->error, ret);
	if (ret->elf->read_error)
		return fatal(ret, kv_strf(l->arena, "cannot read file data: %s",
					  strerror(-ret->elf->read_error)));
	if (ret->elf->too_short)
		return fatal(ret, "file too short");
	r = check_ident(l, ret->elf, ret);
	if (r == KV_OPEN_OK)
		r = check_header(l, ret->elf, ret);
	if (r == KV_OPEN_OK)
		r = check_segments(l, ret->elf, ret);
	return r;
}
