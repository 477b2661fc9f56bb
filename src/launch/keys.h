/* The tables of keys.def, one for each dialect. */
#ifndef KV_LAUNCH_KEYS_H
#define KV_LAUNCH_KEYS_H

#include "launch/recipe.h"

extern const struct kv_keys kv_keys_srtctl[], kv_keys_srtslurm[], kv_keys_dynamo[], kv_keys_k8s[],
	kv_keys_sbatch[];

#endif
