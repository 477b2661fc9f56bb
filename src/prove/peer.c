/* Connections to the other host: made, proved, and used, each step with the moment of its end. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/random.h>
#include <time.h>

#include "prove/peer.h"

#define PROOF_MS 10000 /* for the handshake of one connection */

int64_t kv_peer_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int kv_peer_left(int64_t end)
{
	int64_t left = end - kv_peer_now();

	return left <= 0 ? 0 : left > 1000000 ? 1000000 : (int)left;
}

bool kv_peer_place_parse(const char *addr, uint16_t port, struct kv_peer_place *ret)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(port) };
	size_t n = strcspn(addr, "%");
	char plain[INET6_ADDRSTRLEN];

	*ret = (struct kv_peer_place){ 0 };
	if (inet_pton(AF_INET, addr, &four.sin_addr) == 1) {
		memcpy(&ret->addr, &four, sizeof(four));
		ret->n = sizeof(four);
		return true;
	}
	if (n >= sizeof(plain))
		return false;
	memcpy(plain, addr, n);
	plain[n] = '\0';
	if (inet_pton(AF_INET6, plain, &six.sin6_addr) != 1)
		return false;
	if (addr[n]) {
		six.sin6_scope_id = if_nametoindex(addr + n + 1);
		if (!six.sin6_scope_id)
			six.sin6_scope_id = (uint32_t)strtoul(addr + n + 1, NULL, 10);
		if (!six.sin6_scope_id)
			return false;
	}
	memcpy(&ret->addr, &six, sizeof(six));
	ret->n = sizeof(six);
	return true;
}

void kv_peer_place_text(const struct kv_peer_place *p, char *ret, size_t n)
{
	char addr[INET6_ADDRSTRLEN] = "?", scope[16] = "";
	struct sockaddr_in6 six;
	struct sockaddr_in four;

	if (p->addr.ss_family == AF_INET) {
		memcpy(&four, &p->addr, sizeof(four));
		inet_ntop(AF_INET, &four.sin_addr, addr, sizeof(addr));
		snprintf(ret, n, "%s:%u", addr, ntohs(four.sin_port));
		return;
	}
	memcpy(&six, &p->addr, sizeof(six));
	inet_ntop(AF_INET6, &six.sin6_addr, addr, sizeof(addr));
	if (six.sin6_scope_id)
		snprintf(scope, sizeof(scope), "%%%u", six.sin6_scope_id);
	/* A listener of both families sees IPv4 in IPv6's clothes. */
	if (IN6_IS_ADDR_V4MAPPED(&six.sin6_addr))
		snprintf(ret, n, "%s:%u", addr + strlen("::ffff:"), ntohs(six.sin6_port));
	else
		snprintf(ret, n, "[%s%s]:%u", addr, scope, ntohs(six.sin6_port));
}

void kv_peer_close(struct kv_peer_conn *c)
{
	if (c->fd > 0)
		close(c->fd);
	c->fd = -EBADF;
}

static int wait_for(int fd, short events, int64_t end, const char *what, struct kv_err *err)
{
	struct pollfd p = { .fd = fd, .events = events };
	int left = kv_peer_left(end), r;

	if (!left)
		return kv_err(err, -ETIMEDOUT, "%s: nothing came of it in time", what);
	r = poll(&p, 1, left);
	if (r < 0 && errno != EINTR)
		return kv_err(err, -errno, "poll: %s", strerror(errno));
	return 0;
}

/* All n bytes, one way or the other. */
static int move_all(int fd, bool out, void *bytes, size_t n, int64_t end, const char *what,
		    struct kv_err *err)
{
	char *p = bytes;

	while (n) {
		ssize_t r = out ? send(fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT)
				: recv(fd, p, n, MSG_DONTWAIT);

		if (r < 0 && (errno == EAGAIN || errno == EINTR)) {
			int w = wait_for(fd, out ? POLLOUT : POLLIN, end, what, err);

			if (w < 0)
				return w;
			continue;
		}
		if (r <= 0)
			return kv_err(err, -EPIPE, "%s: the other side ended%s%s", what,
				      r < 0 ? ": " : "", r < 0 ? strerror(errno) : "");
		p += r;
		n -= (size_t)r;
	}
	return 0;
}

static int dial(const struct kv_peer_place *to, int64_t end, const char *where, int *ret,
		struct kv_err *err)
{
	_close_ int fd = socket(to->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int one = 1, e = 0, r = 0;
	socklen_t size = sizeof(e);

	if (fd < 0)
		return kv_err(err, -errno, "socket: %s", strerror(errno));
	if (connect(fd, (const struct sockaddr *)&to->addr, to->n) < 0) {
		if (errno != EINPROGRESS)
			return kv_err(err, -errno, "connect to %s: %s", where, strerror(errno));
		r = wait_for(fd, POLLOUT, end, where, err);
	}
	if (r == 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &size) == 0 && e)
		r = kv_err(err, -e, "connect to %s: %s", where, strerror(e));
	if (r < 0)
		return r;
	/* A poll that was interrupted, or ended with the time. */
	if (getpeername(fd, (struct sockaddr *)&(struct sockaddr_storage){ 0 },
			&(socklen_t){ sizeof(struct sockaddr_storage) }) < 0)
		return kv_err(err, -ETIMEDOUT, "connect to %s: no answer in time", where);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	*ret = kv_steal_fd(&fd);
	return 0;
}

/* The listener's hello and its credential, "" where it has none. */
static int hear_hello(int fd, int64_t end, const char *where, struct kv_peer_hello *ret,
		      char cred[KV_PEER_CRED_MAX + 1], struct kv_err *err)
{
	uint8_t head[KV_PEER_HELLO_HEAD];
	size_t n = 0;
	int r;

	/* By the byte up to where the version stands: of another one no more may come. */
	do {
		r = move_all(fd, false, head + n, n < 10 ? 1 : sizeof(head) - n, end, where, err);
		if (r < 0)
			return r == -EPIPE
				       ? kv_err(err, -EPROTO,
						"%s: closed at once: is a kvpath bench --listen "
						"there, and serving nobody else?",
						where)
				       : r;
		n = n < 10 ? n + 1 : sizeof(head);
		r = kv_peer_hello_read((struct kv_span){ head, n }, ret);
	} while (r == -EAGAIN && n < sizeof(head));
	if (r < 0)
		return kv_err(err, -EPROTO, "%s: what listens there is no kvpath bench", where);
	if (ret->version != KV_PEER_VERSION)
		return 0;
	r = move_all(fd, false, cred, ret->cred_n, end, where, err);
	cred[r < 0 ? 0 : ret->cred_n] = '\0';
	return r;
}

static int other_version(int fd, const char *where, unsigned theirs, struct kv_err *err)
{
	const struct kv_peer_answer mine = { .version = KV_PEER_VERSION };
	uint8_t bytes[KV_PEER_ANSWER];

	/* So that the other side can say it too. */
	kv_peer_answer_write(&mine, bytes);
	(void)send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL | MSG_DONTWAIT);
	return kv_err(err, -EPROTO,
		      "%s: the kvpath there speaks version %u of bench's protocol, this one (%s) "
		      "version %u: use the same kvpath on both hosts",
		      where, theirs, KVPATH_VERSION, KV_PEER_VERSION);
}

static int prove(int fd, const char *where, const struct kv_peer_key *key, enum kv_peer_kind kind,
		 const struct kv_peer_hello *hello, int64_t end, struct kv_peer_conn *ret,
		 struct kv_err *err)
{
	struct kv_peer_answer a = { .version = KV_PEER_VERSION, .kind = (uint16_t)kind };
	uint8_t bytes[KV_PEER_ANSWER], want[KV_HMAC], got[KV_HMAC];
	int r;

	if (getrandom(a.nonce, sizeof(a.nonce), 0) != sizeof(a.nonce))
		return kv_err(err, -errno, "getrandom: %s", strerror(errno));
	kv_peer_mac(key, "initiator", kind, hello->nonce, a.nonce, a.mac);
	kv_peer_answer_write(&a, bytes);
	r = move_all(fd, true, bytes, sizeof(bytes), end, where, err);
	if (r == 0)
		r = move_all(fd, false, got, sizeof(got), end, where, err);
	if (r == -EPIPE)
		return kv_err(err, -EACCES,
			      "%s: refused: the token there is another one, or it serves somebody "
			      "else",
			      where);
	if (r < 0)
		return r;
	kv_peer_mac(key, "target", kind, hello->nonce, a.nonce, want);
	if (!kv_peer_mac_same(want, got))
		return kv_err(err, -EACCES, "%s: what listens there does not know the token",
			      where);
	ret->session.keyed = true;
	kv_peer_mac(key, "session", kind, hello->nonce, a.nonce, ret->session.key.bytes);
	return 0;
}

int kv_peer_connect(const struct kv_peer_place *to, const struct kv_peer_auth *auth,
		    enum kv_peer_kind kind, int64_t end, struct kv_peer_conn *ret,
		    struct kv_err *err)
{
	char cred[KV_PEER_CRED_MAX + 1] = "", where[sizeof(ret->address)];
	struct kv_peer_conn out = { .fd = -EBADF };
	struct kv_peer_key key = auth->key;
	struct kv_peer_hello hello;
	_close_ int fd = -EBADF;
	int r;

	kv_peer_place_text(to, where, sizeof(where));
	r = dial(to, end, where, &fd, err);
	if (r < 0)
		return r;
	if (end > kv_peer_now() + PROOF_MS)
		end = kv_peer_now() + PROOF_MS;
	r = hear_hello(fd, end, where, &hello, cred, err);
	if (r < 0)
		return r;
	if (hello.version != KV_PEER_VERSION)
		return other_version(fd, where, hello.version, err);
	if (!auth->keyed)
		r = auth->open(auth->arg, cred, &key, err);
	if (r == 0)
		r = prove(fd, where, &key, kind, &hello, end, &out, err);
	if (r < 0)
		return r;
	memcpy(out.address, where, sizeof(where));
	out.fd = kv_steal_fd(&fd);
	*ret = out;
	return 0;
}

int kv_peer_send(struct kv_peer_conn *c, json_t *doc, int64_t end, struct kv_err *err)
{
	_free_ char *text = json_dumps(doc, JSON_COMPACT);
	size_t n = text ? strlen(text) : 0;
	uint8_t head[4];
	int r;

	json_decref(doc);
	if (!text || n > KV_PEER_FRAME_MAX)
		return kv_err(err, -EMSGSIZE, "a message of %zu bytes for the other host", n);
	for (size_t i = 0; i < sizeof(head); i++)
		head[i] = (uint8_t)(n >> 8 * i);
	r = move_all(c->fd, true, head, sizeof(head), end, c->address, err);
	return r < 0 ? r : move_all(c->fd, true, text, n, end, c->address, err);
}

int kv_peer_recv(struct kv_peer_conn *c, int64_t end, json_t **ret, struct kv_err *err)
{
	_free_ uint8_t *text = NULL;
	uint8_t head[4];
	uint32_t n = 0;
	json_t *doc;
	int r = move_all(c->fd, false, head, sizeof(head), end, c->address, err);

	if (r < 0)
		return r;
	if (kv_peer_frame_read((struct kv_span){ head, sizeof(head) }, &n) < 0)
		return kv_err(err, -EPROTO, "%s: a message without a length that can be",
			      c->address);
	text = malloc(n);
	if (!text)
		return kv_err(err, -ENOMEM, "out of memory");
	r = move_all(c->fd, false, text, n, end, c->address, err);
	if (r < 0)
		return r;
	doc = kv_peer_json_read((struct kv_span){ text, n });
	if (!doc)
		return kv_err(err, -EPROTO, "%s: a message that is none", c->address);
	*ret = doc;
	return 0;
}
