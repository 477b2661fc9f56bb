/*
 * A sweep that runs. One process leads (sweep_lead.c); on each node one works for it
 * (sweep_work.c): it checks the node, and starts a bench when the lead says so. Between them there
 * are lines of text, over a TCP connection of the worker's or over what a remote shell gives:
 *
 *     lead    kvpath-sweep/1 NONCE
 *     worker  hello NAME ADDRESS NONCE PROOF    of what either side knows the token by
 *     lead    welcome PROOF
 *     worker  check {...}                       or: nocheck WHY
 *     lead    listen BATCH                      to the one that receives
 *     worker  port BATCH PORT
 *     lead    connect BATCH ADDRESS PORT        to the one that sends
 *     worker  done BATCH rate BYTES_PER_S PROVIDER, or: done BATCH fail CAUSE WHY
 *     lead    stop BATCH, quit
 *
 * Over a remote shell, which is a proof itself, the lead tells the token: "welcome TOKEN".
 */
#ifndef KV_PROVE_SWEEP_RUN_H
#define KV_PROVE_SWEEP_RUN_H

#include <sys/types.h>

#include "prove/sweep.h"

#define KV_SWEEP_TOKEN     "KVPATH_TOKEN"
#define KV_SWEEP_TOKEN_HEX 64

/* ---- lines over descriptors (sweep_line.c) ---- */

/* Of a worker; a check's brief document is the longest. */
#define KV_LINE_MAX ((size_t)256 << 10)

struct kv_line {
	int fd;
	struct kv_buf in;
	size_t used; /* of in, by lines that were taken */
};

/* Reads what has come. 1; 0 at the end; -errno. */
int kv_line_fill(struct kv_line *l);
/* The next whole line, without its end; NULL where there is none yet. Valid until the next call. */
char *kv_line_next(struct kv_line *l);
/* Sends at once or not at all: who does not read for so long is gone. 0 or -errno. */
int kv_line_send(const struct kv_line *l, const char *fmt, ...) KV_PRINTF(2, 3);
void kv_line_close(struct kv_line *l);

/* 256 random bits as hex. */
int kv_sweep_random(char ret[KV_SWEEP_TOKEN_HEX + 1]);
/* What only somebody with the token can say about both nonces. */
void kv_sweep_proof(const char *token, const char *label, const char *theirs, const char *mine,
		    char ret[KV_SHA256_HEX]);
bool kv_sweep_same(const char *a, const char *b);
/* Milliseconds of CLOCK_MONOTONIC. */
int64_t kv_sweep_now(void);

/* ---- on each node ---- */

struct kv_sweep_worker {
	const char *name, *address; /* "" where the lead knows it */
	const char *token;          /* NULL: the lead tells it */
	char *const *check, *const *listen;
	char *const *connect; /* its word "" becomes ADDRESS:PORT */
};

/* Until the lead has done with it. 0, or -errno with err. */
int kv_sweep_work(const struct kv_sweep_worker *w, int in, int out, struct kv_err *err);
/* address: as numbers. Tries for so many seconds. */
int kv_sweep_connect(const char *address, uint16_t port, unsigned seconds, int *ret_fd,
		     struct kv_err *err);

/* ---- the lead ---- */

/* A remote shell, or one that brought the workers of many nodes. */
struct kv_sweep_start {
	pid_t pid;
	int fd; /* what it says, and where `worker`, the worker's lines */
	bool worker;
	uint32_t node; /* of a worker */
};

struct kv_sweep_lead {
	struct kv_sweep *sweep;
	const char *token;
	FILE *state; /* NULL: none */
	bool progress, verbose;
	unsigned deadline_s, start_s; /* of a transfer; for the nodes to come */
	uint32_t rounds;              /* that are measured */
	uint64_t pairs;               /* at most */
	const bool *here;             /* nodes that take part; NULL: all */
	int gate;                     /* listens; -1 */
	KV_VEC(struct kv_sweep_start) starts;
};

int kv_sweep_gate(uint16_t port, int *ret_fd, uint16_t *ret_port, struct kv_err *err);
/* All of it: checks, rounds, what has to be measured again. */
int kv_sweep_lead(struct kv_sweep_lead *l, struct kv_err *err);

#endif
