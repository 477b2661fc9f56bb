/*
 * A sweep: every node, then every pair of nodes. What is known of one (struct kv_sweep) comes from
 * a sweep that runs (sweep_lead.c), or from the state files that sweeps leave (sweep_state.c), and
 * is judged in the same way (sweep_judge.c).
 */
#ifndef KV_PROVE_SWEEP_H
#define KV_PROVE_SWEEP_H

#include "base/base.h"
#include "base/json.h"

#define KV_SWEEP_MAX 65535U /* nodes */

/* ---- the rounds (sweep_plan.c) ----
 *
 * A tournament by the circle method: in a round each node is in one pair at most, and over all
 * rounds each pair comes once. Nodes are numbers from 0 to n - 1.
 */

uint32_t kv_sweep_rounds(uint32_t n); /* n - 1; n where that is odd; 0 for fewer than two */
uint32_t kv_sweep_slots(uint32_t n);  /* pairs of a round */

struct kv_sweep_pair {
	uint32_t a, b; /* a sends */
};

struct kv_sweep_pair kv_sweep_pair_at(uint32_t n, uint32_t round, uint32_t slot);
/* Where a pair, whichever sends, comes. */
void kv_sweep_pair_find(uint32_t n, uint32_t a, uint32_t b, uint32_t *ret_round,
			uint32_t *ret_slot);
/* The i-th of `want` rounds, spread over all. */
uint32_t kv_sweep_round_of(uint32_t n, uint32_t want, uint32_t i);

/* ---- what is known ---- */

/* What nodes are compared by. */
enum kv_sweep_fact {
	KV_FACT_ARCH,
	KV_FACT_OS,
	KV_FACT_LIBC,
	KV_FACT_KERNEL,
	KV_FACT_INSTANCE,
	KV_FACT_NIXL,
	KV_FACT_BACKENDS,
	KV_FACT_FABRIC,
	KV_FACT_EFA,
	KV_FACT_EFA_DRIVER,
	KV_FACT_GPUS,
	KV_FACT_GPU_DRIVER,
	KV_FACT_KVPATH,
	_KV_SWEEP_FACT_COUNT
};

extern const char *const kv_sweep_fact_names[_KV_SWEEP_FACT_COUNT];

/* Strings are interned: those that are equal are one pointer. */
struct kv_sweep_node {
	const char *name;
	const char *verdict;  /* check's; NULL where it was not heard of */
	const char *findings; /* "KV101, KV201": errors, then warnings; "" for none */
	const char *detail;   /* what the first error says; "" */
	const char *lost;     /* why it took part no longer; NULL */
	const char *facts[_KV_SWEEP_FACT_COUNT]; /* NULL where not told */

	/* The judge's. */
	const char *bad;        /* why it is to be left out; NULL */
	uint32_t tried, failed; /* its pairs */
	uint32_t off;           /* of those that moved, the ones not by efa although it was asked */
	float median;           /* of its rates; 0 without any */
	float expected;         /* where it is slow */
	bool slow, confirmed;   /* and was so again when measured again */
};

/* A pair that failed or moved its bytes over another provider. */
struct kv_sweep_fault {
	struct kv_sweep_pair pair;
	uint32_t round;
	const char *cause, *text; /* "connect", ... */
};

struct kv_sweep_slow {
	struct kv_sweep_pair pair;
	uint32_t round;
	float rate, expected;
	bool confirmed;
};

/* What a sweep's pairs are measured with: the same for all. */
struct kv_sweep_test {
	const char *engine, *shape, *op, *mem, *target;
	uint64_t iters;
};

/* One of all rounds, by slot. */
struct kv_sweep_round {
	float *rate;       /* bytes/s; 0 where not measured, KV_SWEEP_FAILED */
	float *again;      /* the best of what was measured once more; NULL where nothing was */
	uint8_t *provider; /* of kv_sweep.providers */
};

#define KV_SWEEP_FAILED (-1.0F)

struct kv_sweep {
	struct kv_arena *arena;
	struct kv_map *interned, *by_name;
	uint32_t n;
	struct kv_sweep_node *nodes;
	struct kv_sweep_test test;
	const char *launcher;
	struct kv_sweep_round *rounds;
	const char *providers[256];           /* [0] is "", not named */
	uint64_t tried, measured;             /* pairs */
	KV_VEC(struct kv_sweep_fault) faults; /* the first KV_SWEEP_FAULTS */
	uint64_t n_faults, n_off;

	/* The judge's. */
	const char *verdict;
	KV_VEC(struct kv_sweep_slow) slow; /* slowest first, by what was expected */
	uint64_t n_slow;
	float median;  /* of all rates; 0 */
	float *middle; /* [round]: of its rates */
};

#define KV_SWEEP_FAULTS 4096
#define KV_SWEEP_SLOW   256

/* -EINVAL where a name comes twice. */
int kv_sweep_init(struct kv_sweep *s, struct kv_arena *a, const kv_strv *names, struct kv_err *err);
const char *kv_sweep_intern(struct kv_sweep *s, const char *text);
/* UINT32_MAX where there is none of that name. */
uint32_t kv_sweep_node_of(const struct kv_sweep *s, const char *name);

/* What check --json printed, or what kv_sweep_brief() left of it. -EINVAL where it is neither. */
int kv_sweep_add_node(struct kv_sweep *s, uint32_t node, const json_t *doc, struct kv_err *err);
/* The parts of a kvpath.check/1 that a sweep needs; NULL where it is none. The caller's reference.
 */
json_t *kv_sweep_brief(const json_t *check);
void kv_sweep_add_lost(struct kv_sweep *s, uint32_t node, const char *why);
/* provider may be "". */
void kv_sweep_add_rate(struct kv_sweep *s, struct kv_sweep_pair p, double rate,
		       const char *provider);
void kv_sweep_add_fault(struct kv_sweep *s, struct kv_sweep_pair p, const char *cause,
			const char *text);
/* Whether it was measured, and did not fail. */
bool kv_sweep_has(const struct kv_sweep *s, struct kv_sweep_pair p);

/* ---- the state file (sweep_state.c) ----
 *
 * Lines of text, written as results come, so that a sweep that ends early can be resumed:
 *     kvpath.sweep-state/1 {"nodes": "n[0-7]", "engine": ...}
 *     node NAME {"verdict": ..., "findings": [...], "detail": ..., "facts": {...}}
 *     lost NAME WHY
 *     pair A B BYTES_PER_S PROVIDER      numbers of nodes; PROVIDER "-" where nothing names it
 *     fail A B CAUSE WHY
 */

/* Of a file whose sweep is not begun yet, that one: with the nodes of its head. err names path. */
int kv_sweep_state_read(struct kv_arena *a, const char *path, struct kv_sweep *s,
			struct kv_err *err);
void kv_sweep_state_head(FILE *f, const struct kv_sweep *s);
void kv_sweep_state_node(FILE *f, const struct kv_sweep *s, uint32_t node, const json_t *brief);
void kv_sweep_state_lost(FILE *f, const struct kv_sweep *s, uint32_t node);
void kv_sweep_state_rate(FILE *f, struct kv_sweep_pair p, double rate, const char *provider);
void kv_sweep_state_fault(FILE *f, struct kv_sweep_pair p, const char *cause, const char *text);

/* ---- the judge (sweep_judge.c) ---- */

/* "on-fabric", "off-fabric", "unknown" of a pair whose bytes went by that provider. */
const char *kv_sweep_pair_verdict(const struct kv_sweep *s, const char *provider);
/* Verdict, bad nodes, slow ones and slow pairs; may be asked again when more is known. */
void kv_sweep_judge(struct kv_sweep *s);
/* The middle one, 0 of none; changes their order. */
float kv_median(float *v, size_t n);

/* ---- what nodes have in common (sweep_group.c) ---- */

struct kv_sweep_group {
	const char *verdict; /* "lost" where it was not heard of, or no more */
	const char *findings, *detail;
	kv_strv nodes;
};

struct kv_sweep_value {
	const char *value; /* NULL: not told */
	kv_strv nodes;
};

struct kv_sweep_difference {
	enum kv_sweep_fact fact;
	KV_VEC(struct kv_sweep_value) values; /* of the most nodes first */
};

typedef KV_VEC(struct kv_sweep_group) kv_sweep_groups;
typedef KV_VEC(struct kv_sweep_difference) kv_sweep_differences;

/* Nodes of one verdict and the same findings; the largest group first. */
void kv_sweep_group(const struct kv_sweep *s, kv_sweep_groups *ret);
/* Facts that are not the same for all nodes that told any. */
void kv_sweep_differ(const struct kv_sweep *s, kv_sweep_differences *ret);
/* The nodes that a job should not be given; none where it would be most of them. */
void kv_sweep_exclude(const struct kv_sweep *s, kv_strv *ret);

/* Of many nodes, those that follow each other, and their pairs. */
struct kv_sweep_cell {
	uint32_t a, b; /* blocks; a <= b */
	uint64_t measured, failed;
	double sum;
	float worst;
};

struct kv_sweep_blocks {
	uint32_t size, n; /* nodes of a block; how many blocks */
	struct kv_sweep_cell *cells;
	size_t n_cells;
};

void kv_sweep_block(const struct kv_sweep *s, uint32_t most, struct kv_sweep_blocks *ret);
/* Adds the names of a block's nodes. */
void kv_sweep_block_names(const struct kv_sweep *s, const struct kv_sweep_blocks *b, uint32_t block,
			  kv_strv *ret);

#endif
