/*
 * A stand-in for libcuda.so.1 with as many GPUs as GPUS says, whose memory is the host's. Each
 * allocation appends its GPU to the file that GPU_LOG names.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int current;

int cuInit(unsigned flags)
{
	(void)flags;
	return 0;
}

int cuDeviceGetCount(int *n)
{
	*n = atoi(getenv("GPUS"));
	return 0;
}

int cuDeviceGet(int *device, int ordinal)
{
	*device = ordinal;
	return 0;
}

int cuDevicePrimaryCtxRetain(void **ctx, int device)
{
	*ctx = (void *)(intptr_t)(device + 1);
	return 0;
}

int cuDevicePrimaryCtxRelease_v2(int device)
{
	(void)device;
	return 0;
}

int cuCtxSetCurrent(void *ctx)
{
	current = (int)(intptr_t)ctx - 1;
	return 0;
}

int cuCtxSynchronize(void)
{
	return 0;
}

int cuMemAlloc_v2(uint64_t *addr, size_t n)
{
	const char *path = getenv("GPU_LOG");
	FILE *log = path ? fopen(path, "a") : NULL;

	if (log) {
		fprintf(log, "%d\n", current);
		fclose(log);
	}
	*addr = (uint64_t)(uintptr_t)malloc(n);
	return *addr ? 0 : 2;
}

int cuMemFree_v2(uint64_t addr)
{
	free((void *)(uintptr_t)addr);
	return 0;
}

int cuMemcpyHtoD_v2(uint64_t to, const void *from, size_t n)
{
	memcpy((void *)(uintptr_t)to, from, n);
	return 0;
}

int cuMemcpyDtoH_v2(void *to, uint64_t from, size_t n)
{
	memcpy(to, (void *)(uintptr_t)from, n);
	return 0;
}

int cuGetErrorName(int error, const char **name)
{
	(void)error;
	*name = NULL;
	return 1;
}
