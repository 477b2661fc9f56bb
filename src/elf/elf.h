/*
 * Reader of ELF objects as the dynamic loader sees them: by program headers and the dynamic
 * section, never by section headers. Either class, either byte order. Every byte is hostile: each
 * access is bounded, each loop over the file's own counts is limited.
 */
#ifndef KV_ELF_ELF_H
#define KV_ELF_ELF_H

#include <elf.h>

#include "root/root.h"

struct kv_elf_verneed {
	const char *file; /* vn_file */
	const char *name;
	uint32_t hash;
	bool weak;      /* VER_FLG_WEAK */
	uint16_t index; /* vna_other without the hidden bit */
};

struct kv_elf_verdef {
	const char *name;
	uint32_t hash;
	uint16_t index;
	bool base;
};

struct kv_elf_sym {
	const char *name;
	uint64_t value;
	uint16_t shndx;
	uint8_t type, bind;
	uint16_t
		version; /* the versym entry with its hidden bit; 1 (global) where there are none */
};

struct kv_elf_segment {
	uint64_t vaddr, offset, filesz, memsz, align;
	uint32_t flags;
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
	bool has_dynamic;
	bool truncated; /* the file ends before what its headers promise: reading it there is a
			   SIGBUS */

	/* The dynamic section. */
	const char *soname, *rpath, *runpath;
	kv_strv needed;
	uint64_t flags, flags_1;
	bool has_strtab, has_verdef;
	KV_VEC(struct kv_elf_verneed) verneeds;
	KV_VEC(struct kv_elf_verdef) verdefs;

	struct kv_elf_symtab *symtab; /* see symbols.c; read when first asked for */
	uint64_t
		tables[16]; /* sorted addresses of dynamic tables: one ends where the next begins */
	size_t n_tables;
};

/*
 * Reads the object. Never fails for what the bytes are: faults are fields. -errno where the file
 * cannot be opened. Memory from the root's arena.
 */
int kv_elf_read(struct kv_root *r, const char *guest, struct kv_elf **ret);
/* The same for a file that is open. */
struct kv_elf *kv_elf_parse(struct kv_arena *a, struct kv_file *f);

/* Closes what is kept open of the file. What was read or mapped stays; nothing more can be read
 * after it. */
void kv_elf_release(const struct kv_elf *e);
/*
 * The whole file: mapped when first asked for, as a page fault costs ten times a read and few
 * objects are looked at beyond their headers. Empty where it can not be mapped.
 */
struct kv_span kv_elf_bytes(const struct kv_elf *e);

/* Memory that is used again and again for tables that are needed for a moment. */
struct kv_scratch {
	uint8_t *p;
};

/*
 * Calls fn for every undefined symbol that is neither weak nor local until it returns false; its
 * name is valid during the call alone. False where fn returned so or the tables can not be read
 * this way. Nothing is mapped.
 */
bool kv_elf_undefined(const struct kv_elf *e, struct kv_scratch scratch[3],
		      bool (*fn)(const struct kv_elf_sym *sym, void *arg), void *arg);

/* Whether it has symbol versions (DT_VERSYM). */
bool kv_elf_has_versym(const struct kv_elf *e);
/* Number of symbols, and of those before the first that the hash table leads to: all undefined ones
 * are there. */
size_t kv_elf_n_syms(const struct kv_elf *e);
size_t kv_elf_first_hashed(const struct kv_elf *e);
/* Symbol i of the dynamic symbol table; false past its end or where its name is out of bounds. */
bool kv_elf_sym(const struct kv_elf *e, size_t i, struct kv_elf_sym *ret);
/* False where the object surely has no symbol with this GNU hash (the bloom filter of DT_GNU_HASH).
 */
bool kv_elf_may_have(const struct kv_elf *e, uint32_t gnu_hash);
/*
 * Whether the object defines a symbol whose GNU hash agrees in the 31 bits that the table keeps.
 * The name itself is not read. False, too, where the object has no such table.
 */
bool kv_elf_has_hash(const struct kv_elf *e, uint32_t gnu_hash);
uint32_t kv_elf_sysv_hash(const char *name);
uint32_t kv_elf_gnu_hash(const char *name);

/*
 * Calls fn for every symbol of that name which the object's hash tables lead to, defined or not,
 * until it returns true. Returns whether it did. gnu_hash is kv_elf_gnu_hash(name).
 */
bool kv_elf_lookup(const struct kv_elf *e, const char *name, uint32_t gnu_hash,
		   bool (*fn)(const struct kv_elf_sym *sym, void *arg), void *arg);

/* Whether the object defines the version (base version included). */
bool kv_elf_defines_version(const struct kv_elf *e, const char *version);
/* Whether the object imports (undefined) or exports (defined) a symbol of that name. */
bool kv_elf_imports(const struct kv_elf *e, const char *name);
bool kv_elf_exports(const struct kv_elf *e, const char *name);
/* Highest version with this prefix ("FABRIC_") that is needed or defined, NULL where there is none.
 */
const char *kv_elf_max_need(const struct kv_elf *e, const char *prefix);
const char *kv_elf_max_def(const struct kv_elf *e, const char *prefix);

/* Calls fn with the symbol of each relocation that names one, in ld.so's order, until it returns
 * true. */
void kv_elf_relocs(const struct kv_elf *e, bool (*fn)(size_t sym, void *arg), void *arg);

/* ---- inside the room ---- */

/* What the dynamic section says of the symbols, and, once they were asked for, the tables. */
struct kv_elf_symtab {
	uint64_t symtab_addr, strtab_addr, strtab_size, versym_addr, gnu_hash_addr, hash_addr;
	struct {
		uint64_t addr, size;
		bool addends;
	} relocs[3]; /* RELA, REL, JMPREL, in the order in which ld.so applies them */
	struct kv_arena *arena;
	int fd;        /* of the file, kept as long as the object; -1 where it is no host's file */
	uint64_t size; /* of the file */
	struct kv_span bytes;  /* the whole file, once it was asked for */
	bool ready, hash_read; /* all tables; DT_GNU_HASH */
	struct kv_span strtab, symtab, versym, hash;
	size_t n_syms;
	uint32_t n_buckets, first, n_bloom,
		shift; /* DT_GNU_HASH; n_buckets 0 where there is none */
	struct kv_span bloom, buckets, chains;
};

/* File offset of vaddr and how many bytes of the file follow it in its segment. */
bool kv_elf_to_offset(const struct kv_elf *e, uint64_t vaddr, uint64_t *ret_off,
		      uint64_t *ret_left);
/* Size of the table at vaddr: up to the next table or the end of its segment, whose rest is `left`.
 */
uint64_t kv_elf_table_size(const struct kv_elf *e, uint64_t vaddr, uint64_t left);
/* A word of the object's class in its byte order. */
bool kv_elf_word(const struct kv_elf *e, struct kv_span s, uint64_t off, uint64_t *ret);

#endif
