/* The state of the engine `tcp`, and what its two files call of each other. */
#ifndef KV_PROBE_BENCH_TCP_H
#define KV_PROBE_BENCH_TCP_H

#include <sys/uio.h>

#include "probe/bench/bench.h"

#define TCP_WAIT_MS 20
#define TCP_IOVS    64

struct tcp {
	int listener, fd;
	uint64_t slot; /* asked for */
	struct iovec iov[TCP_IOVS];
};

/* ---- tcp.c ---- */

/* The connection's failure, by errno; 0 there where it ended. Always -1. */
int tcp_gone(struct bench_side *s, const char *call);
/* All of the n bytes, sent or received. */
int tcp_move(struct bench_side *s, bool out, void *p, size_t n);

/* ---- tcp_meet.c: the steps of the engine up to the connection for data ---- */

int tcp_open(struct bench_side *s);
int tcp_hello(struct bench_side *s, void **ret, size_t *ret_n);
int tcp_meet(struct bench_side *s, const void *blob, size_t n);
int tcp_ready(struct bench_side *s);

#endif
