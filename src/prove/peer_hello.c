/* What the two sides say before they know each other; and the shape of a frame. Pure: the bytes
 * were sent by anybody. */
#include "prove/peer.h"

static const uint8_t magic[8] = "kvbench\n";

enum {
	AT_VERSION = 8,
	AT_KIND = 10,
	AT_CRED_N = 12,
	AT_NONCE_HELLO = 16,
	AT_NONCE = 12,
	AT_MAC = AT_NONCE + KV_PEER_NONCE
};

_Static_assert(AT_NONCE_HELLO + KV_PEER_NONCE == KV_PEER_HELLO_HEAD, "hello");
_Static_assert(AT_MAC + KV_HMAC == KV_PEER_ANSWER, "answer");

static void put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

void kv_peer_key_make(const void *token, size_t n, struct kv_peer_key *ret)
{
	static const char label[] = "kvpath bench token";

	kv_hmac_sha256(token, n, label, sizeof(label), ret->bytes);
}

void kv_peer_mac(const struct kv_peer_key *key, const char *label, enum kv_peer_kind kind,
		 const uint8_t theirs[KV_PEER_NONCE], const uint8_t mine[KV_PEER_NONCE],
		 uint8_t ret[KV_HMAC])
{
	uint8_t text[16 + 4 + 2 * KV_PEER_NONCE] = { 0 };

	memcpy(text, label, strnlen(label, 16));
	put16(text + 16, KV_PEER_VERSION);
	put16(text + 18, (uint16_t)kind);
	memcpy(text + 20, theirs, KV_PEER_NONCE);
	memcpy(text + 20 + KV_PEER_NONCE, mine, KV_PEER_NONCE);
	kv_hmac_sha256(key->bytes, sizeof(key->bytes), text, sizeof(text), ret);
}

/* In a time that does not tell where they differ. */
bool kv_peer_mac_same(const uint8_t a[KV_HMAC], const uint8_t b[KV_HMAC])
{
	uint8_t differ = 0;

	for (size_t i = 0; i < KV_HMAC; i++)
		differ |= a[i] ^ b[i];
	return !differ;
}

void kv_peer_hello_write(const struct kv_peer_hello *h, uint8_t ret[KV_PEER_HELLO_HEAD])
{
	memset(ret, 0, KV_PEER_HELLO_HEAD);
	memcpy(ret, magic, sizeof(magic));
	put16(ret + AT_VERSION, h->version);
	put16(ret + AT_CRED_N, (uint16_t)h->cred_n);
	memcpy(ret + AT_NONCE_HELLO, h->nonce, KV_PEER_NONCE);
}

void kv_peer_answer_write(const struct kv_peer_answer *h, uint8_t ret[KV_PEER_ANSWER])
{
	memcpy(ret, magic, sizeof(magic));
	put16(ret + AT_VERSION, h->version);
	put16(ret + AT_KIND, h->kind);
	memcpy(ret + AT_NONCE, h->nonce, KV_PEER_NONCE);
	memcpy(ret + AT_MAC, h->mac, KV_HMAC);
}

/* The same for both, and for all versions to come: who is there, and which version it speaks. */
static int begins(struct kv_span s, uint16_t *ret_version)
{
	size_t n = s.n < sizeof(magic) ? s.n : sizeof(magic);

	if (n && memcmp(s.p, magic, n) != 0)
		return -EPROTO;
	return kv_span_u16(s, AT_VERSION, false, ret_version) ? 0 : -EAGAIN;
}

static bool copy(struct kv_span s, uint64_t off, void *to, size_t n)
{
	struct kv_span part;

	if (!kv_span_sub(s, off, n, &part))
		return false;
	memcpy(to, part.p, n);
	return true;
}

int kv_peer_hello_read(struct kv_span s, struct kv_peer_hello *ret)
{
	struct kv_peer_hello h = { 0 };
	int r = begins(s, &h.version);

	if (r < 0)
		return r;
	if (h.version == KV_PEER_VERSION) {
		if (!kv_span_u32(s, AT_CRED_N, false, &h.cred_n))
			return -EAGAIN;
		if (h.cred_n > KV_PEER_CRED_MAX)
			return -EPROTO;
		if (!copy(s, AT_NONCE_HELLO, h.nonce, sizeof(h.nonce)))
			return -EAGAIN;
	}
	*ret = h;
	return 0;
}

int kv_peer_answer_read(struct kv_span s, struct kv_peer_answer *ret)
{
	struct kv_peer_answer h = { 0 };
	int r = begins(s, &h.version);

	if (r < 0)
		return r;
	if (h.version == KV_PEER_VERSION && (!kv_span_u16(s, AT_KIND, false, &h.kind) ||
					     !copy(s, AT_NONCE, h.nonce, sizeof(h.nonce)) ||
					     !copy(s, AT_MAC, h.mac, sizeof(h.mac))))
		return -EAGAIN;
	*ret = h;
	return 0;
}

int kv_peer_frame_read(struct kv_span s, uint32_t *ret_n)
{
	uint32_t n;

	if (!kv_span_u32(s, 0, false, &n))
		return -EAGAIN;
	if (n < 2 || n > KV_PEER_FRAME_MAX)
		return -EMSGSIZE;
	*ret_n = n;
	return 0;
}

json_t *kv_peer_json_read(struct kv_span s)
{
	json_t *o = json_loadb((const char *)s.p, s.n, JSON_REJECT_DUPLICATES, NULL);

	if (json_is_object(o) && json_is_string(json_object_get(o, "kind")))
		return o;
	json_decref(o);
	return NULL;
}
