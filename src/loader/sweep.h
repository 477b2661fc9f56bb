/* Whether all references of the objects of a load are defined. Shared by sweep.c and relocate.c. */
#ifndef KV_LOADER_SWEEP_H
#define KV_LOADER_SWEEP_H

#include "loader/symbols.h"

/* What is known of an object's references without asking in ld.so's order. */
struct kv_swept {
	bool is_whole; /* all are defined */
	bool tls;      /* some may be to thread-local data */
	bool lost_tls; /* and to such that their object has not */
};

struct kv_sweep;

/*
 * Over the fresh objects of a load with this search list, each of which has an elf. Until
 * kv_sweep_end(), which every start needs, other threads may read the process, its objects and both
 * lists: none may be changed, except what belongs to thread-local data.
 */
struct kv_sweep *kv_sweep_start(struct kv_process *p, const kv_objects *list,
				const kv_objects *fresh);
/* Of object i. s has turned to it, or has not, and is as it was. */
struct kv_swept kv_sweep_object(struct kv_sweep *w, struct kv_scope *s, size_t i);
void kv_sweep_end(struct kv_sweep *w);

#endif
