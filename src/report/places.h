/* Where an object stands among those of a load, asked for without searching them. */
#ifndef KV_REPORT_PLACES_H
#define KV_REPORT_PLACES_H

#include "loader/loader.h"

struct kv_places {
	const kv_objects *objects;
	size_t *of, n; /* by place in the link map: the place in objects, plus one */
};

struct kv_places kv_places_of(struct kv_arena *a, const kv_objects *objects);
/* Its place plus one; 0 for NULL and for one that is not among them. */
size_t kv_place(const struct kv_places *p, const struct kv_object *o);

#endif
