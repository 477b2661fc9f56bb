/*
 * `kvpath-probe bench`: timed transfers between two workers, one of each role, each in a process of
 * its own. A worker runs one engine: what moves the bytes stands behind struct bench_engine, one
 * file each; a new engine is a new file and one line in engine.c.
 *
 * Time and truth are kept apart. A batch is some iterations, each with a place (slot) of its own in
 * the buffers; they are timed one by one, and after the batch every block of it is checked at the
 * receiver by CRC32C against what the source was filled with. The filling differs by test, batch,
 * slot and block, so that neither old nor misplaced data can pass.
 */
#ifndef KV_PROBE_BENCH_H
#define KV_PROBE_BENCH_H

#include <stdatomic.h>
#include <sys/socket.h>

#include "probe/link.h"
#include "probe/mem.h"
#include "probe/probe.h"

#define BENCH_MAX_TESTS  64
#define BENCH_MAX_COUNT  (UINT64_C(1) << 22)
#define BENCH_MAX_ITERS  UINT64_C(10000000)
#define BENCH_MAX_SLOTS  1024
#define BENCH_MAX_BUFFER (UINT64_C(1) << 38)

/* One line of results: `iters` transfers of `count` blocks of `size` bytes. */
struct bench_test {
	uint64_t count, size, slots;
	bool read;
};

/* What both workers must agree on: the initiator sends it as it is. */
struct bench_spec {
	char engine[64]; /* "ofi:tcp" */
	uint64_t seed, buffer, deadline_s, vram, n_tests;
	uint64_t no_thread; /* NIXL's agents are made without a progress thread */
	uint64_t fresh;     /* NIXL's requests are made anew for each transfer, as part of it */
	uint64_t no_notify; /* NIXL's transfers carry no notification: they end for the initiator */
	struct bench_test test[BENCH_MAX_TESTS];
};

/* Frames of the link that only bench has; see link.h for the others. */
enum bench_frame {
	BENCH_SPEC = 100,
	BENCH_BATCH,   /* struct bench_batch; the source fills */
	BENCH_SUMS,    /* a CRC32C for each block of the batch, from the source */
	BENCH_CHECKED, /* the receiver found every block as it should be */
	BENCH_FAIL,    /* struct bench_fail instead of any other frame */
};

struct bench_batch {
	uint64_t test, batch, n, total; /* n iterations in this one, total with all before it */
	uint64_t bare;                  /* by the engine's bare() */
};

struct bench_fail {
	uint64_t cause;
	char call[128], error[1024];
};

/* Where the libraries lie; each host has its own. NULL: by soname. */
struct bench_libs {
	const char *capi, *fabric, *ucp;
};

/* In memory shared by the workers of this host, and with their parent. */
struct bench_shared {
	struct probe_report rep[_PROBE_ROLES];
	_Atomic uint64_t notified; /* notifications that the target has taken */
	_Atomic uint64_t waited_ns[_PROBE_ROLES];
	_Atomic uint64_t finished; /* results that the initiator has printed */
};

struct bench_engine;

/* Whether others want this thread's core: whether it was taken from it lately. */
struct bench_crowd {
	uint64_t looked_ns, until_ns;
	long preempted;
};

/* ---- ticks.c ---- */

/* The processor's counter, and the name of the kernel's clock that runs by it. */
#if defined(__x86_64__)
#define BENCH_COUNTER "tsc"
static inline uint64_t bench_counter(void)
{
	return __builtin_ia32_rdtsc();
}
#elif defined(__aarch64__)
#define BENCH_COUNTER "arch_sys_counter"
static inline uint64_t bench_counter(void)
{
	uint64_t v;

	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(v));
	return v;
}
#else
#define BENCH_COUNTER ""
static inline uint64_t bench_counter(void)
{
	return 0;
}
#endif

struct bench_ticks {
	bool counted;      /* ticks are the processor's; else nanoseconds of CLOCK_MONOTONIC */
	uint64_t ns, tick; /* of one moment */
};

void bench_ticks_start(struct bench_ticks *t);
/* Since the start of t: the longer ago that is, the nearer. */
double bench_ns_per_tick(const struct bench_ticks *t);

static inline uint64_t bench_tick(const struct bench_ticks *t)
{
	return t->counted ? bench_counter() : probe_now_ns();
}

struct bench_side {
	struct probe_plan plan; /* for link_* and the deadline */
	struct bench_spec spec;
	struct bench_libs libs;
	const struct bench_engine *engine;
	bool remote;     /* the other worker is on another host: nothing of `shared` is its own */
	const char *arg; /* behind the engine's colon: "tcp", "UCX"; "" */
	enum probe_role role;
	struct probe_report *rep;
	struct bench_shared *shared;
	int link;

	/* The buffer of this side, and what the other one said of its own. */
	uint8_t *host; /* the buffer itself, or the staging copy of GPU memory */
	uint64_t addr, dev;
	struct cuda *gpu;
	struct link_hello peer;

	const struct bench_test *test;
	struct bench_ticks ticks;
	uint64_t completed; /* tick when it was for the initiator; 0 where that is the end anyway */
	bool wants_completed; /* of this transfer; see bench_completed */
	uint64_t events;      /* of the engine, so that a side knows that it is not idle */
	struct bench_crowd crowd;
	void *state; /* the engine's own */

	/* What the engine knows about the way of the bytes; for the results. */
	char provider[64], detail[512], rail_names[1024]; /* names: separated by commas */
	unsigned rails;
	double prep_us;       /* the making of one request, where that is a step of its own */
	const char *notified; /* "timed", "counted", or NULL where the engine has none */
	const char *progress; /* "thread", "none", NULL where that is not known, or not NIXL */
};

struct bench_engine {
	const char *name;
	bool has_arg;
	/* Each: 0, or -1 with the failure in side->rep. */
	int (*open)(struct bench_side *s); /* libraries, endpoints, registration of the buffer */
	int (*hello)(struct bench_side *s, void **ret, size_t *ret_n); /* to be freed */
	int (*meet)(struct bench_side *s, const void *blob, size_t n);
	int (*ready)(struct bench_side *s);   /* once both have met; may be NULL */
	int (*prepare)(struct bench_side *s); /* the initiator, before each test; may be NULL */
	int (*post)(struct bench_side *s, uint64_t slot);
	int (*poll)(struct bench_side *s); /* 1 where what was posted is complete, 0 not yet */
	/* Called again and again while the other side works. One that sleeps must wake where the
	 * link becomes readable, and says 1 then, and where it has slept for nothing. */
	int (*progress)(struct bench_side *s);
	/* The target, at the end of a batch: 1 once `total` transfers have arrived; may be NULL. */
	int (*arrived)(struct bench_side *s, uint64_t total);
	/*
	 * n transfers from the first slot on, with nothing around the library's calls: no clock, no
	 * deadline, no engine. Only to measure what all that adds; may be NULL. The target: until
	 * they have come.
	 */
	int (*bare)(struct bench_side *s, uint64_t n);
	void (*close)(struct bench_side *s);
};

extern const struct bench_engine bench_tcp, bench_nixl, bench_ofi, bench_ucx;

/* "ofi:tcp" -> its engine, NULL where there is none; *ret_arg points behind the colon. */
const struct bench_engine *bench_engine_find(const char *spec, const char **ret_arg);

/*
 * A transfer is complete for its initiator, and goes on until the target knows. Only of some it is
 * asked when: the asking is part of what is timed.
 */
static inline void bench_completed(struct bench_side *s)
{
	if (s->wants_completed && !s->completed)
		s->completed = bench_tick(&s->ticks);
}

/* Where a block lies. The peer's blocks lie in another order, as pages of a KV cache do. */
static inline uint64_t bench_block(const struct bench_test *t, uint64_t slot, uint64_t block)
{
	return (slot * t->count + block) * t->size;
}

uint64_t bench_peer_block(const struct bench_test *t, uint64_t slot, uint64_t block);
/* From one block's place to the next one's, in blocks, modulo their count: for who does many. */
uint64_t bench_peer_step(const struct bench_test *t);

/* ---- pattern.c ---- */

/* Fills the block and returns its CRC32C. */
uint32_t bench_fill(uint64_t seed, uint64_t test, uint64_t batch, uint64_t index, void *to,
		    size_t n);
uint32_t bench_crc32c(const void *p, size_t n);
/* "SSE4.2", "ARMv8" or "table". */
const char *bench_crc_name(void);
/* The first byte that differs from what bench_fill would write; n where none does. */
size_t bench_differs(uint64_t seed, uint64_t test, uint64_t batch, uint64_t index, const void *p,
		     size_t n);

/* ---- buffer.c: the memory of a side, DRAM or VRAM ---- */

int bench_mem_open(struct bench_side *s);
/* Fills the first n slots and gives the CRC of each block, to be freed. */
int bench_mem_fill(struct bench_side *s, const struct bench_batch *b, uint32_t **ret_sums);
int bench_mem_check(struct bench_side *s, const struct bench_batch *b, const uint32_t *sums);
void bench_mem_close(struct bench_side *s);

/* ---- place.c ---- */

/* This side's address of the link, with any port; where the link is on one host, the loopback. */
socklen_t bench_own_address(const struct bench_side *s, struct sockaddr_storage *ret);
/* The interface that has the address, as the rail. */
void bench_name_rail(struct bench_side *s, const struct sockaddr_storage *a);

/* ---- threads.c ---- */

/* Threads of this process besides its first one that no known library named; -1: not known. */
int bench_threads(void);

/* ---- worker.c ---- */

int bench_fail(struct bench_side *s, enum probe_cause cause, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void bench_doing(struct bench_side *s, const char *what);
/* A frame of the kind; a BENCH_FAIL of the peer becomes this side's failure. */
int bench_recv(struct bench_side *s, unsigned kind, void **ret, size_t *ret_n);
int bench_send(struct bench_side *s, unsigned kind, const void *p, size_t n);
/* 0, or -1 where the deadline passed or the peer is gone; cheap enough for every 1024th poll. */
int bench_alive(struct bench_side *s);

/* What the initiator is to measure; results go to out, a JSON object a line. */
struct bench_order {
	uint64_t iters, warmup;
	uint64_t again;    /* a transfer is made so often before its data are checked; mostly 1 */
	uint64_t overhead; /* instead of results: rounds of the engine beside its bare() */
	double seconds;    /* for one test, once it has had a batch */
	FILE *out;
};

/* The whole life of a worker. order is the initiator's. */
void bench_worker(struct bench_side *s, const struct bench_order *order);
/* The timed part (measure.c). */
int bench_initiate(struct bench_side *s, const struct bench_order *order);
int bench_serve(struct bench_side *s);

/* ---- stats.c ---- */

struct bench_stats {
	uint64_t n, batches, waited_ns, local_p50_ns, min_ns, p50_ns, p90_ns, p99_ns, max_ns,
		sum_ns;
};

/*
 * How long both sides were ready to run and did not get a processor, so far, as their kernel counts
 * it: what is measured meanwhile is the machine's load. Also tells the other side.
 */
uint64_t bench_waited(struct bench_side *s);
/* Whether to leave the core to others in a wait that began at `since`. */
bool bench_crowded(struct bench_crowd *c, uint64_t now, uint64_t since);
/* Sorts v; the smallest that `percent` of all do not exceed, 0 of none. */
uint64_t bench_percentile(uint64_t *v, uint64_t n, uint64_t percent);
/* Sorts v. */
void bench_stats_make(uint64_t *v, uint64_t n, struct bench_stats *ret);
void bench_print_run(struct bench_side *s, const struct bench_order *order,
		     const struct bench_stats *st);
/* Of each block of transfers, in their order: ns for all of its n. */
void bench_print_overhead(struct bench_side *s, const struct bench_order *order, uint64_t n,
			  const uint64_t *engine, const uint64_t *bare);

#endif
