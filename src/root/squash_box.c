/* Starting, asking and ending the process that reads an image. */
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "root/squash_box.h"

/* ---- both sides ---- */

/* Lies behind the window. Questions are counted before each is sent, answers after: whoever waits
 * for one can tell without a call. */
struct counts {
	_Atomic uint32_t asked, answered;
};

#define SHARED (KV_SQ_PAYLOAD + sizeof(struct counts))

static struct counts *counts_of(uint8_t *window)
{
	return (struct counts *)(void *)(window + KV_SQ_PAYLOAD);
}

/* Looks before somebody falls asleep: 64 take some microseconds, 8192 a third of a millisecond. */
#define LEAST_PATIENCE 64
#define MOST_PATIENCE  8192

static inline void relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("isb");
#endif
}

/*
 * Waits a little for the count to become another: to wake up a process on another processor takes
 * longer than most answers do. Where it was in vain, the next one waits for a shorter time. It is
 * no more than a hint: what comes is read from the line in any case.
 */
static void linger(_Atomic uint32_t *count, uint32_t old, unsigned *patience)
{
	for (unsigned i = 0; i < *patience; i++) {
		if (atomic_load(count) != old) {
			*patience = *patience * 2 < MOST_PATIENCE ? *patience * 2 : MOST_PATIENCE;
			return;
		}
		relax();
	}
	if (*patience > LEAST_PATIENCE)
		*patience /= 2;
}

/* Where both have one processor, whoever waits takes the other's time. */
static unsigned patience(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 1 ? MOST_PATIENCE
										   : 0;
}

/* ---- the child ---- */

static int pread_source(void *arg, uint64_t off, void *buf, size_t n)
{
	size_t got;
	int e = kv_read_all(*(const int *)arg, buf, n, off, &got);

	return e < 0 ? e : got == n ? 0 : -EIO;
}

int kv_box_source(int *image, struct kv_sq_source *ret)
{
	struct stat st;

	if (fstat(*image, &st) < 0)
		return -errno;
	*ret = (struct kv_sq_source){ pread_source, image, (uint64_t)st.st_size };
	return 0;
}

static bool say(int sock, const struct kv_sq_reply *rp)
{
	return write(sock, rp, sizeof(*rp)) == (ssize_t)sizeof(*rp);
}

void kv_box_serve_squash(int image, int sock, uint8_t *window)
{
	struct kv_sq_source source;
	struct kv_sq_request rq;
	struct kv_sq_reply rp = { 0 };
	struct kv_sq *s = NULL;
	struct counts *counts = counts_of(window);
	unsigned patient = patience();
	uint32_t answered = 0;
	const char *why;

	if (kv_box_source(&image, &source) < 0)
		return;
	kv_box_confine();
	rp.error = kv_sq_open(&source, &s, &rp.more, &why);
	if (rp.error) {
		rp.n = (uint32_t)strlen(why);
		memcpy(window, why, rp.n);
	}
	while (say(sock, &rp) && s) {
		atomic_store(&counts->answered, answered);
		linger(&counts->asked, answered, &patient);
		if (read(sock, &rq, sizeof(rq)) != (ssize_t)sizeof(rq))
			return;
		answered++;
		kv_sq_answer(s, &rq, window, &rp);
	}
}

void kv_box_confine(void)
{
	kv_cell_confine(&(struct kv_cell_limits){ .memory = KV_BOX_MEMORY, .cpu_s = KV_BOX_CPU_S });
}

void kv_box_limit_memory(void)
{
	kv_cell_limit_memory(KV_BOX_MEMORY);
}

struct task {
	kv_box_serve *serve;
	uint8_t *window;
};

static void run_task(void *ctx)
{
	const struct task *t = ctx;

	t->serve(KV_CELL_IN, KV_CELL_SOCK, t->window);
}

/* ---- the parent ---- */

int kv_box_start(int image, kv_box_serve *serve, unsigned deadline_s, struct kv_box *ret,
		 struct kv_err *err)
{
	struct kv_box b = { 0 };
	struct task task = { .serve = serve };
	struct kv_cell_job job = {
		.in = image,
		.spool = -1,
		.run = run_task,
		.ctx = &task,
		.deadline_s = deadline_s,
	};
	int e;

	b.window = mmap(NULL, SHARED, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (b.window == MAP_FAILED)
		return kv_err(err, -errno, "memory to share: %s", strerror(errno));
	task.window = b.window;
	b.patience = patience();
	e = kv_cell_start(&job, &b.cell, err);
	if (e < 0) {
		munmap(b.window, SHARED);
		return e;
	}
	*ret = b;
	return 0;
}

int kv_box_cut(struct kv_box *b, const char *fmt, ...)
{
	va_list ap;

	if (!*b->fault) {
		va_start(ap, fmt);
		vsnprintf(b->fault, sizeof(b->fault), fmt, ap);
		va_end(ap);
	}
	kv_cell_end(&b->cell, /* kill_it= */ true);
	return -EIO;
}

/* The other end says nothing any more. */
static int lost(struct kv_box *b)
{
	int status = kv_cell_end(&b->cell, /* kill_it= */ false);

	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU)
		return kv_box_cut(b, "reading the image took more processor time than it may");
	if (WIFSIGNALED(status))
		return kv_box_cut(b, "damaged squashfs image: its reader died of it (signal %d)",
				  WTERMSIG(status));
	return kv_box_cut(b, "damaged squashfs image: its reader gave up");
}

static int receive(struct kv_box *b, struct kv_sq_reply *ret)
{
	ssize_t n = kv_cell_receive(&b->cell, ret, sizeof(*ret));

	if (n == -EAGAIN)
		return kv_box_cut(b, "the reader of the image has been silent for too long");
	if (n <= 0 && n != -EMSGSIZE)
		return lost(b);
	if (n != (ssize_t)sizeof(*ret) || ret->n > KV_SQ_PAYLOAD || ret->error > 0 ||
	    ret->error < -4095)
		return kv_box_cut(b, "damaged squashfs image: its reader answers nonsense");
	return 0;
}

int kv_box_hello(struct kv_box *b, struct kv_sq_reply *ret)
{
	return receive(b, ret);
}

int kv_box_ask(struct kv_box *b, const struct kv_sq_request *rq, struct kv_sq_reply *ret)
{
	struct counts *counts = counts_of(b->window);
	uint32_t before;
	ssize_t n;

	if (b->cell.sock < 0)
		return -EIO;
	before = atomic_fetch_add(&counts->asked, 1);
	while ((n = send(b->cell.sock, rq, sizeof(*rq), MSG_NOSIGNAL)) < 0 && errno == EINTR)
		;
	if (n != (ssize_t)sizeof(*rq))
		return lost(b);
	linger(&counts->answered, before, &b->patience);
	return receive(b, ret);
}

void kv_box_stop(struct kv_box *b)
{
	kv_cell_end(&b->cell, /* kill_it= */ true);
	if (b->window)
		munmap(b->window, SHARED);
	b->window = NULL;
}
