/* libfabric's providers by what carries their bytes. */
#ifndef KV_BASE_PROVIDER_H
#define KV_BASE_PROVIDER_H

#include <stdbool.h>

enum kv_carrier {
	KV_CARRIER_UNKNOWN, /* no provider's name, or of one that is not known */
	KV_CARRIER_EFA,
	KV_CARRIER_OTHER, /* RDMA of another fabric: InfiniBand, RoCE, Slingshot, Omni-Path */
	KV_CARRIER_HOST,  /* sockets, or memory of one host */
};

/* Of a name as libfabric prints it, without regard to case; "verbs;ofi_rxm" counts as its lowest
 * layer. */
enum kv_carrier kv_carrier_of(const char *provider);
/* Whether what is printed names this provider, by the same rule. */
bool kv_provider_is(const char *printed, const char *name);

#endif
