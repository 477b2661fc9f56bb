/*
 * libc and ld.so share what is nobody else's business: they have to be of one release. And whose
 * state libc takes for ld.so's: its references to _rtld_global_ro are bound like any others:
 * where a preload brings a second copy of ld.so, to that copy's, which nobody has set up.
 */
#include "loader/symbols.h"

/* Of a file; a loader has some 200 KiB. */
#define MAX_LDSO ((uint64_t)16 << 20)

static struct kv_binding bind_state(struct kv_process *p, const struct kv_load *start,
				    const struct kv_object *libc)
{
	struct kv_scope s = { .p = p, .list = &start->list };
	struct kv_elf_ref r = { 0 };

	kv_scope_from(&s, libc);
	while (kv_elf_next_ref(libc->elf, &r))
		if (kv_streq(r.name, "_rtld_global_ro"))
			return kv_bind_symbol(&s, &r);
	return (struct kv_binding){ 0 };
}

static bool has_same_bytes(struct kv_arena *a, const struct kv_elf *x, const struct kv_elf *y)
{
	struct kv_span s, t;

	if (x->st.size != y->st.size || x->st.size > MAX_LDSO)
		return false;
	s = kv_elf_read_at(x, a, 0, x->st.size);
	t = kv_elf_read_at(y, a, 0, y->st.size);
	return s.n == x->st.size && t.n == s.n && memcmp(s.p, t.p, s.n) == 0;
}

/*
 * Since 2.34 __libc_early_init() rounds the size of the static TLS block up to a multiple of its
 * alignment, which is 0 in the copy; x86 raises SIGFPE. Elsewhere __libc_start_main() then looks
 * for the program in an empty link map (SIGSEGV), where the program was linked that late.
 */
static bool dies_at_start(const struct kv_process *p)
{
	const struct kv_elf *main = p->main->elf;

	if (kv_loader_ldso(p->l)->version < 34)
		return false;
	if (p->l->machine == EM_X86_64 || !main)
		return true;
	for (size_t i = 0; i < main->verneeds.n; i++)
		if (kv_streq(main->verneeds.v[i].name, "GLIBC_2.34"))
			return true;
	return false;
}

bool kv_check_rtld(struct kv_process *p, struct kv_load *ret)
{
	const struct kv_object *libc = kv_process_named(p, "libc.so.6"), *in;
	unsigned version, own = kv_loader_ldso(p->l)->version;

	if (!libc || !libc->elf || !p->interp)
		return true;
	version = kv_libc_version(p->l, libc->elf);
	if (version && version != own) {
		kv_load_fail(p, ret, KV_LOADS_UNKNOWN, libc->name,
			     kv_strf(p->arena,
				     "of glibc 2.%u, and ld.so of 2.%u: what they share in private "
				     "differs from release to release, and most such pairs die",
				     version, own));
		return false;
	}
	in = bind_state(p, ret, libc).in;
	if (!in || in == p->interp)
		return true;
	ret->requirer = libc;
	if (!has_same_bytes(p->arena, in->elf, p->interp->elf)) {
		kv_load_fail(p, ret, KV_LOADS_UNKNOWN, in->name,
			     "libc takes its data for the state of ld.so, of which it is no copy");
		return false;
	}
	if (!dies_at_start(p)) {
		p->second_rtld = in;
		return true;
	}
	kv_load_fail(p, ret, KV_LOADS_ABORT, in->name,
		     "libc takes this second copy of ld.so for the loader, whose state nobody has "
		     "set up, and dies of it at the start");
	return false;
}
