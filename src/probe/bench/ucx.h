/*
 * Raw UCP behind the engine `ucx`: the public interface of libucp as its headers of 1.13 have it,
 * which every later 1.x keeps. Of the headers only types are used.
 */
#ifndef KV_PROBE_BENCH_UCX_H
#define KV_PROBE_BENCH_UCX_H

#include <ucp/api/ucp.h>

#include "probe/bench/bench.h"

#define UCX_FUNCTIONS(X)                                                                           \
	X(ucp_get_version_string)                                                                  \
	X(ucp_config_read)                                                                         \
	X(ucp_config_release)                                                                      \
	X(ucp_init_version)                                                                        \
	X(ucp_cleanup)                                                                             \
	X(ucp_worker_create)                                                                       \
	X(ucp_worker_destroy)                                                                      \
	X(ucp_worker_progress)                                                                     \
	X(ucp_worker_get_address)                                                                  \
	X(ucp_worker_release_address)                                                              \
	X(ucp_worker_set_am_recv_handler)                                                          \
	X(ucp_ep_create)                                                                           \
	X(ucp_ep_close_nbx)                                                                        \
	X(ucp_ep_flush_nbx)                                                                        \
	X(ucp_ep_print_info)                                                                       \
	X(ucp_ep_rkey_unpack)                                                                      \
	X(ucp_rkey_destroy)                                                                        \
	X(ucp_rkey_pack)                                                                           \
	X(ucp_rkey_buffer_release)                                                                 \
	X(ucp_mem_map)                                                                             \
	X(ucp_mem_unmap)                                                                           \
	X(ucp_put_nbx)                                                                             \
	X(ucp_get_nbx)                                                                             \
	X(ucp_am_send_nbx)                                                                         \
	X(ucp_request_free)                                                                        \
	X(ucs_status_string)

enum ucx_stage { UCX_MOVING, UCX_FLUSHING, UCX_TELLING, UCX_TOLD };

struct ucx {
#define X(name) __typeof__(name) *name;
	UCX_FUNCTIONS(X)
#undef X
	ucp_context_h context;
	ucp_worker_h worker;
	ucp_mem_h mem;
	ucp_ep_h ep;
	ucp_rkey_h rkey;
	ucp_address_t *address;
	size_t address_len;
	ucp_request_param_t move, plain; /* of a put or get; of all else */

	/* The transfer under way, of the initiator. */
	enum ucx_stage stage;
	uint64_t slot, block, peer, step, pending, expected;
	ucs_status_t failed; /* of a request that completed with an error */
	/* Messages that came. */
	uint64_t msgs;
};

int ucx_open(struct bench_side *s);
int ucx_hello(struct bench_side *s, void **ret, size_t *ret_n);
int ucx_meet(struct bench_side *s, const void *blob, size_t n);
void ucx_close(struct bench_side *s);
/* Which transports the endpoint takes, once it is connected; for the results. */
void ucx_name_transports(struct bench_side *s);
/* Says which call failed, in the library's words. Always -1. */
int ucx_fail(struct bench_side *s, const struct ucx *x, const char *call, ucs_status_t st);
/* A request that was begun: counted where it goes on; -1 where it failed at once. */
int ucx_begun(struct bench_side *s, struct ucx *x, const char *call, ucs_status_ptr_t req);

#endif
