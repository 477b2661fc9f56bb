/* Names and inodes of the merged tree: looking up, adding, taking away. */
#include <sys/random.h>

#include "root/layers_nodes.h"

static uint32_t *bucket_of(const struct kv_layers *l, uint32_t parent, const char *name, size_t n)
{
	uint64_t h = l->seed ^ parent * 0x9e3779b97f4a7c15ULL ^ n, w;

	while (n) {
		size_t take = n < sizeof(w) ? n : sizeof(w);
		__uint128_t mul;

		w = 0;
		memcpy(&w, name, take);
		mul = (__uint128_t)(h ^ w) * (l->seed | 1);
		h = (uint64_t)mul ^ (uint64_t)(mul >> 64);
		name += take;
		n -= take;
	}
	return &l->buckets[(h ^ h >> 32) & (l->n_buckets - 1)];
}

uint32_t kv_node_find(const struct kv_layers *l, uint32_t parent, const char *name, size_t n)
{
	uint32_t at = *bucket_of(l, parent, name, n);

	while (at != KV_NO_NODE) {
		const struct kv_node *d = &l->nodes[at];

		if (d->parent == parent && strncmp(d->name, name, n) == 0 && !d->name[n])
			break;
		at = d->chain;
	}
	return at;
}

static int grow(void **v, size_t n, size_t *cap, size_t elem)
{
	size_t want = *cap ? *cap * 2 : 1024;
	void *grown;

	if (n < *cap)
		return 0;
	grown = realloc(*v, want * elem);
	if (!grown)
		return -ENOMEM;
	*v = grown;
	*cap = want;
	return 0;
}

static int rehash(struct kv_layers *l)
{
	size_t n = l->n_buckets ? l->n_buckets * 2 : 4096;
	uint32_t *v = malloc(n * sizeof(*v));

	if (!v)
		return -ENOMEM;
	memset(v, 0xff, n * sizeof(*v));
	free(l->buckets);
	l->buckets = v;
	l->n_buckets = n;
	for (uint32_t i = 0; i < l->n_nodes; i++) {
		struct kv_node *d = &l->nodes[i];
		uint32_t *b;

		if (!d->name || i == KV_ROOT_NODE)
			continue;
		b = bucket_of(l, d->parent, d->name, strlen(d->name));
		d->chain = *b;
		*b = i;
	}
	return 0;
}

int kv_inode_add(struct kv_layers *l, const struct kv_inode *from, uint32_t *ret)
{
	if (grow((void **)&l->inodes, l->n_inodes, &l->cap_inodes, sizeof(*l->inodes)) < 0)
		return -ENOMEM;
	l->inodes[l->n_inodes] = *from;
	*ret = (uint32_t)l->n_inodes++;
	return 0;
}

int kv_node_add(struct kv_layers *l, uint32_t parent, const char *name, size_t n, uint32_t inode,
		uint32_t *ret)
{
	uint32_t at = (uint32_t)l->n_nodes, *b;
	struct kv_node *d, *p;

	l->n_text += n;
	if (l->n_text > KV_LAYERS_MAX_TEXT)
		return -E2BIG;
	if (l->n_nodes > KV_LAYERS_MAX_NODES)
		return -EFBIG;
	if (l->nodes[parent].depth >= KV_LAYERS_MAX_DEPTH)
		return -ELOOP;
	if (grow((void **)&l->nodes, l->n_nodes, &l->cap_nodes, sizeof(*l->nodes)) < 0 ||
	    (l->n_nodes >= l->n_buckets && rehash(l) < 0))
		return -ENOMEM;
	l->n_nodes++;
	b = bucket_of(l, parent, name, n);
	p = &l->nodes[parent];
	d = &l->nodes[at];
	*d = (struct kv_node){ .parent = parent,
			       .first = KV_NO_NODE,
			       .next = p->first,
			       .prev = KV_NO_NODE,
			       .chain = *b,
			       .inode = inode,
			       .layer = l->layer,
			       .depth = p->depth + 1,
			       .name = kv_strndup(l->arena, name, n) };
	if (p->first != KV_NO_NODE)
		l->nodes[p->first].prev = at;
	p->first = at;
	*b = at;
	*ret = at;
	return 0;
}

const struct kv_inode *kv_inode_of(const struct kv_layers *l, uint32_t node)
{
	return &l->inodes[l->nodes[node].inode];
}

bool kv_node_is_dir(const struct kv_layers *l, uint32_t node)
{
	return S_ISDIR(kv_inode_of(l, node)->mode);
}

void kv_node_drop(struct kv_layers *l, uint32_t node)
{
	struct kv_node *d = &l->nodes[node];
	uint32_t *at = bucket_of(l, d->parent, d->name, strlen(d->name));

	while (*at != node)
		at = &l->nodes[*at].chain;
	*at = d->chain;
	if (d->prev != KV_NO_NODE)
		l->nodes[d->prev].next = d->next;
	else
		l->nodes[d->parent].first = d->next;
	if (d->next != KV_NO_NODE)
		l->nodes[d->next].prev = d->prev;
	d->name = NULL;
}

void kv_node_prune(struct kv_layers *l, uint32_t node, uint32_t layer)
{
	for (uint32_t c = l->nodes[node].first, next; c != KV_NO_NODE; c = next) {
		next = l->nodes[c].next;
		kv_node_prune(l, c, layer);
	}
	if (node != KV_ROOT_NODE && l->nodes[node].layer < layer &&
	    l->nodes[node].first == KV_NO_NODE)
		kv_node_drop(l, node);
}

struct kv_layers *kv_layers_new(struct kv_arena *a)
{
	const struct kv_inode root = { .mode = S_IFDIR | 0755 };
	struct kv_layers *l = kv_new(a, struct kv_layers);
	uint32_t inode;

	l->arena = a;
	if (getrandom(&l->seed, sizeof(l->seed), GRND_NONBLOCK) != sizeof(l->seed))
		l->seed = (uintptr_t)l;
	if (grow((void **)&l->nodes, 0, &l->cap_nodes, sizeof(*l->nodes)) < 0 || rehash(l) < 0 ||
	    kv_inode_add(l, &root, &inode) < 0) {
		kv_layers_free(l);
		return NULL;
	}
	l->nodes[KV_ROOT_NODE] = (struct kv_node){ .first = KV_NO_NODE,
						   .next = KV_NO_NODE,
						   .prev = KV_NO_NODE,
						   .chain = KV_NO_NODE,
						   .name = "" };
	l->n_nodes = 1;
	return l;
}

void kv_layers_free(struct kv_layers *l)
{
	if (!l)
		return;
	free(l->nodes);
	free(l->inodes);
	free(l->buckets);
	l->nodes = NULL;
	l->inodes = NULL;
	l->buckets = NULL;
}
