/*
 * TCP sockets with what they carried, from the kernel's sock_diag: one dump for each network
 * namespace. tcpi_bytes_acked and tcpi_bytes_received (Linux 4.1) count payload,
 * each byte once however often it was sent
 * (and one for a SYN or FIN).
 */
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>

#include "watch/watch.h"

#define MAX_SOCKETS 1000000
#define MAX_PARTS   1000000 /* messages of one dump */

/* Those with a connection, before and after the other side closed it. */
#define STATES                                                                                     \
	((1U << 1 /* ESTABLISHED */) | (1U << 4 /* FIN_WAIT1 */) | (1U << 5 /* FIN_WAIT2 */) |     \
	 (1U << 8 /* CLOSE_WAIT */) | (1U << 9 /* LAST_ACK */) | (1U << 11 /* CLOSING */))

static bool is_loopback(const struct inet_diag_msg *m)
{
	const uint8_t *b = (const uint8_t *)m->id.idiag_dst;
	static const uint8_t one6[16] = { [15] = 1 }, mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (m->idiag_family == AF_INET)
		return b[0] == 127;
	return memcmp(b, one6, 16) == 0 || (memcmp(b, mapped, 12) == 0 && b[12] == 127);
}

static void take_info(struct rtattr *attr, struct kv_watch_socket *s)
{
	struct tcp_info info = { 0 };
	size_t n = RTA_PAYLOAD(attr);

	memcpy(&info, RTA_DATA(attr), n < sizeof(info) ? n : sizeof(info));
	s->sent = info.tcpi_bytes_acked;
	s->received = info.tcpi_bytes_received;
}

static void take_socket(struct kv_arena *a, struct kv_watch_net *net, struct nlmsghdr *h)
{
	const struct inet_diag_msg *m = NLMSG_DATA(h);
	struct kv_watch_socket *s;
	unsigned left;

	if (h->nlmsg_len < NLMSG_LENGTH(sizeof(*m)) || net->sockets.n >= MAX_SOCKETS)
		return;
	s = kv_vec_add(a, &net->sockets);
	s->cookie = (uint64_t)m->id.idiag_cookie[1] << 32 | m->id.idiag_cookie[0];
	s->inode = m->idiag_inode;
	s->loopback = is_loopback(m);
	left = (unsigned)(h->nlmsg_len - NLMSG_LENGTH(sizeof(*m)));
	for (struct rtattr *attr = (struct rtattr *)((uintptr_t)m + NLMSG_ALIGN(sizeof(*m)));
	     RTA_OK(attr, left); attr = RTA_NEXT(attr, left))
		if (attr->rta_type == INET_DIAG_INFO)
			take_info(attr, s);
}

/* The older form of the question, which is asked once for both families: to walk the kernel's table
 * is what costs. */
static int ask(int fd)
{
	struct {
		struct nlmsghdr h;
		struct inet_diag_req r;
	} req = {
		.h = { .nlmsg_len = sizeof(req),
		       .nlmsg_type = TCPDIAG_GETSOCK,
		       .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.r = { .idiag_family = AF_INET,
		       .idiag_ext = 1 << (INET_DIAG_INFO - 1),
		       .idiag_states = STATES },
	};

	return send(fd, &req, sizeof(req), 0) < 0 ? -errno : 0;
}

/* 1 where the dump goes on, 0 at its end, -errno. */
static int take_part(struct kv_arena *a, struct kv_watch_net *net, struct nlmsghdr *h, size_t n)
{
	for (; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
		const struct nlmsgerr *e = NLMSG_DATA(h);

		if (h->nlmsg_type == NLMSG_DONE)
			return 0;
		if (h->nlmsg_type == NLMSG_ERROR)
			return h->nlmsg_len >= NLMSG_LENGTH(sizeof(*e)) && e->error ? e->error
										    : -EIO;
		if (h->nlmsg_flags & NLM_F_DUMP_INTR)
			continue; /* what changed meanwhile is in the next dump */
		if (h->nlmsg_type == TCPDIAG_GETSOCK)
			take_socket(a, net, h);
	}
	return 1;
}

static int dump(struct kv_arena *a, int fd, struct kv_watch_net *net)
{
	static _Alignas(struct nlmsghdr) char part[64 << 10];
	int r = ask(fd);

	for (unsigned i = 0; r == 0 && i < MAX_PARTS; i++) {
		ssize_t n = recv(fd, part, sizeof(part), MSG_TRUNC);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0 || (size_t)n > sizeof(part))
			return -EIO;
		r = take_part(a, net, (struct nlmsghdr *)(void *)part, (size_t)n);
		if (r <= 0)
			return r;
		r = 0;
	}
	return r < 0 ? r : -EIO;
}

static int by_inode(const void *a, const void *b)
{
	const struct kv_watch_socket *x = a, *y = b;

	return x->inode < y->inode ? -1 : x->inode > y->inode;
}

/* Of the namespace that this process is in at present. */
static int read_net(struct kv_arena *a, struct kv_watch_net *net)
{
	_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	struct timeval patience = { .tv_sec = 2 };
	int r;

	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	r = dump(a, fd, net);
	if (net->sockets.n)
		qsort(net->sockets.v, net->sockets.n, sizeof(*net->sockets.v), by_inode);
	return r;
}

/* A namespace of another one's: entered for the time of the dump. */
static int read_other(struct kv_arena *a, pid_t pid, struct kv_watch_net *net)
{
	_close_ int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	_close_ int there = open(kv_strf(a, "/proc/%d/ns/net", (int)pid), O_RDONLY | O_CLOEXEC);
	struct stat st;
	int r;

	if (home < 0 || there < 0)
		return -errno;
	/* The process can have gone, and another one have its number. */
	if (fstat(there, &st) < 0 || st.st_ino != net->ns)
		return -ESRCH;
	if (setns(there, CLONE_NEWNET) < 0)
		return -errno;
	r = read_net(a, net);
	if (setns(home, CLONE_NEWNET) < 0)
		abort(); /* what is read from here on would be another namespace's */
	return r;
}

const struct kv_watch_net *kv_watch_net_of(const struct kv_watch_sample *s, uint64_t ns)
{
	const struct kv_watch_net *n;

	kv_vec_each (n, &s->nets)
		if (n->ns == ns)
			return n;
	return NULL;
}

void kv_watch_nets(struct kv_watch_sample *s)
{
	const struct kv_watch_process *p;
	struct stat st = { 0 };

	(void)stat("/proc/self/ns/net", &st);
	kv_vec_each (p, &s->processes) {
		struct kv_watch_net *net;

		if (!kv_watch_serves(p) || !p->ns || kv_watch_net_of(s, p->ns))
			continue;
		net = kv_vec_add(s->arena, &s->nets);
		net->ns = p->ns;
		net->error = p->ns == st.st_ino ? read_net(s->arena, net)
						: read_other(s->arena, p->pid, net);
	}
}
