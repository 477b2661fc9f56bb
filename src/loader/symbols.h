/* Where symbols are found. Shared by symbols.c and relocate.c. */
#ifndef KV_LOADER_SYMBOLS_H
#define KV_LOADER_SYMBOLS_H

#include "loader/internal.h"

#define KV_WANTS 64 /* versions with a higher number are looked for each time */

/* What a reference with a certain version index asks for. */
struct kv_want {
	const struct kv_elf_version *version;
	const struct kv_object *named; /* the loaded object of its vn_file */
	uint16_t index;                /* of the version there; 0: not known */
};

/* One load's scope, and of it the object whose references are looked at. */
struct kv_scope {
	struct kv_process *p;
	const kv_objects *list; /* search list of the load */
	const struct kv_object *from;
	struct kv_want want[KV_WANTS]; /* by version index, n_wants of them */
	size_t n_wants;
};

/* Turns to the references of this object, which has an elf. */
void kv_scope_from(struct kv_scope *s, const struct kv_object *from);
/* The version that a reference with this number asks for; NULL for none. */
const struct kv_elf_version *kv_scope_version(const struct kv_scope *s, uint16_t index);

/* Whether the load may fail without it. */
bool kv_is_wanted(const struct kv_scope *s, const struct kv_elf_ref *r);
/* Where references of one object were found so far, those asked first first. Zeroed at the start.
 */
struct kv_definers {
	const struct kv_object *v[8];
};

/*
 * An object of the scope that defines it so that nothing can go wrong, not always the one that
 * wins; NULL sends the caller to kv_bind_symbol().
 */
const struct kv_object *kv_likely_definer(const struct kv_scope *s, const struct kv_elf_ref *r,
					  struct kv_definers *known);
/* Before 2.30 (f0b2132b35): whether the object that the reference names lacks it. The search ends
 * there, with a text of its own. */
bool kv_is_link_time_fault(const struct kv_scope *s, const struct kv_elf_ref *r);
/* Whether finding it in the object that it names kills the process: that has no versions. */
bool kv_may_abort(const struct kv_scope *s, const struct kv_elf_ref *r);

struct kv_binding {
	bool found, aborts;   /* finding it kills the process */
	bool ended;           /* the search ended at the object that the reference names */
	struct kv_object *in; /* NULL where it is assumed */
};

/* Looks for the symbol in the scope, in ld.so's order. */
struct kv_binding kv_bind_symbol(const struct kv_scope *s, const struct kv_elf_ref *r);

#endif
