/* fi_provider(7) and the manual of each. */
#include <string.h>
#include <strings.h>

#include "base/base.h"
#include "base/provider.h"

bool kv_provider_is(const char *printed, const char *name)
{
	size_t n = strcspn(printed, ";");

	return strlen(name) == n && strncasecmp(name, printed, n) == 0;
}

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

	for (size_t i = 0; i < KV_ARRAY_SIZE(known); i++)
		if (kv_provider_is(provider, known[i].name))
			return known[i].carrier;
	return KV_CARRIER_UNKNOWN;
}
