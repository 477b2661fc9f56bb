/* Starting, asking and ending the process that reads an image. */
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "root/squash_box.h"

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
	const char *why;

	if (kv_box_source(&image, &source) < 0)
		return;
	kv_box_confine();
	rp.error = kv_sq_open(&source, &s, &rp.more, &why);
	if (rp.error) {
		rp.n = (uint32_t)strlen(why);
		memcpy(window, why, rp.n);
	}
	while (say(sock, &rp) && s && read(sock, &rq, sizeof(rq)) == (ssize_t)sizeof(rq))
		kv_sq_answer(s, &rq, window, &rp);
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

	b.window = mmap(NULL, KV_SQ_PAYLOAD, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
			0);
	if (b.window == MAP_FAILED)
		return kv_err(err, -errno, "memory to share: %s", strerror(errno));
	task.window = b.window;
	e = kv_cell_start(&job, &b.cell, err);
	if (e < 0) {
		munmap(b.window, KV_SQ_PAYLOAD);
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
	ssize_t n;

	if (b->cell.sock < 0)
		return -EIO;
	while ((n = send(b->cell.sock, rq, sizeof(*rq), MSG_NOSIGNAL)) < 0 && errno == EINTR)
		;
	return n == (ssize_t)sizeof(*rq) ? receive(b, ret) : lost(b);
}

void kv_box_stop(struct kv_box *b)
{
	kv_cell_end(&b->cell, /* kill_it= */ true);
	if (b->window)
		munmap(b->window, KV_SQ_PAYLOAD);
	b->window = NULL;
}
