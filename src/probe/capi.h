/*
 * NIXL's C API, by dlsym only (facts: nixl.md section 4). No header of NIXL is used and no struct
 * of it is laid out here: nixl_capi_create_agent takes none, and nixl_capi_create_configured_agent
 * is given zeros only, so a later change of agent_config cannot hurt.
 */
#ifndef KV_PROBE_CAPI_H
#define KV_PROBE_CAPI_H

#include "probe/probe.h"

enum { NIXL_SUCCESS = 0, NIXL_IN_PROG = 1 };
enum { NIXL_MEM_DRAM = 0, NIXL_MEM_VRAM = 1 };
enum { NIXL_OP_READ = 0, NIXL_OP_WRITE = 1 };

/* name, parameters: every one returns nixl_capi_status_t. */
#define CAPI_FUNCTIONS(X)                                                                          \
	X(create_agent, (const char *, void **))                                                   \
	X(destroy_agent, (void *))                                                                 \
	X(get_plugin_params, (void *, const char *, void **, void **))                             \
	X(destroy_mem_list, (void *))                                                              \
	X(destroy_params, (void *))                                                                \
	X(create_backend, (void *, const char *, void *, void **))                                 \
	X(destroy_backend, (void *))                                                               \
	X(create_opt_args, (void **))                                                              \
	X(destroy_opt_args, (void *))                                                              \
	X(opt_args_add_backend, (void *, void *))                                                  \
	X(opt_args_set_notif_msg, (void *, const void *, size_t))                                  \
	X(opt_args_set_has_notif, (void *, bool))                                                  \
	X(create_reg_dlist, (int, void **))                                                        \
	X(destroy_reg_dlist, (void *))                                                             \
	X(reg_dlist_add_desc, (void *, uintptr_t, size_t, uint64_t, const void *, size_t))         \
	X(register_mem, (void *, void *, void *))                                                  \
	X(deregister_mem, (void *, void *, void *))                                                \
	X(get_local_md, (void *, void **, size_t *))                                               \
	X(load_remote_md, (void *, const void *, size_t, char **))                                 \
	X(invalidate_remote_md, (void *, const char *))                                            \
	X(create_xfer_dlist, (int, void **))                                                       \
	X(destroy_xfer_dlist, (void *))                                                            \
	X(xfer_dlist_add_desc, (void *, uintptr_t, size_t, uint64_t))                              \
	X(create_xfer_req, (void *, int, void *, void *, const char *, void **, void *))           \
	X(post_xfer_req, (void *, void *, void *))                                                 \
	X(get_xfer_status, (void *, void *))                                                       \
	X(release_xfer_req, (void *, void *))                                                      \
	X(destroy_xfer_req, (void *))                                                              \
	X(create_notif_map, (void **))                                                             \
	X(destroy_notif_map, (void *))                                                             \
	X(notif_map_clear, (void *))                                                               \
	X(get_notifs, (void *, void *, void *))                                                    \
	X(notif_map_size, (void *, size_t *))                                                      \
	X(notif_map_get_agent_at, (void *, size_t, const char **))                                 \
	X(notif_map_get_notifs_size, (void *, const char *, size_t *))                             \
	X(notif_map_get_notif, (void *, const char *, size_t, const void **, size_t *))

struct capi {
#define X(name, args) int(*name) args;
	CAPI_FUNCTIONS(X)
#undef X
	/* May be NULL; every wheel with a C API up to 1.5.1 has it. */
	int (*create_configured_agent)(const char *, const void *, void **);
};

/*
 * Room for an agent_config, all zeros: no progress thread, no listener and no port, no locks, no
 * telemetry, no delays. Up to 1.5.1 its port is an int, and announced as 16 bits, which moves all
 * behind it; zeros say the same of both, and of any order.
 */
#define CAPI_CONFIG_ROOM 256

/* dlopen's path and finds every function; a failure is recorded in rep. */
int capi_open(struct capi *api, const char *path, struct probe_report *rep);
const char *capi_status_name(int status);

#endif
