/* The buffer of one side: filled and checked by batch, through a staging copy where it is VRAM. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "probe/bench/bench.h"

int bench_mem_open(struct bench_side *s)
{
	uint64_t n = s->spec.buffer;
	void *p;

	bench_doing(s, "the allocation of the buffer");
	p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1,
		 0);
	if (p == MAP_FAILED)
		return bench_fail(s, PROBE_CAUSE_ENVIRONMENT, "mmap of %llu bytes: %s",
				  (unsigned long long)n, strerror(errno));
	s->host = p;
	s->addr = (uint64_t)(uintptr_t)p;
	if (!s->spec.vram)
		return 0;
	/* A pod often has a single one. */
	s->gpu = cuda_open(s->plan.gpu, /* or_another= */ true, s->rep);
	s->dev = s->gpu ? cuda_ordinal(s->gpu) : 0;
	s->addr = 0;
	return s->gpu ? cuda_alloc(s->gpu, n, &s->addr, s->rep) : -1;
}

/* The source's blocks lie in order where it is the initiator, else in the peer's order. */
static uint64_t offset_of(const struct bench_side *s, uint64_t slot, uint64_t block)
{
	return s->role == PROBE_INITIATOR ? bench_block(s->test, slot, block)
					  : bench_peer_block(s->test, slot, block);
}

int bench_mem_fill(struct bench_side *s, const struct bench_batch *b, uint32_t **ret_sums)
{
	const struct bench_test *t = s->test;
	uint32_t *sums = malloc((size_t)(b->n * t->count) * sizeof(*sums));

	if (!sums)
		return bench_fail(s, PROBE_CAUSE_ENVIRONMENT, "out of memory");
	bench_doing(s, "the filling of the source");
	for (uint64_t slot = 0; slot < b->n; slot++)
		for (uint64_t k = 0; k < t->count; k++)
			sums[slot * t->count + k] =
				bench_fill(s->spec.seed, b->test, b->batch, slot * t->count + k,
					   s->host + offset_of(s, slot, k), t->size);
	if (s->gpu && cuda_write(s->gpu, s->addr, s->host, b->n * t->count * t->size, s->rep) < 0) {
		free(sums);
		return -1;
	}
	*ret_sums = sums;
	return 0;
}

int bench_mem_check(struct bench_side *s, const struct bench_batch *b, const uint32_t *sums)
{
	const struct bench_test *t = s->test;

	bench_doing(s, "the check of the bytes");
	if (s->gpu && cuda_read(s->gpu, s->host, s->addr, b->n * t->count * t->size, s->rep) < 0)
		return -1;
	for (uint64_t i = 0; i < b->n * t->count; i++) {
		const uint8_t *p = s->host + offset_of(s, i / t->count, i % t->count);

		if (bench_crc32c(p, t->size) == sums[i])
			continue;
		return bench_fail(
			s, PROBE_CAUSE_CORRUPT,
			"corrupted: block %llu of transfer %llu (%s, %llu x %llu bytes) is wrong "
			"from its byte %zu on",
			(unsigned long long)(i % t->count),
			(unsigned long long)(b->total - b->n + i / t->count),
			t->read ? "read" : "write", (unsigned long long)t->count,
			(unsigned long long)t->size,
			bench_differs(s->spec.seed, b->test, b->batch, i, p, t->size));
	}
	return 0;
}

void bench_mem_close(struct bench_side *s)
{
	if (s->gpu)
		cuda_close(s->gpu, s->addr);
	if (s->host)
		munmap(s->host, s->spec.buffer);
	s->gpu = NULL;
	s->host = NULL;
}
