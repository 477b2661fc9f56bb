/*
 * Finding a repair: strategies are tried on the model, least invasive first, and the first whose
 * modelled process loads is taken. Nothing is written here.
 */
#ifndef KV_REPAIR_PLANNER_H
#define KV_REPAIR_PLANNER_H

#include "repair/plan.h"
#include "rules/rules.h"

#define KV_FABRIC_DIR "/opt/kvpath/fabric"

/* Whether another libfabric is what would help this NIXL. */
bool kv_needs_fabric(const struct kv_facts *f, const struct kv_nixl *n);
/* Whether it would help one that the job may import. */
bool kv_needs_other_fabric(const struct kv_facts *f);
/* How far the bytes of the job come, of the NIXL that comes least far. */
enum { KV_REACH_NONE, KV_REACH_LOADS, KV_REACH_EFA, KV_REACH_WHOLE };
unsigned kv_reach(const struct kv_facts *f);
/* What a backend that loads lacks to have the job's memory on the fabric; NULL for nothing. */
const char *kv_lack(const struct kv_facts *f);
/* What keeps the backend from loading in a NIXL that the job may import; NULL where nothing does.
 * One that can not be told stands in no other's way; alone it is the obstacle. */
const char *kv_obstacle(const struct kv_facts *f);
/* Whether its plugin loads, with an efa provider, and with CUDA where the job registers VRAM. */
bool kv_stack_is_whole(const struct kv_facts *f, const struct kv_nixl *n);
/* Whether only the name libcudart.so is missing; and the CUDA runtime in the process, resolved
 * (NULL: none). */
bool kv_lacks_cudart(const struct kv_facts *f, const struct kv_nixl *n);
const char *kv_cudart_path(const struct kv_facts *f, const struct kv_nixl *n);

struct kv_plan {
	kv_ops ops;                     /* empty: nothing to do */
	const struct kv_fabric *fabric; /* the libfabric that is borrowed; NULL */
	kv_strv refused;                /* candidates that were not taken, with the reason */
	const char *reason; /* why there is no repair; NULL where there is one or none is needed */
	const struct kv_facts *after; /* as modelled with the plan in place */
	struct kv_findings findings;  /* of `after` */
};

/*
 * Plans the repair of the facts' target. insist: take the named source also where it leaves a
 * finding (no CUDA) standing, as its user asked for it by name. Memory from the facts' arena. The
 * root's layers are as before on return. The source fds in ops are open until kv_plan_close.
 */
void kv_plan_make(const struct kv_facts *f, bool insist, struct kv_plan *ret);
void kv_plan_close(struct kv_plan *p);

#endif
