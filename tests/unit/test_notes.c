/* What a root answered, written down and answered again; and lines that are anybody's. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>

#include "root/notes.h"
#include "root/replay.h"
#include "root/tar_write.h"

#include <cmocka.h>

struct fixture {
	struct kv_arena *a;
	char dir[64], tar[128];
	struct kv_root *root, *files, *again;
	struct kv_notes notes;
	const char *lines;
};

static void put(const struct fixture *f, const char *name, const char *bytes, size_t n)
{
	int fd = open(kv_join(f->a, f->dir, name), O_WRONLY | O_CREAT, 0600);

	assert_true(fd >= 0 && kv_write_all(fd, bytes, n) == 0);
	close(fd);
}

static void begin(struct fixture *f)
{
	char big[9000];

	*f = (struct fixture){ .a = kv_arena_new(), .dir = "/tmp/kvpath-notes.XXXXXX" };
	memset(big, 'b', sizeof(big));
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->tar, sizeof(f->tar), "%s.tar", f->dir);
	assert_int_equal(mkdir(kv_join(f->a, f->dir, "lib"), 0700), 0);
	assert_int_equal(mkdir(kv_join(f->a, f->dir, "home"), 0700), 0);
	put(f, "lib/whole", "text\n", 5);
	put(f, "lib/an odd%20\nname\xc3\xa9", "odd", 3);
	put(f, "lib/big", big, sizeof(big));
	put(f, "home/diary", "dear", 4);
	assert_int_equal(symlink("lib/whole", kv_join(f->a, f->dir, "link")), 0);
	assert_int_equal(
		link(kv_join(f->a, f->dir, "lib/whole"), kv_join(f->a, f->dir, "lib/same")), 0);
	assert_int_equal(kv_root_open(f->a, f->dir, &f->root, NULL), 0);
	kv_root_note(f->root, &f->notes);
}

static void record(struct fixture *f)
{
	_buf_ struct kv_buf lines = { 0 }, members = { 0 }, tar = { 0 };
	int fd;

	kv_notes_write(&f->notes, "target", &lines, &members);
	f->lines = kv_strdup(f->a, lines.text);
	kv_tar_add(&tar, "kvpath-host", S_IFREG, (struct kv_span){ (const uint8_t *)"x", 1 });
	kv_buf_add(&tar, members.text, members.n);
	kv_tar_end(&tar);
	fd = open(f->tar, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0 && kv_write_all(fd, tar.text, tar.n) == 0);
	close(fd);
	assert_int_equal(kv_root_open(f->a, f->tar, &f->files, NULL), 0);
}

static int replay_in(struct kv_arena *a, struct fixture *f, const char *lines)
{
	const struct kv_replay from = { .files = f->files, .below = "/target", .lines = lines };

	return kv_replay_open(a, &from, &f->again, NULL);
}

static int replay(struct fixture *f, const char *lines)
{
	return replay_in(f->a, f, lines);
}

static void end(struct fixture *f)
{
	kv_root_close(f->root);
	kv_root_close(f->again);
	kv_root_close(f->files);
	assert_int_equal(unlink(f->tar), 0);
	assert_int_equal(system(kv_strf(f->a, "rm -r %s", f->dir)), 0);
	kv_arena_free(f->a);
}

static size_t bytes_of(struct kv_root *r, const char *path, uint64_t off, char *buf, size_t n)
{
	_file_ struct kv_file *file = NULL;
	size_t got = 0;

	assert_int_equal(kv_root_open_file(r, path, &file), 0);
	return kv_file_read(file, off, buf, n, &got) < 0 ? SIZE_MAX : got;
}

/* What both are asked, and answer alike. */
static void ask(struct kv_root *r)
{
	struct kv_stat st, other;
	struct kv_span text;
	kv_dirents list = { 0 };
	const char *s;
	char buf[100];

	assert_int_equal(kv_root_slurp(r, "/link", 100, &text), 0);
	assert_int_equal(text.n, 5);
	assert_memory_equal(text.p, "text\n", 5);
	assert_int_equal(kv_root_readlink(r, "/link", &s), 0);
	assert_string_equal(s, "lib/whole");
	assert_int_equal(kv_root_slurp(r, "/lib/an odd%20\nname\xc3\xa9", 100, &text), 0);
	assert_memory_equal(text.p, "odd", 3);
	assert_int_equal(kv_root_list(r, "/lib", &list), 0);
	assert_int_equal(list.n, 4);
	assert_string_equal(list.v[1].name, "big");
	assert_int_equal(kv_root_stat(r, "/lib/none", 0, &st), -ENOENT);
	assert_int_equal(kv_root_stat(r, "/lib/whole/x", 0, &st), -ENOTDIR);
	assert_int_equal(kv_root_stat(r, "/lib/whole", 0, &st), 0);
	assert_int_equal(kv_root_stat(r, "/lib/same", 0, &other), 0);
	assert_true(st.ino == other.ino && st.dev == other.dev && st.size == 5);
	assert_int_equal(bytes_of(r, "/lib/big", 4000, buf, 10), 10);
	assert_int_equal(bytes_of(r, "/lib/big", 4005, buf, 10), 10);
	assert_int_equal(bytes_of(r, "/lib/big", 8990, buf, 100), 10);
	assert_int_equal(buf[9], 'b');
}

static void test_answers_come_back(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	ask(f.root);
	record(&f);
	assert_int_equal(replay(&f, f.lines), 0);
	ask(f.again);
	assert_null(kv_root_fault(f.again));
	end(&f);
}

static void test_what_was_not_asked_is_not_known(void **state)
{
	struct fixture f;
	struct kv_stat st;
	char buf[10];

	(void)state;
	begin(&f);
	ask(f.root);
	record(&f);
	assert_null(strstr(f.lines, "diary"));
	assert_int_equal(replay(&f, f.lines), 0);
	/* A name that a whole list lacks is absent, whoever asks. */
	assert_int_equal(kv_root_stat(f.again, "/lib/another", 0, &st), -ENOENT);
	assert_null(kv_root_fault(f.again));
	assert_true(bytes_of(f.again, "/lib/big", 3000, buf, 10) == SIZE_MAX);
	assert_non_null(strstr(kv_root_fault(f.again), "/lib/big"));
	assert_int_equal(replay(&f, f.lines), 0);
	assert_int_not_equal(kv_root_stat(f.again, "/home", 0, &st), 0);
	assert_non_null(strstr(kv_root_fault(f.again), "/home"));
	end(&f);
}

/* Of a walk's lists only what something else came to is kept. */
static void test_a_walk_leaves_names_out(void **state)
{
	struct fixture f;
	kv_dirents list = { 0 };
	struct kv_stat st;

	(void)state;
	begin(&f);
	assert_int_equal(kv_root_list_real(f.root, "/", f.a, &list), 0);
	assert_int_equal(list.n, 3);
	list.n = 0;
	assert_int_equal(kv_root_list_real(f.root, "/home", f.a, &list), 0);
	list.n = 0;
	assert_int_equal(kv_root_list_real(f.root, "/lib", f.a, &list), 0);
	assert_int_equal(kv_root_stat(f.root, "/lib/big", 0, &st), 0);
	record(&f);
	assert_int_equal(replay(&f, f.lines), 0);
	list.n = 0;
	assert_int_equal(kv_root_list_real(f.again, "/", f.a, &list), 0);
	assert_int_equal(list.n, 1);
	assert_string_equal(list.v[0].name, "lib");
	list.n = 0;
	assert_int_equal(kv_root_list_real(f.again, "/lib", f.a, &list), 0);
	assert_int_equal(list.n, 1);
	assert_string_equal(list.v[0].name, "big");
	assert_null(kv_root_fault(f.again));
	end(&f);
}

static void test_lines_that_make_no_sense(void **state)
{
	static const char *const bad[] = {
		"stat f 1 5\n",
		"stat x 1 5 /a\n",
		"stat f 1 -5 /a\n",
		"stat f 1 5 a\n",
		"fail stat \n",

		"fail why EIO /a\n",
		"link  /a\n",
		"link x\n",
		"list \n",
		"list /a q\n",
		"list /a fx/y\n",
		"list /a\nlist /a\n",
		"none a\n",
		"none %0\n",
		"none /%00\n",
		"part 1 /a\n",
		"end x /a\n",
		"part 18446744073709551615 1 /a\n",
		"part 5 5 /a\npart 7 1 /a\n",
		"part 1 9223372036854775807 /a\n",
	};
	static const char *const good[] = { "", "later 1 /a\n", "# none\n", "none /a",
					    "open /%20b\n" };
	struct kv_arena *a = kv_arena_new();
	struct kv_notes n;
	size_t line;

	(void)state;
	for (size_t i = 0; i < KV_ARRAY_SIZE(bad); i++) {
		kv_notes_init(&n, a);
		if (kv_notes_read(&n, bad[i], &line) != -EPROTO)
			fail_msg("taken: %s", bad[i]);
	}
	for (size_t i = 0; i < KV_ARRAY_SIZE(good); i++) {
		kv_notes_init(&n, a);
		assert_int_equal(kv_notes_read(&n, good[i], &line), 0);
	}
	kv_arena_free(a);
}

/* Damaged lines end in some answer, and read nothing that is not there. */
static void test_damage(void **state)
{
	struct fixture f;
	uint32_t seed = 1;
	size_t n;

	(void)state;
	begin(&f);
	ask(f.root);
	record(&f);
	n = strlen(f.lines);
	for (unsigned i = 0; i < 3000; i++) {
		struct kv_arena *a = kv_arena_new_small();
		char *lines = kv_strdup(a, f.lines), buf[64];
		struct kv_span text;
		kv_dirents list = { 0 };

		for (unsigned k = 0; k < 1 + i % 3; k++) {
			seed = seed * 1664525 + 1013904223;
			lines[(seed >> 8) % n] = " %/\n0f9\377a"[(seed >> 3) % 9];
		}
		if (i % 7 == 0)
			lines[(seed >> 5) % n] = '\0';
		if (replay_in(a, &f, lines) == 0) {
			(void)kv_root_slurp(f.again, "/link", 100, &text);
			(void)kv_root_list(f.again, "/lib", &list);
			if (kv_root_is_file(f.again, "/lib/big")) {
				_file_ struct kv_file *file = NULL;
				size_t got;

				if (kv_root_open_file(f.again, "/lib/big", &file) == 0)
					(void)kv_file_read(file, 3995, buf, sizeof(buf), &got);
			}
			kv_root_close(f.again);
		}
		f.again = NULL;
		kv_arena_free(a);
	}
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers_come_back),
		cmocka_unit_test(test_what_was_not_asked_is_not_known),
		cmocka_unit_test(test_a_walk_leaves_names_out),
		cmocka_unit_test(test_lines_that_make_no_sense),
		cmocka_unit_test(test_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
