/* The tables of keys, each made of its rows of keys.def. */
#include "launch/keys.h"

#define KV_KEYS(dialect, path, closed, keys) KV_ROW_##dialect(path, closed, keys)
#define ROW(path, closed, keys)              { path, closed, keys },
#define NONE(path, closed, keys)

#define KV_ROW_srtctl(p, c, k)   ROW(p, c, k)
#define KV_ROW_srtslurm(p, c, k) NONE(p, c, k)
#define KV_ROW_dynamo(p, c, k)   NONE(p, c, k)
#define KV_ROW_k8s(p, c, k)      NONE(p, c, k)
#define KV_ROW_sbatch(p, c, k)   NONE(p, c, k)
const struct kv_keys kv_keys_srtctl[] = {
#include "launch/keys.def"
	{ .path = NULL }
};
#undef KV_ROW_srtctl
#undef KV_ROW_srtslurm
#undef KV_ROW_dynamo
#undef KV_ROW_k8s
#undef KV_ROW_sbatch

#define KV_ROW_srtctl(p, c, k)   NONE(p, c, k)
#define KV_ROW_srtslurm(p, c, k) ROW(p, c, k)
#define KV_ROW_dynamo(p, c, k)   NONE(p, c, k)
#define KV_ROW_k8s(p, c, k)      NONE(p, c, k)
#define KV_ROW_sbatch(p, c, k)   NONE(p, c, k)
const struct kv_keys kv_keys_srtslurm[] = {
#include "launch/keys.def"
	{ .path = NULL }
};
#undef KV_ROW_srtctl
#undef KV_ROW_srtslurm
#undef KV_ROW_dynamo
#undef KV_ROW_k8s
#undef KV_ROW_sbatch

#define KV_ROW_srtctl(p, c, k)   NONE(p, c, k)
#define KV_ROW_srtslurm(p, c, k) NONE(p, c, k)
#define KV_ROW_dynamo(p, c, k)   ROW(p, c, k)
#define KV_ROW_k8s(p, c, k)      NONE(p, c, k)
#define KV_ROW_sbatch(p, c, k)   NONE(p, c, k)
const struct kv_keys kv_keys_dynamo[] = {
#include "launch/keys.def"
	{ .path = NULL }
};
#undef KV_ROW_srtctl
#undef KV_ROW_srtslurm
#undef KV_ROW_dynamo
#undef KV_ROW_k8s
#undef KV_ROW_sbatch

#define KV_ROW_srtctl(p, c, k)   NONE(p, c, k)
#define KV_ROW_srtslurm(p, c, k) NONE(p, c, k)
#define KV_ROW_dynamo(p, c, k)   NONE(p, c, k)
#define KV_ROW_k8s(p, c, k)      ROW(p, c, k)
#define KV_ROW_sbatch(p, c, k)   NONE(p, c, k)
const struct kv_keys kv_keys_k8s[] = {
#include "launch/keys.def"
	{ .path = NULL }
};
#undef KV_ROW_srtctl
#undef KV_ROW_srtslurm
#undef KV_ROW_dynamo
#undef KV_ROW_k8s
#undef KV_ROW_sbatch

#define KV_ROW_srtctl(p, c, k)   NONE(p, c, k)
#define KV_ROW_srtslurm(p, c, k) NONE(p, c, k)
#define KV_ROW_dynamo(p, c, k)   NONE(p, c, k)
#define KV_ROW_k8s(p, c, k)      NONE(p, c, k)
#define KV_ROW_sbatch(p, c, k)   ROW(p, c, k)
const struct kv_keys kv_keys_sbatch[] = {
#include "launch/keys.def"
	{ .path = NULL }
};
#undef KV_ROW_srtctl
#undef KV_ROW_srtslurm
#undef KV_ROW_dynamo
#undef KV_ROW_k8s
#undef KV_ROW_sbatch
