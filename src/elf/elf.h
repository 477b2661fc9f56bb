/*
 * Reader of ELF objects as the dynamic loader sees them: by program headers and the dynamic
 * section, never by section headers. Either class, either byte order. Every byte is hostile: each
 * access is bounded, each loop over the file's own counts is limited.
 */
#ifndef KV_ELF_ELF_H
#define KV_ELF_ELF_H

#include <elf.h>

#include "root/root.h"

/* A version that is needed of another object, or one that is defined. */
struct kv_elf_version {
	const char *file; /* vn_file; NULL where it is defined */
	const char *name;
	uint32_t hash;
	bool weak;      /* VER_FLG_WEAK of a need */
	bool hidden;    /* bit 15 of vna_other */
	bool base;      /* VER_FLG_BASE of a definition */
	uint16_t index; /* vna_other without the hidden bit, or vd_ndx */
};

struct kv_elf_sym {
	const char *name;
	uint64_t value;
	uint16_t shndx;
	uint8_t type, bind;
	bool hidden; /* STV_HIDDEN or STV_INTERNAL: for its own object alone */
	uint16_t
		version; /* the versym entry with its hidden bit; 1 (global) where there are none */
};

struct kv_elf_segment {
	uint64_t vaddr, offset, filesz, memsz, align;
	uint32_t flags;
};

/* An object that has to be loaded along. */
struct kv_elf_dep {
	char *name;
	int64_t tag; /* DT_NEEDED, DT_AUXILIARY, DT_FILTER */
};

/* PT_TLS. memsz 0 where there is none. */
struct kv_elf_tls {
	uint64_t memsz, align, vaddr;
};

/* A reference to a symbol that other objects have to define. */
struct kv_elf_ref {
	const char *name;
	uint32_t hash;    /* of DT_GNU_HASH */
	uint32_t sym;     /* index in the symbol table */
	uint16_t version; /* its versym entry without the hidden bit */
	bool weak;        /* only those that ask for a version are listed */
	bool tls;         /* STT_TLS */
	uint64_t passed;  /* bytes of names so far */
};

struct kv_elf {
	struct kv_stat st;

	/* The header, as far as the file had one. */
	int read_error; /* -errno of reading it, 0 */
	bool too_short; /* shorter than an ELF header */
	uint8_t ident[EI_NIDENT];
	bool is64, be;
	uint16_t type, machine, phentsize, phnum;
	uint32_t version;
	bool phdrs_short; /* the file ends inside its program headers */

	/* Program headers. Valid where phentsize is the class's own. */
	KV_VEC(struct kv_elf_segment) loads;
	const char *interp;
	bool has_dynamic, empty_dynamic; /* PT_DYNAMIC; without bytes, as in debug information */
	bool has_stack;                  /* PT_GNU_STACK; stack_flags are its */
	uint32_t stack_flags;
	struct kv_elf_tls tls;
	uint32_t isa_needed; /* GNU_PROPERTY_X86_ISA_1_NEEDED: bit 0 baseline, 1 v2, 2 v3, 3 v4 */
	struct kv_elf_segment notes[4]; /* PT_NOTE */
	size_t n_notes;
	bool dynamic_lost;           /* PT_DYNAMIC leads nowhere */
	bool has_debug;              /* DT_DEBUG */
	uint32_t dyn_flags;          /* PT_DYNAMIC's */
	uint64_t dyn_addr, dyn_size; /* PT_DYNAMIC's vaddr and bytes in memory */
	bool truncated; /* the file ends before what its headers promise: reading it there is a
			   SIGBUS */

	/* The dynamic section. */
	const char *soname, *rpath, *runpath;
	kv_strv needed;
	KV_VEC(struct kv_elf_dep) deps; /* what is needed, and filters, in order */
	uint64_t flags, flags_1;
	bool has_strtab, has_verdef, has_verneed, has_relr, has_init_array, bind_now;
	KV_VEC(struct kv_elf_version) verneeds;
	KV_VEC(struct kv_elf_version) verdefs;

	struct kv_elf_symtab *symtab; /* see symbols.c */
};

/*
 * Reads the object. Never fails for what the bytes are: faults are fields. The file is taken over:
 * it stays open for later questions about symbols until kv_elf_release() or the end of its root.
 */
struct kv_elf *kv_elf_parse(struct kv_arena *a, struct kv_file *f);
/* The same for a path. -errno where the file cannot be opened. */
int kv_elf_read(struct kv_arena *a, struct kv_root *root, const char *guest, struct kv_elf **ret);

/* What an object is for. */
struct kv_elf_id {
	uint16_t machine;
	bool is64, be;
};

/* Reads the header alone. False where the file is no object that can be loaded. */
bool kv_elf_identify(struct kv_root *root, const char *guest, struct kv_elf_id *ret);

/* The kernel that .note.ABI-tag says the object is for: 0x050a00 is 5.10.0; *ret_os is 0 for Linux.
 * False where it has no such note. */
bool kv_elf_kernel(const struct kv_elf *e, uint32_t *ret_os, uint32_t *ret_kernel);

/* What an object may open at run time: a feature of its .note.dlopen. */
struct kv_elf_dlopen {
	const char *feature, *description; /* NULL where it is not told */
	const char *priority; /* "required", "recommended", "suggested", or what it is called */
	kv_strv sonames;      /* one of these, the first best */
};

typedef KV_VEC(struct kv_elf_dlopen) kv_elf_dlopens;

/* Reads the notes for it. What makes no sense in them is passed over. */
void kv_elf_read_dlopens(const struct kv_elf *e, struct kv_arena *a, kv_elf_dlopens *ret);

/* Closes the file. What was read stays; nothing more can be read after it. */
void kv_elf_release(const struct kv_elf *e);

/*
 * The bytes of the file at off, read into the arena: at most n, fewer where the file ends. For
 * those who look for text.
 */
struct kv_span kv_elf_read_at(const struct kv_elf *e, struct kv_arena *a, uint64_t off, uint64_t n);
/* The same into buf; returns how many there were. */
size_t kv_elf_read_to(const struct kv_elf *e, uint64_t off, uint8_t *buf, size_t n);

/* Steps to the next undefined symbol that other objects have to define; to the first one from a
 * zeroed r. */
bool kv_elf_next_ref(const struct kv_elf *e, struct kv_elf_ref *r);
/* Whether it has symbol versions that ld.so would use: DT_VERSYM, and needs or definitions. */
bool kv_elf_has_versym(const struct kv_elf *e);
/* Whether symbols can be looked up in it at all. */
bool kv_elf_is_hashed(const struct kv_elf *e);
/* Number of dynamic symbols, as the hash tables tell it. */
size_t kv_elf_n_syms(const struct kv_elf *e);
/* Symbol i of the dynamic symbol table; false past its end or where its name is out of bounds. */
bool kv_elf_sym(const struct kv_elf *e, size_t i, struct kv_elf_sym *ret);
uint32_t kv_elf_sysv_hash(const char *name);
uint32_t kv_elf_gnu_hash(const char *name);
uint32_t kv_elf_gnu_hash_n(const char *name, size_t n);

/*
 * Calls fn for every symbol of that name which the object's hash tables lead to, defined or not,
 * until it returns true. Returns whether it did. gnu_hash is kv_elf_gnu_hash(name).
 */
bool kv_elf_lookup(const struct kv_elf *e, const char *name, uint32_t gnu_hash,
		   bool (*fn)(const struct kv_elf_sym *sym, void *arg), void *arg);

/* Whether the object defines the version (base version included). */
bool kv_elf_defines_version(const struct kv_elf *e, const char *version);
/* Highest version with this prefix ("FABRIC_") that is needed or defined, NULL where there is none.
 */
const char *kv_elf_max_need(const struct kv_elf *e, const char *prefix);
const char *kv_elf_max_def(const struct kv_elf *e, const char *prefix);

struct kv_elf_reloc {
	uint64_t offset; /* vaddr of what is changed */
	uint32_t type, sym;
	bool plt; /* of DT_JMPREL */
};

/* Calls fn with each relocation in ld.so's order, until it returns true; with `only`, with those of
 * these two types, which are none for relative ones. False where they can not be read. */
bool kv_elf_relocs(const struct kv_elf *e, const uint32_t only[2],
		   bool (*fn)(const struct kv_elf_reloc *r, void *arg), void *arg);

/* Whether the bytes that the file has for [vaddr, vaddr + n) end before it: touching it would raise
 * SIGBUS. What lies in the file's last page counts as there. */
bool kv_elf_is_cut(const struct kv_elf *e, uint64_t vaddr, uint64_t n);

/* Whether DT_DEBUG, which ld.so fills in a program, lies in a page that is mapped read-only
 * although PT_DYNAMIC says otherwise. */
bool kv_elf_is_debug_readonly(const struct kv_elf *e);

/* ---- inside the room ---- */

/* A piece of the file that holds tables. */
struct kv_elf_piece {
	uint64_t off, n;
	const uint8_t *p; /* NULL until it is asked for */
};

#define KV_ELF_PIECES 6

struct kv_elf_symtab {
	struct kv_arena *arena;
	struct kv_file *file; /* NULL once released */
	uint64_t symtab_addr, strtab_addr, strtab_size, versym_addr, gnu_hash_addr, hash_addr;
	struct {
		uint64_t addr, size, n_relative; /* the first ones, of which ld.so asks no type */
		bool addends;
	} relocs[3];         /* RELA, REL, JMPREL, in the order in which ld.so applies them */
	uint64_t tables[16]; /* sorted addresses of all tables: one ends where the next begins */
	size_t n_tables;
	struct kv_elf_piece pieces[KV_ELF_PIECES];
	size_t n_pieces;
	size_t n_syms, max_syms;
	bool read; /* the symbols were looked for; what follows is filled if they make sense */
	struct kv_span strtab, symtab, versym, hash;
	bool strtab_ends;                          /* with a NUL: so does every name in it */
	uint32_t n_buckets, first, n_bloom, shift; /* DT_GNU_HASH; n_buckets 0: none of use */
	struct kv_span bloom, buckets, chains;
	bool plain; /* 64 bits in this machine's order, and all tables are whole (kv_elf_first()) */
};

/* File offset of vaddr and how many bytes of the file follow it in its segment, and in those that
 * go on behind that in memory and file. */
bool kv_elf_to_offset(const struct kv_elf *e, uint64_t vaddr, uint64_t *ret_off,
		      uint64_t *ret_left);

/* A word of the object's class in its byte order. */
static inline bool kv_elf_word(const struct kv_elf *e, struct kv_span s, uint64_t off,
			       uint64_t *ret)
{
	uint32_t w;

	if (e->is64)
		return kv_span_u64(s, off, e->be, ret);
	if (!kv_span_u32(s, off, e->be, &w))
		return false;
	*ret = w;
	return true;
}

/* Whether the object may define a symbol with this GNU hash, by the filter of DT_GNU_HASH: nine of
 * ten questions end here. True where there is no such table. */
static inline bool kv_elf_may_define(const struct kv_elf *e, uint32_t h)
{
	const struct kv_elf_symtab *t = e->symtab;
	uint64_t filter = 0;

	if (t->plain) {
		memcpy(&filter, t->bloom.p + (size_t)(h / 64 & (t->n_bloom - 1)) * 8, 8);
		return filter >> (h % 64) & filter >> ((h >> t->shift) % 64) & 1;
	}
	if (!t->n_buckets)
		return true;
	if (e->is64) {
		kv_elf_word(e, t->bloom, (uint64_t)(h / 64 & (t->n_bloom - 1)) * 8, &filter);
		return filter >> (h % 64) & filter >> ((h >> t->shift) % 64) & 1;
	}
	kv_elf_word(e, t->bloom, (uint64_t)(h / 32 & (t->n_bloom - 1)) * 4, &filter);
	return filter >> (h % 32) & filter >> ((h >> t->shift) % 32) & 1;
}

/* The first symbol of that name that DT_GNU_HASH leads to; of an object with plain tables. */
bool kv_elf_first(const struct kv_elf *e, const char *name, uint32_t gnu_hash,
		  struct kv_elf_sym *ret);

/* Finds the tables (tables.c). */
void kv_elf_find_tables(struct kv_elf *e, uint64_t verneed, uint64_t verdef);
/* n bytes at vaddr of a table, or with n 0 all of it; read when they are first asked for. */
bool kv_elf_table(const struct kv_elf *e, uint64_t vaddr, uint64_t n, struct kv_span *ret);

#endif
