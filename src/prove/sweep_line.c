/* Lines between the lead of a sweep and its workers, and how both know each other. */
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>

#include "prove/sweep_run.h"

int kv_line_fill(struct kv_line *l)
{
	char buf[16384];
	ssize_t n;

	if (l->used) {
		memmove(l->in.text, l->in.text + l->used, l->in.n - l->used);
		l->in.n -= l->used;
		l->used = 0;
	}
	do
		n = read(l->fd, buf, sizeof(buf));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? 1 : -errno;
	if (n == 0)
		return 0;
	kv_buf_add(&l->in, buf, (size_t)n);
	return l->in.n > KV_LINE_MAX && !memchr(l->in.text, '\n', l->in.n) ? -EMSGSIZE : 1;
}

char *kv_line_next(struct kv_line *l)
{
	char *line = l->in.text ? l->in.text + l->used : NULL;
	char *end = line ? memchr(line, '\n', l->in.n - l->used) : NULL;

	if (!end)
		return NULL;
	l->used += (size_t)(end - line) + 1;
	*end = '\0';
	/* A remote shell with a terminal. */
	if (end > line && end[-1] == '\r')
		end[-1] = '\0';
	/* What others send may have NULs: the line ends there. */
	return line;
}

int kv_line_send(const struct kv_line *l, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;
	int n, r = 0;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		return -ENOMEM;
	errno = EAGAIN;
	if (send(l->fd, text, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL) != n)
		r = errno == ENOTSOCK ? kv_write_all(l->fd, text, (size_t)n) : -errno;
	free(text);
	return r;
}

void kv_line_close(struct kv_line *l)
{
	kv_closep(&l->fd);
	l->fd = -EBADF;
	kv_buf_clear(&l->in);
	l->used = 0;
}

int kv_sweep_random(char ret[KV_SWEEP_TOKEN_HEX + 1])
{
	uint8_t bytes[KV_SWEEP_TOKEN_HEX / 2];

	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		return -EIO;
	for (size_t i = 0; i < sizeof(bytes); i++)
		snprintf(ret + 2 * i, 3, "%02x", bytes[i]);
	return 0;
}

void kv_sweep_proof(const char *token, const char *label, const char *theirs, const char *mine,
		    char ret[KV_SHA256_HEX])
{
	_buf_ struct kv_buf text = { 0 };
	uint8_t mac[KV_HMAC];

	/* Nonces and labels have no newline. */
	kv_buf_fmt(&text, "kvpath-sweep/1\n%s\n%s\n%s", label, theirs, mine);
	kv_hmac_sha256(token, strlen(token), text.text, text.n, mac);
	for (size_t i = 0; i < sizeof(mac); i++)
		snprintf(ret + 2 * i, 3, "%02x", mac[i]);
}

bool kv_sweep_same(const char *a, const char *b)
{
	size_t n = strlen(a);
	unsigned char differ = 0;

	if (strlen(b) != n)
		return false;
	for (size_t i = 0; i < n; i++)
		differ |= (unsigned char)(a[i] ^ b[i]);
	return !differ;
}

int64_t kv_sweep_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}
