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

static bool imports(const struct kv_elf *e, const char *name)
{
	struct kv_elf_ref r = { 0 };

	while (kv_elf_next_ref(e, &r))
		if (kv_streq(r.name, name))
			return true;
	return false;
}

static bool is_defined(const struct kv_elf_sym *sym, void *arg)
{
	(void)arg;
	return sym->shndx != SHN_UNDEF && !sym->hidden;
}

static bool exports(const struct kv_elf *e, const char *name)
{
	return kv_elf_lookup(e, name, kv_elf_gnu_hash(name), is_defined, NULL);
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
	assert_true(exports(e, "malloc"));
	assert_false(exports(e, "no_such_function"));
	assert_true(imports(e, "__tls_get_addr") || imports(e, "_rtld_global"));
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
	(void)exports(e, "cmocka_unit_test");
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

/* An object with what gcc makes of such a section; its bytes. */
static struct kv_span with_note(const char *json)
{
	char path[] = "/tmp/kvpath-note-XXXXXX";
	int fd = mkstemp(path);
	struct kv_span s;
	FILE *p;

	assert_true(fd >= 0);
	close(fd);
	p = popen(kv_strf(arena, "gcc -shared -nostdlib -x assembler -o %s -", path), "we");
	assert_non_null(p);
	fprintf(p,
		"\t.section .note.dlopen, \"a\", %%note\n\t.balign 4\n"
		"\t.long 2f - 1f, 4f - 3f, 0x407c0c0a\n"
		"1:\t.asciz \"FDO\"\n2:\t.balign 4\n3:\t.asciz \"%s\"\n4:\t.balign 4\n",
		json);
	assert_int_equal(pclose(p), 0);
	assert_int_equal(kv_root_slurp(root, path, 1 << 20, &s), 0);
	unlink(path);
	return s;
}

static const char two_features[] =
	"[{\\\"feature\\\":\\\"zstd\\\",\\\"description\\\":\\\"Compression\\\",\\\"priority\\\":"
	"\\\"suggested\\\",\\\"soname\\\":[\\\"libzstd.so.1\\\"]},{\\\"soname\\\":[\\\"liba.so."
	"2\\\","
	"\\\"liba.so.1\\\"]},{\\\"feature\\\":\\\"nothing to open\\\"}]";

static void read_dlopens(struct kv_arena *a, struct kv_span bytes, kv_elf_dlopens *ret)
{
	struct kv_elf *e = parse(a, bytes);

	kv_elf_read_dlopens(e, a, ret);
	kv_elf_release(e);
}

static void test_dlopen_notes(void **state)
{
	kv_elf_dlopens list;

	(void)state;
	read_dlopens(arena, with_note(two_features), &list);
	assert_int_equal(list.n, 2);
	assert_string_equal(list.v[0].feature, "zstd");
	assert_string_equal(list.v[0].description, "Compression");
	assert_string_equal(list.v[0].priority, "suggested");
	assert_int_equal(list.v[0].sonames.n, 1);
	assert_string_equal(list.v[0].sonames.v[0], "libzstd.so.1");
	assert_null(list.v[1].feature);
	assert_string_equal(list.v[1].priority, "recommended");
	assert_int_equal(list.v[1].sonames.n, 2);
	assert_string_equal(list.v[1].sonames.v[1], "liba.so.1");
}

/* What is no JSON, or other JSON, names nothing. */
static void test_dlopen_notes_without_sense(void **state)
{
	const char *const texts[] = { "no JSON at all, but long enough",
				      "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
				      "{\\\"soname\\\":[\\\"libobject.so.1\\\"]}",
				      "[{\\\"soname\\\":\\\"libstring.so.1\\\"}]",
				      "[{\\\"soname\\\":[1,null,{},\\\"\\\"]},3,\\\"x\\\"]",
				      "[{\\\"soname\\\":[\\\"lib\\\\u0000.so.1\\\"]}]" };
	kv_elf_dlopens list;

	(void)state;
	for (size_t i = 0; i < KV_ARRAY_SIZE(texts); i++) {
		read_dlopens(arena, with_note(texts[i]), &list);
		assert_int_equal(list.n, 0);
	}
}

/* Every cut of the file, and every byte of the note and of what leads to it changed. */
static void test_hostile_dlopen_notes(void **state)
{
	struct kv_span s = with_note(two_features);
	uint8_t *bytes = kv_alloc_raw(arena, s.n);
	kv_elf_dlopens list;

	(void)state;
	memcpy(bytes, s.p, s.n);
	for (size_t n = 0; n < s.n && n < 2048; n++) {
		struct kv_arena *a = kv_arena_new();
		uint8_t was = bytes[n];

		read_dlopens(a, (struct kv_span){ s.p, n }, &list);
		bytes[n] = (uint8_t)(was ^ 0x81);
		read_dlopens(a, (struct kv_span){ bytes, s.n }, &list);
		for (size_t i = 0; i < list.n; i++)
			assert_true(list.v[i].sonames.n > 0);
		bytes[n] = was;
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
		cmocka_unit_test_setup_teardown(test_dlopen_notes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dlopen_notes_without_sense, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile_dlopen_notes, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
