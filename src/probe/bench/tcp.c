/*
 * Plain sockets: what KV transfers are without any fabric. A request says which slot, the data
 * follow, and the receiver answers when it has them all. VRAM goes through a host buffer, and the
 * copies count.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "probe/bench/tcp.h"

struct request {
	uint64_t slot;
};

int tcp_gone(struct bench_side *s, const char *call)
{
	return bench_fail(s, PROBE_CAUSE_PEER, "%s: %s", call,
			  errno ? strerror(errno) : "the other side ended");
}

/* Waits for the data connection; what the link says meanwhile is looked at. */
static int wait_for(struct bench_side *s, int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };
	int r = poll(&p, 1, TCP_WAIT_MS);

	if (r == 0)
		return bench_alive(s);
	return r < 0 && errno != EINTR ? tcp_gone(s, "poll") : 0;
}

/* All of iov, in one direction. */
static int move(struct bench_side *s, bool out, struct iovec *iov, size_t n)
{
	struct tcp *t = s->state;
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = n };

	while (m.msg_iovlen) {
		ssize_t r = out ? sendmsg(t->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT)
				: recvmsg(t->fd, &m, MSG_DONTWAIT);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0 && errno == EAGAIN) {
			if (wait_for(s, t->fd, out ? POLLOUT : POLLIN) < 0)
				return -1;
			continue;
		}
		errno = r == 0 ? 0 : errno;
		if (r <= 0)
			return tcp_gone(s, out ? "send" : "recv");
		while (m.msg_iovlen && (size_t)r >= m.msg_iov->iov_len) {
			r -= (ssize_t)m.msg_iov->iov_len;
			m.msg_iov++;
			m.msg_iovlen--;
		}
		if (m.msg_iovlen) {
			m.msg_iov->iov_base = (char *)m.msg_iov->iov_base + r;
			m.msg_iov->iov_len -= (size_t)r;
		}
	}
	return 0;
}

int tcp_move(struct bench_side *s, bool out, void *p, size_t n)
{
	struct iovec iov = { .iov_base = p, .iov_len = n };

	return move(s, out, &iov, 1);
}

static uint64_t place(const struct bench_side *s, uint64_t slot, uint64_t block)
{
	return s->role == PROBE_INITIATOR ? bench_block(s->test, slot, block)
					  : bench_peer_block(s->test, slot, block);
}

/* The blocks of a slot, in order of their numbers, whatever the order in the buffers. */
static int move_blocks(struct bench_side *s, bool out, uint64_t slot)
{
	const struct bench_test *t = s->test;
	struct tcp *tcp = s->state;

	for (uint64_t k = 0; k < t->count;) {
		size_t n = 0;

		for (; n < TCP_IOVS && k < t->count; n++, k++)
			tcp->iov[n] = (struct iovec){ s->host + place(s, slot, k), t->size };
		if (move(s, out, tcp->iov, n) < 0)
			return -1;
	}
	return 0;
}

/* Both directions of staging; a slot lies in one piece on either side. */
static int stage(struct bench_side *s, bool out, uint64_t slot)
{
	uint64_t n = s->test->count * s->test->size, at = slot * n;

	if (!s->gpu)
		return 0;
	return out ? cuda_read(s->gpu, s->host + at, s->addr + at, n, s->rep)
		   : cuda_write(s->gpu, s->addr + at, s->host + at, n, s->rep);
}

static int send_slot(struct bench_side *s, uint64_t slot)
{
	return stage(s, true, slot) < 0 ? -1 : move_blocks(s, true, slot);
}

static int recv_slot(struct bench_side *s, uint64_t slot)
{
	return move_blocks(s, false, slot) < 0 ? -1 : stage(s, false, slot);
}

static int tcp_post(struct bench_side *s, uint64_t slot)
{
	struct request req = { .slot = slot };
	struct tcp *t = s->state;

	t->slot = slot;
	if (tcp_move(s, true, &req, sizeof(req)) < 0)
		return -1;
	return s->test->read ? 0 : send_slot(s, slot);
}

static int tcp_poll(struct bench_side *s)
{
	struct tcp *t = s->state;
	struct request ack;

	if (s->test->read)
		return recv_slot(s, t->slot) < 0 ? -1 : 1;
	return tcp_move(s, false, &ack, sizeof(ack)) < 0 ? -1 : 1;
}

static int serve_request(struct bench_side *s)
{
	struct request req;

	if (tcp_move(s, false, &req, sizeof(req)) < 0)
		return -1;
	if (!s->test || req.slot >= s->test->slots)
		return bench_fail(s, PROBE_CAUSE_PEER, "slot %llu was asked for",
				  (unsigned long long)req.slot);
	if (s->test->read)
		return send_slot(s, req.slot);
	return recv_slot(s, req.slot) < 0 ? -1 : tcp_move(s, true, &req, sizeof(req));
}

static int tcp_progress(struct bench_side *s)
{
	struct tcp *t = s->state;
	struct pollfd p[2] = { { .fd = s->link, .events = POLLIN },
			       { .fd = t->fd, .events = POLLIN } };

	if (poll(p, s->role == PROBE_TARGET ? 2 : 1, TCP_WAIT_MS) <= 0)
		return 1;
	/* The link first: what comes after it on the data connection may be its end. */
	if (p[0].revents)
		return 1;
	return serve_request(s);
}

static void tcp_close(struct bench_side *s)
{
	struct tcp *t = s->state;

	if (t->fd >= 0)
		close(t->fd);
	if (t->listener >= 0)
		close(t->listener);
	free(t);
}

const struct bench_engine bench_tcp = {
	.name = "tcp",
	.open = tcp_open,
	.hello = tcp_hello,
	.meet = tcp_meet,
	.ready = tcp_ready,
	.post = tcp_post,
	.poll = tcp_poll,
	.progress = tcp_progress,
	.close = tcp_close,
};
