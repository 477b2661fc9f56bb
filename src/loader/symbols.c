/*
 * Undefined symbols: _dl_lookup_symbol_x() and check_match() of glibc's elf/dl-lookup.c.
 *
 * A hundred libraries refer some ten thousand times to symbols, and nearly always only whether a
 * definition exists matters, not which one wins. So the likely objects are asked first
 * (kv_likely_definer()); ld.so's order is followed for what is not found that way.
 */
#include "loader/symbols.h"

struct match {
	const struct kv_object *in;
	const struct kv_elf_version *version; /* NULL: an unversioned reference */
	bool takes_absolute;                  /* also where its value is 0: since 2.28 (BZ 19818) */
	unsigned n_default;  /* default versions seen by an unversioned reference */
	bool matched, found; /* some symbol fits; it is one that others may bind to */
	bool default_binds;  /* so is the first of the default versions */
};

/* Name and hash of the version with this number; the base version has none (elf/dl-version.c). */
static const char *version_name(const struct kv_elf *e, uint16_t index, uint32_t *ret_hash)
{
	*ret_hash = 0;
	for (size_t i = 0; i < e->verdefs.n; i++) {
		/* Definitions are numbered from 1 in order, nearly always. */
		const struct kv_elf_version *d = &e->verdefs.v[(i + index - 1) % e->verdefs.n];

		if (d->index != index || d->base)
			continue;
		*ret_hash = d->hash;
		return d->name;
	}
	for (size_t i = 0; i < e->verneeds.n; i++)
		if (e->verneeds.v[i].index == index) {
			*ret_hash = e->verneeds.v[i].hash;
			return e->verneeds.v[i].name;
		}
	return NULL;
}

static bool is_definition(const struct kv_elf_sym *sym, bool takes_absolute)
{
	const unsigned types = 1 << STT_NOTYPE | 1 << STT_OBJECT | 1 << STT_FUNC | 1 << STT_COMMON |
			       1 << STT_TLS | 1 << STT_GNU_IFUNC;

	return sym->shndx != SHN_UNDEF && (types >> sym->type & 1) &&
	       (sym->value || (takes_absolute && sym->shndx == SHN_ABS) || sym->type == STT_TLS);
}

/* Local and hidden symbols are ignored (do_lookup_x()). */
static bool binds(const struct kv_elf_sym *sym)
{
	return !sym->hidden &&
	       (sym->bind == STB_GLOBAL || sym->bind == STB_WEAK || sym->bind == STB_GNU_UNIQUE);
}

/* check_match() */
static bool fits(const struct kv_elf_sym *sym, struct match *m)
{
	const struct kv_elf *e = m->in->elf;
	uint16_t index = sym->version & 0x7fff;
	const char *name;
	uint32_t hash;

	if (!is_definition(sym, m->takes_absolute))
		return false;
	if (!kv_elf_has_versym(e))
		return true;
	if (!m->version) {
		/* Base and global definitions, or the one default version there is. */
		if (index >= 3 && !(sym->version & 0x8000) && !m->n_default++)
			m->default_binds = binds(sym);
		return index < 3;
	}
	name = version_name(e, index, &hash);
	if (name && hash == m->version->hash && kv_streq(name, m->version->name))
		return true;
	/* A definition without a version of its own satisfies any reference that is not hidden. */
	return !m->version->hidden && !hash && !(sym->version & 0x8000);
}

/* The first symbol that fits ends the look into an object, also where it is a local one, which is
 * then passed over with the object (do_lookup_x()). */
static bool matches(const struct kv_elf_sym *sym, void *arg)
{
	struct match *m = arg;

	m->matched = fits(sym, m);
	m->found = m->matched && binds(sym);
	return m->matched;
}

static struct match look_into(const struct kv_scope *s, const struct kv_object *o,
			      const struct kv_elf_ref *r, const struct kv_elf_version *version)
{
	struct match m = { .in = o,
			   .version = version,
			   .takes_absolute = kv_ldso_version(s->p->l) >= 28 };

	if (o->elf && !kv_elf_lookup(o->elf, r->name, r->hash, matches, &m)) {
		m.matched = m.n_default == 1;
		m.found = m.matched && m.default_binds;
	}
	return m;
}

/* ---- versions of the references of one object ---- */

/* The number that o gives to the version; 0 where it has none that is plain to see. */
static uint16_t index_in(const struct kv_object *o, const struct kv_elf_version *v)
{
	const struct kv_elf *e = o ? o->elf : NULL;
	uint32_t hash;

	if (!e || !kv_elf_has_versym(e))
		return 0;
	for (size_t i = 0; i < e->verdefs.n; i++) {
		const struct kv_elf_version *d = &e->verdefs.v[i];

		if (d->hash == v->hash && kv_streq(d->name, v->name))
			return version_name(e, d->index, &hash) == d->name ? d->index : 0;
	}
	return 0;
}

void kv_scope_from(struct kv_scope *s, const struct kv_object *from)
{
	const struct kv_elf *e = from->elf;
	const struct kv_object *named = NULL;

	s->from = from;
	memset(s->want, 0, s->n_wants * sizeof(*s->want));
	s->n_wants = 0;
	for (size_t i = 0; kv_elf_has_versym(e) && i < e->verneeds.n; i++) {
		const struct kv_elf_version *v = &e->verneeds.v[i];

		/* The needs of one file stand together and share its name. */
		if (!i || v->file != v[-1].file)
			named = kv_process_named(s->p, v->file);
		if (v->index >= KV_WANTS || !v->hash)
			continue;
		s->want[v->index] = (struct kv_want){ v, named, index_in(named, v) };
		if (s->n_wants <= v->index)
			s->n_wants = v->index + (size_t)1;
	}
}

const struct kv_elf_version *kv_scope_version(const struct kv_scope *s, uint16_t index)
{
	const struct kv_elf *e = s->from->elf;

	if (index < KV_WANTS && s->want[index].version)
		return s->want[index].version;
	if (index < 2 || !kv_elf_has_versym(e))
		return NULL;
	for (size_t i = 0; i < e->verneeds.n; i++)
		if (e->verneeds.v[i].index == index && e->verneeds.v[i].hash)
			return &e->verneeds.v[i];
	/* Of one of its own definitions, which ld.so does not take for one. */
	for (size_t i = 0; i < e->verdefs.n; i++)
		if (e->verdefs.v[i].index == index && !e->verdefs.v[i].base)
			return &e->verdefs.v[i];
	return NULL;
}

static const struct kv_object *named_by(const struct kv_scope *s, const struct kv_elf_ref *r)
{
	const struct kv_elf_version *v;

	if (r->version < KV_WANTS)
		return s->want[r->version].named;
	v = kv_scope_version(s, r->version);
	return v && v->file ? kv_process_named(s->p, v->file) : NULL;
}

/* ---- one reference ---- */

/* Before 2.30 a weak reference too had to be satisfied by the object that it names. */
bool kv_is_wanted(const struct kv_scope *s, const struct kv_elf_ref *r)
{
	return !r->weak || (kv_ldso_version(s->p->l) < 30 && named_by(s, r));
}

/* Before 2.41 (bdaf500353) a versioned reference that is bound to the very object that it names
 * fails an assertion where that object has no versions. */
bool kv_may_abort(const struct kv_scope *s, const struct kv_elf_ref *r)
{
	const struct kv_object *o = named_by(s, r);

	return o && o->elf && !kv_elf_has_versym(o->elf) && kv_ldso_version(s->p->l) < 41;
}

/*
 * Whether o defines it. Nearly always the first symbol of that name does, and says so with a number
 * that is known beforehand; what is left over is looked into as ld.so does.
 */
static bool is_defined_in(const struct kv_scope *s, const struct kv_object *o,
			  const struct kv_elf_ref *r, const struct kv_elf_version *version)
{
	const struct kv_elf *e = o->elf;
	struct kv_elf_sym sym;

	if (!e || !kv_elf_may_define(e, r->hash))
		return false;
	if (e->symtab->plain) {
		uint16_t index = 0;

		if (!kv_elf_first(e, r->name, r->hash, &sym))
			return false;
		if (version && r->version < KV_WANTS && s->want[r->version].named == o)
			index = s->want[r->version].index;
		if (is_definition(&sym, false) && binds(&sym) &&
		    (!kv_elf_has_versym(e) || (!version && (sym.version & 0x7fff) < 3) ||
		     (index && (sym.version & 0x7fff) == index)))
			return true;
	}
	return look_into(s, o, r, version).found;
}

static const struct kv_object *find_in(const struct kv_scope *s, const kv_objects *list,
				       const struct kv_elf_ref *r,
				       const struct kv_elf_version *version)
{
	for (size_t i = 0; i < list->n; i++)
		if (is_defined_in(s, list->v[i], r, version))
			return list->v[i];
	return NULL;
}

static const struct kv_object *find_known(const struct kv_scope *s, const struct kv_elf_ref *r,
					  const struct kv_elf_version *version,
					  struct kv_definers *known)
{
	const struct kv_object *o;

	for (size_t i = 0; i < KV_ARRAY_SIZE(known->v) && (o = known->v[i]); i++) {
		if (!is_defined_in(s, o, r, version))
			continue;
		/* One place up: who defines much is soon asked first. */
		if (i) {
			known->v[i] = known->v[i - 1];
			known->v[i - 1] = o;
		}
		return o;
	}
	return NULL;
}

static const struct kv_object *find_anywhere(const struct kv_scope *s, const struct kv_elf_ref *r,
					     const struct kv_elf_version *version)
{
	const struct kv_object *o = find_in(s, &s->from->needs, r, version);

	if (!o)
		o = find_in(s, s->list, r, version);
	for (size_t i = 0; !o && i < s->p->loaded.n; i++)
		if (s->p->loaded.v[i]->global && is_defined_in(s, s->p->loaded.v[i], r, version))
			o = s->p->loaded.v[i];
	return o;
}

const struct kv_object *kv_likely_definer(const struct kv_scope *s, const struct kv_elf_ref *r,
					  struct kv_definers *known)
{
	const struct kv_elf_version *version = kv_scope_version(s, r->version);
	const struct kv_object *named = named_by(s, r), *o;
	size_t end = 0;

	if (kv_may_abort(s, r))
		return NULL;
	if (named && is_defined_in(s, named, r, version))
		return named;
	/* Before 2.30 only the object that the reference names counts. */
	if (named && kv_ldso_version(s->p->l) < 30)
		return NULL;
	o = find_known(s, r, version, known);
	if (o)
		return o;
	o = find_anywhere(s, r, version);
	while (end < KV_ARRAY_SIZE(known->v) - 1 && known->v[end])
		end++;
	if (o)
		known->v[end] = o;
	return o;
}

/*
 * What of the driver is assumed: the symbols of libcuda and libnvidia-ml. A copy that lies in an
 * image is a stub at best; the runtime lays the driver's own over it, so its gaps are no fault of
 * the image.
 */
static bool is_assumed_symbol(const struct kv_scope *s, const char *name)
{
	if (!kv_starts(name, "cu") && !kv_starts(name, "nvml"))
		return false;
	for (size_t i = 0; i < s->list->n; i++)
		for (size_t j = 0; s->p->assumed && s->p->assumed[j]; j++)
			if (kv_object_has_name(s->list->v[i], s->p->assumed[j]))
				return true;
	return false;
}

bool kv_is_link_time_fault(const struct kv_scope *s, const struct kv_elf_ref *r)
{
	const struct kv_elf_version *version = kv_scope_version(s, r->version);
	const struct kv_object *named = named_by(s, r);

	return version && named && named->elf && kv_ldso_version(s->p->l) < 30 &&
	       kv_elf_is_hashed(named->elf) && !look_into(s, named, r, version).matched;
}

struct kv_binding kv_bind_symbol(const struct kv_scope *s, const struct kv_elf_ref *r)
{
	const struct kv_elf_version *version = kv_scope_version(s, r->version);

	/* Scope order: what is global, then the search list of the load. */
	for (size_t i = 0; i < s->p->loaded.n + s->list->n; i++) {
		struct kv_object *o =
			i < s->p->loaded.n ? s->p->loaded.v[i] : s->list->v[i - s->p->loaded.n];
		bool is_named;
		struct match m;

		if (i < s->p->loaded.n && !o->global)
			continue;
		is_named = o == named_by(s, r);
		m = look_into(s, o, r, version);
		if (m.matched && version && is_named && kv_may_abort(s, r))
			return (struct kv_binding){ .found = true, .aborts = true };
		if (m.found)
			return (struct kv_binding){ .found = true, .in = o };
		/* Before 2.30 (f0b2132b35) the object that the reference names was the last that
		 * was asked. */
		if (is_named && kv_is_link_time_fault(s, r))
			return (struct kv_binding){ .found = is_assumed_symbol(s, r->name),
						    .ended = true };
	}
	return (struct kv_binding){ .found = is_assumed_symbol(s, r->name) };
}
