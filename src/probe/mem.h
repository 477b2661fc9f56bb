/*
 * The buffer of one agent: several separate pieces with guard bytes around each, so that a piece
 * that lands one byte off, or twice, or not at all, is seen.
 */
#ifndef KV_PROBE_MEM_H
#define KV_PROBE_MEM_H

#include "probe/probe.h"

struct probe_piece {
	uint64_t off, len; /* in the buffer */
	uint64_t at;       /* in the payload */
};

struct probe_layout {
	struct probe_piece piece[PROBE_MAX_DESCS];
	size_t n;
	uint64_t total;
};

struct cuda;

struct probe_mem {
	struct probe_layout lay;
	uint8_t *host; /* the buffer itself, or the staging copy of GPU memory */
	uint64_t addr; /* what NIXL is told */
	uint64_t dev;  /* likewise: the GPU's number, 0 for DRAM */
	struct cuda *gpu;
};

/* The CUDA context comes first, as in a serving process, before NIXL is opened. */
int probe_mem_open(struct probe_mem *mem, const struct probe_plan *plan, struct probe_report *rep);
int probe_mem_fill(struct probe_mem *mem, const struct probe_plan *plan, bool source,
		   struct probe_report *rep);
int probe_mem_check(struct probe_mem *mem, const struct probe_plan *plan, struct probe_report *rep);
void probe_mem_close(struct probe_mem *mem);

/* ---- the CUDA driver, by dlopen (cuda.c) ---- */
struct cuda *cuda_open(unsigned gpu, bool or_another, struct probe_report *rep);
/* The one that it is. */
unsigned cuda_ordinal(const struct cuda *cu);
int cuda_alloc(struct cuda *cu, size_t n, uint64_t *ret_addr, struct probe_report *rep);
int cuda_write(struct cuda *cu, uint64_t addr, const void *from, size_t n,
	       struct probe_report *rep);
int cuda_read(struct cuda *cu, void *to, uint64_t addr, size_t n, struct probe_report *rep);
void cuda_close(struct cuda *cu, uint64_t addr);

#endif
