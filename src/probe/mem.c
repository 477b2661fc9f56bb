/* Pattern, poison and check of the buffer: see mem.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "probe/mem.h"

#define GUARD      256 /* keeps the pieces apart, else NIXL merges neighbours into one descriptor */
#define GUARD_BYTE 0x5a

/* Same bytes in, same layout out: both agents compute it, nothing but the base address is
 * exchanged. */
static void layout_make(uint64_t bytes, struct probe_layout *ret)
{
	uint64_t off = GUARD, at = 0;

	*ret = (struct probe_layout){ .n = bytes < PROBE_MAX_DESCS ? (size_t)bytes
								   : PROBE_MAX_DESCS };
	for (size_t i = 0; i < ret->n; i++) {
		uint64_t len = bytes / ret->n + (i < bytes % ret->n);

		ret->piece[i] = (struct probe_piece){ .off = off, .len = len, .at = at };
		at += len;
		off += (len + GUARD - 1) / GUARD * GUARD + GUARD;
	}
	ret->total = off;
}

/* splitmix64: every 8 bytes of the payload depend on the seed and on their place. */
static uint64_t pattern_word(uint64_t seed, uint64_t index)
{
	uint64_t z = seed + (index + 1) * UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static void pattern_piece(const struct probe_piece *p, uint64_t seed, uint8_t flip, uint8_t *to)
{
	uint64_t word = pattern_word(seed, p->at / 8);

	for (uint64_t i = 0; i < p->len; i++) {
		uint64_t at = p->at + i;

		if (at % 8 == 0)
			word = pattern_word(seed, at / 8);
		to[i] = (uint8_t)(word >> 8 * (at % 8)) ^ flip;
	}
}

/* source: the seeded pattern. Else: its complement, so that every single byte has to change. */
static void layout_fill(const struct probe_layout *lay, uint64_t seed, bool source, uint8_t *buf)
{
	memset(buf, GUARD_BYTE, lay->total);
	for (size_t i = 0; i < lay->n; i++)
		pattern_piece(&lay->piece[i], seed, source ? 0x00 : 0xff, buf + lay->piece[i].off);
}

static uint64_t piece_wrong(const struct probe_piece *p, uint64_t seed, const uint8_t *buf,
			    uint64_t *ret_first)
{
	uint64_t word = pattern_word(seed, p->at / 8), wrong = 0;

	for (uint64_t i = 0; i < p->len; i++) {
		uint64_t at = p->at + i;

		if (at % 8 == 0)
			word = pattern_word(seed, at / 8);
		if (buf[p->off + i] != (uint8_t)(word >> 8 * (at % 8)) && !wrong++)
			*ret_first = i;
	}
	return wrong;
}

/* True where every piece holds the pattern and every guard byte is as it was; else says what is
 * wrong. */
static bool layout_check(const struct probe_layout *lay, uint64_t seed, const uint8_t *buf,
			 char *ret_why, size_t n_why)
{
	uint64_t end = 0, first = 0;

	for (size_t i = 0; i < lay->n; i++) {
		const struct probe_piece *p = &lay->piece[i];
		uint64_t wrong = piece_wrong(p, seed, buf, &first);

		if (wrong) {
			snprintf(ret_why, n_why,
				 "descriptor %zu: %llu of %llu bytes are wrong, the first at "
				 "offset %llu",
				 i, (unsigned long long)wrong, (unsigned long long)p->len,
				 (unsigned long long)first);
			return false;
		}
	}
	for (size_t i = 0; i <= lay->n; i++) {
		uint64_t next = i < lay->n ? lay->piece[i].off : lay->total;

		for (uint64_t b = end; b < next; b++) {
			if (buf[b] == GUARD_BYTE)
				continue;
			snprintf(ret_why, n_why,
				 "a byte outside the %zu descriptors was written, at offset %llu",
				 lay->n, (unsigned long long)b);
			return false;
		}
		end = i < lay->n ? next + lay->piece[i].len : next;
	}
	return true;
}

int probe_mem_open(struct probe_mem *mem, const struct probe_plan *plan, struct probe_report *rep)
{
	layout_make(plan->bytes, &mem->lay);
	mem->host = mmap(NULL, mem->lay.total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);
	if (mem->host == MAP_FAILED) {
		mem->host = NULL;
		return probe_fail(rep, PROBE_CAUSE_ENVIRONMENT, "mmap of %llu bytes: %s",
				  (unsigned long long)mem->lay.total, strerror(errno));
	}
	mem->addr = (uint64_t)(uintptr_t)mem->host;
	if (!plan->vram)
		return 0;
	mem->gpu = cuda_open(plan->gpu, /* or_another= */ false, rep);
	mem->dev = plan->gpu;
	mem->addr = 0;
	return mem->gpu ? cuda_alloc(mem->gpu, mem->lay.total, &mem->addr, rep) : -1;
}

int probe_mem_fill(struct probe_mem *mem, const struct probe_plan *plan, bool source,
		   struct probe_report *rep)
{
	layout_fill(&mem->lay, plan->seed, source, mem->host);
	if (!mem->gpu)
		return 0;
	if (cuda_write(mem->gpu, mem->addr, mem->host, mem->lay.total, rep) < 0)
		return -1;
	/* What is checked later must have come back from the GPU. */
	memset(mem->host, 0, mem->lay.total);
	return 0;
}

int probe_mem_check(struct probe_mem *mem, const struct probe_plan *plan, struct probe_report *rep)
{
	char why[256];

	if (mem->gpu && cuda_read(mem->gpu, mem->host, mem->addr, mem->lay.total, rep) < 0)
		return -1;
	if (!layout_check(&mem->lay, plan->seed, mem->host, why, sizeof(why)))
		return probe_fail(rep, PROBE_CAUSE_CORRUPT, "%s", why);
	return 0;
}

void probe_mem_close(struct probe_mem *mem)
{
	if (mem->gpu)
		cuda_close(mem->gpu, mem->addr);
	if (mem->host)
		munmap(mem->host, mem->lay.total);
	*mem = (struct probe_mem){ 0 };
}
