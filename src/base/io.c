/*
 * Whole reads and writes, ranges of descriptors, and the two hashes that the journal needs
 * (FIPS 180-4, RFC 3720 B.4).
 */
#include <fcntl.h>
#include <linux/close_range.h>

#include "base/base.h"

int kv_read_all(int fd, void *buf, size_t n, uint64_t off, size_t *ret_n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t r = pread(fd, (char *)buf + done, n - done, (off_t)(off + done));

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			break;
		done += (size_t)r;
	}
	*ret_n = done;
	return 0;
}

int kv_read_file(struct kv_arena *a, const char *path, size_t max, struct kv_span *ret,
		 struct kv_err *err)
{
	_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	_buf_ struct kv_buf text = { 0 };
	char part[16 << 10];
	uint8_t *p;

	if (fd < 0)
		return kv_err(err, -errno, "%s: %s", path, strerror(errno));
	for (;;) {
		ssize_t n = read(fd, part, sizeof(part));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return kv_err(err, -errno, "%s: %s", path, strerror(errno));
		if (n == 0)
			break;
		if (max - text.n < (size_t)n)
			return kv_err(err, -EFBIG, "%s: more than %zu MiB", path, max >> 20);
		kv_buf_add(&text, part, (size_t)n);
	}
	p = kv_alloc_raw(a, text.n + 1);
	if (text.n)
		memcpy(p, text.text, text.n);
	p[text.n] = '\0';
	*ret = (struct kv_span){ p, text.n };
	return 0;
}

int kv_write_all(int fd, const void *buf, size_t n)
{
	const char *p = buf;

	while (n) {
		ssize_t r = write(fd, p, n);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		p += r;
		n -= (size_t)r;
	}
	return 0;
}

int kv_pwrite_all(int fd, const void *buf, size_t n, uint64_t off)
{
	const char *p = buf;

	while (n) {
		ssize_t r = pwrite(fd, p, n, (off_t)off);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		p += r;
		off += (uint64_t)r;
		n -= (size_t)r;
	}
	return 0;
}

/* Where there is no close_range(): no more than that many are ever open. */
static int most_fds(void)
{
	long max = sysconf(_SC_OPEN_MAX);

	return max > 0 && max < 65536 ? (int)max : 65536;
}

void kv_close_from(int first)
{
	if (close_range((unsigned)first, ~0U, 0) == 0)
		return;
	/* Before Linux 5.9. */
	for (int fd = first, end = most_fds(); fd < end; fd++)
		close(fd);
}

int kv_cloexec_from(int first)
{
	if (close_range((unsigned)first, ~0U, CLOSE_RANGE_CLOEXEC) == 0)
		return 0;
	/* Before Linux 5.11. */
	for (int fd = first, end = most_fds(); fd < end; fd++) {
		int flags = fcntl(fd, F_GETFD);

		if (flags >= 0 && fcntl(fd, F_SETFD, flags | FD_CLOEXEC) < 0)
			return -errno;
	}
	return 0;
}

struct sha256 {
	uint32_t h[8];
	uint64_t total;
	uint8_t block[64];
	size_t fill;
};

static const uint32_t sha256_k[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
	0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
	0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
	0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
	0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
	0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
	0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
	0xc67178f2,
};

static uint32_t ror(uint32_t x, unsigned n)
{
	return x >> n | x << (32 - n);
}

static void sha256_block(struct sha256 *s, const uint8_t *p)
{
	uint32_t w[64], v[8];

	for (unsigned i = 0; i < 16; i++)
		w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 |
		       (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
	for (unsigned i = 16; i < 64; i++) {
		uint32_t a = w[i - 15], b = w[i - 2];

		w[i] = w[i - 16] + (ror(a, 7) ^ ror(a, 18) ^ a >> 3) + w[i - 7] +
		       (ror(b, 17) ^ ror(b, 19) ^ b >> 10);
	}
	memcpy(v, s->h, sizeof(v));
	for (unsigned i = 0; i < 64; i++) {
		uint32_t t1 = v[7] + (ror(v[4], 6) ^ ror(v[4], 11) ^ ror(v[4], 25)) +
			      ((v[4] & v[5]) ^ (~v[4] & v[6])) + sha256_k[i] + w[i];
		uint32_t t2 = (ror(v[0], 2) ^ ror(v[0], 13) ^ ror(v[0], 22)) +
			      ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));

		memmove(v + 1, v, 7 * sizeof(v[0]));
		v[4] += t1;
		v[0] = t1 + t2;
	}
	for (unsigned i = 0; i < 8; i++)
		s->h[i] += v[i];
}

static void sha256_init(struct sha256 *s)
{
	static const uint32_t h0[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
					0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };

	memset(s, 0, sizeof(*s));
	memcpy(s->h, h0, sizeof(h0));
}

static void sha256_add(struct sha256 *s, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;

	s->total += n;
	while (n) {
		size_t take = sizeof(s->block) - s->fill;

		if (take > n)
			take = n;
		memcpy(s->block + s->fill, p, take);
		s->fill += take;
		p += take;
		n -= take;
		if (s->fill == sizeof(s->block)) {
			sha256_block(s, s->block);
			s->fill = 0;
		}
	}
}

static void sha256_end(struct sha256 *s)
{
	uint64_t bits = s->total * 8;
	uint8_t len[8];

	sha256_add(s, "\x80", 1);
	while (s->fill != 56)
		sha256_add(s, "", 1);
	for (unsigned i = 0; i < 8; i++)
		len[i] = (uint8_t)(bits >> (56 - 8 * i));
	sha256_add(s, len, sizeof(len));
}

static void sha256_hex(struct sha256 *s, char ret[KV_SHA256_HEX])
{
	sha256_end(s);
	for (unsigned i = 0; i < 8; i++)
		sprintf(ret + 8 * i, "%08x", s->h[i]);
}

void kv_sha256_mem(const void *p, size_t n, char ret[KV_SHA256_HEX])
{
	struct sha256 s;

	sha256_init(&s);
	sha256_add(&s, p, n);
	sha256_hex(&s, ret);
}

static void sha256_bytes(struct sha256 *s, uint8_t ret[KV_HMAC])
{
	sha256_end(s);
	for (unsigned i = 0; i < KV_HMAC; i++)
		ret[i] = (uint8_t)(s->h[i / 4] >> (24 - 8 * (i % 4)));
}

/* One of its two passes. */
static void hmac_pass(const uint8_t key[64], uint8_t pad, const void *p, size_t n,
		      uint8_t ret[KV_HMAC])
{
	uint8_t padded[64];
	struct sha256 s;

	for (unsigned i = 0; i < sizeof(padded); i++)
		padded[i] = key[i] ^ pad;
	sha256_init(&s);
	sha256_add(&s, padded, sizeof(padded));
	sha256_add(&s, p, n);
	sha256_bytes(&s, ret);
}

void kv_hmac_sha256(const void *key, size_t key_n, const void *p, size_t n, uint8_t ret[KV_HMAC])
{
	uint8_t block[64] = { 0 }, inner[KV_HMAC];
	struct sha256 s;

	if (key_n > sizeof(block)) {
		sha256_init(&s);
		sha256_add(&s, key, key_n);
		sha256_bytes(&s, block);
	} else {
		memcpy(block, key, key_n);
	}
	hmac_pass(block, 0x36, p, n, inner);
	hmac_pass(block, 0x5c, inner, sizeof(inner), ret);
}

int kv_sha256_of(kv_read_at *read_at, void *arg, char ret[KV_SHA256_HEX])
{
	struct sha256 s;
	uint8_t buf[65536];
	uint64_t off = 0;
	size_t n;

	sha256_init(&s);
	do {
		int r = read_at(arg, off, buf, sizeof(buf), &n);

		if (r < 0)
			return r;
		sha256_add(&s, buf, n);
		off += n;
	} while (n == sizeof(buf));
	sha256_hex(&s, ret);
	return 0;
}

static int read_fd(void *arg, uint64_t off, void *buf, size_t n, size_t *ret_n)
{
	return kv_read_all(*(int *)arg, buf, n, off, ret_n);
}

int kv_sha256_fd(int fd, char ret[KV_SHA256_HEX])
{
	return kv_sha256_of(read_fd, &fd, ret);
}

uint32_t kv_crc32c(uint32_t crc, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;

	crc = ~crc;
	while (n--) {
		crc ^= *p++;
		for (unsigned i = 0; i < 8; i++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
	}
	return ~crc;
}
