/* Names of symbols, each kept once: a hundred libraries refer to the same few of libstdc++ and
 * libc. */
#include "elf/elf.h"

#define FIRST_SLOTS 4096

struct kv_elf_reader *kv_elf_reader_new(struct kv_arena *a)
{
	struct kv_elf_reader *r = kv_new(a, struct kv_elf_reader);

	r->arena = a;
	return r;
}

uint32_t kv_elf_sysv_hash(const char *name)
{
	uint32_t h = 0;

	for (const uint8_t *p = (const uint8_t *)name; *p; p++) {
		h = (h << 4) + *p;
		h ^= h >> 24 & 0xf0;
	}
	return h & 0x0fffffff;
}

/* h * 33 + c for each byte. Four at a time: the multiplications of one byte after the other would
 * have to wait for each other. */
static uint32_t gnu_hash_n(const char *name, size_t n)
{
	const uint8_t *p = (const uint8_t *)name;
	uint32_t h = 5381;

	for (; n >= 4; n -= 4, p += 4)
		h = h * (33u * 33 * 33 * 33) + p[0] * (33u * 33 * 33) + p[1] * (33u * 33) +
		    p[2] * 33u + p[3];
	for (; n; n--, p++)
		h = h * 33 + *p;
	return h;
}

uint32_t kv_elf_gnu_hash(const char *name)
{
	return gnu_hash_n(name, strlen(name));
}

static void grow(struct kv_elf_reader *r)
{
	size_t n = r->n_slots ? r->n_slots * 2 : FIRST_SLOTS;
	struct kv_symname **slots = kv_alloc_n(r->arena, n, sizeof(struct kv_symname *));

	for (size_t i = 0; i < r->n_slots; i++) {
		struct kv_symname *name = r->names[i];
		size_t at = name ? name->hash & (n - 1) : 0;

		if (!name)
			continue;
		while (slots[at])
			at = (at + 1) & (n - 1);
		slots[at] = name;
	}
	r->names = slots;
	r->n_slots = n;
}

struct kv_symname *kv_elf_name(struct kv_elf_reader *r, const char *text)
{
	size_t len = strlen(text), at;
	uint32_t h = gnu_hash_n(text, len);
	struct kv_symname *name;

	if (r->n_names * 2 >= r->n_slots)
		grow(r);
	for (at = h & (r->n_slots - 1); (name = r->names[at]); at = (at + 1) & (r->n_slots - 1))
		if (name->hash == h && kv_streq(name->text, text))
			return name;
	name = r->names[at] = kv_alloc(r->arena, sizeof(*name) + len + 1);
	name->hash = h;
	memcpy(name->text, text, len);
	r->n_names++;
	return name;
}
