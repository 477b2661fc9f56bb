/* Slurm's host lists: "n[0-3,07],gpu-1" for n0 to n3, n07 and gpu-1. */
#ifndef KV_BASE_HOSTLIST_H
#define KV_BASE_HOSTLIST_H

#include "base/base.h"

/* No sweep has more nodes than this. */
#define KV_HOSTLIST_MAX ((size_t)65535)

/*
 * Adds the names that text stands for; commas and white space separate, and several pairs of
 * brackets in a name multiply. 0, or -EINVAL with err where it is no such list, has a name that no
 * host can have, or more than KV_HOSTLIST_MAX.
 */
int kv_hostlist_expand(struct kv_arena *a, const char *text, kv_strv *ret, struct kv_err *err);
/* The shortest list of names in the order given, as `scontrol show hostlist` writes it. */
char *kv_hostlist_compress(struct kv_arena *a, const kv_strv *names);

#endif
