/* The hashes of symbol names. */
#include "elf/elf.h"

uint32_t kv_elf_sysv_hash(const char *name)
{
	uint32_t h = 0;

	for (const uint8_t *p = (const uint8_t *)name; *p; p++) {
		h = (h << 4) + *p;
		h ^= h >> 24 & 0xf0;
	}
	return h & 0x0fffffff;
}

/* h * 33 + c for each byte. Eight at a time: the multiplications of one byte after the other would
 * have to wait for each other. */
uint32_t kv_elf_gnu_hash_n(const char *name, size_t n)
{
	const uint8_t *p = (const uint8_t *)name;
	const uint32_t p2 = 33u * 33, p3 = p2 * 33, p4 = p2 * p2;
	uint32_t h = 5381;

	for (; n >= 8; n -= 8, p += 8)
		h = h * (p4 * p4) + (p[0] * p3 + p[1] * p2 + p[2] * 33u + p[3]) * p4 +
		    (p[4] * p3 + p[5] * p2 + p[6] * 33u + p[7]);
	for (; n; n--, p++)
		h = h * 33 + *p;
	return h;
}

uint32_t kv_elf_gnu_hash(const char *name)
{
	return kv_elf_gnu_hash_n(name, strlen(name));
}
