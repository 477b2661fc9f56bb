/* The table behind kv_place(): objects know their place in the link map. */
#include "report/places.h"

struct kv_places kv_places_of(struct kv_arena *a, const kv_objects *objects)
{
	struct kv_places p = { .objects = objects };

	for (size_t i = 0; i < objects->n; i++)
		if (objects->v[i]->index >= p.n)
			p.n = objects->v[i]->index + 1;
	p.of = kv_alloc_n(a, p.n, sizeof(*p.of));
	for (size_t i = 0; i < objects->n; i++)
		p.of[objects->v[i]->index] = i + 1;
	return p;
}

size_t kv_place(const struct kv_places *p, const struct kv_object *o)
{
	size_t at = o && o->index < p->n ? p->of[o->index] : 0;

	/* Another process's, or one that was unmapped, can have had the same place. */
	return at && p->objects->v[at - 1] == o ? at : 0;
}
