/* Whole frames with a deadline; a peer that is gone is told apart from everything else. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "probe/link.h"

#define LINK_MAX (UINT32_C(64) << 20) /* metadata grows with the devices: KiB, not MiB */

struct frame {
	uint32_t kind, n;
};

/* 1 where the descriptor is ready, 0 to ask again, -1 with the failure once time is over. */
static int ready(int fd, short events, const struct probe_plan *plan, struct probe_report *rep)
{
	struct pollfd p = { .fd = fd, .events = events };
	int ms = probe_left_ms(plan, 1000);

	if (!ms)
		return probe_fail(rep, PROBE_CAUSE_DEADLINE,
				  "the other agent did not answer in time");
	return poll(&p, 1, ms) > 0;
}

static int send_all(int fd, const struct probe_plan *plan, const void *bytes, size_t n,
		    struct probe_report *rep)
{
	const char *p = bytes;

	while (n) {
		ssize_t r = send(fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0 && errno == EAGAIN) {
			if (ready(fd, POLLOUT, plan, rep) < 0)
				return -1;
			continue;
		}
		if (r < 0)
			return probe_fail(rep, PROBE_CAUSE_PEER, "send to the other agent: %s",
					  strerror(errno));
		p += r;
		n -= (size_t)r;
	}
	return 0;
}

int link_send(int fd, const struct probe_plan *plan, enum link_kind kind, const void *a, size_t na,
	      const void *b, size_t nb, struct probe_report *rep)
{
	struct frame f = { .kind = kind };

	if (na > LINK_MAX || nb > LINK_MAX - na)
		return probe_fail(rep, PROBE_CAUSE_NIXL, "NIXL's metadata is %zu bytes long", nb);
	f.n = (uint32_t)(na + nb);
	if (send_all(fd, plan, &f, sizeof(f), rep) < 0 || send_all(fd, plan, a, na, rep) < 0)
		return -1;
	return send_all(fd, plan, b, nb, rep);
}

int link_poll(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, ms) > 0;
}

static int recv_all(int fd, const struct probe_plan *plan, void *bytes, size_t n,
		    struct probe_report *rep)
{
	char *p = bytes;

	while (n) {
		int is = ready(fd, POLLIN, plan, rep);
		ssize_t r;

		if (is < 0)
			return -1;
		r = is ? recv(fd, p, n, MSG_DONTWAIT) : -1;
		if (!is || (r < 0 && (errno == EINTR || errno == EAGAIN)))
			continue;
		if (r <= 0)
			return probe_fail(rep, PROBE_CAUSE_PEER, "the other agent ended");
		p += r;
		n -= (size_t)r;
	}
	return 0;
}

int link_recv_any(int fd, const struct probe_plan *plan, unsigned *ret_kind, void **ret_data,
		  size_t *ret_n, struct probe_report *rep)
{
	struct frame f;
	void *data;

	if (recv_all(fd, plan, &f, sizeof(f), rep) < 0)
		return -1;
	if (f.n > LINK_MAX)
		return probe_fail(rep, PROBE_CAUSE_PEER, "frame %u of %u bytes", f.kind, f.n);
	data = malloc(f.n + 1u);
	if (!data)
		return probe_fail(rep, PROBE_CAUSE_ENVIRONMENT, "out of memory");
	if (recv_all(fd, plan, data, f.n, rep) < 0) {
		free(data);
		return -1;
	}
	*ret_kind = f.kind;
	*ret_data = data;
	*ret_n = f.n;
	return 0;
}

int link_recv(int fd, const struct probe_plan *plan, enum link_kind kind, void **ret_data,
	      size_t *ret_n, struct probe_report *rep)
{
	unsigned got = 0;
	void *data = NULL;
	size_t n = 0;

	if (link_recv_any(fd, plan, &got, &data, &n, rep) < 0)
		return -1;
	if (got != kind) {
		free(data);
		return probe_fail(rep, PROBE_CAUSE_PEER, "frame %u of %zu bytes instead of %u", got,
				  n, kind);
	}
	if (ret_data) {
		*ret_data = data;
		*ret_n = n;
	} else {
		free(data);
	}
	return 0;
}
