/* Inside the room: the dynamic section and the notes. */
#ifndef KV_ELF_DYNAMIC_H
#define KV_ELF_DYNAMIC_H

#include "elf/elf.h"

/* Fills everything of e that the dynamic section at addr tells, with the tables that it leads to.
 */
void kv_elf_read_dynamic(struct kv_elf *e, uint64_t addr, uint64_t size);

#define KV_ELF_MAX_NOTE ((uint64_t)64 << 10) /* bytes of a segment of notes that is looked at */

/*
 * Calls fn with the type and description of each note of this owner (three letters) in a segment
 * until it returns true. The description follows the name, the next note the description, both
 * aligned.
 */
void kv_elf_each_note(struct kv_span s, bool be, uint64_t align, const char *owner,
		      bool (*fn)(void *arg, uint32_t type, struct kv_span desc), void *arg);

#endif
