/* The connections of a sweep's lead: who comes has to know the token before anything that it says
 * is read, and says at most a line at a time. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "prove/sweep_lead.h"

#define GUEST_MS    10000
#define MORE_GUESTS 1024
#define EVENTS      256
#define SAID        300
#define END_MS      5000

int kv_sweep_gate(uint16_t port, int *ret_fd, uint16_t *ret_port, struct kv_err *err)
{
	struct sockaddr_in6 at = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct sockaddr_in at4 = { .sin_family = AF_INET, .sin_port = htons(port) };
	_close_ int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	socklen_t n = sizeof(at);
	int off = 0, one = 1, r;

	if (fd >= 0) {
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		r = bind(fd, (struct sockaddr *)&at, sizeof(at));
	} else {
		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (fd < 0)
			return kv_err(err, -errno, "socket: %s", strerror(errno));
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		r = bind(fd, (struct sockaddr *)&at4, sizeof(at4));
	}
	if (r < 0 || listen(fd, 4096) < 0 || getsockname(fd, (struct sockaddr *)&at, &n) < 0)
		return kv_err(err, -errno, "port %u: %s", port, strerror(errno));
	/* Both families have the port at the same place. */
	*ret_port = ntohs(at.sin6_port);
	*ret_fd = kv_steal_fd(&fd);
	return 0;
}

static struct kv_link *link_add(struct kv_run *run, enum kv_link_kind kind, int fd, uint32_t node)
{
	struct kv_link *l = calloc(1, sizeof(*l));
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = l };

	if (!l || epoll_ctl(run->epoll, EPOLL_CTL_ADD, fd, &ev) < 0) {
		close(fd);
		free(l);
		return NULL;
	}
	*l = (struct kv_link){ .kind = kind,
			       .line.fd = fd,
			       .node = node,
			       .since = kv_sweep_now(),
			       .next = run->links };
	run->n_guests += kind == KV_LINK_GUEST;
	run->links = l;
	return l;
}

/* Its descriptor is closed now; it itself is freed when no event can name it. */
static void link_drop(struct kv_run *run, struct kv_link *l)
{
	if (l->dead)
		return;
	run->n_guests -= l->kind == KV_LINK_GUEST;
	run->launchers -= l->kind == KV_LINK_LAUNCHER;
	kv_line_close(&l->line);
	l->dead = true;
}

static void sweep_dead(struct kv_run *run)
{
	for (struct kv_link **at = &run->links; *at;) {
		struct kv_link *l = *at;

		if (!l->dead) {
			at = &l->next;
			continue;
		}
		*at = l->next;
		/* It was not waited for before, so that the number is its own. */
		if (l->pid > 0) {
			kill(l->pid, SIGTERM);
			(void)waitpid(l->pid, NULL, WNOHANG);
		}
		free(l->said);
		free(l);
	}
}

void kv_run_lose(struct kv_run *run, uint32_t node, const char *why)
{
	struct kv_run_node *d = &run->nodes[node];

	if (d->link)
		link_drop(run, d->link);
	d->link = NULL;
	if (!run->ending && !run->sweep->nodes[node].lost) {
		kv_sweep_add_lost(run->sweep, node, why);
		if (run->lead->state)
			kv_sweep_state_lost(run->lead->state, run->sweep, node);
	}
	kv_run_lost(run, node);
}

bool kv_run_send(struct kv_run *run, uint32_t node, const char *fmt, ...)
{
	struct kv_run_node *d = &run->nodes[node];
	char text[256];
	va_list ap;
	int r;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (!d->link)
		return false;
	r = kv_line_send(&d->link->line, "%s\n", text);
	if (r < 0)
		kv_run_lose(run, node,
			    r == -EAGAIN ? "it does not read what it is told"
					 : "its connection ended");
	return r == 0;
}

/* ---- who comes ---- */

static void set_address(const struct kv_link *l, const char *told, char ret[64])
{
	struct sockaddr_in6 at;
	struct sockaddr_in at4;
	socklen_t n = sizeof(at);

	if (!kv_streq(told, "-")) {
		snprintf(ret, 64, "%s", told);
		return;
	}
	if (getpeername(l->line.fd, (struct sockaddr *)&at, &n) < 0)
		return;
	if (at.sin6_family == AF_INET) {
		memcpy(&at4, &at, sizeof(at4));
		inet_ntop(AF_INET, &at4.sin_addr, ret, 64);
	} else if (IN6_IS_ADDR_V4MAPPED(&at.sin6_addr)) {
		inet_ntop(AF_INET, &at.sin6_addr.s6_addr[12], ret, 64);
	} else {
		inet_ntop(AF_INET6, &at.sin6_addr, ret, 64);
	}
}

static void join(struct kv_run *run, struct kv_link *l, char *line)
{
	char name[256], address[64], nonce[KV_SWEEP_TOKEN_HEX + 1], said[KV_SHA256_HEX],
		proof[KV_SHA256_HEX];
	uint32_t node = l->node;

	if (sscanf(line, "hello %255s %63[-0-9a-fA-F.:] %64[0-9a-f] %64[0-9a-f]", name, address,
		   nonce, said) != 4)
		goto stranger;
	kv_sweep_proof(run->lead->token, "worker", l->nonce, nonce, proof);
	if (!l->trusted && !kv_sweep_same(proof, said))
		goto stranger;
	node = l->trusted ? node : kv_sweep_node_of(run->sweep, name);
	if (node >= run->sweep->n || run->nodes[node].link ||
	    run->nodes[node].doing != KV_DOING_AWAITED)
		goto stranger;
	kv_sweep_proof(run->lead->token, "lead", nonce, l->nonce, proof);
	run->n_guests -= l->kind == KV_LINK_GUEST;
	l->kind = KV_LINK_WORKER;
	l->node = node;
	run->nodes[node].link = l;
	run->nodes[node].doing = KV_DOING_CHECK;
	set_address(l, address, run->nodes[node].address);
	kv_run_send(run, node, "welcome %s", l->trusted ? run->lead->token : proof);
	return;
stranger:
	if (!l->trusted)
		link_drop(run, l);
}

static void keep_said(struct kv_link *l, const char *line)
{
	if (!*line)
		return;
	free(l->said);
	l->said = strndup(line, SAID);
}

static void heard(struct kv_run *run, struct kv_link *l, char *line)
{
	if (l->kind == KV_LINK_WORKER && !kv_run_said(run, l->node, line))
		keep_said(l, line);
	else if (l->kind == KV_LINK_WORKER)
		return;
	else if (l->kind == KV_LINK_GUEST && kv_starts(line, "hello "))
		join(run, l, line);
	else if (l->kind == KV_LINK_GUEST && !l->trusted)
		link_drop(run, l);
	else
		keep_said(l, line);
	if (l->kind == KV_LINK_LAUNCHER && run->lead->verbose)
		fprintf(stderr, "%s\n", line);
}

static const char *printable(struct kv_run *run, const char *s)
{
	return s ? kv_printable(run->sweep->arena, s) : NULL;
}

static void ended(struct kv_run *run, struct kv_link *l)
{
	const char *said = printable(run, l->said);

	if (l->kind == KV_LINK_LAUNCHER && said)
		run->launcher_said = kv_sweep_intern(run->sweep, said);
	if (l->kind == KV_LINK_WORKER)
		kv_run_lose(run, l->node,
			    said ? kv_strf(run->sweep->arena, "its connection ended: %s", said)
				 : "its connection ended");
	else if (l->trusted)
		kv_run_lose(run, l->node, said ? said : "the remote shell ended");
	link_drop(run, l);
}

static void read_link(struct kv_run *run, struct kv_link *l)
{
	int r = kv_line_fill(&l->line);
	char *line;

	while (!l->dead && (line = kv_line_next(&l->line)))
		heard(run, l, line);
	if (!l->dead &&
	    (r <= 0 || (l->kind == KV_LINK_GUEST && !l->trusted && l->line.in.n > 1024)))
		ended(run, l);
}

static void greet(struct kv_run *run, struct kv_link *l)
{
	if (kv_sweep_random(l->nonce) < 0 ||
	    kv_line_send(&l->line, "kvpath-sweep/1 %s\n", l->nonce) < 0)
		ended(run, l);
}

static void open_gate(struct kv_run *run, const struct kv_link *gate)
{
	int idle = 5, every = 3, count = 4, one = 1, fd;

	while ((fd = accept4(gate->line.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
		struct kv_link *l;

		if (run->n_guests > run->sweep->n + MORE_GUESTS) {
			close(fd);
			continue;
		}
		/* A node that loses its power says nothing. */
		setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
		setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
		setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof(every));
		setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		l = link_add(run, KV_LINK_GUEST, fd, KV_NO_NODE);
		if (l)
			greet(run, l);
	}
}

/* ---- the loop ---- */

int kv_run_open(struct kv_run *run, struct kv_err *err)
{
	const struct kv_sweep_lead *lead = run->lead;
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) == 0 && lim.rlim_cur < lim.rlim_max) {
		lim.rlim_cur = lim.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &lim);
	}
	run->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (run->epoll < 0)
		return kv_err(err, -errno, "epoll: %s", strerror(errno));
	if (lead->gate >= 0 && !link_add(run, KV_LINK_GATE, lead->gate, KV_NO_NODE))
		return kv_err(err, -EMFILE, "too many open files for this sweep (ulimit -n)");
	for (size_t i = 0; i < lead->starts.n; i++) {
		const struct kv_sweep_start *s = &lead->starts.v[i];
		struct kv_link *l =
			link_add(run, s->worker ? KV_LINK_GUEST : KV_LINK_LAUNCHER, s->fd, s->node);

		if (!l)
			return kv_err(err, -EMFILE,
				      "too many open files for this sweep (ulimit -n)");
		l->pid = s->pid;
		l->trusted = s->worker;
		run->launchers += !s->worker;
		if (s->worker)
			greet(run, l);
	}
	return 0;
}

static void turn_away(struct kv_run *run)
{
	int64_t now = kv_sweep_now();

	for (struct kv_link *l = run->links; l; l = l->next)
		if (l->kind == KV_LINK_GUEST && !l->trusted && now - l->since > GUEST_MS)
			link_drop(run, l);
}

int kv_run_turn(struct kv_run *run, int ms, struct kv_err *err)
{
	struct epoll_event events[EVENTS];
	int n = epoll_wait(run->epoll, events, EVENTS, ms);

	if (n < 0 && errno != EINTR)
		return kv_err(err, -errno, "epoll: %s", strerror(errno));
	for (int i = 0; i < n; i++) {
		struct kv_link *l = events[i].data.ptr;

		if (l->dead)
			continue;
		if (l->kind == KV_LINK_GATE)
			open_gate(run, l);
		else
			read_link(run, l);
	}
	if (run->n_guests)
		turn_away(run);
	sweep_dead(run);
	return 0;
}

void kv_run_close(struct kv_run *run)
{
	int64_t end = kv_sweep_now() + END_MS;
	bool left = true;

	run->ending = true;
	for (uint32_t i = 0; i < run->sweep->n; i++)
		if (run->nodes[i].link)
			(void)kv_line_send(&run->nodes[i].link->line, "quit\n");
	/* Launchers end with their workers; what does not is ended. */
	while (left && kv_sweep_now() < end) {
		left = false;
		if (kv_run_turn(run, 100, NULL) < 0)
			break;
		for (struct kv_link *l = run->links; l; l = l->next)
			left |= l->kind != KV_LINK_GATE &&
				(l->pid > 0 || l->kind == KV_LINK_WORKER);
	}
	for (struct kv_link *l = run->links; l; l = l->next)
		link_drop(run, l);
	sweep_dead(run);
	kv_closep(&run->epoll);
}
