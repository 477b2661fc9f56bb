/*
 * The line to the process that reads an image: whatever a taken-over reader answers, it comes out
 * as a fault of the image, never as a name, a size or a crash. And what that process can still do.
 */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "root/squash.h"

#include <cmocka.h>

/* What a false reader answers: the child has its copy of these. */
static struct {
	struct kv_sq_reply list, inode, read, fragment;
	uint8_t list_bytes[2048], inode_bytes[8192];
	uint32_t list_n, inode_n;
	uint64_t other; /* not what was asked about, but what lies so far behind it */
	int inodes;     /* questions about inodes */
	int die;        /* signal before the answer; -1 leaves, -2 stays silent */
	size_t size;    /* of a reply */
	int calls;      /* lists until it ends */
} lie;

/* The answers name what was asked about. */
static void set_refs(uint64_t ref)
{
	ref += lie.other;
	if (!lie.list.error)
		memcpy(lie.list_bytes, &ref, sizeof(ref));
	memcpy(lie.inode_bytes, &ref, sizeof(ref));
}

static void false_reader(int image, int sock, uint8_t *window)
{
	struct kv_sq_reply hello = { .more = 1 };
	struct kv_sq_request rq;

	(void)image;
	if (write(sock, &hello, sizeof(hello)) < 0)
		return;
	while (read(sock, &rq, sizeof(rq)) == (ssize_t)sizeof(rq)) {
		struct kv_sq_reply rp = rq.op == KV_SQ_LIST       ? lie.list
					: rq.op == KV_SQ_INODE    ? lie.inode
					: rq.op == KV_SQ_FRAGMENT ? lie.fragment
								  : lie.read;

		set_refs(rq.ref);
		if (rq.op == KV_SQ_INODE && ++lie.inodes > 1)
			rp.error = -EIO;
		if (rq.op == KV_SQ_LIST && rq.off && !--lie.calls)
			rp.more = 0;
		if (rq.op == KV_SQ_LIST)
			memcpy(window, lie.list_bytes, lie.list_n);
		if (rq.op == KV_SQ_INODE)
			memcpy(window, lie.inode_bytes, lie.inode_n);
		if (lie.die > 0)
			raise(lie.die);
		if (lie.die == -1)
			return;
		if (lie.die == -2)
			pause();
		if (write(sock, &rp, lie.size) < 0)
			return;
	}
}

/* Begins a list of this many bytes. */
static void head_list(uint32_t n)
{
	struct kv_sq_list head = { .n = n };

	memcpy(lie.list_bytes, &head, sizeof(head));
}

static void no_entries(void)
{
	lie.list_n = lie.list.n = sizeof(struct kv_sq_list);
	head_list(0);
}

static void add_entry(uint64_t ref, uint8_t type, const char *name, size_t n)
{
	struct kv_sq_entry e = { .ref = ref, .type = type, .n = (uint8_t)n };

	memcpy(lie.list_bytes + lie.list_n, &e, sizeof(e));
	memcpy(lie.list_bytes + lie.list_n + sizeof(e), name, n);
	lie.list_n += (uint32_t)(sizeof(e) + n + 1);
	lie.list_bytes[lie.list_n - 1] = '\0';
	lie.list.n = lie.list_n;
	head_list(lie.list_n - (uint32_t)sizeof(struct kv_sq_list));
}

static void add_inode(uint64_t ref, uint32_t mode, uint64_t size, const char *text, size_t n)
{
	struct kv_sq_inode i = { .ref = ref,
				 .ino = 7,
				 .size = size,
				 .mode = mode,
				 .link_n = (uint32_t)n,
				 .fragment = KV_SQ_NONE };

	memcpy(lie.inode_bytes + lie.inode_n, &i, sizeof(i));
	memcpy(lie.inode_bytes + lie.inode_n + sizeof(i), text, n);
	lie.inode_n += (uint32_t)(sizeof(i) + n);
	lie.inode.n = lie.inode_n;
}

static void set_inode(uint32_t mode, uint64_t size, const char *text, size_t n)
{
	lie.inode_n = 0;
	add_inode(0, mode, size, text, n);
}

static void set_fragment(uint32_t number, uint32_t at)
{
	memcpy(lie.inode_bytes + offsetof(struct kv_sq_inode, fragment), &number, sizeof(number));
	memcpy(lie.inode_bytes + offsetof(struct kv_sq_inode, fragment_at), &at, sizeof(at));
}

static void set_at(uint64_t at)
{
	memcpy(lie.inode_bytes + offsetof(struct kv_sq_inode, at), &at, sizeof(at));
}

/* Answers that are fine, which each case then spoils. */
static void be_honest(void)
{
	memset(&lie, 0, sizeof(lie));
	lie.size = sizeof(struct kv_sq_reply);
	no_entries();
	add_entry(2, DT_DIR, "dir", 3);
	add_entry(3, DT_REG, "file", 4);
	add_entry(4, DT_LNK, "link", 4);
	set_inode(S_IFREG | 0644, 10, "", 0);
	lie.read.n = 10;
}

static struct kv_arena *a;

static struct kv_tree *ask_reader(kv_box_serve *serve, unsigned deadline_s)
{
	struct kv_sq_reply hello;
	struct kv_err err = { 0 };
	struct kv_box box;
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_int_equal(kv_box_start(fd, serve, deadline_s, &box, &err), 0);
	assert_int_equal(kv_box_hello(&box, &hello), 0);
	return kv_squash_tree(a, &box, fd, hello.more);
}

enum question { LIST, STAT_FILE, STAT_LINK, READ_FILE };

static int ask_one(struct kv_tree *t, enum question q)
{
	kv_dirents list = { 0 };
	struct kv_file *f;
	struct kv_stat st;
	uint8_t buf[64];
	size_t n;
	int e;

	if (q == LIST)
		return t->ops->list(t, "", a, &list);
	if (q == STAT_FILE)
		return t->ops->lstat(t, "file", &st);
	if (q == STAT_LINK)
		return t->ops->lstat(t, "link", &st);
	e = t->ops->open(t, "file", &f);
	if (e < 0)
		return e;
	e = kv_file_read(f, 0, buf, sizeof(buf), &n);
	kv_file_close(f);
	return e;
}

static void is_refused(enum question q, const char *says)
{
	struct kv_tree *t = ask_reader(false_reader, 1);
	struct kv_stat st;

	assert_null(t->ops->fault(t));
	assert_int_equal(ask_one(t, q), -EIO);
	assert_non_null(t->ops->fault(t));
	if (!strstr(t->ops->fault(t), says))
		fail_msg("\"%s\" does not say \"%s\"", t->ops->fault(t), says);
	/* And nothing is believed any more. */
	assert_int_equal(t->ops->lstat(t, "dir", &st), -EIO);
	t->ops->close(t);
}

static void is_taken(enum question q)
{
	struct kv_tree *t = ask_reader(false_reader, 1);

	assert_int_equal(ask_one(t, q), 0);
	assert_null(t->ops->fault(t));
	t->ops->close(t);
}

static void test_honest(void **state)
{
	(void)state;
	be_honest();
	is_taken(LIST);
	is_taken(STAT_FILE);
	is_taken(READ_FILE);
	set_inode(S_IFLNK | 0777, 3, "dir", 3);
	is_taken(STAT_LINK);
	/* A list in several answers. */
	be_honest();
	lie.list.more = 5;
	lie.calls = 1;
	no_entries();
	add_entry(9, DT_REG, "a", 1);
	is_refused(LIST, "twice the same");
}

static void test_names(void **state)
{
	static const struct {
		const char *name;
		size_t n;
	} bad[] = {
		{ "", 0 },    { ".", 1 },    { "..", 2 }, { "/", 1 },
		{ "a/b", 3 }, { "/x", 2 },   { "x/", 2 }, { "../../etc/passwd", 16 },
		{ "\0", 1 },  { "a\0b", 3 },
	};

	(void)state;
	for (size_t i = 0; i < KV_ARRAY_SIZE(bad); i++) {
		be_honest();
		no_entries();
		add_entry(2, DT_REG, bad[i].name, bad[i].n);
		is_refused(LIST, "a name that cannot be");
		is_refused(STAT_FILE, "a name that cannot be");
	}
	be_honest();
	add_entry(5, DT_REG, "link", 4);
	is_refused(LIST, "twice the same");
	be_honest();
	add_entry(5, DT_REG, "file", 4);
	is_refused(LIST, "twice the same");
	be_honest();
	add_entry(2, DT_DIR, "other", 5);
	is_refused(LIST, "two places");
	be_honest();
	add_entry(1, DT_DIR, "root", 4);
	is_refused(LIST, "two places");
}

static void test_nonsense(void **state)
{
	static const char nonsense[] = "answers nonsense";

	(void)state;
	be_honest();
	add_entry(5, DT_UNKNOWN, "odd", 3);
	is_refused(LIST, nonsense);
	be_honest();
	add_entry(5, 13, "odd", 3);
	is_refused(LIST, nonsense);
	for (uint32_t cut = 1; cut < 19; cut++) {
		be_honest();
		lie.list.n = lie.list_n - cut;
		is_refused(LIST, nonsense);
		head_list(lie.list.n - (uint32_t)sizeof(struct kv_sq_list));
		is_refused(LIST, nonsense);
	}
	/* A name without its NUL; a list that is not the one asked for; lists that do not fit. */
	be_honest();
	lie.list_bytes[lie.list_n - 1] = 'x';
	is_refused(LIST, nonsense);
	be_honest();
	lie.other = 1;
	is_refused(LIST, nonsense);
	be_honest();
	lie.list.n += 5;
	is_refused(LIST, nonsense);
	be_honest();
	head_list(UINT32_MAX);
	is_refused(LIST, nonsense);
	be_honest();
	lie.list.n = KV_SQ_PAYLOAD + 1;
	is_refused(LIST, nonsense);
	lie.list.n = UINT32_MAX;
	is_refused(LIST, nonsense);
	be_honest();
	lie.list.error = 1;
	is_refused(LIST, nonsense);
	lie.list.error = INT32_MIN;
	is_refused(LIST, nonsense);
	for (size_t size = 0; size < sizeof(struct kv_sq_reply); size += 5) {
		be_honest();
		lie.size = size;
		is_refused(LIST, size ? nonsense : "gave up");
	}
	/* A list that goes on without getting on. */
	be_honest();
	no_entries();
	lie.list.more = 5;
	is_refused(LIST, nonsense);
}

static void test_inodes(void **state)
{
	static char text[8000];

	(void)state;
	memset(text, 'x', sizeof(text));
	be_honest();
	lie.inode.n = 3;
	is_refused(STAT_FILE, "nonsense");
	be_honest();
	lie.inode.n++;
	is_refused(STAT_FILE, "nonsense");
	be_honest();
	set_inode(S_IFREG | 0644, (uint64_t)1 << 63, "", 0);
	is_refused(STAT_FILE, "nonsense");
	/* Bytes that lie outside of the image, which has none. */
	set_inode(S_IFREG | 0644, 10, "", 0);
	set_at(96);
	is_refused(STAT_FILE, "nonsense");
	set_at(UINT64_MAX);
	is_refused(STAT_FILE, "nonsense");
	set_inode(S_IFDIR | 0755, 10, "", 0);
	is_refused(STAT_FILE, "is not what its directory says");
	set_inode(0, 10, "", 0);
	is_refused(STAT_FILE, "is not what its directory says");
	set_inode(S_IFREG | 0644, 3, "dir", 3);
	is_refused(STAT_FILE, "a text that cannot be");
	set_inode(S_IFLNK | 0777, 3, "", 0);
	is_refused(STAT_LINK, "a text that cannot be");
	set_inode(S_IFLNK | 0777, 3, "a\0b", 3);
	is_refused(STAT_LINK, "a text that cannot be");
	set_inode(S_IFLNK | 0777, 4096, text, 4096);
	is_refused(STAT_LINK, "nonsense");
	set_inode(S_IFLNK | 0777, 4095, text, 4095);
	is_taken(STAT_LINK);
}

/* What nobody asked for is judged when it is. */
static void test_ahead(void **state)
{
	struct kv_tree *t;
	struct kv_stat st;

	(void)state;
	be_honest();
	add_inode(4, S_IFLNK | 0777, 3, "", 0);
	t = ask_reader(false_reader, 1);
	assert_int_equal(t->ops->lstat(t, "file", &st), 0);
	assert_null(t->ops->fault(t));
	assert_int_equal(t->ops->lstat(t, "link", &st), -EIO);
	assert_non_null(strstr(t->ops->fault(t), "a text that cannot be"));
	t->ops->close(t);
	/* Of two answers the first counts. */
	be_honest();
	add_inode(3, S_IFREG | 0644, 11, "", 0);
	add_inode(4, S_IFLNK | 0777, 3, "dir", 3);
	t = ask_reader(false_reader, 1);
	assert_int_equal(t->ops->lstat(t, "file", &st), 0);
	assert_int_equal(st.size, 10);
	assert_int_equal(t->ops->lstat(t, "link", &st), 0);
	assert_null(t->ops->fault(t));
	t->ops->close(t);
	be_honest();
	add_inode(4, S_IFLNK | 0777, 3, "dir", 3);
	lie.inode.n--;
	is_refused(STAT_FILE, "nonsense");
	be_honest();
	lie.other = 1;
	is_refused(STAT_FILE, "nonsense");
}

static void test_fragments(void **state)
{
	(void)state;
	be_honest();
	set_fragment(0, 5);
	lie.fragment.n = 15;
	is_taken(READ_FILE);
	lie.fragment.n = 14;
	is_refused(READ_FILE, "outside of its fragment");
	lie.fragment.n = 0;
	is_refused(READ_FILE, "outside of its fragment");
	lie.fragment.n = KV_SQ_PAYLOAD;
	is_taken(READ_FILE);
	lie.fragment.n = KV_SQ_PAYLOAD + 1;
	is_refused(READ_FILE, "nonsense");
	lie.fragment.n = 15;
	set_fragment(7, 6);
	is_refused(READ_FILE, "outside of its fragment");
	set_fragment(7, UINT32_MAX);
	is_refused(READ_FILE, "outside of its fragment");
	set_fragment(7, 0);
	lie.fragment.error = -EIO;
	is_refused(READ_FILE, "");
}

static void test_reads(void **state)
{
	(void)state;
	be_honest();
	lie.read.n = 9;
	is_refused(READ_FILE, "nonsense");
	lie.read.n = 11;
	is_refused(READ_FILE, "nonsense");
	lie.read.n = KV_SQ_PAYLOAD + 1;
	is_refused(READ_FILE, "nonsense");
	be_honest();
	lie.read.error = -EIO;
	lie.read.n = 0;
	is_refused(READ_FILE, "");
}

static void test_ends(void **state)
{
	(void)state;
	be_honest();
	lie.die = SIGSEGV;
	is_refused(LIST, "died of it (signal 11)");
	lie.die = SIGXCPU;
	is_refused(LIST, "processor time");
	lie.die = -1;
	is_refused(LIST, "gave up");
	lie.die = -2;
	is_refused(LIST, "silent for too long");
	/* Texts of a reader cannot drive a terminal. */
	be_honest();
	lie.list.error = -EIO;
	memcpy(lie.list_bytes, "\x1b[2Jred\n", 8);
	lie.list.n = lie.list_n = 8;
	is_refused(LIST, "\\x1b[2Jred\\x0a");
}

/* ---- what the reader's process can do ---- */

static int crime;

static void criminal(int image, int sock, uint8_t *window)
{
	struct kv_sq_reply hello = { 0 };
	struct kv_sq_request rq;
	long r = 0;

	(void)window;
	kv_box_confine();
	if (write(sock, &hello, sizeof(hello)) < 0 || read(sock, &rq, sizeof(rq)) < 0)
		return;
	if (crime == 0)
		r = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
	else if (crime == 1)
		r = syscall(SYS_mmap, 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);
	else if (crime == 2)
		r = mprotect((void *)((uintptr_t)&criminal & ~(uintptr_t)4095), 4096,
			     PROT_READ | PROT_WRITE);
	else if (crime == 3)
		r = kill(getppid(), 0);
	else if (crime == 4)
		r = socket(AF_INET, SOCK_STREAM, 0);
	else if (crime == 5)
		r = dup(image);
	else if (crime == 6)
		r = fork();
	else if (crime == 7)
		r = syscall(SYS_ptrace, 0, 0, 0, 0);
	/* It could: that is what the test must not see. */
	hello.error = r < 0 ? -EPERM : 0;
	(void)!write(sock, &hello, sizeof(hello));
}

/* Reports which fds are open, as bits. */
static void counts_fds(int image, int sock, uint8_t *window)
{
	struct kv_sq_reply hello = { 0 };

	(void)image, (void)window;
	for (int fd = 0; fd < 60; fd++)
		hello.more |= fcntl(fd, F_GETFD) >= 0 ? (uint64_t)1 << fd : 0;
	(void)!write(sock, &hello, sizeof(hello));
}

/* The image, the line, and under a sanitizer stderr. */
static void test_fds(void **state)
{
	int more[10], fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct kv_err err = { 0 };
	struct kv_sq_reply hello;
	struct kv_box box;

	(void)state;
	for (size_t i = 0; i < KV_ARRAY_SIZE(more); i++)
		more[i] = dup(fd); /* without O_CLOEXEC */
	assert_int_equal(kv_box_start(fd, counts_fds, 5, &box, &err), 0);
	assert_int_equal(kv_box_hello(&box, &hello), 0);
	assert_int_equal(hello.more & ~(uint64_t)4, 3 << 3);
	if (!KV_SANITIZED)
		assert_int_equal(hello.more & 4, 0);
	kv_box_stop(&box);
	for (size_t i = 0; i < KV_ARRAY_SIZE(more); i++)
		close(more[i]);
	close(fd);
}

static void test_confined(void **state)
{
	(void)state;
	if (KV_SANITIZED || getenv("KVPATH_EMULATED"))
		skip(); /* nor do they have a filter */
	for (crime = 0; crime < 8; crime++) {
		struct kv_tree *t = ask_reader(criminal, 5);
		kv_dirents list = { 0 };

		assert_int_equal(t->ops->list(t, "", a, &list), -EIO);
		if (!strstr(t->ops->fault(t), "signal 31"))
			fail_msg("%d: %s", crime, t->ops->fault(t));
		t->ops->close(t);
	}
}

static int setup(void **state)
{
	(void)state;
	a = kv_arena_new();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	kv_arena_free(a);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_honest),   cmocka_unit_test(test_names),
		cmocka_unit_test(test_nonsense), cmocka_unit_test(test_inodes),
		cmocka_unit_test(test_ahead),    cmocka_unit_test(test_fragments),
		cmocka_unit_test(test_reads),    cmocka_unit_test(test_ends),
		cmocka_unit_test(test_fds),      cmocka_unit_test(test_confined),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
