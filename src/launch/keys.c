/* The tables of keys, each made of its rows of keys.def. */
#include "launch/keys.h"

#define ROW(path, closed, keys) { path, closed, keys },

#define KV_KEYS_SRTCTL ROW
const struct kv_keys kv_keys_srtctl[] = {
#include "launch/keys.def"
	{ .path = NULL }
};

#define KV_KEYS_SRTSLURM ROW
const struct kv_keys kv_keys_srtslurm[] = {
#include "launch/keys.def"
	{ .path = NULL }
};

#define KV_KEYS_DYNAMO ROW
const struct kv_keys kv_keys_dynamo[] = {
#include "launch/keys.def"
	{ .path = NULL }
};

#define KV_KEYS_K8S ROW
const struct kv_keys kv_keys_k8s[] = {
#include "launch/keys.def"
	{ .path = NULL }
};

#define KV_KEYS_SBATCH ROW
const struct kv_keys kv_keys_sbatch[] = {
#include "launch/keys.def"
	{ .path = NULL }
};
