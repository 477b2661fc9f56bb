/*
 * Values with which NIXL makes no agent, of whatever backend: its constructor throws
 * (ai-dynamo/nixl src/utils/common/configuration.h, tried with the wheels).
 */
#include "rules/environ.h"

static bool has_since(const struct kv_facts *f, const char *release)
{
	for (size_t i = 0; i < f->nixls.n; i++)
		if (f->nixls.v[i].active && kv_version_cmp(f->nixls.v[i].version, release) >= 0)
			return true;
	return false;
}

bool kv_is_no_nixl_bool(const struct kv_facts *f, const char *v)
{
	static const char *const words[] = { "y",  "yes", "on", "1",     "true",    "enable", "n",
					     "no", "off", "0",  "false", "disable", NULL };

	return !kv_is_one_of(v, words) && has_since(f, "1.0.0");
}

bool kv_is_no_endpoint_list(const struct kv_facts *f, const char *v)
{
	return !*v && has_since(f, "1.5.0");
}

/* HOST:PORT, by the last colon. */
bool kv_is_no_endpoint(const struct kv_facts *f, const char *v)
{
	const char *colon = strrchr(v, ':');

	return (!colon || colon == v || !colon[1]) && has_since(f, "1.5.0");
}
