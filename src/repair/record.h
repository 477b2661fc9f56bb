/*
 * The journal's lines: CRC32C of the JSON text in eight hex digits, a space, the JSON object, a
 * newline. Only a tail may be torn: it is what a crash leaves. A bad line with good ones after it
 * is damage.
 */
#ifndef KV_REPAIR_RECORD_H
#define KV_REPAIR_RECORD_H

#include "base/json.h"
#include "repair/snap.h"

/* Appends the line of o, which is released. -ENOMEM where o is NULL. */
int kv_record_add(struct kv_buf *b, json_t *o);
/*
 * The good records of fd, in order, as a JSON array. ret_size: bytes up to the end of the last of
 * them, where the next one is to be written. -EBADMSG for damage.
 */
int kv_record_read(int fd, const char *path, json_t **ret, uint64_t *ret_size, struct kv_err *err);
/* The same of text. */
int kv_record_parse_all(struct kv_span text, const char *path, json_t **ret, uint64_t *ret_size,
			struct kv_err *err);
/*
 * Writes o, which is released, as the record at *size, and sees it onto the disk. After an error
 * the file ends at *size as before.
 */
int kv_record_append(int fd, uint64_t *size, json_t *o, const char *path, struct kv_err *err);
/* The one record in text, or NULL. */
json_t *kv_record_parse(const char *text, size_t n);

/* Bytes that need not be UTF-8 (file names) as a JSON string, and back; NULL where it is none. */
json_t *kv_record_bytes(const char *s);
const char *kv_record_text(struct kv_arena *a, const char *s);
const char *kv_record_get_bytes(struct kv_arena *a, const json_t *o, const char *key);

json_t *kv_record_time(struct timespec t);
bool kv_record_get_time(const json_t *o, const char *key, struct timespec *ret);

json_t *kv_record_snap(const struct kv_snap *s);
bool kv_record_get_snap(struct kv_arena *a, const json_t *o, const char *key, struct kv_snap *ret);
/* False where key is no integer in 0..max. */
bool kv_record_get_uint(const json_t *o, const char *key, uint64_t max, uint64_t *ret);

/* True where o's "rec" is kind. */
bool kv_record_is(const json_t *o, const char *kind);

#endif
