/*
 * ld.so.conf on files laid here, and what is said of a stale cache. The real ldconfig of many
 * releases is asked by tests/oracle/cache.py.
 */
#include <fcntl.h>

#include "loader_fixture.h"

static void lay(const char *guest, const char *text)
{
	kv_root_lay_bytes(root, guest, (struct kv_span){ (const uint8_t *)text, strlen(text) });
}

static void check_dirs(const char *want)
{
	_buf_ struct kv_buf b = { 0 };
	const struct kv_ldconf_dir *d;

	kv_loader_refresh(loader);
	kv_vec_each (d, &kv_ldconf(loader)->dirs)
		kv_buf_fmt(&b, "%s%s:%u:%s", b.n ? " " : "", kv_basename(d->file), d->line,
			   d->path);
	assert_string_equal(b.text ? b.text : "", want);
}

static void test_conf(void **state)
{
	static const char *const dirs[] = { "/a/b", "/c", "/d", "/e", "/f=libc6" };

	(void)state;
	check_dirs("");
	for (size_t i = 0; i < KV_ARRAY_SIZE(dirs); i++)
		assert_int_equal(kv_root_bind(root, "/usr/share", dirs[i], NULL), 0);
	/* Each inode counts once: the binds above are one directory. */
	lay("/etc/ld.so.conf", "# nothing\n\n /c/  # first\n/d\n/missing\n");
	check_dirs("ld.so.conf:3:/c");
	assert_int_equal(kv_root_bind(root, "/usr/bin", "/d", NULL), 0);
	assert_int_equal(kv_root_bind(root, "/usr/sbin", "/e", NULL), 0);
	lay("/etc/ld.so.conf", "include ld.so.conf.d/*.conf\t/etc/more\nhwcap 0 nosegneg\n/d//");
	lay("/etc/ld.so.conf.d/b.conf", "/c\ninclude b.conf ../ld.so.conf\n");
	lay("/etc/ld.so.conf.d/B.conf", "/e\n");
	lay("/etc/ld.so.conf.d/.hidden.conf", "/d\n");
	lay("/etc/more", "/d\n/");
	check_dirs("B.conf:1:/e b.conf:1:/c more:1:/d");
	assert_null(kv_ldconf(loader)->limit);
	/* A type after the directory, until libc5 went. */
	lay("/etc/ld.so.conf", "/f=libc6\n/d=libc6");
	check_dirs("ld.so.conf:1:/f=libc6");
	kv_loader_refresh(loader);
	loader->ldso->version = 36;
	check_dirs("ld.so.conf:2:/d");
}

static void test_conf_limits(void **state)
{
	char name[64], next[64];

	(void)state;
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "/etc/%s",
			 i ? kv_strf(arena, "c%d", i) : "ld.so.conf");
		snprintf(next, sizeof(next), "include c%d\n", i + 1);
		lay(name, kv_strdup(arena, next));
	}
	check_dirs("");
	assert_string_equal(kv_ldconf(loader)->limit, "too many includes");
}

static void test_patterns(void **state)
{
	static const struct {
		const char *pattern, *name;
		bool match;
	} cases[] = {
		{ "*.conf", "a.conf", true }, { "*.conf", ".conf", false },
		{ ".*", ".conf", true },      { "\\.*", ".conf", true },
		{ "?", "a", true },           { "?", "", false },
		{ "[a-c]x", "bx", true },     { "[!a-c]x", "bx", false },
		{ "[^a-c]x", "dx", true },    { "[]]", "]", true },
		{ "[", "[", true },           { "[a", "[a", true },
		{ "[[:digit:]]", "7", true }, { "[[:nope:]]", "n", false },
		{ "[\\]]", "]", true },       { "a\\*b", "a*b", true },
		{ "a\\*b", "axb", false },    { "*a*b*c", "xaybzc", true },
		{ "*a*b*c", "xaybz", false }, { "**", "", true },
		{ "[.]x", ".x", false },      { "a-z", "a-z", true },
		{ "[a-]", "-", true },        { "\\", "\\", true },
	};
	char stars[512], name[256];

	(void)state;
	for (size_t i = 0; i < KV_ARRAY_SIZE(cases); i++)
		if (kv_pattern_match(cases[i].pattern, cases[i].name) != cases[i].match)
			fail_msg("%s on %s", cases[i].pattern, cases[i].name);
	/* Exponential in fnmatch(3). */
	for (size_t i = 0; i < 500; i += 2)
		memcpy(stars + i, "*a", 2);
	strcpy(stars + 500, "b");
	memset(name, 'a', 255);
	name[255] = '\0';
	assert_false(kv_pattern_match(stars, name));
}

/* ---- a stale cache ---- */

static void test_stale(void **state)
{
	/* One entry in the old format: flags, key, value. */
	static const uint8_t row[] = "ld.so-1.7.0\0\1\0\0\0\3\3\0\0\0\0\0\0\15\0\0";
	_buf_ struct kv_buf b = { 0 };
	const char *path, *soname;
	_close_ int real = -EBADF;
	struct kv_elf *own;

	(void)state;
	kv_buf_add(&b, row, sizeof(row));
	kv_buf_str(&b, "libgone.so.1");
	kv_buf_add(&b, "\0/c/libgone.so.1", 17);
	kv_root_lay_bytes(root, "/etc/ld.so.cache", (struct kv_span){ (uint8_t *)b.text, b.n });
	lay("/etc/ld.so.conf", "/lib\n/c\n");
	/* A real library, under a name to which ldconfig would make the link, and one of none. */
	real = open("/lib64/ld-linux-x86-64.so.2", O_RDONLY | O_CLOEXEC);
	assert_int_equal(kv_root_lay_file(root, real, "/c/ld-linux-x86-64.so.2.99"), 0);
	assert_int_equal(kv_root_lay_file(root, real, "/c/libwrong.so.1"), 0);
	lay("/c/libtext.so.1",
	    "a linker script, long enough to be taken for the header of an object file");
	kv_loader_refresh(loader);
	assert_int_equal(kv_elf_read(arena, root, "/c/libwrong.so.1", &own), 0);
	loader = kv_loader_new(root, own->machine, own->is64, own->be, 3);
	soname = own->soname;
	assert_string_equal(kv_ldconf_holds(loader, soname), "/c/ld-linux-x86-64.so.2.99");
	assert_null(kv_ldconf_holds(loader, "libwrong.so.1"));
	assert_null(kv_ldconf_holds(loader, "libtext.so.1"));
	assert_null(kv_ldconf_holds(loader, "libgone.so.1"));
	assert_null(kv_ldconf_holds(loader, "/c/libwrong.so.1"));
	assert_int_equal(kv_cache_find(loader, "libgone.so.1", &path), KV_OPEN_OK);
	assert_non_null(strstr(kv_cache_note(loader, "libgone.so.1", path), "stale"));
	assert_string_equal(kv_cache_note(loader, "libwrong.so.1", NULL), "not listed");
	assert_non_null(strstr(kv_cache_note(loader, soname, NULL), "/c/ld-linux-x86-64.so.2.99"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_conf, setup, teardown),
		cmocka_unit_test_setup_teardown(test_conf_limits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_patterns, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stale, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
