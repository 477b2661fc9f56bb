/* Which part of a bench this process is, and how it finds the other one. */
#ifndef KV_CMD_BENCH_ROLES_H
#define KV_CMD_BENCH_ROLES_H

#include "cmd/cmd.h"
#include "prove/bench.h"
#include "prove/ranks.h"

enum kv_bench_role { KV_BENCH_BOTH, KV_BENCH_TARGET, KV_BENCH_INITIATOR };

struct kv_bench_part {
	enum kv_bench_role role;
	const char *host;               /* of the target; NULL: every address of this host */
	uint16_t ports[KV_RANKS_PORTS]; /* where it listens: the first that is free */
	size_t n_ports;
	bool ranked;   /* a task of a step of Slurm, which nobody told its role */
	bool by_token; /* the ports follow from the token */
	struct kv_ranks ranks;
	struct kv_ranks_opener opener;
	struct kv_peer_auth auth;
	struct kv_peer_gate gate;
	struct kv_bench_session session;
};

/* What the options say, or Slurm. KV_STATUS_OK, or said why not. */
int kv_bench_part_choose(const struct kv_opts *o, struct kv_bench_part *ret);
/* The initiator: finds the target, and both say who they are. Takes `self` over. */
int kv_bench_part_reach(const struct kv_opts *o, struct kv_bench_part *p, json_t *self);
/* The whole life of a target. Takes `self` over. */
int kv_bench_part_serve(const struct kv_opts *o, struct kv_bench_part *p,
			const struct kv_bench_request *req, json_t *self);

#endif
