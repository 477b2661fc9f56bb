/*
 * Tasks of a step of Slurm as the two sides of a bench: an even rank is the target of the next one.
 * They need no option: who they are, Slurm says in the environment; where the target listens
 * follows from the step; and the secret that they share is made by the target and carried by munge,
 * which every Slurm has: a credential that only the same user on the same cluster can open, and
 * whose content is encrypted. It names the step, so that it is good for no other one.
 */
#ifndef KV_PROVE_RANKS_H
#define KV_PROVE_RANKS_H

#include "prove/peer.h"

#define KV_RANKS_PORTS 8

struct kv_ranks {
	uint64_t rank;
	bool target;
	const char *node;               /* of the target, as Slurm names it */
	const char *step;               /* "1234.0 0": job, step, pair */
	uint16_t ports[KV_RANKS_PORTS]; /* in the order in which they are tried */
};

/*
 * 1 where env is that of a task of a step of several, with *ret filled; 0 where not; -EINVAL with
 * err filled where such tasks can not be paired.
 */
int kv_ranks_read(struct kv_arena *a, const struct kv_env *env, struct kv_ranks *ret,
		  struct kv_err *err);
/* The same for who shares a token, and nothing else. */
void kv_ranks_ports_of_key(const struct kv_peer_key *key, uint16_t ret[KV_RANKS_PORTS]);
/* The address that Slurm has for a node; the node's name where it can not be asked. */
const char *kv_ranks_address(struct kv_arena *a, const char *node);
/* A secret for the step, and the credential that carries it. */
int kv_ranks_seal(struct kv_arena *a, const struct kv_ranks *r, unsigned valid_s,
		  struct kv_peer_auth *ret, struct kv_err *err);
/* For kv_peer_auth.open; arg is a struct kv_ranks_opener. */
struct kv_ranks_opener {
	struct kv_arena *arena;
	const struct kv_ranks *ranks;
	const char *cred; /* the one that was opened: munge opens none twice */
	struct kv_peer_key key;
};
int kv_ranks_open(void *opener, const char *cred, struct kv_peer_key *ret, struct kv_err *err);

/* The i-th host of "n[0-3,07],gpu-1", counted from 0; NULL where it has none or is none. */
const char *kv_ranks_host(struct kv_arena *a, const char *list, size_t i);

#endif
