/* The ELF reader on any bytes: everything that it can be asked is asked. */
#include "elf/elf.h"
#include "fuzz.h"
#include "root/tree.h"

#define MAX_ASKED 40 /* symbols, of each object */

static size_t n_strings;

static void use(const char *s)
{
	n_strings += s ? strlen(s) : 0;
}

static bool on_symbol(const struct kv_elf_sym *sym, void *arg)
{
	use(sym->name);
	return ++*(unsigned *)arg > MAX_ASKED;
}

static bool on_reloc(const struct kv_elf_reloc *r, void *arg)
{
	const struct kv_elf *e = arg;
	struct kv_elf_sym sym;

	if (kv_elf_sym(e, r->sym, &sym))
		use(sym.name);
	return false;
}

static void ask_notes(const struct kv_elf *e, struct kv_arena *a)
{
	uint32_t os, kernel;
	kv_elf_dlopens list;

	(void)kv_elf_kernel(e, &os, &kernel);
	kv_elf_read_dlopens(e, a, &list);
	for (size_t i = 0; i < list.n; i++) {
		use(list.v[i].feature);
		use(list.v[i].description);
		use(list.v[i].priority);
		KV_PROMISE(list.v[i].sonames.n > 0);
		for (size_t j = 0; j < list.v[i].sonames.n; j++)
			use(list.v[i].sonames.v[j]);
	}
}

static void ask_header(const struct kv_elf *e)
{
	use(e->soname);
	use(e->rpath);
	use(e->runpath);
	use(e->interp);
	for (size_t i = 0; i < e->needed.n; i++)
		use(e->needed.v[i]);
	for (size_t i = 0; i < e->deps.n; i++)
		use(e->deps.v[i].name);
	for (size_t i = 0; i < e->verneeds.n; i++) {
		use(e->verneeds.v[i].file);
		use(e->verneeds.v[i].name);
	}
	for (size_t i = 0; i < e->verdefs.n; i++) {
		use(e->verdefs.v[i].name);
		KV_PROMISE(kv_elf_defines_version(e, e->verdefs.v[i].name));
	}
	use(kv_elf_max_need(e, "GLIBC_"));
	use(kv_elf_max_def(e, "GLIBC_"));
	for (size_t i = 0; i < e->loads.n; i++)
		(void)kv_elf_is_cut(e, e->loads.v[i].vaddr, e->loads.v[i].memsz);
}

static void ask_symbols(const struct kv_elf *e)
{
	size_t n = kv_elf_n_syms(e);
	struct kv_elf_ref r = { 0 };
	struct kv_elf_sym sym;
	unsigned found = 0;

	(void)kv_elf_has_versym(e);
	for (size_t i = 0; i < n && i < MAX_ASKED; i++) {
		char name[64];
		uint32_t hash;

		if (!kv_elf_sym(e, i, &sym))
			continue;
		snprintf(name, sizeof(name), "%s", sym.name);
		hash = kv_elf_gnu_hash(name);
		(void)kv_elf_sysv_hash(name);
		(void)kv_elf_lookup(e, name, hash, on_symbol, &found);
	}
	KV_PROMISE(!kv_elf_sym(e, SIZE_MAX, &sym));
	while (kv_elf_next_ref(e, &r))
		use(r.name);
	(void)kv_elf_relocs(e, NULL, on_reloc, (void *)(uintptr_t)e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kv_arena *a = kv_arena_new();
	struct kv_tree *t = kv_tree_of_bytes(a, (struct kv_span){ data, size });
	struct kv_elf *e;
	struct kv_file *f;

	KV_PROMISE(t->ops->open(t, "", &f) == 0);
	e = kv_elf_parse(a, f);
	ask_header(e);
	ask_notes(e, a);
	ask_symbols(e);
	(void)kv_elf_read_at(e, a, size / 2, 64);
	kv_elf_release(e);
	/* What was read stays after that. */
	ask_header(e);
	kv_arena_free(a);
	return 0;
}
