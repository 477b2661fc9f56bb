/* Trying one repair on the model. The root's layers are as before after each call. */
#ifndef KV_REPAIR_TRIAL_H
#define KV_REPAIR_TRIAL_H

#include "repair/planner.h"

/* What becomes of the plugins that need another libfabric: of the worst of them. */
enum kv_score {
	KV_SCORE_NONE,  /* it does not load */
	KV_SCORE_LOADS, /* without an efa provider */
	KV_SCORE_EFA,   /* without the CUDA that the job needs */
	KV_SCORE_WHOLE,
};

struct kv_trial {
	const struct kv_facts *f;
	kv_ops ops;
	const struct kv_fabric *fabric;
	const struct kv_facts *after;
	enum kv_score score;
};

/* The best way to lay this libfabric; where none loads its score is NONE, and it is the first. */
struct kv_trial kv_trial_candidate(const struct kv_facts *f, const struct kv_fabric *fab);
/* Adds what is missing where the libfabric in use serves and only lacks CUDA's plain name. */
void kv_trial_cudart(struct kv_trial *t);
/* Adds op unless something is planned at its path already. */
void kv_trial_add(struct kv_trial *t, struct kv_op op);

/* The facts of f's target with ops carried out. */
const struct kv_facts *kv_facts_with(const struct kv_facts *f, const kv_ops *ops);
/* The NIXL of f that lies where n does; NULL. */
const struct kv_nixl *kv_same_nixl(const struct kv_facts *f, const struct kv_nixl *n);

#endif
