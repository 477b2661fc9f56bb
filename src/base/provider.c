/* fi_provider(7) and the manual of each. */
#include <string.h>
#include <strings.h>

#include "base/base.h"
#include "base/provider.h"

enum kv_carrier kv_carrier_of(const char *provider)
{
	static const struct {
		const char *name;
		enum kv_carrier carrier;
	} known[] = {
		/* NIXL and libfabric also name efa's fabrics. */
		{ "efa", KV_CARRIER_EFA },     { "efa-direct", KV_CARRIER_EFA },
		{ "verbs", KV_CARRIER_OTHER }, { "cxi", KV_CARRIER_OTHER },
		{ "opx", KV_CARRIER_OTHER },   { "psm2", KV_CARRIER_OTHER },
		{ "psm3", KV_CARRIER_OTHER },  { "ucx", KV_CARRIER_OTHER },
		{ "tcp", KV_CARRIER_HOST },    { "sockets", KV_CARRIER_HOST },
		{ "udp", KV_CARRIER_HOST },    { "net", KV_CARRIER_HOST },
		{ "shm", KV_CARRIER_HOST },    { "sm2", KV_CARRIER_HOST },
	};
	size_t n = strcspn(provider, ";");

	for (size_t i = 0; i < KV_ARRAY_SIZE(known); i++)
		if (strlen(known[i].name) == n && strncasecmp(known[i].name, provider, n) == 0)
			return known[i].carrier;
	return KV_CARRIER_UNKNOWN;
}
