/* Inside the room: the dynamic section. */
#ifndef KV_ELF_DYNAMIC_H
#define KV_ELF_DYNAMIC_H

#include "elf/elf.h"

/* Fills everything of e that the dynamic section at addr tells, with the tables that it leads to.
 */
void kv_elf_read_dynamic(struct kv_elf *e, uint64_t addr, uint64_t size);

#endif
