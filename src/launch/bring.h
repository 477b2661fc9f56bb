/*
 * What a launcher has to bring so that a target is repaired while nothing is written into it:
 * single files of the host mounted where the plugin looks first, variables, devices. The same
 * repair as a plan's, and verified on the model in the same way.
 */
#ifndef KV_LAUNCH_BRING_H
#define KV_LAUNCH_BRING_H

#include "launch/launch.h"

struct kv_bring_file {
	const char *host, *guest; /* absolute; read-only is enough */
};

struct kv_bring {
	KV_VEC(struct kv_bring_file) files;
	struct kv_env env; /* the frameworks' knobs */
	kv_strv devices;   /* nodes of the host's usable EFA devices */
	kv_strv left; /* paths that only something inside the container can make: links to its own
			 files, python's default */
	const char
		*reason; /* why nothing that is brought repairs this target; NULL where it does */
};

/*
 * Plans for the facts' target; `host` may be NULL (no devices). insist: see kv_plan_make. Memory
 * from the facts' arena. The root's layers are as before on return.
 */
void kv_bring_make(const struct kv_facts *f, const struct kv_host *host, bool insist,
		   struct kv_bring *ret);

#endif
