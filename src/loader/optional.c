/*
 * What the objects of a load say that they may open later (.note.dlopen), and whether the process
 * would find it. Nothing fails for it: ld.so does not read such notes.
 */
#include "loader/internal.h"

/* Names of one load that are tried: no real program has as many. */
#define MAX_TRIED 256

/* The first of its names that loads; if none does, what becomes of the first. */
static void try_names(struct kv_process *p, struct kv_optional *o, size_t *tried)
{
	struct kv_mark mark = kv_process_mark(p);
	struct kv_load load;

	o->loads = KV_LOADS_UNKNOWN;
	for (size_t i = 0; i < o->note.sonames.n && o->loads != KV_LOADS_YES; i++) {
		if (++*tried > MAX_TRIED) {
			o->error = i ? o->error : "more names than kvpath tries";
			return;
		}
		kv_process_dlopen(p, o->note.sonames.v[i], o->object, 0, &load);
		if (i == 0 || load.loads == KV_LOADS_YES) {
			o->loads = load.loads;
			o->error = load.error;
			o->path = load.object ? load.object->name : NULL;
		}
		kv_process_rewind(p, mark);
	}
}

void kv_load_read_optionals(struct kv_loader *l, struct kv_load *load)
{
	kv_elf_dlopens notes;

	load->optionals.n = 0;
	for (size_t i = 0; i < load->list.n; i++) {
		const struct kv_object *o = load->list.v[i];

		if (!o->elf)
			continue;
		kv_elf_read_dlopens(o->elf, l->arena, &notes);
		for (size_t j = 0; j < notes.n; j++)
			kv_vec_push(l->arena, &load->optionals,
				    ((struct kv_optional){ .object = o, .note = notes.v[j] }));
	}
}

void kv_process_try_optionals(struct kv_process *p, struct kv_load *load)
{
	size_t tried = 0;

	for (size_t i = 0; i < load->optionals.n; i++)
		try_names(p, &load->optionals.v[i], &tried);
}
