/* Arena, growing arrays and the string map that lives in an arena. Freed at once, never piecewise.
 */
#include <sys/mman.h>

#include "base/base.h"

#define HUGE  ((size_t)2 << 20) /* of x86-64, and of AArch64 with pages of 4 KiB */
#define LARGE ((size_t)512 << 10)
#define CHUNK ((size_t)128 << 10) /* populated at a time, where there are no huge pages */
#define SMALL ((size_t)64 << 10)  /* a block of an arena that is to stay small */

struct block {
	struct block *next;
	size_t used, size;
	size_t populated; /* of the data, as far as it was asked for */
	void *map;        /* the map that it lies in */
	size_t mapped;    /* bytes of that; 0 where it is malloc's */
	max_align_t data[];
};

struct kv_arena {
	struct block *head;
	bool is_small;
};

static _Noreturn void out_of_memory(void)
{
	static const char msg[] = "kvpath: out of memory\n";

	(void)!write(STDERR_FILENO, msg, sizeof(msg) - 1);
	_exit(3);
}

struct kv_arena *kv_arena_new(void)
{
	struct kv_arena *a = calloc(1, sizeof(*a));

	if (!a)
		out_of_memory();
	return a;
}

struct kv_arena *kv_arena_new_small(void)
{
	struct kv_arena *a = kv_arena_new();

	a->is_small = true;
	return a;
}

static void free_until(struct kv_arena *a, const struct block *last)
{
	for (struct block *b = a->head, *next; b && b != last; b = next) {
		next = b->next;
		if (b->mapped)
			munmap(b->map, b->mapped);
		else
			free(b);
		a->head = next;
	}
}

void kv_arena_free(struct kv_arena *a)
{
	if (!a)
		return;
	free_until(a, NULL);
	free(a);
}

struct kv_arena_mark kv_arena_mark(const struct kv_arena *a)
{
	return (struct kv_arena_mark){ a->head, a->head ? a->head->used : 0 };
}

void kv_arena_rewind(struct kv_arena *a, struct kv_arena_mark mark)
{
	free_until(a, mark.block);
	if (a->head)
		a->head->used = mark.used;
}

/* Makes the pages present up to this many bytes of data, and some more: a page fault each would
 * cost more than the work in the page. */
static void populate(struct block *b, size_t used)
{
	size_t end = (sizeof(*b) + used + CHUNK) / CHUNK * CHUNK;
	size_t from = b->populated ? sizeof(*b) + b->populated : 0;

	if (end > sizeof(*b) + b->size)
		end = sizeof(*b) + b->size;
	b->populated = end - sizeof(*b);
	(void)madvise((char *)b + from, end - from, MADV_POPULATE_WRITE);
}

static void *map(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		out_of_memory();
	return p;
}

/* A block of its own for one large object, behind the front one, which is filled on. */
static struct block *large_block(struct kv_arena *a, size_t size)
{
	struct block *b = map(sizeof(*b) + size);

	b->map = b;
	b->mapped = sizeof(*b) + size;
	b->size = size;
	b->used = size;
	if (a->head) {
		b->next = a->head->next;
		a->head->next = b;
	} else {
		b->next = NULL;
		a->head = b;
	}
	return b;
}

/*
 * The block that small objects are taken from: one huge page where the kernel gives such. To get
 * and clear it takes a tenth of the time that as many small pages take, and most of a short
 * command's time can go there.
 */
static struct block *small_block(struct kv_arena *a)
{
	size_t size = a->is_small ? SMALL : HUGE;
	/* Twice the size holds an aligned one; the rest is address space and nothing else. */
	char *p = map(2 * size);
	struct block *b = (struct block *)(void *)(p + (size - (uintptr_t)p % size) % size);

	if (!a->is_small)
		(void)madvise(b, size, MADV_HUGEPAGE);
	/* Written first: a read would map the page of zeros, to be copied at once. */
	b->populated = 0;
	b->map = p;
	b->mapped = 2 * size;
	b->size = size - sizeof(*b);
	b->used = 0;
	b->next = a->head;
	a->head = b;
	populate(b, 0);
	return b;
}

static size_t rounded(size_t size)
{
	const size_t align = sizeof(max_align_t);

	if (size > SIZE_MAX / 2)
		out_of_memory();
	return (size + align - 1) / align * align;
}

/* For a sanitizer: a block of its own each, so that it sees what leaves one. */
static void *alloc_checked(struct kv_arena *a, size_t size)
{
	struct block *b = size <= SIZE_MAX / 2 ? malloc(sizeof(*b) + size) : NULL;

	if (!b)
		out_of_memory();
	*b = (struct block){ .next = a->head, .used = size, .size = size };
	a->head = b;
	return b->data;
}

void *kv_alloc_raw(struct kv_arena *a, size_t size)
{
	struct block *b = a->head;
	void *p;

	if (KV_SANITIZED)
		return alloc_checked(a, size);
	size = rounded(size);
	if (size > (a->is_small ? SMALL / 2 : LARGE))
		return large_block(a, size)->data;
	if (!b || b->size - b->used < size)
		b = small_block(a);
	p = (char *)b->data + b->used;
	b->used += size;
	if (b->used > b->populated)
		populate(b, b->used);
	return p;
}

void *kv_alloc(struct kv_arena *a, size_t size)
{
	return memset(kv_alloc_raw(a, size), 0, size);
}

void *kv_alloc_n(struct kv_arena *a, size_t n, size_t size)
{
	size_t total;

	if (__builtin_mul_overflow(n, size, &total))
		out_of_memory();
	return kv_alloc(a, total);
}

char *kv_strndup(struct kv_arena *a, const char *s, size_t n)
{
	char *copy = kv_alloc_raw(a, n + 1);

	memcpy(copy, s, n);
	copy[n] = '\0';
	return copy;
}

char *kv_strdup(struct kv_arena *a, const char *s)
{
	return kv_strndup(a, s, strlen(s));
}

char *kv_vstrf(struct kv_arena *a, const char *fmt, va_list ap)
{
	va_list again;
	char *s;
	int n;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (n < 0)
		out_of_memory();
	s = kv_alloc_raw(a, (size_t)n + 1);
	vsnprintf(s, (size_t)n + 1, fmt, ap);
	return s;
}

char *kv_strf(struct kv_arena *a, const char *fmt, ...)
{
	va_list ap;
	char *s;

	va_start(ap, fmt);
	s = kv_vstrf(a, fmt, ap);
	va_end(ap);
	return s;
}

void *kv_vec_grow(struct kv_arena *a, void *v, size_t n, size_t *cap, size_t elem)
{
	size_t want = *cap ? *cap * 2 : 8, size;
	void *grown;

	if (__builtin_mul_overflow(want, elem, &size))
		out_of_memory();
	grown = kv_alloc_raw(a, size);
	if (n)
		memcpy(grown, v, n * elem);
	*cap = want;
	return grown;
}

bool kv_strv_has(const kv_strv *sv, const char *s)
{
	for (size_t i = 0; i < sv->n; i++)
		if (kv_streq(sv->v[i], s))
			return true;
	return false;
}

/* ---- map: open addressing, at most half full ---- */

struct slot {
	char *key;
	void *value;
};

struct kv_map {
	struct kv_arena *arena;
	struct slot *slots;
	size_t n, size;
};

/* Eight bytes at a time, mixed by multiplication (as in FxHash); keys are paths, long and alike at
 * the start. */
static uint64_t hash_str(const char *s)
{
	const uint64_t k = 0x9e3779b97f4a7c15;
	size_t n = strlen(s);
	uint64_t h = n * k, w;

	for (; n >= 8; n -= 8, s += 8) {
		memcpy(&w, s, 8);
		h = (h << 23 | h >> 41) ^ w;
		h *= k;
	}
	w = 0;
	memcpy(&w, s, n);
	h = ((h << 23 | h >> 41) ^ w) * k;
	return h ^ h >> 32;
}

struct kv_map *kv_map_new(struct kv_arena *a)
{
	struct kv_map *m = kv_new(a, struct kv_map);

	m->arena = a;
	m->size = 64;
	m->slots = kv_alloc_n(a, m->size, sizeof(*m->slots));
	return m;
}

static struct slot *find_slot(struct slot *slots, size_t size, const char *key)
{
	size_t i = (size_t)hash_str(key) & (size - 1);

	while (slots[i].key && !kv_streq(slots[i].key, key))
		i = (i + 1) & (size - 1);
	return &slots[i];
}

void **kv_map_slot(struct kv_map *m, const char *key)
{
	struct slot *s = find_slot(m->slots, m->size, key);

	if (s->key)
		return &s->value;
	if (m->n * 2 >= m->size) {
		struct slot *old = m->slots;
		size_t old_size = m->size;

		m->size *= 2;
		m->slots = kv_alloc_n(m->arena, m->size, sizeof(*m->slots));
		for (size_t i = 0; i < old_size; i++)
			if (old[i].key)
				*find_slot(m->slots, m->size, old[i].key) = old[i];
		s = find_slot(m->slots, m->size, key);
	}
	s->key = kv_strdup(m->arena, key);
	m->n++;
	return &s->value;
}

void *kv_map_get(const struct kv_map *m, const char *key)
{
	return find_slot(m->slots, m->size, key)->value;
}
