/* Strings, paths, versions, the growing buffer and environments. */
#include "base/base.h"

bool kv_starts(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool kv_ends(const char *s, const char *suffix)
{
	size_t n = strlen(s), m = strlen(suffix);

	return n >= m && kv_streq(s + n - m, suffix);
}

const char *kv_basename(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

char *kv_dirname(struct kv_arena *a, const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return kv_strdup(a, ".");
	return slash == path ? kv_strdup(a, "/") : kv_strndup(a, path, (size_t)(slash - path));
}

char *kv_cat(struct kv_arena *a, const char *s, const char *t)
{
	size_t n = strlen(s), m = strlen(t) + 1;
	char *p = kv_alloc_raw(a, n + m);

	memcpy(p, s, n);
	memcpy(p + n, t, m);
	return p;
}

char *kv_join(struct kv_arena *a, const char *dir, const char *name)
{
	size_t n = strlen(dir), m = strlen(name), slash = n && dir[n - 1] == '/' ? 0 : 1;
	char *path = kv_alloc_raw(a, n + slash + m + 1);

	memcpy(path, dir, n);
	path[n] = '/';
	memcpy(path + n + slash, name, m + 1);
	return path;
}

static unsigned long number_at(const char **s)
{
	unsigned long v = 0;

	for (; **s >= '0' && **s <= '9'; (*s)++)
		v = v * 10 + (unsigned long)(**s - '0');
	return v;
}

int kv_version_cmp(const char *a, const char *b)
{
	while (*a || *b) {
		unsigned long x = number_at(&a), y = number_at(&b);

		if (x != y)
			return x < y ? -1 : 1;
		if (*a != '.' || *b != '.')
			return (*a == '.') - (*b == '.');
		a++;
		b++;
	}
	return 0;
}

/*
 * Characters that steer a display in place of showing something: C1 controls, what reorders text or
 * hides in it, separators of lines, what is no character.
 */
static const struct {
	uint32_t first, last;
} steering[] = {
	{ 0x80, 0x9f },     { 0xad, 0xad },     { 0x61c, 0x61c },   { 0x180e, 0x180e },
	{ 0x200b, 0x200f }, { 0x2028, 0x202e }, { 0x2060, 0x206f }, { 0xd800, 0xdfff },
	{ 0xfeff, 0xfeff }, { 0xfff9, 0xfffb }, { 0xfffe, 0xffff }, { 0xe0000, 0xe0fff },
	{ 0x110000, ~0U },
};

/* Length of the valid UTF-8 sequence at s (printable ones only), 0 where there is none. */
static size_t utf8_len(const uint8_t *s)
{
	/* Below these a shorter sequence would do. */
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t n = s[0] < 0xc0 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf8 ? 4 : 0;
	uint32_t c;

	if (s[0] < 0x80)
		return s[0] >= 0x20 && s[0] != 0x7f;
	c = s[0] & (0x7fU >> n);
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3fU);
	}
	for (size_t i = 0; i < KV_ARRAY_SIZE(steering); i++)
		if (c >= steering[i].first && c <= steering[i].last)
			return 0;
	return n && c >= least[n] ? n : 0;
}

/* How many bytes at the start are printable ASCII, counted in words: nearly all of a path. */
static size_t plain_words(const uint8_t *s, size_t n)
{
	const uint64_t ones = 0x0101010101010101, highs = ones * 0x80;
	uint64_t w;
	size_t i = 0;

	for (; n - i >= 8; i += 8) {
		memcpy(&w, s + i, 8);
		/* No byte above 0x7e, none below 0x20. */
		if (((w | (w + ones)) & highs) || (~(w + ones * 0x60) & highs))
			break;
	}
	return i;
}

static const char *printable(struct kv_arena *a, const char *s, const char *kept)
{
	const uint8_t *p = (const uint8_t *)s;
	size_t n_plain;
	char *out, *o;

	p += plain_words(p, strlen(s));
	while (*p >= 0x20 && *p < 0x7f)
		p++;
	if (!*p)
		return s;
	n_plain = (size_t)((const char *)p - s);
	out = kv_alloc_raw(a, n_plain + strlen((const char *)p) * 4 + 1);
	memcpy(out, s, n_plain);
	for (o = out + n_plain; *p;) {
		size_t n = utf8_len(p);

		if (!n && !strchr(kept, *p)) {
			o += sprintf(o, "\\x%02x", *p++);
			continue;
		}
		for (n = n ? n : 1; n; n--)
			*o++ = (char)*p++;
	}
	*o = '\0';
	return out;
}

const char *kv_printable(struct kv_arena *a, const char *s)
{
	return printable(a, s, "");
}

const char *kv_printable_text(struct kv_arena *a, const char *s)
{
	return printable(a, s, "\n\t");
}

void kv_buf_clear(struct kv_buf *b)
{
	free(b->text);
	*b = (struct kv_buf){ 0 };
}

static void buf_reserve(struct kv_buf *b, size_t more)
{
	size_t want = b->n + more + 1;

	if (want <= b->cap)
		return;
	if (want < b->cap * 2)
		want = b->cap * 2;
	b->text = realloc(b->text, want);
	if (!b->text)
		abort();
	b->cap = want;
}

void kv_buf_add(struct kv_buf *b, const void *bytes, size_t n)
{
	buf_reserve(b, n);
	if (n) /* what is empty may be NULL */
		memcpy(b->text + b->n, bytes, n);
	b->n += n;
	b->text[b->n] = '\0';
}

void kv_buf_str(struct kv_buf *b, const char *s)
{
	kv_buf_add(b, s, strlen(s));
}

void kv_buf_u64(struct kv_buf *b, uint64_t n)
{
	char text[24], *p = text + sizeof(text);

	do
		*--p = (char)('0' + n % 10);
	while (n /= 10);
	kv_buf_add(b, p, (size_t)(text + sizeof(text) - p));
}

void kv_buf_fmt(struct kv_buf *b, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	buf_reserve(b, (size_t)n);
	va_start(ap, fmt);
	vsnprintf(b->text + b->n, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->n += (size_t)n;
}

const char *kv_env_get(const struct kv_env *env, const char *name)
{
	size_t n = strlen(name);

	for (size_t i = env->pairs.n; i-- > 0;)
		if (strncmp(env->pairs.v[i], name, n) == 0 && env->pairs.v[i][n] == '=')
			return env->pairs.v[i] + n + 1;
	return NULL;
}

void kv_env_put(struct kv_arena *a, struct kv_env *env, const char *pair)
{
	kv_vec_push(a, &env->pairs, kv_strdup(a, pair));
}
