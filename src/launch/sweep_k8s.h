/* kvpath sweep --for k8s: an indexed Job whose pods sweep each other. */
#ifndef KV_LAUNCH_SWEEP_K8S_H
#define KV_LAUNCH_SWEEP_K8S_H

#include "base/base.h"

#define KV_SWEEP_K8S_NAME "kvpath-sweep"
#define KV_SWEEP_K8S_PORT 7420

struct kv_sweep_k8s {
	struct kv_arena *arena;
	uint32_t nodes;
	const char *container; /* the image of the pods */
	const char *program, *probe, *token;
	const kv_strv *args; /* of kvpath sweep */
	size_t efa;          /* devices that a pod asks for */
};

void kv_sweep_k8s_print(FILE *out, const struct kv_sweep_k8s *k);

#endif
