/* The ELF reader: on this very program and its libraries, and on every truncation and many
 * mutations of one. */
#include <setjmp.h>
#include <stdarg.h>

#include "elf/elf.h"
#include "root/tree.h"

#include <cmocka.h>

static struct kv_arena *arena;
static struct kv_root *root;

static int setup(void **state)
{
	struct kv_err err;

	(void)state;
	arena = kv_arena_new();
	return kv_root_open(arena, "/", &root, &err);
}

static int teardown(void **state)
{
	(void)state;
	kv_root_close(root);
	kv_arena_free(arena);
	return 0;
}

static struct kv_elf *parse(struct kv_arena *a, struct kv_span bytes)
{
	struct kv_tree *t = kv_tree_of_bytes(a, bytes);
	struct kv_file *f;
	struct kv_elf *e;

	assert_int_equal(t->ops->open(t, "", &f), 0);
	e = kv_elf_parse(a, f);
	return e;
}

static const char *own_libc(void)
{
	static char path[512];
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[1024];

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps))
		if (strstr(line, "/libc.so.6") || strstr(line, "/libc-2."))
			snprintf(path, sizeof(path), "%.*s", (int)strcspn(strchr(line, '/'), "\n"),
				 strchr(line, '/'));
	fclose(maps);
	return path;
}

static void test_reads_libc(void **state)
{
	struct kv_elf *e;

	(void)state;
	assert_int_equal(kv_elf_read(arena, root, own_libc(), &e), 0);
	assert_string_equal(e->soname, "libc.so.6");
	assert_true(kv_elf_defines_version(e, "GLIBC_2.2.5") ||
		    kv_elf_defines_version(e, "GLIBC_2.17"));
	assert_false(kv_elf_defines_version(e, "GLIBC_2.999"));
	assert_true(kv_elf_exports(e, "malloc"));
	assert_false(kv_elf_exports(e, "no_such_function"));
	assert_true(kv_elf_imports(e, "__tls_get_addr") || kv_elf_imports(e, "_rtld_global"));
	assert_false(e->truncated);
	assert_true(kv_elf_n_syms(e) > 1000);
}

static void test_max_versions_compare_by_number(void **state)
{
	struct kv_elf e = { 0 };

	(void)state;
	kv_vec_push(arena, &e.verdefs, ((struct kv_elf_version){ .name = "FABRIC_1.9" }));
	kv_vec_push(arena, &e.verdefs, ((struct kv_elf_version){ .name = "FABRIC_1.10" }));
	kv_vec_push(arena, &e.verdefs, ((struct kv_elf_version){ .name = "FABRIC_1.2" }));
	kv_vec_push(arena, &e.verdefs, ((struct kv_elf_version){ .name = "FABRIC_PRIVATE" }));
	assert_string_equal(kv_elf_max_def(&e, "FABRIC_"), "FABRIC_1.10");
	assert_null(kv_elf_max_need(&e, "FABRIC_"));
}

static void use_all(const struct kv_elf *e)
{
	struct kv_elf_sym sym;

	for (size_t i = 0; i < kv_elf_n_syms(e) && i < 100; i++)
		if (kv_elf_sym(e, i, &sym))
			(void)strlen(sym.name);
	(void)kv_elf_exports(e, "cmocka_unit_test");
	(void)kv_elf_max_def(e, "GLIBC_");
	(void)kv_elf_max_need(e, "GLIBC_");
	kv_elf_release(e);
}

/* Any bytes are read to an end, inside their bounds (the sanitizers watch). */
static void test_hostile_bytes(void **state)
{
	struct kv_span good;
	uint8_t *copy;
	uint32_t seed = 20260822;
	char self[4096] = "";

	(void)state;
	/* Asked of libc, as an emulator answers that for the program that it runs. */
	assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	assert_int_equal(kv_root_slurp(root, self, (size_t)64 << 20, &good), 0);
	for (size_t n = 0; n < good.n; n += n < 4096 ? 1 : 997) {
		struct kv_arena *a = kv_arena_new();

		/* Exactly n bytes, so that a read past them is seen. */
		copy = malloc(n ? n : 1);
		memcpy(copy, good.p, n);
		use_all(parse(a, (struct kv_span){ copy, n }));
		free(copy);
		kv_arena_free(a);
	}
	for (int round = 0; round < 3000; round++) {
		struct kv_arena *a = kv_arena_new();

		copy = malloc(good.n);
		memcpy(copy, good.p, good.n);
		for (int k = 0; k < 8; k++) {
			seed = seed * 1664525 + 1013904223;
			copy[(seed >> 8) % (k < 4 ? 1024 : good.n)] = (uint8_t)(seed >> 24);
		}
		use_all(parse(a, (struct kv_span){ copy, good.n }));
		free(copy);
		kv_arena_free(a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_reads_libc, setup, teardown),
		cmocka_unit_test_setup_teardown(test_max_versions_compare_by_number, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_hostile_bytes, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
