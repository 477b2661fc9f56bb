/*
 * The loader model against this machine's own loader: what ld.so maps for real programs and
 * libraries is what the model maps, with the same paths. (Random trees come with the oracle tests.)
 */
#include <dlfcn.h>
#include <link.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/wait.h>

#include "loader/loader.h"

#include <cmocka.h>

static struct kv_arena *arena;
static struct kv_root *root;
static struct kv_loader *loader;

/* What this program is for. */
static const struct kv_elf_id own = {
#ifdef __aarch64__
	EM_AARCH64, true, false
#else
	EM_X86_64, true, false
#endif
};

/* This very program. As the emulator tells it where there is one: the kernel's own link, which the
 * root would follow, leads to the emulator then. */
static const char *self(void)
{
	static char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	assert_true(n > 0);
	path[n] = '\0';
	return path;
}

/* What to put before a program of this machine to run it: meson's exe_wrapper, if any. */
static const char *emulator(void)
{
	const char *e = getenv("MESON_EXE_WRAPPER");

	return e ? e : "";
}

static int setup(void **state)
{
	struct kv_err err;
	int r;

	(void)state;
	arena = kv_arena_new();
	r = kv_root_open(arena, "/", &root, &err);
	if (r < 0)
		return -1;
	loader = kv_loader_new(root, own.machine, own.is64, own.be, kv_cpu_level());
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	kv_root_close(root);
	kv_arena_free(arena);
	return 0;
}

/* Lines of a command's output that hold this text. */
static kv_strv lines_of(const char *command, const char *with)
{
	FILE *p = popen(command, "re");
	kv_strv ret = { 0 };
	char line[4096];

	assert_non_null(p);
	while (fgets(line, sizeof(line), p))
		if (strstr(line, with))
			kv_vec_push(arena, &ret, kv_strndup(arena, line, strcspn(line, "\n")));
	pclose(p);
	return ret;
}

static void check_program(const char *program)
{
	struct kv_process_opts opts = { .exe = program };
	struct kv_load load;
	kv_strv lines = lines_of(kv_strf(arena, "env -i %s %s --list %s", emulator(),
					 kv_loader_ldso(loader)->path, program),
				 "=> ");

	kv_process_start(loader, &opts, &load);
	assert_int_equal(load.loads, KV_LOADS_YES);
	assert_true(lines.n > 0);
	for (size_t i = 0; i < lines.n; i++) {
		char *path = strstr(lines.v[i], "=> ") + 3;
		bool found = false;

		path[strcspn(path, " ")] = '\0';
		for (size_t j = 0; j < load.list.n; j++)
			found |= kv_streq(load.list.v[j]->name, path);
		if (!found)
			fail_msg("%s: ld.so maps %s, the model does not", program, path);
	}
	/* The program itself and its interpreter stand on lines without an arrow. */
	assert_true(load.list.n >= lines.n);
}

/* The system's programs may be of another machine than this one, which is emulated then. */
static void test_real_programs(void **state)
{
	const char *const programs[] = { self(),        "/bin/sh",      "/usr/bin/env",
					 "/usr/bin/ld", "/usr/bin/git", "/usr/bin/python3",
					 "/usr/bin/gcc" };
	struct kv_elf_id id;

	(void)state;
	for (size_t i = 0; i < KV_ARRAY_SIZE(programs); i++)
		if (kv_elf_identify(root, programs[i], &id) && id.machine == own.machine)
			check_program(programs[i]);
}

/* What dlerror() says for a name that is nowhere is what the model says. */
static void test_not_found_text(void **state)
{
	struct kv_process_opts opts = { 0 };
	struct kv_load load;
	struct kv_process *p = kv_process_start(loader, &opts, &load);

	(void)state;
	setenv("LC_ALL", "C", 1);
	assert_non_null(load.object);
	assert_null(dlopen("libkvpath-nowhere.so.7", RTLD_NOW));
	kv_process_dlopen(p, "libkvpath-nowhere.so.7", NULL, 0, &load);
	assert_int_equal(load.loads, KV_LOADS_NO);
	assert_string_equal(load.error, dlerror());
	assert_null(dlopen("/nowhere/x.so", RTLD_NOW));
	kv_process_dlopen(p, "/nowhere/x.so", NULL, 0, &load);
	assert_string_equal(load.error, dlerror());
	assert_null(dlopen("/etc/passwd", RTLD_NOW));
	kv_process_dlopen(p, "/etc/passwd", NULL, 0, &load);
	assert_string_equal(load.error, dlerror());
	assert_null(dlopen(self(), RTLD_NOW));
	kv_process_dlopen(p, self(), NULL, 0, &load);
	assert_string_equal(load.error, dlerror());
}

/* A failed load leaves nothing behind, a rewound one neither. */
static void test_rewind(void **state)
{
	struct kv_process_opts opts = { 0 };
	struct kv_load load;
	struct kv_process *p = kv_process_start(loader, &opts, &load);
	struct kv_mark mark = kv_process_mark(p);

	(void)state;
	kv_process_dlopen(p, "libm.so.6", NULL, 0, &load);
	assert_int_equal(load.loads, KV_LOADS_YES);
	assert_non_null(kv_process_find(p, "libm.so.6"));
	kv_process_rewind(p, mark);
	assert_null(kv_process_find(p, "libm.so.6"));
	assert_non_null(kv_process_find(p, "libc.so.6"));
	assert_int_equal(kv_process_mark(p).loaded, mark.loaded);
}

static void build(const char *command)
{
	assert_int_equal(system(command), 0);
}

/* A filtee that was there before is moved behind what a load maps; rewound, it is back. */
static void test_rewind_of_a_moved_filtee(void **state)
{
	struct kv_process_opts opts = { 0 };
	char dir[] = "/tmp/kvpath-loader-XXXXXX";
	struct kv_process *p;
	struct kv_load load;
	struct kv_mark mark;
	kv_strv names = { 0 };

	(void)state;
	if (getenv("KVPATH_EMULATED"))
		skip(); /* gcc's objects are of the machine that emulates */
	assert_non_null(mkdtemp(dir));
	build(kv_strf(
		arena,
		"cd %s && for l in f h; do gcc -shared -o $l.so -x c /dev/null || exit; done;"
		"gcc -shared -o g.so -Wl,-soname,g.so -Wl,--auxiliary=$PWD/f.so -x c /dev/null &&"
		"gcc -shared -o a.so -Wl,--no-as-needed -x c /dev/null -x none ./g.so"
		" -Wl,-rpath,$PWD",
		dir));
	p = kv_process_start(loader, &opts, &load);
	kv_process_dlopen(p, kv_strf(arena, "%s/f.so", dir), NULL, 0, &load);
	kv_process_dlopen(p, kv_strf(arena, "%s/h.so", dir), NULL, 0, &load);
	mark = kv_process_mark(p);
	for (size_t i = 0; i < mark.loaded; i++)
		kv_vec_push(arena, &names, kv_strdup(arena, kv_process_object(p, i)->name));
	kv_process_dlopen(p, kv_strf(arena, "%s/a.so", dir), NULL, 0, &load);
	assert_int_equal(load.loads, KV_LOADS_YES);
	assert_string_equal(kv_process_object(p, mark.loaded)->origin, dir);
	assert_string_not_equal(kv_process_object(p, mark.loaded - 1)->name,
				names.v[mark.loaded - 1]);
	kv_process_rewind(p, mark);
	for (size_t i = 0; i < mark.loaded; i++)
		assert_string_equal(kv_process_object(p, i)->name, names.v[i]);
	assert_null(kv_process_object(p, mark.loaded));
	assert_non_null(kv_process_find(p, kv_strf(arena, "%s/f.so", dir)));
	assert_null(kv_process_find(p, kv_strf(arena, "%s/a.so", dir)));
	build(kv_strf(arena, "rm -r %s", dir));
}

/* The names of what a load mapped, of one that comes from the directory its whole path. */
static const char *mapped(const struct kv_load *load)
{
	const char *text = "";

	for (size_t i = 0; i < load->fresh.n; i++)
		text = kv_strf(arena, "%s %s", text, load->fresh.v[i]->name);
	return text;
}

static void test_library_path(void **state)
{
	char top[] = "/tmp/kvpath-loader-XXXXXX";
	struct kv_process_opts opts = { .exe = self() };
	struct kv_env env = { 0 };
	struct kv_mark before, after;
	struct kv_load load, anew;
	struct kv_process *p;
	kv_strv names = { 0 };
	const char *dir, *path;

	(void)state;
	if (getenv("KVPATH_EMULATED"))
		skip();
	assert_non_null(mkdtemp(top));
	dir = kv_strf(arena, "%s/links", top);
	path = kv_strf(arena, "%s/a.so", top);
	build(kv_strf(arena,
		      "cd %s && for l in kv-x kv-y; do gcc -shared -o $l.so -Wl,-soname,$l.so"
		      " -x c /dev/null || exit; done;"
		      "gcc -shared -o a.so -Wl,--no-as-needed -x c /dev/null -x none ./kv-x.so",
		      top));
	p = kv_process_start(loader, &opts, &load);
	before = kv_process_mark(p);
	kv_process_dlopen(p, path, NULL, 0, &load);
	assert_int_equal(load.loads, KV_LOADS_NO);
	assert_string_equal(load.missing, "kv-x.so");
	assert_false(kv_loader_has_searched(loader, dir));
	kv_root_lay_link(root, kv_join(arena, dir, "kv-x.so"), kv_join(arena, top, "kv-x.so"));
	kv_vec_push(arena, &names, kv_strdup(arena, "kv-y.so"));
	kv_vec_push(arena, &names, kv_strdup(arena, "kv-x.so"));

	/* What was searched for in vain counts too, unless it came later. */
	after = kv_process_mark(p);
	assert_false(kv_process_library_path(p, &after, dir, &names));
	assert_true(kv_process_library_path(p, &before, dir, &names));
	assert_true(kv_loader_has_searched(loader, dir));
	kv_process_dlopen(p, path, NULL, 0, &load);
	assert_int_equal(load.loads, KV_LOADS_YES);
	kv_env_put(arena, &env, kv_strf(arena, "LD_LIBRARY_PATH=%s", dir));
	opts.env = &env;
	kv_process_dlopen(kv_process_start(loader, &opts, &anew), path, NULL, 0, &anew);
	assert_string_equal(mapped(&load), mapped(&anew));
	assert_non_null(strstr(mapped(&load), kv_join(arena, dir, "kv-x.so")));

	kv_process_rewind(p, before);
	kv_process_dlopen(p, path, NULL, 0, &load);
	assert_string_equal(load.missing, "kv-x.so");
	build(kv_strf(arena, "rm -r %s", top));
}

static void test_ldso_of_this_system(void **state)
{
	const struct kv_ldso *so = kv_loader_ldso(loader);
	const char *command = kv_strf(arena, "%s %s --list-diagnostics", emulator(), so->path);
	kv_strv dirs = lines_of(command, "path.system_dirs[");
	kv_strv lib = lines_of(command, "dl_dst_lib=");
	kv_strv version = lines_of(command, "version.version=");

	(void)state;
	assert_true(dirs.n > 0 && lib.n > 0 && version.n > 0);
	assert_int_equal(dirs.n, so->dirs.n);
	for (size_t i = 0; i < dirs.n; i++)
		assert_non_null(strstr(dirs.v[i], kv_strf(arena, "\"%s\"", so->dirs.v[i])));
	assert_string_equal(lib.v[0], kv_strf(arena, "dl_dst_lib=\"%s\"", so->lib));
	assert_string_equal(version.v[0], kv_strf(arena, "version.version=\"2.%u\"", so->version));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_real_programs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_found_text, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rewind, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rewind_of_a_moved_filtee, setup, teardown),
		cmocka_unit_test_setup_teardown(test_library_path, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ldso_of_this_system, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
