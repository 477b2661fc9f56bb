/*
 * The other host of a bench: how the two find each other, know each other, and talk.
 *
 * The target's side listens; whoever connects has to prove that it knows the token, and is then
 * proved the same. The token itself never crosses the wire: each answers the other's random nonce
 * with an HMAC-SHA256. What a stranger sends before that is a fixed number of bytes, compared as it
 * comes, for a few seconds at most; and strangers wait beside the right peer, not in front of it.
 *
 * The first connection of a session carries frames of JSON between two kvpaths (control). For each
 * engine there is one more, proved with a key of that session, which becomes the link of the two
 * probes: code of the target sees neither the token nor the control connection.
 */
#ifndef KV_PROVE_PEER_H
#define KV_PROVE_PEER_H

#include <jansson.h>
#include <netinet/in.h>

#include "base/base.h"

/* Of everything that crosses the wire: here, and between the probes (probe/link.h, bench.h). */
#define KV_PEER_VERSION   1
#define KV_PEER_NONCE     32
#define KV_PEER_CRED_MAX  4096
#define KV_PEER_FRAME_MAX ((uint32_t)256 << 10)
#define KV_PEER_TOKEN_MIN 16

enum kv_peer_kind { KV_PEER_CONTROL = 1, KV_PEER_LINK };

struct kv_peer_key {
	uint8_t bytes[KV_HMAC];
};

/* ---- the bytes of the handshake (peer_hello.c), pure ---- */

#define KV_PEER_HELLO_HEAD 48 /* of the listener, before its credential */
#define KV_PEER_ANSWER     76 /* of who connects */

struct kv_peer_hello {
	uint16_t version;
	uint32_t cred_n;
	uint8_t nonce[KV_PEER_NONCE];
};

struct kv_peer_answer {
	uint16_t version, kind;
	uint8_t nonce[KV_PEER_NONCE], mac[KV_HMAC];
};

void kv_peer_key_make(const void *token, size_t n, struct kv_peer_key *ret);
/* The proof of one side, and the key of the session that begins so. */
void kv_peer_mac(const struct kv_peer_key *key, const char *label, enum kv_peer_kind kind,
		 const uint8_t theirs[KV_PEER_NONCE], const uint8_t mine[KV_PEER_NONCE],
		 uint8_t ret[KV_HMAC]);
bool kv_peer_mac_same(const uint8_t a[KV_HMAC], const uint8_t b[KV_HMAC]);
void kv_peer_hello_write(const struct kv_peer_hello *h, uint8_t ret[KV_PEER_HELLO_HEAD]);
void kv_peer_answer_write(const struct kv_peer_answer *h, uint8_t ret[KV_PEER_ANSWER]);
/* What has come so far of either: -EPROTO as soon as it can be none, -EAGAIN while it is too short.
 * Of another version only that is read. */
int kv_peer_hello_read(struct kv_span s, struct kv_peer_hello *ret);
int kv_peer_answer_read(struct kv_span s, struct kv_peer_answer *ret);
/* The length of a frame: -EMSGSIZE where it is none. */
int kv_peer_frame_read(struct kv_span s, uint32_t *ret_n);
/* An object with a "kind"; to be dropped. NULL where the frame is something else. */
json_t *kv_peer_json_read(struct kv_span s);

/* ---- connections (peer.c) ---- */

struct kv_peer_auth {
	bool keyed;
	struct kv_peer_key key;
	const char *cred; /* the listener's, told to everybody: who can open it has the key */
	/* Of who connects, where keyed is false: the key that the listener's credential holds. */
	int (*open)(void *arg, const char *cred, struct kv_peer_key *ret, struct kv_err *err);
	void *arg;
};

struct kv_peer_conn {
	int fd;
	struct kv_peer_auth session; /* for the links of this control connection */
	char address[INET6_ADDRSTRLEN + 16];
};

struct kv_peer_place {
	struct sockaddr_storage addr;
	socklen_t n;
};

/* Milliseconds of CLOCK_MONOTONIC; every wait below is given the moment of its end. */
int64_t kv_peer_now(void);
int kv_peer_left(int64_t end);

/* An address as numbers, with a scope where it has one ("fe80::1%eth0"). False where it is none. */
bool kv_peer_place_parse(const char *addr, uint16_t port, struct kv_peer_place *ret);
/* "10.0.0.1:7000", "[fe80::1%2]:7000" */
void kv_peer_place_text(const struct kv_peer_place *p, char *ret, size_t n);

/*
 * 0; -EACCES where the token is not theirs, -EPROTO where no kvpath of this version is there, else
 * why no connection came about; err says it.
 */
int kv_peer_connect(const struct kv_peer_place *to, const struct kv_peer_auth *auth,
		    enum kv_peer_kind kind, int64_t end, struct kv_peer_conn *ret,
		    struct kv_err *err);
void kv_peer_close(struct kv_peer_conn *c);
#define _peer_ __attribute__((cleanup(kv_peer_close)))

typedef KV_VEC(struct kv_peer_place) kv_peer_places;
/* Every address of a host, by name or as numbers. */
int kv_peer_resolve(struct kv_arena *a, const char *probe, const char *name, uint16_t port,
		    kv_peer_places *ret, struct kv_err *err);

/* Takes the document over. */
int kv_peer_send(struct kv_peer_conn *c, json_t *doc, int64_t end, struct kv_err *err);
/* The next frame, an object with a "kind"; -EPIPE where the peer has ended. */
int kv_peer_recv(struct kv_peer_conn *c, int64_t end, json_t **ret, struct kv_err *err);

/* ---- the listener (peer_gate.c) ---- */

struct kv_peer_gate {
	int fd;
	struct kv_peer_place at;
	uint64_t strangers;     /* turned away so far */
	uint16_t other_version; /* that one of them spoke; 0: none */
};

/* addr NULL: all of this host's. Port 0: any that is free. */
int kv_peer_listen(const char *addr, uint16_t port, struct kv_peer_gate *ret, struct kv_err *err);
void kv_peer_gate_close(struct kv_peer_gate *g);
/* The first that knows the key; -ETIMEDOUT where none came. */
int kv_peer_accept(struct kv_peer_gate *g, const struct kv_peer_auth *auth, enum kv_peer_kind kind,
		   int64_t end, struct kv_peer_conn *ret, struct kv_err *err);

#endif
