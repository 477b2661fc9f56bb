/* Where symbols are found. Shared by symbols.c and relocate.c. */
#ifndef KV_LOADER_SYMBOLS_H
#define KV_LOADER_SYMBOLS_H

#include "loader/internal.h"

/* One load's scope, and of it the object whose references are looked at. */
struct kv_scope {
	struct kv_process *p;
	const kv_objects *list; /* search list of the load */
	const struct kv_object *from;
	const struct kv_object *named[64]; /* version index -> the loaded object of its vn_file */
	const struct kv_elf_verneed *version[64];
};

/* Turns to the references of this object, which has an elf. */
void kv_scope_from(struct kv_scope *s, const struct kv_object *from);
/* The version that a reference with this number asks for; NULL for none. */
const struct kv_elf_verneed *kv_scope_version(const struct kv_scope *s, uint16_t index);

/* Finds the symbols that the objects refer to as far as their hashes lead straight to them. */
void kv_guess_symbols(struct kv_scope *s, const kv_objects *fresh);
/* Whether the load fails without it. */
bool kv_is_wanted(const struct kv_scope *s, const struct kv_elf_ref *r);
/* Whether it is known where the symbol is; and in which object. */
bool kv_is_resolved(const struct kv_scope *s, const struct kv_elf_ref *r);
const struct kv_elf *kv_resolved_in(const struct kv_scope *s, const struct kv_elf_ref *r);
/* Before 2.30 (f0b2132b35): whether the object that the reference names lacks it. The search ends
 * there, with a text of its own. */
bool kv_is_link_time_fault(const struct kv_scope *s, const struct kv_elf_ref *r);
/* Whether finding it in the object that it names kills the process: that has no versions. */
bool kv_may_abort(const struct kv_scope *s, const struct kv_elf_ref *r);
/* Looks for the symbol in all of the scope. *ret_abort: finding it kills the process. */
bool kv_search_symbol(const struct kv_scope *s, const struct kv_elf_ref *r, bool *ret_abort);

#endif
