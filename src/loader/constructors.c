/*
 * Whether the objects of a load, all relocated, survive their constructors (glibc elf/dl-init.c
 * _dl_init()). Code is not followed: only what is known to end the process, and can be told from
 * the files.
 */
#include "loader/symbols.h"

/* A loader before 2.36 passes DT_RELR over: what it should have relocated, the addresses of the
 * constructors among it, is left as it is. */
static bool knows_relr(struct kv_process *p, const kv_objects *fresh, struct kv_load *ret)
{
	if (kv_loader_ldso(p->l)->version >= 36)
		return true;
	for (size_t i = fresh->n; i-- > 0;) {
		const struct kv_elf *e = fresh->v[i]->elf;

		if (!e->has_relr || !e->has_init_array)
			continue;
		ret->requirer = fresh->v[i];
		kv_load_fail(p, ret, KV_LOADS_ABORT, fresh->v[i]->name,
			     "its relative relocations (DT_RELR) are not known to this glibc: "
			     "calling its constructors is a SIGSEGV");
		return false;
	}
	return true;
}

/* ---- two copies of libnuma ---- */

/*
 * libnuma's constructor sets its sizes, then calls this function of its own (numactl libnuma.c
 * numa_init(), set_configured_nodes()). In a copy whose constructor has not run yet the size is 0,
 * for which it calls exit(1). Debian and AlmaLinux link libnuma so that the call is bound like any
 * other, to the first copy in the scope; Ubuntu with -Bsymbolic-functions, so that it stays inside.
 */
#define NUMA_ASKS "numa_allocate_nodemask"

static bool is_defined(const struct kv_elf_sym *sym, void *arg)
{
	(void)arg;
	return sym->shndx != SHN_UNDEF;
}

struct asks {
	const struct kv_elf *elf;
	struct kv_elf_ref ref; /* without a name where it is not called by name */
};

static bool note_ask(const struct kv_elf_reloc *r, void *arg)
{
	struct asks *a = arg;
	struct kv_elf_sym sym;

	if (!r->sym || !kv_elf_sym(a->elf, r->sym, &sym) || !kv_streq(sym.name, NUMA_ASKS))
		return false;
	a->ref = (struct kv_elf_ref){ .name = sym.name,
				      .hash = kv_elf_gnu_hash(sym.name),
				      .sym = r->sym,
				      .version = sym.version & 0x7fff };
	return true;
}

/* The copy that the constructor of o, which is a libnuma, asks; NULL where that is itself. */
static const struct kv_object *asked_by(struct kv_process *p, const struct kv_load *load,
					const struct kv_object *o)
{
	struct kv_scope s = { .p = p, .list = &load->list };
	struct asks a = { .elf = o->elf };
	const struct kv_object *in;

	if (o->elf->flags & DF_SYMBOLIC)
		return NULL;
	kv_elf_relocs(o->elf, NULL, note_ask, &a);
	if (!a.ref.name)
		return NULL;
	kv_scope_from(&s, o);
	in = kv_bind_symbol(&s, &a.ref).in;
	return in == o ? NULL : in;
}

/* fresh: in whose reverse order constructors are called, as relocations are applied. */
static bool numa_is_ready(struct kv_process *p, const kv_objects *fresh, struct kv_load *ret)
{
	uint32_t hash = kv_elf_gnu_hash(NUMA_ASKS);
	kv_objects copies = { 0 };

	for (size_t i = fresh->n; i-- > 0;)
		if (kv_elf_lookup(fresh->v[i]->elf, NUMA_ASKS, hash, is_defined, NULL))
			kv_vec_push(p->arena, &copies, fresh->v[i]);
	for (size_t i = 0; i < copies.n && copies.n > 1; i++) {
		const struct kv_object *in = asked_by(p, ret, copies.v[i]);
		size_t j = i + 1;

		while (j < copies.n && copies.v[j] != in)
			j++;
		if (j == copies.n)
			continue;
		ret->requirer = copies.v[i];
		ret->provider = in;
		ret->is_unready = true;
		kv_load_fail(p, ret, KV_LOADS_ABORT, copies.v[i]->name,
			     kv_strf(p->arena,
				     "its constructor calls %s of another copy of libnuma, %s, "
				     "which is not set up yet and ends the process",
				     NUMA_ASKS, in->name));
		return false;
	}
	return true;
}

bool kv_check_constructors(struct kv_process *p, const kv_objects *fresh, struct kv_load *ret)
{
	return knows_relr(p, fresh, ret) && numa_is_ready(p, fresh, ret);
}
