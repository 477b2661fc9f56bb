/*
 * Undefined symbols under RTLD_NOW: _dl_lookup_symbol_x() and check_match() of glibc's
 * elf/dl-lookup.c.
 *
 * Only whether a definition exists matters here, not which one wins, so the order of the search is
 * free: the object that the reference's version names is asked first, the rest of the scope after
 * it.
 */
#include "loader/internal.h"

struct match {
	const struct kv_object *in;
	const struct kv_elf_verneed *version; /* NULL: an unversioned reference */
	unsigned n_default; /* default versions seen by an unversioned reference */
	bool abort;
};

static const char *version_name(const struct kv_elf *e, uint16_t index, uint32_t *ret_hash)
{
	/* Definitions are numbered from 1 in order, nearly always. */
	if (index && index <= e->verdefs.n && e->verdefs.v[index - 1].index == index) {
		*ret_hash = e->verdefs.v[index - 1].hash;
		return e->verdefs.v[index - 1].name;
	}
	for (size_t i = 0; i < e->verdefs.n; i++)
		if (e->verdefs.v[i].index == index) {
			*ret_hash = e->verdefs.v[i].hash;
			return e->verdefs.v[i].name;
		}
	for (size_t i = 0; i < e->verneeds.n; i++)
		if (e->verneeds.v[i].index == index) {
			*ret_hash = e->verneeds.v[i].hash;
			return e->verneeds.v[i].name;
		}
	*ret_hash = 0;
	return NULL;
}

/* check_match() */
static bool matches(const struct kv_elf_sym *sym, void *arg)
{
	struct match *m = arg;
	const struct kv_elf *e = m->in->elf;
	uint16_t index = sym->version & 0x7fff;
	const char *name; /* NULL: known by its hash alone */
	uint32_t hash;

	if (sym->shndx == SHN_UNDEF ||
	    (!sym->value && sym->shndx != SHN_ABS && sym->type != STT_TLS))
		return false;
	if (sym->bind == STB_LOCAL)
		return false;
	if (!m->version) {
		/* Base and global definitions, or the one default version there is. */
		if (!kv_elf_has_versym(e) || index < 3)
			return true;
		return !(sym->version & 0x8000) && m->n_default++ == 0;
	}
	if (!kv_elf_has_versym(e)) /* accepted since 2.41 (bdaf500353), before it an assertion when
			       it is vn_file */
		return true;
	name = version_name(e, index, &hash);
	if (name && hash == m->version->hash && kv_streq(name, m->version->name))
		return true;
	/* A definition without a version of its own satisfies any reference. */
	return !hash && !(sym->version & 0x8000);
}

static bool defined_in(const struct kv_object *o, const char *name, uint32_t h,
		       const struct kv_elf_verneed *version)
{
	struct match m = { .in = o, .version = version };

	return o->elf && kv_elf_may_have(o->elf, h) && kv_elf_lookup(o->elf, name, h, matches, &m);
}

/*
 * What of the driver is assumed: the symbols of libcuda and libnvidia-ml. A copy that lies in an
 * image is a stub at best; the runtime lays the driver's own over it, so its gaps are no fault of
 * the image.
 */
static bool assumed_has(const struct kv_process *p, const struct kv_object *o, const char *name)
{
	if (!kv_starts(name, "cu") && !kv_starts(name, "nvml"))
		return false;
	for (size_t i = 0; p->assumed && p->assumed[i]; i++)
		if (kv_object_has_name(o, p->assumed[i]))
			return true;
	return false;
}

#define KNOWN_SYMS 2048

/* A symbol that the scope of the present load defines. */
struct kv_known_sym {
	const char *name; /* NULL: known by its hash alone */
	uint32_t hash;
	const struct kv_elf_verneed *version;
	unsigned load; /* number of the load in which it was found */
};

struct scope {
	struct kv_process *p;
	struct kv_known_sym *known; /* by hash; a later one takes the place of an earlier */
	const kv_objects *list;
	const struct kv_object *from;
	const struct kv_object *named[64]; /* version index -> the loaded object of its vn_file */
	const struct kv_elf_verneed *version[64];
};

static void fill_versions(struct scope *s)
{
	const struct kv_elf *e = s->from->elf;

	memset(s->named, 0, sizeof(s->named));
	memset(s->version, 0, sizeof(s->version));
	for (size_t i = 0; i < e->verneeds.n; i++) {
		const struct kv_elf_verneed *v = &e->verneeds.v[i];

		if (v->index >= KV_ARRAY_SIZE(s->version))
			continue;
		s->version[v->index] = v;
		s->named[v->index] = kv_process_named(s->p, v->file);
	}
}

static const struct kv_elf_verneed *version_of(const struct scope *s, uint16_t index)
{
	const struct kv_elf *e = s->from->elf;

	if (index < KV_ARRAY_SIZE(s->version))
		return s->version[index];
	for (size_t i = 0; i < e->verneeds.n; i++)
		if (e->verneeds.v[i].index == index)
			return &e->verneeds.v[i];
	return NULL;
}

static bool search_scope(const struct scope *s, const struct kv_elf_sym *sym, uint32_t h,
			 const struct kv_elf_verneed *version)
{
	uint16_t index = sym->version & 0x7fff;

	if (index < KV_ARRAY_SIZE(s->named) && s->named[index] &&
	    defined_in(s->named[index], sym->name, h, version))
		return true;
	for (size_t i = 0; i < s->from->needs.n; i++)
		if (defined_in(s->from->needs.v[i], sym->name, h, version))
			return true;
	for (size_t i = 0; i < s->list->n; i++)
		if (defined_in(s->list->v[i], sym->name, h, version))
			return true;
	for (size_t i = 0; i < s->p->loaded.n; i++)
		if (s->p->loaded.v[i]->global &&
		    defined_in(s->p->loaded.v[i], sym->name, h, version))
			return true;
	for (size_t i = 0; i < s->list->n; i++)
		if (assumed_has(s->p, s->list->v[i], sym->name))
			return true;
	return false;
}

static bool hash_in_scope(const struct scope *s, const struct kv_elf_sym *sym, uint32_t h)
{
	uint16_t index = sym->version & 0x7fff;

	if (index < KV_ARRAY_SIZE(s->named) && s->named[index] && s->named[index]->elf &&
	    kv_elf_has_hash(s->named[index]->elf, h))
		return true;
	for (size_t i = 0; i < s->from->needs.n; i++)
		if (s->from->needs.v[i]->elf && kv_elf_has_hash(s->from->needs.v[i]->elf, h))
			return true;
	return false;
}

/* The place where what is known of a symbol is kept. */
static struct kv_known_sym *known_sym(const struct scope *s, uint32_t h,
				      const struct kv_elf_verneed *version)
{
	return &s->known[(h ^ (version ? version->hash : 0)) % KNOWN_SYMS];
}

static bool is_same_version(const struct kv_elf_verneed *a, const struct kv_elf_verneed *b)
{
	return a == b || (a && b && a->hash == b->hash && kv_streq(a->name, b->name));
}

/*
 * All objects of one load look in the same scope, so what one of them found serves the others: a
 * hundred libraries ask for the same few names of libstdc++ and libc.
 */
static bool is_resolved(const struct scope *s, const struct kv_elf_sym *sym)
{
	const struct kv_elf_verneed *version = version_of(s, sym->version & 0x7fff);
	uint32_t h = kv_elf_gnu_hash(sym->name);
	struct kv_known_sym *k = known_sym(s, h, version);

	if (k->load == s->p->loads && k->name && k->hash == h && kv_streq(k->name, sym->name) &&
	    is_same_version(k->version, version))
		return true;
	if (!search_scope(s, sym, h, version))
		return false;
	*k = (struct kv_known_sym){ sym->name, h, version, s->p->loads };
	return true;
}

/* For kv_elf_undefined(): false where the hashes leave the symbol open. */
static bool is_known_by_hash(const struct kv_elf_sym *sym, void *arg)
{
	const struct scope *s = arg;
	const struct kv_elf_verneed *version = version_of(s, sym->version & 0x7fff);
	uint32_t h = kv_elf_gnu_hash(sym->name);
	struct kv_known_sym *k = known_sym(s, h, version);

	if (k->load == s->p->loads && k->hash == h && is_same_version(k->version, version))
		return true;
	if (!hash_in_scope(s, sym, h))
		return false;
	*k = (struct kv_known_sym){ NULL, h, version, s->p->loads };
	return true;
}

struct first_reloc {
	const bool *unresolved; /* by symbol index */
	size_t n, sym;
};

static bool is_first(size_t sym, void *arg)
{
	struct first_reloc *f = arg;

	if (sym >= f->n || !f->unresolved[sym])
		return false;
	f->sym = sym;
	return true;
}

/* Only a symbol that some relocation names is looked up at all. 0: none of the unresolved ones is.
 */
static size_t first_relocated(struct scope *s, const bool *unresolved)
{
	struct first_reloc f = { unresolved, kv_elf_n_syms(s->from->elf), 0 };

	kv_elf_relocs(s->from->elf, is_first, &f);
	return f.sym;
}

static bool check_object(struct scope *s, struct kv_load *ret)
{
	const struct kv_elf *e = s->from->elf;
	const struct kv_elf_verneed *v;
	bool *unresolved = NULL;
	struct kv_elf_sym sym;
	size_t first;

	fill_versions(s);
	for (size_t i = 1; i < kv_elf_first_hashed(e); i++) {
		if (!kv_elf_sym(e, i, &sym) || sym.shndx != SHN_UNDEF || sym.bind == STB_WEAK ||
		    sym.bind == STB_LOCAL || !*sym.name || is_resolved(s, &sym))
			continue;
		if (!unresolved)
			unresolved = kv_alloc_n(s->p->arena, kv_elf_n_syms(e), sizeof(*unresolved));
		unresolved[i] = true;
	}
	first = unresolved ? first_relocated(s, unresolved) : 0;
	if (!first || !kv_elf_sym(e, first, &sym))
		return true;
	v = version_of(s, sym.version & 0x7fff);
	ret->loads = KV_LOADS_NO;
	ret->missing_symbol = sym.name;
	ret->requirer = s->from;
	ret->provider = (sym.version & 0x7fff) < KV_ARRAY_SIZE(s->named)
				? s->named[sym.version & 0x7fff]
				: NULL;
	ret->error = kv_strf(s->p->arena, "%s: undefined symbol: %s%s%s", s->from->name, sym.name,
			     v ? ", version " : "", v ? v->name : "");
	return false;
}

bool kv_check_symbols(struct kv_process *p, bool by_hash, struct kv_load *ret)
{
	if (!p->known)
		p->known = kv_alloc_n(p->arena, KNOWN_SYMS, sizeof(*p->known));
	p->loads++;
	/* Dependencies are relocated before what needs them. */
	for (size_t i = ret->list.n; i-- > 0;) {
		struct scope s = { .p = p, .list = &ret->list, .from = ret->list.v[i] };

		if (s.from->relocated || !s.from->elf)
			continue;
		s.known = p->known;
		if (by_hash) {
			fill_versions(&s);
			if (kv_elf_undefined(s.from->elf, p->l->scratch, is_known_by_hash, &s))
				continue;
		}
		/* In full; also where the hashes left something open. */
		if (!check_object(&s, ret))
			return false;
	}
	return true;
}
