/* What a link can carry at best, as this host's kernel says. */
#ifndef KV_PROVE_LINKS_H
#define KV_PROVE_LINKS_H

#include <jansson.h>

#include "base/base.h"

/*
 * Bytes a second, one way, of what an engine names as its rail: a domain of libfabric
 * ("rdmap0s31-rdm", "eth0") or a transport of UCX ("rc_mlx5/mlx5_0:1"). 0 where the kernel names no
 * rate: the loopback, shared memory, most virtual interfaces.
 */
double kv_link_rate(struct kv_arena *a, const char *sysfs, const char *rail);
/* Of all rails together, an array of strings; 0 where that of one is not known. */
double kv_links_rate(struct kv_arena *a, const char *sysfs, const json_t *rails);

#endif
