/*
 * Notes: for which kernel an object is, and what it may open at run time. The latter is JSON of
 * whoever built the object (https://uapi-group.org/specifications/specs/elf_dlopen_metadata/), of
 * which ld.so knows nothing.
 */
#include <jansson.h>

#include "elf/dynamic.h"

#define ABI_TAG        1           /* NT_GNU_ABI_TAG */
#define ABI_TAG_FILESZ 32          /* what open_verify() wants of a segment that holds it */
#define DLOPEN         0x407c0c0au /* NT_FDO_DLOPEN_METADATA */
/* A build id fills this much; the name of a library and its frame take more. */
#define BUILD_ID_FILESZ 36
/* Of one object. A segment of 64 KiB could hold some thousand of either. */
#define MAX_DLOPENS 256
#define MAX_SONAMES 32

void kv_elf_each_note(struct kv_span s, bool be, uint64_t align, const char *owner,
		      bool (*fn)(void *arg, uint32_t type, struct kv_span desc), void *arg)
{
	uint32_t n_name, n_desc, type;
	struct kv_span desc;
	uint64_t at = 0;

	while (kv_span_u32(s, at, be, &n_name) && kv_span_u32(s, at + 4, be, &n_desc) &&
	       kv_span_u32(s, at + 8, be, &type)) {
		uint64_t body = (at + 12 + n_name + align - 1) & ~(align - 1);

		if (!kv_span_sub(s, body, n_desc, &desc))
			return;
		if (n_name == 4 && at + 16 <= s.n && memcmp(s.p + at + 12, owner, 4) == 0 &&
		    fn(arg, type, desc))
			return;
		at = (body + n_desc + align - 1) & ~(align - 1);
	}
}

/* The notes in segments that are larger than `least`. */
static void each_note_of(const struct kv_elf *e, uint64_t least, const char *owner,
			 bool (*fn)(void *arg, uint32_t type, struct kv_span desc), void *arg)
{
	for (size_t i = 0; i < e->n_notes; i++) {
		const struct kv_elf_segment *seg = &e->notes[i];

		if (seg->filesz < least || seg->filesz > KV_ELF_MAX_NOTE ||
		    (seg->align != 4 && seg->align != 8))
			continue;
		kv_elf_each_note(kv_elf_read_at(e, e->symtab->arena, seg->offset, seg->filesz),
				 e->be, seg->align, owner, fn, arg);
	}
}

/* ---- .note.ABI-tag ---- */

struct abi_tag {
	bool found, be;
	uint32_t v[4]; /* system, then the kernel's major, minor, patch */
};

static bool take_abi_tag(void *arg, uint32_t type, struct kv_span desc)
{
	struct abi_tag *tag = arg;

	if (tag->found || type != ABI_TAG || desc.n != 16)
		return tag->found;
	for (size_t i = 0; i < 4; i++)
		kv_span_u32(desc, 4 * i, tag->be, &tag->v[i]);
	return tag->found = true;
}

bool kv_elf_kernel(const struct kv_elf *e, uint32_t *ret_os, uint32_t *ret_kernel)
{
	struct abi_tag tag = { .be = e->be };

	each_note_of(e, ABI_TAG_FILESZ, "GNU", take_abi_tag, &tag);
	*ret_os = tag.v[0];
	*ret_kernel = (tag.v[1] & 0xff) << 16 | (tag.v[2] & 0xff) << 8 | (tag.v[3] & 0xff);
	return tag.found;
}

/* ---- .note.dlopen ---- */

struct dlopens {
	struct kv_arena *a;
	kv_elf_dlopens *list;
};

static const char *text_of(struct kv_arena *a, const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? kv_strdup(a, text) : NULL;
}

/* One feature; none without a name to open. */
static void take_feature(struct dlopens *d, const json_t *feature)
{
	const json_t *sonames = json_object_get(feature, "soname"), *name;
	struct kv_elf_dlopen *o;
	kv_strv names = { 0 };
	size_t i;

	json_array_foreach(sonames, i, name) if (json_string_length(name) && names.n < MAX_SONAMES)
		kv_vec_push(d->a, &names, kv_strdup(d->a, json_string_value(name)));
	if (!names.n || d->list->n >= MAX_DLOPENS)
		return;
	o = kv_vec_add(d->a, d->list);
	o->feature = text_of(d->a, feature, "feature");
	o->description = text_of(d->a, feature, "description");
	o->priority = text_of(d->a, feature, "priority");
	if (!o->priority)
		o->priority = "recommended"; /* as the specification has it */
	o->sonames = names;
}

static bool take_dlopen(void *arg, uint32_t type, struct kv_span desc)
{
	const json_t *feature;
	json_t *doc;
	size_t i;

	if (type != DLOPEN)
		return false;
	doc = json_loadb((const char *)desc.p, strnlen((const char *)desc.p, desc.n), 0, NULL);
	json_array_foreach(doc, i, feature) take_feature(arg, feature);
	json_decref(doc);
	return false;
}

void kv_elf_read_dlopens(const struct kv_elf *e, struct kv_arena *a, kv_elf_dlopens *ret)
{
	struct dlopens d = { a, ret };

	*ret = (kv_elf_dlopens){ 0 };
	each_note_of(e, BUILD_ID_FILESZ + 1, "FDO", take_dlopen, &d);
}
