/* What the tests of ld.so.cache and ld.so.conf share: a loader on a root with nothing in it. */
#ifndef KV_TEST_LOADER_FIXTURE_H
#define KV_TEST_LOADER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>

#include "loader/internal.h"

#include <cmocka.h>

static struct kv_arena *arena;
static struct kv_root *root;
static struct kv_loader *loader;

static int setup(void **state)
{
	char dir[] = "/tmp/kvpath-loader-XXXXXX";
	struct kv_err err;
	int e;

	(void)state;
	arena = kv_arena_new();
	if (!mkdtemp(dir))
		return -1;
	e = kv_root_open(arena, dir, &root, &err);
	/* The root has it open, and stays empty. */
	rmdir(dir);
	if (e < 0)
		return -1;
	loader = kv_loader_new(root, EM_X86_64, /* is64= */ true, /* be= */ false, 3);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	kv_root_close(root);
	kv_arena_free(arena);
	return 0;
}

#endif
