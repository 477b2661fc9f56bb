/* kvpath launch, inside an allocation. */
#ifndef KV_CMD_LAUNCH_H
#define KV_CMD_LAUNCH_H

#include "cmd/cmd.h"
#include "launch/follow.h"
#include "report/launch.h"

struct kv_launching {
	const struct kv_opts *o;
	struct kv_launch_result r;
	struct kv_env env; /* of every step */
	struct kv_follow follow;
	kv_strv told; /* of the logs */
	bool terminal;
	char *text; /* of the table; NULL */
	size_t text_n;
	unsigned asked; /* signals that asked for the end */
};

/* Looks at the image and the nodes. KV_STATUS_OK to go on; r.end says where it stops. */
int kv_launching_check(struct kv_launching *g);
/* Starts all steps and stays until the end. KV_STATUS_OK, or the status of having said why not. */
int kv_launching_run(struct kv_launching *g);

#endif
