/*
 * The journal against symlinks that lead out of the target, damaged files and forged records.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "journal_fixture.h"

/* Symlinks to the outside, as a hostile image may hold them or as they may come up later. */
static void stays_inside(void **state)
{
	struct fixture *f = *state;
	char outside[128], deep[160];
	size_t undone;

	snprintf(outside, sizeof(outside), "%s/outside", f->t.path);
	assert_int_equal(mkdir(outside, 0755), 0);
	assert_int_equal(symlinkat("../../outside", f->t.root, "usr/link"), 0);
	snprintf(deep, sizeof(deep), "%s/ours", outside);
	assert_int_equal(mkdir(deep, 0755), 0);
	assert_int_equal(symlinkat(outside, f->t.root, "usr/absolute"), 0);
	for (unsigned i = 0; i < 2; i++) {
		kv_tree_test.no_openat2 = i;
		jfix_refused(f, jfix_apply_one(f, KV_OP_FILE, "/usr/link/x", "x"), -ELOOP,
			     "/usr/link:");
		jfix_refused(f, jfix_apply_one(f, KV_OP_MKDIR, "/usr/absolute/x", NULL), -ELOOP,
			     "/usr/absolute:");
		jfix_refused(f, jfix_apply_one(f, KV_OP_FILE, "/usr/link/ours/x", "x"), -ELOOP,
			     "/usr/link:");
		jfix_must(f, jfix_apply_one(f, KV_OP_MKDIR, "/opt/ours", NULL));
		jfix_must(f, jfix_apply_one(f, KV_OP_FILE, "/opt/ours/x", "x"));
		assert_int_equal(renameat(f->t.root, "opt", f->t.root, "opt.old"), 0);
		assert_int_equal(symlinkat(outside, f->t.root, "opt"), 0);
		jfix_refused(f, kv_journal_undo(f->t.root, NULL, &undone, &f->err), -ELOOP,
			     "/opt:");
		assert_int_equal(unlinkat(f->t.root, "opt", 0), 0);
		assert_int_equal(renameat(f->t.root, "opt.old", f->t.root, "opt"), 0);
		jfix_must(f, kv_journal_undo(f->t.root, NULL, &undone, &f->err));
		assert_int_equal(undone, 2);
	}
	/* The state directory is no way out either. */
	assert_int_equal(renameat(f->t.root, "var/lib", f->t.root, "var/old"), 0);
	assert_int_equal(symlinkat(outside, f->t.root, "var/lib"), 0);
	jfix_refused(f, jfix_apply_one(f, KV_OP_FILE, "/usr/x", "x"), -ELOOP, "/var/lib:");
	/* Replacing a symlink replaces it, not what it points to. */
	assert_int_equal(unlinkat(f->t.root, "var/lib", 0), 0);
	assert_int_equal(renameat(f->t.root, "var/old", f->t.root, "var/lib"), 0);
	jfix_must(f, jfix_apply_one(f, KV_OP_FILE, "/usr/absolute", "x"));
	jfix_text_is(f, "/usr/absolute", "x");
	/* Nothing has come into being out there. */
	assert_int_equal(rmdir(deep), 0);
	assert_int_equal(rmdir(outside), 0);
}

static void append(struct fixture *f, const char *path, const char *text)
{
	int fd = open(jtree_host(&f->t, path), O_WRONLY | O_APPEND);

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

/* Sets the digit after the first `key` in the file at path, and returns what it was. */
static char set_digit(struct fixture *f, const char *path, const char *key, char digit)
{
	char text[4096], was;
	int fd = open(jtree_host(&f->t, path), O_RDWR);
	ssize_t n = read(fd, text, sizeof(text) - 1);
	char *at;

	assert_true(n > 0);
	text[n] = '\0';
	at = strstr(text, key);
	assert_non_null(at);
	at += strlen(key);
	was = *at;
	assert_int_equal(pwrite(fd, &digit, 1, at - text), 1);
	close(fd);
	return was;
}

static void torn_and_damaged(void **state)
{
	static const char journal[] = KV_STATE_DIR "/000001/journal";
	struct fixture *f = *state;
	bool did;
	char was;
	int fd;

	jfix_apply(f);
	append(f, journal, "01234567 {\"rec\":\"und");
	append(f, KV_STATE_DIR "/state", "\n\nff");
	jfix_must(f, kv_journal_recover(f->t.root, &did, &f->err));
	assert_false(did);
	jfix_undo(f, 12);

	jfix_apply(f);
	/* Good JSON, but not what was written. */
	was = set_digit(f, journal, "\"size\":", '7');
	jfix_stops_at(f, -EBADMSG, journal);
	set_digit(f, journal, "\"size\":", was);
	fd = open(jtree_host(&f->t, journal), O_WRONLY);
	assert_int_equal(pwrite(fd, "#", 1, 200), 1);
	close(fd);
	jfix_stops_at(f, -EBADMSG, journal);
	/* Without its tail it says that nothing was touched; the backups know better. */
	assert_int_equal(truncate(jtree_host(&f->t, journal), 100), 0);
	jfix_stops_at(f, -EBADMSG, "old.");
	assert_int_equal(unlinkat(f->t.root, "var/lib/kvpath/state", 0), 0);
	jfix_stops_at(f, -EBADMSG, KV_STATE_DIR "/state");
}

static void hostile_journal(void **state)
{
	static const char *const records[] = {
		"{\"op\":\"file\",\"path\":\"/../x\",\"post\":{\"type\":\"absent\"},"
		"\"pre\":{\"type\":\"absent\"},\"rec\":\"step\"}",
		"{\"op\":\"file\",\"path\":\"/x%00\",\"post\":{\"type\":\"absent\"},"
		"\"pre\":{\"type\":\"absent\"},\"rec\":\"step\"}",
		"{\"atime\":[0,0],\"mtime\":[0,-1],\"path\":\"/\",\"rec\":\"dir\"}",
		"{\"atime\":[0,0],\"mtime\":[0],\"path\":\"../..\",\"rec\":\"dir\"}",
	};
	struct fixture *f = *state;

	jfix_apply(f);
	for (size_t i = 0; i < KV_ARRAY_SIZE(records); i++) {
		const char *path = jtree_host(&f->t, KV_STATE_DIR "/000001/journal");
		char line[512];
		struct stat st;

		assert_int_equal(stat(path, &st), 0);
		snprintf(line, sizeof(line), "%08x %s\n",
			 kv_crc32c(0, records[i], strlen(records[i])), records[i]);
		append(f, KV_STATE_DIR "/000001/journal", line);
		jfix_stops_at(f, -EBADMSG, "journal");
		assert_int_equal(
			truncate(jtree_host(&f->t, KV_STATE_DIR "/000001/journal"), st.st_size), 0);
	}
	jfix_undo(f, 12);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		JFIX(stays_inside),
		JFIX(torn_and_damaged),
		JFIX(hostile_journal),
	};

	return cmocka_run_group_tests_name("journal hostile", tests, NULL, NULL);
}
