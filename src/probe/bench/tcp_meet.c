/*
 * The connection for data of the engine `tcp`: the target listens, on the way that the link takes,
 * and takes the caller that says the seed, which only the other side knows. Whoever else connects
 * is left alone.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "probe/bench/tcp.h"

#define CALLERS 64

int tcp_open(struct bench_side *s)
{
	struct tcp *t = calloc(1, sizeof(*t));
	struct sockaddr_storage a;
	socklen_t n;

	if (!t)
		return bench_fail(s, PROBE_CAUSE_ENVIRONMENT, "out of memory");
	s->state = t;
	t->fd = t->listener = -1;
	s->rails = 1;
	snprintf(s->provider, sizeof(s->provider), "sockets");
	snprintf(s->detail, sizeof(s->detail), "one TCP connection%s",
		 s->spec.vram ? ", GPU memory staged through the host" : "");
	n = bench_own_address(s, &a);
	bench_name_rail(s, &a);
	if (s->role == PROBE_INITIATOR)
		return 0;
	t->listener = socket(a.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (t->listener < 0 || bind(t->listener, (struct sockaddr *)&a, n) < 0 ||
	    listen(t->listener, CALLERS) < 0)
		return bench_fail(s, PROBE_CAUSE_ENVIRONMENT, "listen for the data connection: %s",
				  strerror(errno));
	return 0;
}

static in_port_t port_of(const struct sockaddr_storage *a)
{
	return a->ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)a)->sin6_port
					: ((const struct sockaddr_in *)a)->sin_port;
}

/* The target's port. */
int tcp_hello(struct bench_side *s, void **ret, size_t *ret_n)
{
	struct tcp *t = s->state;
	struct sockaddr_storage a = { 0 };
	socklen_t n = sizeof(a);
	in_port_t port;

	if (t->listener < 0 || getsockname(t->listener, (struct sockaddr *)&a, &n) < 0)
		return 0;
	*ret = malloc(sizeof(port));
	if (!*ret)
		return bench_fail(s, PROBE_CAUSE_ENVIRONMENT, "out of memory");
	port = port_of(&a);
	memcpy(*ret, &port, sizeof(port));
	*ret_n = sizeof(port);
	return 0;
}

struct caller {
	int fd;
	uint8_t said[sizeof(uint64_t)];
	size_t n;
};

static void caller_drop(struct caller *c)
{
	close(c->fd);
	*c = (struct caller){ .fd = -1 };
}

/* True once the caller has said the seed; one that says anything else is gone. */
static bool caller_hear(const struct bench_side *s, struct caller *c)
{
	ssize_t r = recv(c->fd, c->said + c->n, sizeof(c->said) - c->n, MSG_DONTWAIT);

	if (r < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	c->n += r > 0 ? (size_t)r : 0;
	if (r > 0 && memcmp(c->said, &s->spec.seed, c->n) == 0)
		return c->n == sizeof(c->said);
	caller_drop(c);
	return false;
}

/* A new one in a free place, or in that of `next`, which is the one that has been silent longest.
 */
static void caller_take(const struct tcp *t, struct caller *callers, size_t *next)
{
	int fd = accept4(t->listener, NULL, NULL, SOCK_CLOEXEC);
	size_t at = *next;

	if (fd < 0)
		return;
	for (size_t i = 0; i < CALLERS; i++)
		if (callers[i].fd < 0)
			at = i;
	if (callers[at].fd >= 0) {
		caller_drop(&callers[at]);
		*next = (at + 1) % CALLERS;
	}
	callers[at].fd = fd;
}

static int accept_some(struct bench_side *s, struct caller *callers, size_t *next)
{
	struct tcp *t = s->state;
	struct pollfd p[CALLERS + 1] = { { .fd = t->listener, .events = POLLIN } };

	for (size_t i = 0; i < CALLERS; i++)
		p[i + 1] = (struct pollfd){ .fd = callers[i].fd, .events = POLLIN };
	if (poll(p, CALLERS + 1, TCP_WAIT_MS) < 0 && errno != EINTR)
		return tcp_gone(s, "poll");
	for (size_t i = 0; i < CALLERS && t->fd < 0; i++)
		if (p[i + 1].revents && caller_hear(s, &callers[i])) {
			t->fd = callers[i].fd;
			callers[i].fd = -1;
		}
	if (p[0].revents && t->fd < 0)
		caller_take(t, callers, next);
	return bench_alive(s);
}

/* The initiator has connected by the time that it says it is ready; strangers may have, too. */
static int accept_peer(struct bench_side *s)
{
	struct caller callers[CALLERS];
	struct tcp *t = s->state;
	size_t next = 0;
	int r = 0;

	bench_doing(s, "the wait for the data connection");
	for (size_t i = 0; i < CALLERS; i++)
		callers[i] = (struct caller){ .fd = -1 };
	while (t->fd < 0 && r == 0)
		r = accept_some(s, callers, &next);
	for (size_t i = 0; i < CALLERS; i++)
		if (callers[i].fd >= 0)
			close(callers[i].fd);
	return r;
}

/* Where the link leads to, with the port that the target said. */
static socklen_t peer_address(const struct bench_side *s, in_port_t port,
			      struct sockaddr_storage *ret)
{
	socklen_t n = bench_own_address(s, ret);

	if (s->remote && getpeername(s->link, (struct sockaddr *)ret, &n) < 0)
		return 0;
	if (ret->ss_family == AF_INET6)
		((struct sockaddr_in6 *)ret)->sin6_port = port;
	else
		((struct sockaddr_in *)ret)->sin_port = port;
	return n;
}

/* A connection that is made, refused, or not made before the deadline. */
static int connect_wait(struct bench_side *s, int fd, const struct sockaddr *a, socklen_t n)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	int e = 0;
	socklen_t size = sizeof(e);

	if (connect(fd, a, n) == 0)
		return 0;
	if (errno != EINPROGRESS)
		return tcp_gone(s, "connect for data");
	/* Without a look at the link: that the target is ready may be there already. */
	while (poll(&p, 1, probe_left_ms(&s->plan, 1000)) <= 0)
		if (!probe_left_ms(&s->plan, 1))
			return bench_fail(s, PROBE_CAUSE_DEADLINE,
					  "no connection for data in time");
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &size) == 0 && !e)
		return 0;
	errno = e;
	return tcp_gone(s, "connect for data");
}

static int connect_peer(struct bench_side *s, const void *blob, size_t n)
{
	struct tcp *t = s->state;
	struct sockaddr_storage a;
	in_port_t port;
	socklen_t size;

	bench_doing(s, "the connection for data");
	if (n != sizeof(port))
		return bench_fail(s, PROBE_CAUSE_PEER, "no port came");
	memcpy(&port, blob, sizeof(port));
	size = peer_address(s, port, &a);
	t->fd = socket(a.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (!size || t->fd < 0)
		return tcp_gone(s, "socket");
	if (connect_wait(s, t->fd, (struct sockaddr *)&a, size) < 0)
		return -1;
	return tcp_move(s, true, &s->spec.seed, sizeof(s->spec.seed));
}

int tcp_meet(struct bench_side *s, const void *blob, size_t n)
{
	return s->role == PROBE_INITIATOR ? connect_peer(s, blob, n) : 0;
}

int tcp_ready(struct bench_side *s)
{
	struct tcp *t = s->state;
	int one = 1;

	if (s->role == PROBE_TARGET && accept_peer(s) < 0)
		return -1;
	setsockopt(t->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return 0;
}
