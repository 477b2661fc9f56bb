/* What the fuzz targets share. Each defines LLVMFuzzerTestOneInput, libFuzzer's entry. */
#ifndef KV_FUZZ_H
#define KV_FUZZ_H

#include "root/root.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the process where a promise of the reader is broken, so that the input is kept. */
#define KV_PROMISE(condition)                                                                      \
	do {                                                                                       \
		if (!(condition))                                                                  \
			__builtin_trap();                                                          \
	} while (0)

/* A root without any file, for what is laid over it. Memory from a, given back by kv_root_close. */
struct kv_root *kv_fuzz_root(struct kv_arena *a);

#endif
