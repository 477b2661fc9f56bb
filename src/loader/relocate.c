/*
 * What relocating the objects of a load may fail of (glibc elf/dl-reloc.c _dl_relocate_object(),
 * sysdeps/.../dl-machine.h elf_machine_rela()): a symbol that nothing defines, a static TLS block
 * without room, bytes that the file lacks. And, before it, a CPU that is too old
 * (sysdeps/x86/dl-prop.h).
 */
#include "loader/sweep.h"

/* ---- x86 ISA levels ---- */

bool kv_check_isa(struct kv_process *p, const kv_objects *order, struct kv_load *ret)
{
	uint32_t has = (1u << p->l->cpu_level) - 1;

	if (p->l->machine != EM_X86_64 || kv_loader_ldso(p->l)->version < 33)
		return true;
	for (size_t i = order->n; i-- > 0;) {
		const struct kv_object *o = order->v[i];

		if (!o->elf || o->relocated || !(o->elf->isa_needed & ~has))
			continue;
		ret->requirer = o;
		kv_load_fail(p, ret, KV_LOADS_NO, o->name, "CPU ISA level is lower than required");
		return false;
	}
	return true;
}

/* ---- relocations ---- */

enum reloc_fault { RELOC_OK, RELOC_SYMBOL, RELOC_ABORT, RELOC_TLS, RELOC_NO_TLS, RELOC_CUT };

struct missing {
	struct kv_elf_ref ref; /* without a name where the symbol is there */
	bool aborts;
};

struct relocating {
	struct kv_scope *s;
	struct missing *missing; /* by symbol index; NULL where all are there */
	size_t n_syms;
	bool lazy, tls;
	bool *exact; /* whether the room left is known to the byte; NULL where it need not be */
	enum reloc_fault fault;
	const struct kv_elf_ref *ref;      /* of the symbol at fault */
	const struct kv_object *tls_owner; /* whose block has no room */
};

/*
 * Relocations against the thread pointer: the block has to be in the static part. And descriptors:
 * it goes there where it finds room (TRY_STATIC_TLS).
 */
enum { TPOFF, TLSDESC };

static const uint32_t *tls_types(const struct kv_loader *l)
{
	static const uint32_t
		x86_64[] = { [TPOFF] = R_X86_64_TPOFF64, [TLSDESC] = R_X86_64_TLSDESC },
		aarch64[] = { [TPOFF] = R_AARCH64_TLS_TPREL, [TLSDESC] = R_AARCH64_TLSDESC },
		others[2];

	return l->machine == EM_X86_64 ? x86_64 : l->machine == EM_AARCH64 ? aarch64 : others;
}

/* The object whose thread-local symbol it is; NULL where it is not known. */
static struct kv_object *tls_owner(const struct relocating *w, uint32_t sym)
{
	struct kv_process *p = w->s->p;
	struct kv_elf_ref r = { 0 };

	while (sym && kv_elf_next_ref(w->s->from->elf, &r))
		if (r.sym == sym)
			return kv_bind_symbol(w->s, &r).in;
	return p->loaded.v[w->s->from->index];
}

static void place_all_tls(struct kv_process *p);

static enum reloc_fault place_tls(struct relocating *w, const struct kv_elf_reloc *r)
{
	struct kv_process *p = w->s->p;
	const uint32_t *types = tls_types(p->l);
	bool optional = r->type == types[TLSDESC];
	struct kv_object *o;

	if (!r->type || !w->tls || !(optional || r->type == types[TPOFF]))
		return RELOC_OK;
	o = tls_owner(w, r->sym);
	if (!o || !o->elf)
		return RELOC_OK;
	w->tls_owner = o;
	/* x86 divides by the alignment of the segment that is not there. */
	if (!o->elf->tls.memsz)
		return p->l->machine == EM_X86_64 ? RELOC_NO_TLS : RELOC_OK;
	if (w->exact && !*w->exact) {
		place_all_tls(p);
		*w->exact = true;
	}
	return kv_tls_make_static(p, o, optional) || optional ? RELOC_OK : RELOC_TLS;
}

static bool apply(const struct kv_elf_reloc *r, void *arg)
{
	struct relocating *w = arg;
	const struct kv_elf *e = w->s->from->elf;

	if (e->truncated && kv_elf_is_cut(e, r->offset, e->is64 ? 8 : 4)) {
		w->fault = RELOC_CUT;
	} else if (w->lazy && r->plt) {
		return false;
	} else if (w->missing && r->sym < w->n_syms && w->missing[r->sym].ref.name) {
		w->ref = &w->missing[r->sym].ref;
		w->fault = w->missing[r->sym].aborts ? RELOC_ABORT : RELOC_SYMBOL;
	} else {
		w->fault = place_tls(w, r);
	}
	return w->fault != RELOC_OK;
}

/* Whether relocating what refers to it fails; *ret_abort: by an assertion. */
static bool is_fatal(const struct kv_scope *s, const struct kv_elf_ref *r, bool *ret_abort)
{
	struct kv_binding b;

	*ret_abort = false;
	if (!kv_is_wanted(s, r) && !kv_may_abort(s, r))
		return false;
	b = kv_bind_symbol(s, r);
	*ret_abort = b.aborts;
	return b.aborts || (!b.found && (!r->weak || b.ended));
}

/* Fills w->missing with the references that nothing satisfies. */
static void find_missing(struct relocating *w)
{
	const struct kv_elf *e = w->s->from->elf;
	struct kv_definers known = { 0 };
	struct kv_elf_ref r = { 0 };
	bool aborts;

	w->n_syms = kv_elf_n_syms(e);
	while (kv_elf_next_ref(e, &r)) {
		if (kv_likely_definer(w->s, &r, &known) || !is_fatal(w->s, &r, &aborts))
			continue;
		if (!w->missing)
			w->missing = kv_alloc_n(w->s->p->arena, w->n_syms, sizeof(*w->missing));
		w->missing[r.sym] = (struct missing){ r, aborts };
	}
}

static void report(struct relocating *w, struct kv_load *ret)
{
	struct kv_process *p = w->s->p;
	const struct kv_object *o = w->s->from;
	const struct kv_elf_version *v = w->ref ? kv_scope_version(w->s, w->ref->version) : NULL;

	ret->requirer = o;
	switch (w->fault) {
	case RELOC_SYMBOL:
		ret->missing_symbol = w->ref->name;
		ret->provider = v && v->file ? kv_process_named(p, v->file) : NULL;
		if (kv_is_link_time_fault(w->s, w->ref))
			kv_load_fail(p, ret, KV_LOADS_NO, o->name,
				     kv_strf(p->arena,
					     "symbol %s version %s not defined in file %s with "
					     "link time reference",
					     w->ref->name, v->name, v->file));
		else
			kv_load_fail(p, ret, KV_LOADS_NO, o->name,
				     kv_strf(p->arena, "undefined symbol: %s%s%s", w->ref->name,
					     v ? ", version " : "", v ? v->name : ""));
		break;
	case RELOC_ABORT:
		ret->loads = KV_LOADS_ABORT;
		ret->missing_symbol = w->ref->name;
		ret->error = "Inconsistency detected by ld.so: dl-lookup.c: check_match: Assertion "
			     "`version->filename == NULL || ! _dl_name_match_p (version->filename, "
			     "map)' failed!";
		break;
	case RELOC_TLS:
		kv_load_fail(p, ret, KV_LOADS_NO, w->tls_owner->name,
			     "cannot allocate memory in static TLS block");
		break;
	case RELOC_NO_TLS:
		kv_load_fail(p, ret, KV_LOADS_ABORT, w->tls_owner->name,
			     "its thread-local data is referred to, of which it has none: SIGFPE");
		break;
	default:
		kv_load_fail(p, ret, KV_LOADS_ABORT, o->name, KV_TEXT_CUT);
		break;
	}
}

static bool is_table_cut(const struct kv_elf *e)
{
	const struct kv_elf_symtab *t = e->symtab;

	if (!e->truncated)
		return false;
	for (size_t i = 0; i < KV_ARRAY_SIZE(t->relocs); i++)
		if (t->relocs[i].size && kv_elf_is_cut(e, t->relocs[i].addr, t->relocs[i].size))
			return true;
	return kv_elf_is_cut(e, t->symtab_addr, 1);
}

/* Whether relocations may be for thread-local data: its own, that of others, or the linker's mark
 * for the initial-exec model. Linkers make none elsewhere. */
static bool may_use_tls(const struct kv_object *o)
{
	return (o->elf->flags & DF_STATIC_TLS) || o->elf->tls.memsz || o->refers_to_tls;
}

static bool check_object(struct kv_scope *s, struct kv_object *o, struct kv_swept swept, bool lazy,
			 bool *exact, struct kv_load *ret)
{
	struct relocating w = { .s = s, .lazy = lazy && !o->elf->bind_now, .exact = exact };

	o->refers_to_tls = swept.tls;
	if (s->from != o)
		kv_scope_from(s, o);
	if (!swept.is_whole)
		find_missing(&w);
	/* Linkers mark what uses the initial-exec model. What they did not mark matters only where
	 * room is short. */
	w.tls = (o->elf->flags & DF_STATIC_TLS) || (exact && may_use_tls(o)) || swept.lost_tls;
	if (!w.missing && !w.tls && !o->elf->truncated)
		return true;
	if (is_table_cut(o->elf))
		w.fault = RELOC_CUT;
	else
		kv_elf_relocs(o->elf, w.missing || o->elf->truncated ? NULL : tls_types(s->p->l),
			      apply, &w);
	if (w.fault == RELOC_OK)
		return true;
	report(&w, ret);
	return false;
}

/* ---- room for thread-local data ---- */

static bool place_only(const struct kv_elf_reloc *r, void *arg)
{
	(void)place_tls(arg, r);
	return false;
}

static struct kv_tls_room room_after(const struct kv_process *p, size_t n)
{
	return n ? p->relocations.v[n - 1].after : p->tls_at_start;
}

/*
 * Descriptors take room where they find some, so that what there is depends on every relocation
 * since the start. They are read only once it matters: when not all might have room, and one asks
 * for it.
 */
static void place_all_tls(struct kv_process *p)
{
	p->tls = room_after(p, p->n_exact);
	for (size_t i = p->n_exact; i < p->relocations.n; i++)
		for (size_t j = 0; j < p->relocations.v[i].fresh.n; j++)
			p->relocations.v[i].fresh.v[j]->tls_offset = 0;
	for (; p->n_exact < p->relocations.n; p->n_exact++) {
		struct kv_relocation *done = &p->relocations.v[p->n_exact];
		struct kv_scope s = { .p = p, .list = &done->list };

		for (size_t j = done->fresh.n; j-- > 0;) {
			struct relocating w = { .s = &s, .tls = true };

			if (!may_use_tls(done->fresh.v[j]))
				continue;
			kv_scope_from(&s, done->fresh.v[j]);
			kv_elf_relocs(s.from->elf, tls_types(p->l), place_only, &w);
		}
		done->after = p->tls;
	}
}

void kv_forget_relocations(struct kv_process *p, size_t n, struct kv_tls_room tls)
{
	bool is_exact = p->n_exact >= n;

	p->relocations.n = n;
	p->tls = is_exact ? room_after(p, n) : tls;
	p->n_exact = is_exact ? n : p->n_exact;
}

bool kv_check_relocation(struct kv_process *p, const kv_objects *order, bool lazy,
			 struct kv_load *ret)
{
	struct kv_scope s = { .p = p, .list = &ret->list };
	kv_objects fresh = { 0 };
	struct kv_sweep *sweep;
	bool exact = false, good = true;

	for (size_t i = 0; i < order->n; i++)
		if (order->v[i]->elf && !order->v[i]->relocated)
			kv_vec_push(p->arena, &fresh, order->v[i]);
	p->tls_is_tight |= !kv_tls_fits(p);
	sweep = kv_sweep_start(p, &ret->list, &fresh);
	for (size_t i = fresh.n; good && i-- > 0;)
		good = check_object(&s, fresh.v[i], kv_sweep_object(sweep, &s, i), lazy,
				    p->tls_is_tight ? &exact : NULL, ret);
	kv_sweep_end(sweep);
	if (!good || !kv_check_constructors(p, &fresh, ret))
		return false;
	if (p->starting)
		return true;
	kv_vec_push(p->arena, &p->relocations,
		    ((struct kv_relocation){ ret->list, fresh, p->tls }));
	p->n_exact += exact;
	return true;
}
