/* Opening libnixl_capi.so as a serving process would: by full path, RTLD_NOW | RTLD_LOCAL. */
#include <dlfcn.h>
#include <string.h>

#include "probe/capi.h"

static const struct {
	const char *name;
	size_t offset;
} functions[] = {
#define X(name, args) { "nixl_capi_" #name, offsetof(struct capi, name) },
	CAPI_FUNCTIONS(X)
#undef X
};

static void doing(struct probe_report *rep, const char *what)
{
	snprintf(rep->doing, sizeof(rep->doing), "%s", what);
}

int capi_open(struct capi *api, const char *path, struct probe_report *rep)
{
	bool (*is_stub)(void) = NULL;
	void *lib, *sym;

	doing(rep, "dlopen of libnixl_capi.so");
	lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!lib)
		return probe_fail(rep, PROBE_CAUSE_NIXL, "dlopen: %s", dlerror());
	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
		sym = dlsym(lib, functions[i].name);
		if (!sym)
			return probe_fail(rep, PROBE_CAUSE_NIXL, "dlsym: %s", dlerror());
		memcpy((char *)api + functions[i].offset, &sym, sizeof(sym));
	}
	sym = dlsym(lib, "nixl_capi_create_configured_agent");
	memcpy(&api->create_configured_agent, &sym, sizeof(sym));
	sym = dlsym(lib, "nixl_capi_is_stub");
	memcpy(&is_stub, &sym, sizeof(sym));
	if (is_stub && is_stub())
		return probe_fail(rep, PROBE_CAUSE_NIXL,
				  "%s is NIXL's stub library: it cannot move anything", path);
	return 0;
}

/* Names as in NIXL's wrapper.h; -6 exists since 1.5.0, -7 and below are announced (nixl.md 4.1). */
const char *capi_status_name(int status)
{
	static const char *const names[] = {
		"NIXL_CAPI_SUCCESS",         "NIXL_CAPI_ERROR_INVALID_PARAM",
		"NIXL_CAPI_ERROR_BACKEND",   "NIXL_CAPI_ERROR_INVALID_STATE",
		"NIXL_CAPI_ERROR_EXCEPTION", "NIXL_CAPI_ERROR_NO_TELEMETRY",
		"NIXL_CAPI_ERROR_NOT_FOUND",
	};

	if (status == NIXL_IN_PROG)
		return "NIXL_CAPI_IN_PROG";
	if (status > 0 || status <= -(int)(sizeof(names) / sizeof(names[0])))
		return "a status that this kvpath does not know";
	return names[-status];
}
