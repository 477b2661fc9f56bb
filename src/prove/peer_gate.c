/*
 * The listener. Everybody who connects is a stranger first and waits in a place of its own, for a
 * few seconds; where all places are taken, the one that has been there longest goes. So neither
 * silent strangers nor a flood of garbage keep the right peer out: it answers within a round trip.
 */
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/random.h>

#include "prove/peer.h"

#define PLACES      256
#define STRANGER_MS 5000
#define TAKEN_MAX   64 /* of the queue, before those who are in are heard */

struct stranger {
	int fd;
	int64_t since;
	struct kv_peer_place at;
	uint8_t nonce[KV_PEER_NONCE], said[KV_PEER_ANSWER];
	size_t n;
};

struct hall {
	struct kv_peer_gate *gate;
	const struct kv_peer_auth *auth;
	enum kv_peer_kind kind;
	struct stranger in[PLACES];
	struct pollfd polled[PLACES + 1];
};

static int open_at(const struct kv_peer_place *at, struct kv_peer_gate *ret)
{
	_close_ int fd = socket(at->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int one = 1, zero = 0;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (at->addr.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	if (bind(fd, (const struct sockaddr *)&at->addr, at->n) < 0 || listen(fd, 4096) < 0)
		return -errno;
	*ret = (struct kv_peer_gate){ .at = *at };
	if (getsockname(fd, (struct sockaddr *)&ret->at.addr, &ret->at.n) < 0)
		return -errno;
	ret->fd = kv_steal_fd(&fd);
	return 0;
}

int kv_peer_listen(const char *addr, uint16_t port, struct kv_peer_gate *ret, struct kv_err *err)
{
	struct kv_peer_place at;
	int r;

	if (!kv_peer_place_parse(addr ? addr : "::", port, &at))
		return kv_err(err, -EINVAL, "listen on %s: an address as numbers is expected",
			      addr);
	r = open_at(&at, ret);
	/* A kernel without IPv6. */
	if (r < 0 && !addr && r != -EADDRINUSE && kv_peer_place_parse("0.0.0.0", port, &at))
		r = open_at(&at, ret);
	if (r < 0)
		return kv_err(err, r, "listen on %s%sport %u: %s", addr ? addr : "",
			      addr ? ", " : "", port, strerror(-r));
	return 0;
}

void kv_peer_gate_close(struct kv_peer_gate *g)
{
	if (g->fd > 0)
		close(g->fd);
	g->fd = -EBADF;
}

static void turn_away(struct hall *h, struct stranger *s)
{
	h->gate->strangers++;
	close(s->fd);
	*s = (struct stranger){ .fd = -EBADF };
}

static struct stranger *place_for(struct hall *h)
{
	struct stranger *oldest = &h->in[0];

	for (size_t i = 0; i < PLACES; i++) {
		if (h->in[i].fd < 0)
			return &h->in[i];
		if (h->in[i].since < oldest->since)
			oldest = &h->in[i];
	}
	turn_away(h, oldest);
	return oldest;
}

/* Says hello at once: it fits into what a socket takes without waiting. */
static bool greet(const struct hall *h, struct stranger *s)
{
	uint8_t bytes[KV_PEER_HELLO_HEAD + KV_PEER_CRED_MAX];
	struct kv_peer_hello hello = { .version = KV_PEER_VERSION };
	const char *cred = h->auth->cred ? h->auth->cred : "";
	size_t n;

	hello.cred_n = (uint32_t)strnlen(cred, KV_PEER_CRED_MAX);
	if (getrandom(s->nonce, sizeof(s->nonce), 0) != sizeof(s->nonce))
		return false;
	memcpy(hello.nonce, s->nonce, sizeof(s->nonce));
	kv_peer_hello_write(&hello, bytes);
	memcpy(bytes + KV_PEER_HELLO_HEAD, cred, hello.cred_n);
	n = KV_PEER_HELLO_HEAD + hello.cred_n;
	return send(s->fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)n;
}

static void let_in(struct hall *h)
{
	for (int i = 0; i < TAKEN_MAX; i++) {
		struct kv_peer_place at = { .n = sizeof(at.addr) };
		int one = 1, fd = accept4(h->gate->fd, (struct sockaddr *)&at.addr, &at.n,
					  SOCK_CLOEXEC | SOCK_NONBLOCK);
		struct stranger *s;

		if (fd < 0)
			return;
		s = place_for(h);
		*s = (struct stranger){ .fd = fd, .since = kv_peer_now(), .at = at };
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (!greet(h, s))
			turn_away(h, s);
	}
}

static bool believed(const struct hall *h, const struct stranger *s, const struct kv_peer_answer *a)
{
	uint8_t want[KV_HMAC];

	kv_peer_mac(&h->auth->key, "initiator", h->kind, s->nonce, a->nonce, want);
	return a->kind == h->kind && kv_peer_mac_same(want, a->mac);
}

static bool welcome(const struct hall *h, struct stranger *s, const struct kv_peer_answer *a,
		    struct kv_peer_conn *ret)
{
	uint8_t proof[KV_HMAC];

	kv_peer_mac(&h->auth->key, "target", h->kind, s->nonce, a->nonce, proof);
	if (send(s->fd, proof, sizeof(proof), MSG_NOSIGNAL | MSG_DONTWAIT) != sizeof(proof))
		return false;
	*ret = (struct kv_peer_conn){ .fd = kv_steal_fd(&s->fd), .session.keyed = true };
	kv_peer_mac(&h->auth->key, "session", h->kind, s->nonce, a->nonce, ret->session.key.bytes);
	kv_peer_place_text(&s->at, ret->address, sizeof(ret->address));
	return true;
}

/* True once it has proved itself. One that did not is gone, or has still to say more. */
static bool hear(struct hall *h, struct stranger *s, struct kv_peer_conn *ret)
{
	struct kv_peer_answer a;
	ssize_t got = recv(s->fd, s->said + s->n, sizeof(s->said) - s->n, MSG_DONTWAIT);
	int r;

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	s->n += got > 0 ? (size_t)got : 0;
	r = kv_peer_answer_read((struct kv_span){ s->said, s->n }, &a);
	if (got > 0 && r == -EAGAIN)
		return false;
	if (r == 0 && a.version != KV_PEER_VERSION)
		h->gate->other_version = a.version;
	else if (r == 0 && believed(h, s, &a) && welcome(h, s, &a, ret))
		return true;
	turn_away(h, s);
	return false;
}

/* One look at everybody, at most until the end. */
static bool look(struct hall *h, int64_t end, struct kv_peer_conn *ret)
{
	int left = kv_peer_left(end);
	bool came = false;

	h->polled[PLACES] = (struct pollfd){ .fd = h->gate->fd, .events = POLLIN };
	for (size_t i = 0; i < PLACES; i++)
		h->polled[i] = (struct pollfd){ .fd = h->in[i].fd, .events = POLLIN };
	if (poll(h->polled, PLACES + 1, left < 250 ? left : 250) < 0)
		return false;
	for (size_t i = 0; i < PLACES && !came; i++) {
		if (h->polled[i].revents)
			came = hear(h, &h->in[i], ret);
		else if (h->in[i].fd >= 0 && kv_peer_now() - h->in[i].since > STRANGER_MS)
			turn_away(h, &h->in[i]);
	}
	if (!came && h->polled[PLACES].revents)
		let_in(h);
	return came;
}

int kv_peer_accept(struct kv_peer_gate *g, const struct kv_peer_auth *auth, enum kv_peer_kind kind,
		   int64_t end, struct kv_peer_conn *ret, struct kv_err *err)
{
	_free_ struct hall *h = calloc(1, sizeof(*h));
	bool came = false;

	if (!h)
		return kv_err(err, -ENOMEM, "out of memory");
	*h = (struct hall){ .gate = g, .auth = auth, .kind = kind };
	for (size_t i = 0; i < PLACES; i++)
		h->in[i].fd = -EBADF;
	while (!came && kv_peer_left(end))
		came = look(h, end, ret);
	for (size_t i = 0; i < PLACES; i++)
		if (h->in[i].fd >= 0)
			turn_away(h, &h->in[i]);
	if (came)
		return 0;
	if (g->other_version)
		return kv_err(
			err, -EPROTO,
			"a kvpath called that speaks version %u of bench's protocol, this one "
			"(%s) version %u: use the same kvpath on both hosts",
			g->other_version, KVPATH_VERSION, KV_PEER_VERSION);
	return kv_err(err, -ETIMEDOUT, "nobody who knows the token called in time%s",
		      g->strangers ? " (others did)" : "");
}
