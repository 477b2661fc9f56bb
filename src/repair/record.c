/* Lines of the journal and the values in them: see record.h. */
#include <inttypes.h>

#include "repair/record.h"

#define CRC_CHARS  9 /* with the space */
#define MAX_NSEC   999999999
#define MAX_RECORD ((uint64_t)64 << 20)

static const char *const snap_types[_KV_SNAP_COUNT] = {
	[KV_SNAP_ABSENT] = "absent", [KV_SNAP_FILE] = "file",   [KV_SNAP_SYMLINK] = "symlink",
	[KV_SNAP_DIR] = "dir",       [KV_SNAP_OTHER] = "other",
};

int kv_record_add(struct kv_buf *b, json_t *o)
{
	_free_ char *text = NULL;

	if (!o)
		return -ENOMEM;
	text = json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS);
	json_decref(o);
	if (!text)
		return -ENOMEM;
	kv_buf_fmt(b, "%08" PRIx32 " %s\n", kv_crc32c(0, text, strlen(text)), text);
	return 0;
}

json_t *kv_record_parse(const char *text, size_t n)
{
	char crc[CRC_CHARS + 1];

	if (n && text[n - 1] == '\n')
		n--;
	if (n <= CRC_CHARS)
		return NULL;
	snprintf(crc, sizeof(crc), "%08" PRIx32 " ", kv_crc32c(0, text + CRC_CHARS, n - CRC_CHARS));
	if (memcmp(crc, text, CRC_CHARS) != 0)
		return NULL;
	return json_loadb(text + CRC_CHARS, n - CRC_CHARS, JSON_REJECT_DUPLICATES, NULL);
}

static int read_whole(int fd, const char *path, struct kv_buf *ret, struct kv_err *err)
{
	struct stat st;
	char chunk[16384];
	size_t n;

	if (fstat(fd, &st) < 0)
		return kv_tree_err(err, -errno, "stat", path);
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > MAX_RECORD)
		return kv_err(err, -EBADMSG, "%s: not a journal of kvpath", path);
	do {
		int r = kv_read_all(fd, chunk, sizeof(chunk), ret->n, &n);

		if (r < 0)
			return kv_tree_err(err, r, "read", path);
		kv_buf_add(ret, chunk, n);
	} while (n == sizeof(chunk) && ret->n <= MAX_RECORD);
	return 0;
}

int kv_record_parse_all(struct kv_span text, const char *path, json_t **ret, uint64_t *ret_size,
			struct kv_err *err)
{
	_json_ json_t *all = json_array();
	const char *p = (const char *)text.p;
	uint64_t good = 0;
	bool torn = false;

	for (size_t at = 0, n; at < text.n; at += n) {
		const char *end = memchr(p + at, '\n', text.n - at);
		json_t *o;

		/* A line without its newline was still being written. */
		n = end ? (size_t)(end - p) + 1 - at : text.n - at;
		o = end ? kv_record_parse(p + at, n) : NULL;
		if (o && torn) {
			json_decref(o);
			return kv_err(err, -EBADMSG,
				      "%s: damaged before byte %zu; nothing was changed", path, at);
		}
		if (!o) {
			torn = true;
			continue;
		}
		if (json_array_append_new(all, o) < 0)
			return kv_err(err, -ENOMEM, "%s: out of memory", path);
		good = at + n;
	}
	*ret = json_incref(all);
	*ret_size = good;
	return 0;
}

int kv_record_read(int fd, const char *path, json_t **ret, uint64_t *ret_size, struct kv_err *err)
{
	_buf_ struct kv_buf text = { 0 };
	int r = read_whole(fd, path, &text, err);

	return r < 0 ? r
		     : kv_record_parse_all((struct kv_span){ (uint8_t *)text.text, text.n }, path,
					   ret, ret_size, err);
}

int kv_record_append(int fd, uint64_t *size, json_t *o, const char *path, struct kv_err *err)
{
	_buf_ struct kv_buf line = { 0 };
	struct stat st;
	int r = kv_record_add(&line, o);

	/* Behind a torn tail the record would be taken for a part of it. */
	if (r == 0 && fstat(fd, &st) < 0)
		r = -errno;
	if (r == 0 && (uint64_t)st.st_size != *size)
		r = kv_tree_truncate(fd, *size);
	if (r == 0 && lseek(fd, (off_t)*size, SEEK_SET) < 0)
		r = -errno;
	if (r < 0)
		return kv_tree_err(err, r, "write", path);
	r = kv_tree_write(fd, line.text, line.n);
	if (r == 0)
		r = kv_tree_sync(fd);
	if (r < 0) {
		if (kv_tree_truncate(fd, *size) == 0)
			kv_tree_sync(fd);
		return kv_tree_err(err, r, "write", path);
	}
	*size += line.n;
	return 0;
}

bool kv_record_is(const json_t *o, const char *kind)
{
	const char *s = json_string_value(json_object_get(o, "rec"));

	return s && kv_streq(s, kind);
}

/* ---- values ---- */

/* jansson takes UTF-8 only, and file names are bytes: all but plain ASCII goes as %NN. */
json_t *kv_record_bytes(const char *s)
{
	_buf_ struct kv_buf b = { 0 };

	kv_buf_str(&b, "");
	for (; *s; s++) {
		uint8_t c = (uint8_t)*s;

		if (c == '%' || c < 0x20 || c >= 0x7f)
			kv_buf_fmt(&b, "%%%02x", c);
		else
			kv_buf_add(&b, s, 1);
	}
	return json_string(b.text);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

const char *kv_record_get_bytes(struct kv_arena *a, const json_t *o, const char *key)
{
	return kv_record_text(a, json_string_value(json_object_get(o, key)));
}

const char *kv_record_text(struct kv_arena *a, const char *s)
{
	char *out, *p;

	if (!s)
		return NULL;
	out = p = kv_alloc_raw(a, strlen(s) + 1);
	for (; *s; s++) {
		int hi, lo;

		if (*s != '%') {
			*p++ = *s;
			continue;
		}
		hi = hex_digit(s[1]);
		lo = hi < 0 ? -1 : hex_digit(s[2]);
		if (lo < 0 || (hi == 0 && lo == 0))
			return NULL;
		*p++ = (char)(hi << 4 | lo);
		s += 2;
	}
	*p = '\0';
	return out;
}

json_t *kv_record_time(struct timespec t)
{
	return json_pack("[I,I]", (json_int_t)t.tv_sec, (json_int_t)t.tv_nsec);
}

bool kv_record_get_time(const json_t *o, const char *key, struct timespec *ret)
{
	const json_t *t = json_object_get(o, key), *sec = json_array_get(t, 0);
	const json_t *nsec = json_array_get(t, 1);
	json_int_t ns = json_integer_value(nsec);

	if (!json_is_integer(sec) || !json_is_integer(nsec) || ns < 0 || ns > MAX_NSEC)
		return false;
	ret->tv_sec = (time_t)json_integer_value(sec);
	ret->tv_nsec = (long)ns;
	return true;
}

bool kv_record_get_uint(const json_t *o, const char *key, uint64_t max, uint64_t *ret)
{
	const json_t *v = json_object_get(o, key);
	json_int_t n = json_integer_value(v);

	if (!json_is_integer(v) || n < 0 || (uint64_t)n > max)
		return false;
	*ret = (uint64_t)n;
	return true;
}

json_t *kv_record_snap(const struct kv_snap *s)
{
	json_t *o = json_pack("{s:s}", "type", snap_types[s->type]);

	if (!o || s->type == KV_SNAP_ABSENT)
		return o;
	json_object_set_new(o, "mode", json_integer(s->mode));
	json_object_set_new(o, "uid", json_integer(s->uid));
	json_object_set_new(o, "gid", json_integer(s->gid));
	json_object_set_new(o, "size", json_integer((json_int_t)s->size));
	json_object_set_new(o, "atime", kv_record_time(s->times[0]));
	json_object_set_new(o, "mtime", kv_record_time(s->times[1]));
	if (s->type == KV_SNAP_FILE)
		json_object_set_new(o, "sha256", json_string(s->sha256));
	if (s->type == KV_SNAP_SYMLINK)
		json_object_set_new(o, "link", kv_record_bytes(s->link));
	return o;
}

bool kv_record_get_snap(struct kv_arena *a, const json_t *parent, const char *key,
			struct kv_snap *ret)
{
	const json_t *o = json_object_get(parent, key);
	const char *type = json_string_value(json_object_get(o, "type"));
	const char *sha = json_string_value(json_object_get(o, "sha256"));
	struct kv_snap s = { .type = _KV_SNAP_COUNT };
	uint64_t mode, uid, gid;

	for (unsigned i = 0; type && i < _KV_SNAP_COUNT; i++)
		if (kv_streq(type, snap_types[i]))
			s.type = (enum kv_snap_type)i;
	if (s.type == _KV_SNAP_COUNT)
		return false;
	if (s.type == KV_SNAP_ABSENT) {
		*ret = s;
		return true;
	}
	if (!kv_record_get_uint(o, "mode", 07777, &mode) ||
	    !kv_record_get_uint(o, "uid", UINT32_MAX, &uid) ||
	    !kv_record_get_uint(o, "gid", UINT32_MAX, &gid) ||
	    !kv_record_get_uint(o, "size", INT64_MAX, &s.size) ||
	    !kv_record_get_time(o, "atime", &s.times[0]) ||
	    !kv_record_get_time(o, "mtime", &s.times[1]))
		return false;
	s.mode = (uint32_t)mode;
	s.uid = (uint32_t)uid;
	s.gid = (uint32_t)gid;
	if (s.type == KV_SNAP_FILE && (!sha || strlen(sha) != KV_SHA256_HEX - 1))
		return false;
	if (s.type == KV_SNAP_FILE)
		memcpy(s.sha256, sha, KV_SHA256_HEX);
	if (s.type == KV_SNAP_SYMLINK)
		s.link = kv_record_get_bytes(a, o, "link");
	if (s.type == KV_SNAP_SYMLINK && !s.link)
		return false;
	*ret = s;
	return true;
}
