/*
 * What is kept of a stream that can not be read again at will: the bytes that kvpath's questions
 * are about. A file that is not kept, or not in the part that is asked for, costs another pass over
 * its layer; the answer is the same.
 *
 * Of a shared object the loader's tables are kept, and not the code, the constants and the GPU
 * kernels, which make up most of an image: those near its start, where linkers put them, its
 * writable segments (they hold the dynamic section, and with patchelf the tables that it moved),
 * its notes and the interpreter's name. Files that are searched for texts are kept whole.
 */
#include <elf.h>
#include <fnmatch.h>

#include "root/tar.h"

#define ELF_START 4096               /* has the program headers */
#define MAX_BARE  ((size_t)64 << 10) /* of what has no dynamic section */
#define MAX_HEAD  ((size_t)16 << 20)
#define MAX_SMALL ((size_t)64 << 10)
#define MAX_PART  ((size_t)4 << 20)
#define MAX_WHOLE ((size_t)32 << 20)
#define SLACK     ((uint64_t)1 << 20) /* for a table of unknown length that nothing follows */
#define NEAR      4096                /* a gap between tables that is kept with them */

/* Paths (fnmatch, '*' matches '/' too), up to what size they are kept whole, and whether objects
 * are. */
static const struct {
	const char *pattern;
	uint64_t max;
	bool objects;
} wholes[] = {
	{ "etc/*", 4 << 20, false },
	{ "usr/lib/os-release", 1 << 20, false },
	{ "var/lib/dpkg/info/libfabric*", 1 << 20, false },
	{ "*.dist-info/*", 4 << 20, false },
	{ "*-packages/*.pth", 1 << 20, false },
	{ "*-packages/__editable__*", 1 << 20, false },
	{ "*/kv_connector/v1/*nixl*", 4 << 20, false },
	{ "*/ec_transfer/*nixl*", 4 << 20, false },
	{ "*-packages/*nixl*", 4 << 20, false },
	{ "*/sglang/srt/environ.py", 8 << 20, false },
	{ "*/lmcache/v1/config.py", 8 << 20, false },
	{ "*/libfabric*", MAX_WHOLE, true },
	{ "*/libibverbs*", MAX_WHOLE, true },
	{ "*/ld-linux*", MAX_WHOLE, true },
	{ "*/ld-2.*.so", MAX_WHOLE, true },
};

void kv_keep_begin(struct kv_keep *k, const char *path, uint64_t size)
{
	*k = (struct kv_keep){ .size = size };
	for (size_t i = 0; i < KV_ARRAY_SIZE(wholes); i++)
		if (size <= wholes[i].max && fnmatch(wholes[i].pattern, path, 0) == 0) {
			k->whole = true;
			k->objects |= wholes[i].objects;
		}
}

void kv_keep_clear(struct kv_keep *k)
{
	free(k->head);
	for (size_t i = 0; i < k->n_parts; i++)
		free(k->parts[i].bytes);
	*k = (struct kv_keep){ 0 };
}

/* ---- the structure of an ELF file, as far as it is needed here (src/elf is a room above) ---- */

struct shape {
	struct kv_span head;
	bool be, is64;
};

static bool word(struct shape s, struct kv_span at, uint64_t off, uint64_t *ret)
{
	uint32_t w;

	if (s.is64)
		return kv_span_u64(at, off, s.be, ret);
	if (!kv_span_u32(at, off, s.be, &w))
		return false;
	*ret = w;
	return true;
}

struct segment {
	uint32_t type, flags;
	uint64_t off, addr, n;
};

static bool segment(struct shape s, uint64_t i, struct segment *ret)
{
	uint64_t phoff;
	uint16_t size = 0, count = 0;
	uint64_t at;

	if (!word(s, s.head, s.is64 ? 32 : 28, &phoff) ||
	    !kv_span_u16(s.head, s.is64 ? 54 : 42, s.be, &size) ||
	    !kv_span_u16(s.head, s.is64 ? 56 : 44, s.be, &count) || i >= count || phoff > s.head.n)
		return false;
	at = phoff + i * size;
	return kv_span_u32(s.head, at, s.be, &ret->type) &&
	       kv_span_u32(s.head, at + (s.is64 ? 4 : 24), s.be, &ret->flags) &&
	       word(s, s.head, at + (s.is64 ? 8 : 4), &ret->off) &&
	       word(s, s.head, at + (s.is64 ? 16 : 8), &ret->addr) &&
	       word(s, s.head, at + (s.is64 ? 32 : 16), &ret->n);
}

static struct shape shape_of(const struct kv_keep *k)
{
	return (struct shape){
		.head = { k->head, k->head_n },
		.be = k->head_n > EI_DATA && k->head[EI_DATA] == ELFDATA2MSB,
		.is64 = k->head_n > EI_CLASS && k->head[EI_CLASS] == ELFCLASS64,
	};
}

/* What is kept of a segment: writable ones, and what small ones say. */
static uint64_t wanted(const struct segment *g)
{
	switch (g->type) {
	case PT_LOAD:
		return g->flags & PF_W ? MAX_PART : 0;
	case PT_DYNAMIC:
		return MAX_PART;
	case PT_INTERP:
	case PT_NOTE:
	case PT_GNU_PROPERTY:
		return g->off < ELF_START && g->n <= ELF_START - g->off ? 0 : MAX_SMALL;
	default:
		return 0;
	}
}

/* Which parts besides the head, once the program headers are there. */
static void decide(struct kv_keep *k)
{
	struct shape s = shape_of(k);
	struct segment g;

	k->decided = true;
	k->elf = k->head_n >= SELFMAG && memcmp(k->head, ELFMAG, SELFMAG) == 0;
	k->whole &= !k->elf || k->objects;
	k->head_max = k->whole ? k->size : k->elf ? MAX_BARE : 0;
	for (uint64_t i = 0; k->elf && !k->whole && segment(s, i, &g); i++) {
		struct kv_keep_part *p = &k->parts[k->n_parts];
		uint64_t most = wanted(&g);

		if (g.type == PT_DYNAMIC)
			k->head_max = MAX_HEAD;
		if (!most || !g.n || g.off >= k->size || k->n_parts == KV_ARRAY_SIZE(k->parts))
			continue;
		p->off = g.off;
		p->n = g.n < most ? g.n : most;
		p->bytes = malloc((size_t)p->n);
		k->n_parts += p->bytes != NULL;
	}
}

static void add_head(struct kv_keep *k, const uint8_t *p, size_t n)
{
	if (k->head_n + n > k->head_cap) {
		size_t want = k->head_cap ? k->head_cap * 2 : (size_t)128 << 10;
		uint8_t *grown;

		while (want < k->head_n + n)
			want *= 2;
		if (want > k->size && k->size >= k->head_n + n)
			want = (size_t)k->size;
		grown = realloc(k->head, want);
		if (!grown)
			return;
		k->head = grown;
		k->head_cap = want;
	}
	memcpy(k->head + k->head_n, p, n);
	k->head_n += n;
}

/* The part of [off, off + n) that lies in the part, as far as it follows what is there. */
static void add_part(struct kv_keep_part *part, uint64_t off, const uint8_t *p, size_t n)
{
	uint64_t at = part->off + part->got, skip;

	if (at < off || part->got == part->n || at - off >= n)
		return;
	skip = at - off;
	n -= (size_t)skip;
	if (n > part->n - part->got)
		n = (size_t)(part->n - part->got);
	memcpy(part->bytes + part->got, p + skip, n);
	part->got += n;
}

/* Whether there is enough of the start to decide on. */
static bool is_ripe(const struct kv_keep *k)
{
	bool other = k->head_n >= SELFMAG && memcmp(k->head, ELFMAG, SELFMAG) != 0;

	return k->head_n >= ELF_START || k->head_n == k->size || other;
}

void kv_keep_data(struct kv_keep *k, uint64_t off, const void *p, size_t n)
{
	bool was_decided = k->decided;

	if (off == k->head_n && !(k->decided && k->head_n >= k->head_max)) {
		size_t take = n;

		if (k->decided && take > k->head_max - k->head_n)
			take = (size_t)(k->head_max - k->head_n);
		add_head(k, p, take);
		if (!k->decided && is_ripe(k))
			decide(k);
	}
	for (size_t i = 0; i < k->n_parts; i++)
		if (was_decided)
			add_part(&k->parts[i], off, p, n);
		else
			add_part(&k->parts[i], 0, k->head, k->head_n);
}

/* ---- where the tables at the head end ---- */

static uint64_t dynamic_value(struct shape s, struct kv_span dyn, uint64_t tag)
{
	uint64_t size = s.is64 ? 8 : 4, t, v;

	for (uint64_t at = 0; word(s, dyn, at, &t) && word(s, dyn, at + size, &v) && t != DT_NULL;
	     at += 2 * size)
		if (t == tag)
			return v;
	return 0;
}

static bool to_offset(struct shape s, uint64_t addr, uint64_t *ret)
{
	struct segment g;

	for (uint64_t i = 0; segment(s, i, &g); i++)
		if (g.type == PT_LOAD && addr >= g.addr && addr - g.addr < g.n) {
			*ret = g.off + (addr - g.addr);
			return true;
		}
	return false;
}

static bool find_dynamic(const struct kv_keep *k, struct shape s, struct kv_span *ret)
{
	struct segment g;

	for (uint64_t i = 0; segment(s, i, &g); i++) {
		if (g.type != PT_DYNAMIC)
			continue;
		for (size_t j = 0; j < k->n_parts; j++) {
			struct kv_span part = { k->parts[j].bytes, (size_t)k->parts[j].got };

			if (g.off >= k->parts[j].off &&
			    kv_span_sub(part, g.off - k->parts[j].off, g.n, ret))
				return true;
		}
	}
	return false;
}

/* The tables that the dynamic section names, with the tag of their size. */
static const struct {
	uint64_t addr, size;
} tables[] = {
	{ DT_STRTAB, DT_STRSZ }, { DT_RELA, DT_RELASZ },     { DT_REL, DT_RELSZ },
	{ DT_RELR, DT_RELRSZ },  { DT_JMPREL, DT_PLTRELSZ }, { DT_SYMTAB, 0 },
	{ DT_HASH, 0 },          { DT_GNU_HASH, 0 },         { DT_VERSYM, 0 },
	{ DT_VERNEED, 0 },       { DT_VERDEF, 0 },
};

struct extent {
	uint64_t off, end; /* end 0: not told */
};

static int by_offset(const void *a, const void *b)
{
	const struct extent *x = a, *y = b;

	return x->off < y->off ? -1 : x->off > y->off;
}

/* The extents of the tables in the head, in order. Where no size is told, one ends at the next. */
static size_t find_tables(const struct kv_keep *k, struct extent v[KV_ARRAY_SIZE(tables) + 1])
{
	struct shape s = shape_of(k);
	struct kv_span dyn;
	size_t n = 1;

	v[0] = (struct extent){ 0, ELF_START };
	if (!find_dynamic(k, s, &dyn)) {
		v[0].end = MAX_BARE;
		return n;
	}
	for (size_t i = 0; i < KV_ARRAY_SIZE(tables); i++) {
		uint64_t addr = dynamic_value(s, dyn, tables[i].addr), off, size;

		if (!addr || !to_offset(s, addr, &off) || off >= k->head_n)
			continue;
		size = tables[i].size ? dynamic_value(s, dyn, tables[i].size) : 0;
		v[n++] = (struct extent){ off, size < k->head_n ? off + size : k->head_n };
	}
	qsort(v, n, sizeof(*v), by_offset);
	for (size_t i = 0; i < n; i++)
		if (v[i].end == v[i].off)
			v[i].end = i + 1 < n ? v[i + 1].off : v[i].off + SLACK;
	return n;
}

/* Cuts what was gathered of the head down to its tables: k->cuts. */
static void cut_head(struct kv_keep *k)
{
	struct extent v[KV_ARRAY_SIZE(tables) + 1];
	size_t n = find_tables(k, v);

	for (size_t i = 0; i < n; i++) {
		uint64_t end = v[i].end < k->head_n ? v[i].end : k->head_n;
		struct kv_keep_cut *last = k->n_cuts ? &k->cuts[k->n_cuts - 1] : NULL;

		if (last && (v[i].off <= last->end + NEAR || k->n_cuts == KV_ARRAY_SIZE(k->cuts)))
			last->end = end > last->end ? end : last->end;
		else if (end > v[i].off)
			k->cuts[k->n_cuts++] = (struct kv_keep_cut){ v[i].off, end };
	}
}

bool kv_keep_end(struct kv_keep *k)
{
	if (k->whole && k->head_n != k->size)
		return false;
	if (k->whole)
		k->cuts[k->n_cuts++] = (struct kv_keep_cut){ 0, k->head_n };
	else if (k->elf)
		cut_head(k);
	return k->n_cuts > 0;
}
