/* GPU memory through the driver API alone: libcuda.so.1 is what a host injects, libcudart may be
 * missing. */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "probe/mem.h"

/* Exported names; the _v2 ones are what cuda.h maps the plain names to since CUDA 3.2. */
#define CUDA_FUNCTIONS(X)                                                                          \
	X(cuInit, (unsigned))                                                                      \
	X(cuDeviceGetCount, (int *))                                                               \
	X(cuDeviceGet, (int *, int))                                                               \
	X(cuDevicePrimaryCtxRetain, (void **, int))                                                \
	X(cuDevicePrimaryCtxRelease_v2, (int))                                                     \
	X(cuCtxSetCurrent, (void *))                                                               \
	X(cuCtxSynchronize, (void))                                                                \
	X(cuMemAlloc_v2, (uint64_t *, size_t))                                                     \
	X(cuMemFree_v2, (uint64_t))                                                                \
	X(cuMemcpyHtoD_v2, (uint64_t, const void *, size_t))                                       \
	X(cuMemcpyDtoH_v2, (void *, uint64_t, size_t))                                             \
	X(cuGetErrorName, (int, const char **))

struct cuda {
#define X(name, args) int(*name) args;
	CUDA_FUNCTIONS(X)
#undef X
	unsigned ordinal;
	int device;
	bool retained;
};

static const struct {
	const char *name;
	size_t offset;
} functions[] = {
#define X(name, args) { #name, offsetof(struct cuda, name) },
	CUDA_FUNCTIONS(X)
#undef X
};

static int check(struct cuda *cu, const char *call, int result, struct probe_report *rep)
{
	const char *name = NULL;

	if (result == 0)
		return 0;
	if (cu->cuGetErrorName(result, &name) != 0)
		name = NULL;
	/* 100 is CUDA_ERROR_NO_DEVICE; stubs of the library cannot even name it. */
	return probe_fail(rep, PROBE_CAUSE_ENVIRONMENT, "%s: %s (%d)%s", call,
			  name            ? name
			  : result == 100 ? "CUDA_ERROR_NO_DEVICE"
					  : "CUDA error",
			  result,
			  result == 100 ? ": no GPU is visible here, so --mem vram cannot be tried"
					: "");
}

#define CUDA(cu, rep, fn, ...)                                                                     \
	(snprintf((rep)->doing, sizeof((rep)->doing), #fn),                                        \
	 check(cu, #fn, (cu)->fn(__VA_ARGS__), rep))

static int cuda_symbols(struct cuda *cu, void *lib, struct probe_report *rep)
{
	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
		void *sym = dlsym(lib, functions[i].name);

		if (!sym)
			return probe_fail(rep, PROBE_CAUSE_ENVIRONMENT,
					  "libcuda.so.1 is no real driver library: dlsym: %s",
					  dlerror());
		memcpy((char *)cu + functions[i].offset, &sym, sizeof(sym));
	}
	return 0;
}

struct cuda *cuda_open(unsigned gpu, bool or_another, struct probe_report *rep)
{
	struct cuda *cu = calloc(1, sizeof(*cu));
	void *lib = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL), *ctx = NULL;
	int count = 0;

	if (!cu || !lib) {
		probe_fail(rep, PROBE_CAUSE_ENVIRONMENT, "no GPU memory here: dlopen: %s",
			   lib ? "out of memory" : dlerror());
		goto fail;
	}
	if (cuda_symbols(cu, lib, rep) < 0 || CUDA(cu, rep, cuInit, 0) < 0 ||
	    CUDA(cu, rep, cuDeviceGetCount, &count) < 0)
		goto fail;
	if (or_another && count > 0)
		gpu %= (unsigned)count;
	if (count <= 0 || gpu >= (unsigned)count) {
		probe_fail(rep, PROBE_CAUSE_ENVIRONMENT,
			   "GPU %u was asked for, %d are visible here", gpu, count);
		goto fail;
	}
	cu->ordinal = gpu;
	if (CUDA(cu, rep, cuDeviceGet, &cu->device, (int)gpu) < 0 ||
	    CUDA(cu, rep, cuDevicePrimaryCtxRetain, &ctx, cu->device) < 0)
		goto fail;
	cu->retained = true;
	if (CUDA(cu, rep, cuCtxSetCurrent, ctx) < 0)
		goto fail;
	return cu;
fail:
	free(cu); /* the library stays: unloading a driver is asking for trouble */
	return NULL;
}

unsigned cuda_ordinal(const struct cuda *cu)
{
	return cu->ordinal;
}

int cuda_alloc(struct cuda *cu, size_t n, uint64_t *ret_addr, struct probe_report *rep)
{
	return CUDA(cu, rep, cuMemAlloc_v2, ret_addr, n);
}

int cuda_write(struct cuda *cu, uint64_t addr, const void *from, size_t n, struct probe_report *rep)
{
	if (CUDA(cu, rep, cuMemcpyHtoD_v2, addr, from, n) < 0)
		return -1;
	/* The copy may still be on its way when the call returns (pageable memory). */
	return CUDA(cu, rep, cuCtxSynchronize);
}

int cuda_read(struct cuda *cu, void *to, uint64_t addr, size_t n, struct probe_report *rep)
{
	return CUDA(cu, rep, cuMemcpyDtoH_v2, to, addr, n);
}

void cuda_close(struct cuda *cu, uint64_t addr)
{
	if (addr)
		cu->cuMemFree_v2(addr);
	if (cu->retained)
		cu->cuDevicePrimaryCtxRelease_v2(cu->device);
	free(cu);
}
