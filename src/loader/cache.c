/*
 * /etc/ld.so.cache: which of its three formats it has (new, old, old followed by new), and its
 * bytes as ld.so sees them.
 */
#include "loader/cache.h"

#define MAX_CACHE  ((size_t)64 << 20)
#define MAX_STRING ((size_t)1 << 16)

#define CACHE_PATH "/etc/ld.so.cache"
#define MAGIC_OLD  "ld.so-1.7.0"
#define MAGIC_NEW  "glibc-ld.so.cache1.1"
#define OLD_HEADER 16 /* struct cache_file */
#define NEW_HEADER 48 /* struct cache_file_new */

#define LAST_RELEASE 99 /* where the release is not known */

/* The file is mapped by ld.so: behind its end the page goes on with zeros, then nothing follows. */
#define PAGE ((uint64_t)4096)

/* ---- reading as through ld.so's mapping ---- */

uint32_t kv_cache_word(struct kv_cache *c, uint64_t pos)
{
	uint64_t mapped = (c->file.n + PAGE - 1) / PAGE * PAGE;
	uint8_t bytes[4] = { 0 };
	uint32_t v = 0;

	if (kv_span_u32(c->file, pos, c->be, &v))
		return v;
	for (unsigned i = 0; i < sizeof(bytes); i++)
		kv_span_u8(c->file, pos + i, &bytes[i]);
	c->lost |= pos > mapped || mapped - pos < sizeof(bytes);
	kv_span_u32((struct kv_span){ bytes, sizeof(bytes) }, 0, c->be, &v);
	return v;
}

const char *kv_cache_text(struct kv_cache *c, uint64_t pos)
{
	uint64_t left = pos < c->file.n ? c->file.n - pos : 0;
	struct kv_span s = { 0 };
	const char *found;

	kv_span_sub(c->file, pos, left < MAX_STRING ? left : MAX_STRING, &s);
	found = kv_span_str(s, 0);
	if (found || left > MAX_STRING)
		return found ? found : "";
	/* It ends, if at all, in the zeros behind the file. */
	if (c->file.n % PAGE == 0 || pos - (c->file.n - left) >= PAGE - c->file.n % PAGE) {
		c->lost = true;
		return "";
	}
	if (!left)
		return "";
	if (!c->tail) {
		size_t from = c->file.n;

		while (from && c->file.n - from < MAX_STRING && c->file.p[from - 1])
			from--;
		c->tail = kv_strndup(c->arena, (const char *)c->file.p + from, c->file.n - from);
	}
	return c->tail + strlen(c->tail) - left;
}

static bool has_magic(struct kv_span s, uint64_t pos, const char *magic)
{
	return kv_span_sub(s, pos, strlen(magic), &s) && memcmp(s.p, magic, s.n) == 0;
}

/* ---- what kind of file it is: _dl_load_cache_lookup() ---- */

/* cache_file_new_matches_endian(): 0 says nothing, 2 little, 3 big. */
static bool other_order(const struct kv_cache *c)
{
	uint8_t flags = 0;

	kv_span_u8(c->file, c->header + 28, &flags);
	return c->release >= SINCE_ORDER && flags && (flags & 3) != (c->be ? 3 : 2);
}

/* Why the file is ignored; NULL with the cache filled where it is not. */
static const char *damaged(const struct kv_loader *l, struct kv_cache *c)
{
	uint64_t align = l->machine == EM_386 ? 4 : 8; /* of a 64-bit number in a struct */
	uint64_t size = c->file.n;

	if (size > NEW_HEADER && has_magic(c->file, 0, MAGIC_NEW)) {
		c->n = kv_cache_word(c, 20);
		if (c->release >= SINCE_NEW_CHECKED &&
		    (size - NEW_HEADER) / KV_CACHE_NEW_ENTRY < c->n)
			return "damaged: it has fewer entries than it says";
		c->is_new = true;
	} else if (size > OLD_HEADER && has_magic(c->file, 0, MAGIC_OLD)) {
		c->n = kv_cache_word(c, 12);
		if (c->release >= SINCE_OLD_CHECKED &&
		    (size - OLD_HEADER) / KV_CACHE_OLD_ENTRY < c->n)
			return "damaged: it has fewer entries than it says";
		c->header = OLD_HEADER + (uint64_t)c->n * KV_CACHE_OLD_ENTRY;
		c->base = c->header;
		c->header = (c->header + align - 1) / align * align;
		c->is_new = size >= c->header && size - c->header >= NEW_HEADER &&
			    has_magic(c->file, c->header, MAGIC_NEW);
	} else {
		return "no cache: its format is unknown";
	}
	if (c->is_new && other_order(c))
		return "written for the other byte order";
	if (c->is_new) {
		c->base = c->header;
		c->n = kv_cache_word(c, c->header + 20);
	}
	c->entries = c->is_new ? c->header + NEW_HEADER : OLD_HEADER;
	/* Of the whole file since search_cache(), which for old followed by new is more than there
	 * is. */
	c->strings = (uint32_t)(size - (c->is_new && c->release >= SINCE_NAMED ? 0 : c->base));
	return NULL;
}

static unsigned release_of(struct kv_loader *l)
{
	unsigned v = kv_loader_ldso(l)->version;

	return v ? v : LAST_RELEASE;
}

static struct kv_cache *get_cache(struct kv_loader *l)
{
	struct kv_cache *c;
	int e;

	if (l->cache_read)
		return l->cache;
	l->cache_read = true;
	l->cache = NULL;
	l->cache_fault = NULL;
	c = kv_new(l->arena, struct kv_cache);
	c->arena = l->arena;
	c->be = l->be;
	c->release = release_of(l);
	e = kv_root_slurp(l->root, CACHE_PATH, MAX_CACHE, &c->file);
	/* A directory is opened, but cannot be mapped. */
	l->cache_errno = e == -EISDIR ? ENODEV : -e;
	if (e < 0)
		l->cache_fault = e == -ENOENT ? "there is no such file"
					      : kv_strf(l->arena, "unreadable: %s", strerror(-e));
	else
		l->cache_fault = damaged(l, c);
	if (!l->cache_fault)
		l->cache = c;
	return l->cache;
}

enum kv_open kv_cache_find(struct kv_loader *l, const char *name, const char **ret_path)
{
	struct kv_cache *c = get_cache(l);
	const char *path;

	if (!c)
		return KV_OPEN_SKIP;
	c->lost = c->dies = false;
	path = kv_cache_search(l, c, name);
	if (c->dies)
		return KV_OPEN_ABORT;
	if (c->lost)
		return KV_OPEN_UNKNOWN;
	if (!path)
		return KV_OPEN_SKIP;
	*ret_path = path;
	return KV_OPEN_OK;
}

int kv_cache_errno(struct kv_loader *l)
{
	get_cache(l);
	return l->cache_errno;
}

const char *kv_cache_fault(struct kv_loader *l)
{
	get_cache(l);
	return l->cache_fault;
}
