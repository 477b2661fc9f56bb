/*
 * Frames between the two agents, over a socketpair or between two hosts. Both run the same program,
 * or one that speaks the same version (KV_PEER_VERSION of kvpath, which joins them), and both
 * machines that there are have the same byte order.
 */
#ifndef KV_PROBE_LINK_H
#define KV_PROBE_LINK_H

#include "probe/probe.h"

enum link_kind {
	LINK_HELLO = 1, /* struct link_hello, then NIXL's metadata */
	LINK_READY,     /* the peer's metadata is loaded */
	LINK_NOTIFIED,  /* target: the notification came and the bytes were checked */
	LINK_BYE,       /* initiator: the request is released */
};

struct link_hello {
	uint64_t addr, dev;
};

int link_send(int fd, const struct probe_plan *plan, enum link_kind kind, const void *a, size_t na,
	      const void *b, size_t nb, struct probe_report *rep);
/* Waits at most ms: 1 where something can be read (or the peer ended), 0 where not. */
int link_poll(int fd, int ms);
/* The next frame, which must be of the given kind; *ret_data (may be NULL) is to be freed. */
int link_recv(int fd, const struct probe_plan *plan, enum link_kind kind, void **ret_data,
	      size_t *ret_n, struct probe_report *rep);
/* The next frame, whatever its kind. */
int link_recv_any(int fd, const struct probe_plan *plan, unsigned *ret_kind, void **ret_data,
		  size_t *ret_n, struct probe_report *rep);

#endif
