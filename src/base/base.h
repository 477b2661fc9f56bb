/*
 * What every room may use: errors, memory, bytes, strings.
 *
 * Memory: almost everything that kvpath computes lives as long as the command, so it is taken from
 * an arena that is freed at once. Arena allocation does not fail: on exhaustion the process ends
 * with status 3 and a message, as a partial answer must never be taken for a whole one.
 */
#ifndef KV_BASE_H
#define KV_BASE_H

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KV_PRINTF(fmt_arg, first_arg) __attribute__((format(printf, fmt_arg, first_arg)))
#define KV_ARRAY_SIZE(a)              (sizeof(a) / sizeof((a)[0]))

/*
 * A sanitizer's runtime maps terabytes of shadow, wants each allocation by itself, and reports to
 * stderr through system calls of its own.
 */
#if defined(__SANITIZE_ADDRESS__)
#define KV_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer)
#define KV_SANITIZED 1
#endif
#endif
#ifndef KV_SANITIZED
#define KV_SANITIZED 0
#endif

/* ---- errors ---- */

/* One per call chain, filled where the error happened. code is a negative errno. */
struct kv_err {
	int code;
	char msg[2048];
};

/* Fills err (which may be NULL) and returns code, so that callers can `return kv_err(...)`. */
int kv_err(struct kv_err *err, int code, const char *fmt, ...) KV_PRINTF(3, 4);

/* ---- scope-bound ownership ---- */

static inline void kv_freep(void *p)
{
	free(*(void **)p);
}

static inline void kv_closep(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

#define _free_  __attribute__((cleanup(kv_freep)))
#define _close_ __attribute__((cleanup(kv_closep)))

static inline int kv_steal_fd(int *fd)
{
	int taken = *fd;

	*fd = -EBADF;
	return taken;
}

/* ---- arena ---- */

struct kv_arena;

struct kv_arena *kv_arena_new(void);
/* One for some KiB: it takes no huge page, of which getting one takes as long as getting a hundred
 * small ones. */
struct kv_arena *kv_arena_new_small(void);
void kv_arena_free(struct kv_arena *a);
/* Zeroed memory, aligned for any type. Never NULL. */
void *kv_alloc(struct kv_arena *a, size_t size);
/* Like kv_alloc for n elements; an overflow of n * size ends the process as exhaustion does. */
void *kv_alloc_n(struct kv_arena *a, size_t n, size_t size);
/* Memory for bytes that the caller writes at once; not zeroed. */
void *kv_alloc_raw(struct kv_arena *a, size_t size);
char *kv_strdup(struct kv_arena *a, const char *s);
char *kv_strndup(struct kv_arena *a, const char *s, size_t n);
char *kv_strf(struct kv_arena *a, const char *fmt, ...) KV_PRINTF(2, 3);
char *kv_vstrf(struct kv_arena *a, const char *fmt, va_list ap) KV_PRINTF(2, 0);

/* A point in the arena, and going back to it: what was taken since is given up. For loops over
 * large lists. */
struct kv_arena_mark {
	void *block;
	size_t used;
};
struct kv_arena_mark kv_arena_mark(const struct kv_arena *a);
void kv_arena_rewind(struct kv_arena *a, struct kv_arena_mark mark);

#define kv_new(a, type) ((type *)kv_alloc((a), sizeof(type)))

/* ---- growing arrays: struct { T *v; size_t n, cap; } ---- */

#define KV_VEC(type)                                                                               \
	struct {                                                                                   \
		type *v;                                                                           \
		size_t n, cap;                                                                     \
	}

void *kv_vec_grow(struct kv_arena *a, void *v, size_t n, size_t *cap, size_t elem);

/* Yields a pointer to a new zeroed last element. */
#define kv_vec_add(a, vec)                                                                         \
	((vec)->v = (vec)->n < (vec)->cap ? (vec)->v                                               \
					  : kv_vec_grow((a), (vec)->v, (vec)->n, &(vec)->cap,      \
							sizeof(*(vec)->v)),                        \
	 memset(&(vec)->v[(vec)->n], 0, sizeof(*(vec)->v)), &(vec)->v[(vec)->n++])
#define kv_vec_push(a, vec, value) (*kv_vec_add((a), (vec)) = (value))
/* Takes the first k away, which it has. */
#define kv_vec_drop(vec, k)  ((vec)->v += (k), (vec)->n -= (k), (vec)->cap -= (k))
#define kv_vec_each(it, vec) for ((it) = (vec)->v; (it) && (it) < (vec)->v + (vec)->n; (it)++)

typedef KV_VEC(char *) kv_strv;

bool kv_strv_has(const kv_strv *sv, const char *s);

/* ---- bytes that others wrote ---- */

/* A bounded view. Parsers touch hostile bytes through the readers below only. */
struct kv_span {
	const uint8_t *p;
	size_t n;
};

bool kv_span_sub(struct kv_span s, uint64_t off, uint64_t n, struct kv_span *ret);

/* Every check has the form `n - off < need`, so that no sum can wrap. */
static inline bool kv_span_u8(struct kv_span s, uint64_t off, uint8_t *ret)
{
	if (off >= s.n)
		return false;
	*ret = s.p[off];
	return true;
}

static inline bool kv_span_u16(struct kv_span s, uint64_t off, bool be, uint16_t *ret)
{
	uint16_t v;

	if (off > s.n || s.n - off < sizeof(v))
		return false;
	memcpy(&v, s.p + off, sizeof(v));
	*ret = be ? __builtin_bswap16(v) : v;
	return true;
}

static inline bool kv_span_u32(struct kv_span s, uint64_t off, bool be, uint32_t *ret)
{
	uint32_t v;

	if (off > s.n || s.n - off < sizeof(v))
		return false;
	memcpy(&v, s.p + off, sizeof(v));
	*ret = be ? __builtin_bswap32(v) : v;
	return true;
}

static inline bool kv_span_u64(struct kv_span s, uint64_t off, bool be, uint64_t *ret)
{
	uint64_t v;

	if (off > s.n || s.n - off < sizeof(v))
		return false;
	memcpy(&v, s.p + off, sizeof(v));
	*ret = be ? __builtin_bswap64(v) : v;
	return true;
}

/* The NUL-terminated string at off; NULL where it does not end inside the span. */
const char *kv_span_str(struct kv_span s, uint64_t off);
/* Offset of needle at or after from; s.n where there is none. */
size_t kv_span_find(struct kv_span s, size_t from, const void *needle, size_t n);

/* ---- map from strings to pointers ---- */

struct kv_map;

struct kv_map *kv_map_new(struct kv_arena *a);
/* The slot of key, made (NULL) where it is new. The key is copied when made. */
void **kv_map_slot(struct kv_map *m, const char *key);
/* NULL where the key was never put. */
void *kv_map_get(const struct kv_map *m, const char *key);

/* ---- strings ---- */

static inline bool kv_streq(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

bool kv_starts(const char *s, const char *prefix);
bool kv_ends(const char *s, const char *suffix);
/* Part after the last '/'; the whole string where there is none. */
const char *kv_basename(const char *path);
/* Part before the last '/', "/" for an entry of the root, "." where there is no slash. */
char *kv_dirname(struct kv_arena *a, const char *path);
char *kv_join(struct kv_arena *a, const char *dir, const char *name);
/* One behind the other. */
char *kv_cat(struct kv_arena *a, const char *s, const char *t);
/* Compares dotted versions number by number: "1.10" > "1.9". Returns <0, 0, >0. */
int kv_version_cmp(const char *a, const char *b);
/*
 * s with control bytes, characters that reorder or hide text, and invalid UTF-8 shown as \xNN, so
 * that a target can neither drive a terminal nor forge a line of a report; s itself where nothing
 * has to be changed.
 */
const char *kv_printable(struct kv_arena *a, const char *s);
/* The same for text of many lines: newlines and tabs stay. */
const char *kv_printable_text(struct kv_arena *a, const char *s);

/* Whether a pattern of glob(3) (* ? [] \\) matches one component of a path; takes at most the
 * square of the lengths. */
bool kv_pattern_match(const char *p, const char *s);
/* What a component without * ? [ stands for: its backslashes taken away. */
char *kv_pattern_text(struct kv_arena *a, const char *s);

/* A string that grows; text is NUL-terminated at all times, NULL while empty and untouched. */
struct kv_buf {
	char *text;
	size_t n, cap;
};

void kv_buf_clear(struct kv_buf *b);
void kv_buf_add(struct kv_buf *b, const void *bytes, size_t n);
void kv_buf_str(struct kv_buf *b, const char *s);
void kv_buf_u64(struct kv_buf *b, uint64_t n);
void kv_buf_fmt(struct kv_buf *b, const char *fmt, ...) KV_PRINTF(2, 3);

#define _buf_ __attribute__((cleanup(kv_buf_clear)))

/* ---- an environment: K=V pairs, later ones win ---- */

struct kv_env {
	kv_strv pairs;
};

/* NULL where unset. */
const char *kv_env_get(const struct kv_env *env, const char *name);
void kv_env_put(struct kv_arena *a, struct kv_env *env, const char *pair);

/* ---- fds and hashes ---- */

int kv_read_all(int fd, void *buf, size_t n, uint64_t off, size_t *ret_n);
int kv_write_all(int fd, const void *buf, size_t n);
/*
 * All of a file (or of a pipe) of at most max bytes, with a NUL behind it. 0 or -errno; err then
 * names the path and says why.
 */
int kv_read_file(struct kv_arena *a, const char *path, size_t max, struct kv_span *ret,
		 struct kv_err *err);
/* Closes every fd from first on. */
void kv_close_from(int first);
/* Has every fd from first on closed by the next exec. 0 or -errno. */
int kv_cloexec_from(int first);
int kv_pwrite_all(int fd, const void *buf, size_t n, uint64_t off);

#define KV_SHA256_HEX 65

/* Reads at most n bytes at off, fewer only at the end. 0 or -errno. */
typedef int kv_read_at(void *arg, uint64_t off, void *buf, size_t n, size_t *ret_n);
int kv_sha256_of(kv_read_at *read_at, void *arg, char ret[KV_SHA256_HEX]);
/* Hash of what fd holds from its start, as lower-case hex with a NUL. 0 or -errno. */
int kv_sha256_fd(int fd, char ret[KV_SHA256_HEX]);
void kv_sha256_mem(const void *p, size_t n, char ret[KV_SHA256_HEX]);
#define KV_HMAC 32
/* RFC 2104 with SHA-256. */
void kv_hmac_sha256(const void *key, size_t key_n, const void *p, size_t n, uint8_t ret[KV_HMAC]);
uint32_t kv_crc32c(uint32_t crc, const void *p, size_t n);

#endif
