/* The engines there are. */
#include <string.h>

#include "probe/bench/bench.h"

static const struct bench_engine *const engines[] = { &bench_tcp, &bench_nixl, &bench_ofi,
						      &bench_ucx };

const struct bench_engine *bench_engine_find(const char *spec, const char **ret_arg)
{
	size_t n = strcspn(spec, ":");

	for (size_t i = 0; i < sizeof(engines) / sizeof(engines[0]); i++) {
		const struct bench_engine *e = engines[i];

		if (strlen(e->name) != n || strncmp(e->name, spec, n) != 0)
			continue;
		*ret_arg = spec[n] ? spec + n + 1 : "";
		if (e->has_arg == (**ret_arg != '\0'))
			return e;
	}
	return NULL;
}
