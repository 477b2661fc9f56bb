/*
 * The merged tree: nodes (names) that point to inodes, as in a file system, so that hard links
 * share identity and content. Directories find their children by one hash table for all.
 */
#include <dirent.h>
#include <sys/random.h>

#include "root/layers.h"

#define MAX_ENTRIES 5000000
#define MAX_NODES   (2 * MAX_ENTRIES)   /* with directories that have no entry of their own */
#define MAX_TEXT    ((size_t)256 << 20) /* names and links together */
#define MAX_DEPTH   512
#define MAX_LINKS   40 /* as the kernel's MAXSYMLINKS */
#define WHITEOUT    ".wh."
#define OPAQUE      ".wh..wh..opq"

#define NONE UINT32_MAX
#define ROOT 0

struct node {
	uint32_t parent, first, next, prev, chain;
	uint32_t inode, layer;
	uint32_t depth;
	const char *name;
};

struct inode {
	uint32_t mode, uid, gid;
	int64_t mtime_s;
	const char *link;
	struct kv_content content;
};

struct kv_layers {
	struct kv_arena *arena;
	struct node *nodes;
	struct inode *inodes;
	uint32_t *buckets; /* a power of two of them */
	size_t n_nodes, cap_nodes, n_inodes, cap_inodes, n_buckets;
	size_t n_entries, n_text;
	uint64_t seed; /* names are the image's: nobody shall choose them to collide */
	uint32_t layer;
};

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

static uint32_t find(const struct kv_layers *l, uint32_t parent, const char *name, size_t n)
{
	uint32_t at = *bucket_of(l, parent, name, n);

	while (at != NONE) {
		const struct node *d = &l->nodes[at];

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
		struct node *d = &l->nodes[i];
		uint32_t *b;

		if (!d->name || i == ROOT)
			continue;
		b = bucket_of(l, d->parent, d->name, strlen(d->name));
		d->chain = *b;
		*b = i;
	}
	return 0;
}

static int add_inode(struct kv_layers *l, const struct inode *from, uint32_t *ret)
{
	if (grow((void **)&l->inodes, l->n_inodes, &l->cap_inodes, sizeof(*l->inodes)) < 0)
		return -ENOMEM;
	l->inodes[l->n_inodes] = *from;
	*ret = (uint32_t)l->n_inodes++;
	return 0;
}

static int add_node(struct kv_layers *l, uint32_t parent, const char *name, size_t n,
		    uint32_t inode, uint32_t *ret)
{
	uint32_t at = (uint32_t)l->n_nodes, *b;
	struct node *d, *p;

	l->n_text += n;
	if (l->n_text > MAX_TEXT)
		return -E2BIG;
	if (l->n_nodes > MAX_NODES)
		return -EFBIG;
	if (l->nodes[parent].depth >= MAX_DEPTH)
		return -ELOOP;
	if (grow((void **)&l->nodes, l->n_nodes, &l->cap_nodes, sizeof(*l->nodes)) < 0 ||
	    (l->n_nodes >= l->n_buckets && rehash(l) < 0))
		return -ENOMEM;
	l->n_nodes++;
	b = bucket_of(l, parent, name, n);
	p = &l->nodes[parent];
	d = &l->nodes[at];
	*d = (struct node){ .parent = parent,
			    .first = NONE,
			    .next = p->first,
			    .prev = NONE,
			    .chain = *b,
			    .inode = inode,
			    .layer = l->layer,
			    .depth = p->depth + 1,
			    .name = kv_strndup(l->arena, name, n) };
	if (p->first != NONE)
		l->nodes[p->first].prev = at;
	p->first = at;
	*b = at;
	*ret = at;
	return 0;
}

static const struct inode *inode_of(const struct kv_layers *l, uint32_t node)
{
	return &l->inodes[l->nodes[node].inode];
}

static bool is_dir(const struct kv_layers *l, uint32_t node)
{
	return S_ISDIR(inode_of(l, node)->mode);
}

/* Takes the name out of its directory; what is below it has been taken out before. */
static void drop(struct kv_layers *l, uint32_t node)
{
	struct node *d = &l->nodes[node];
	uint32_t *at = bucket_of(l, d->parent, d->name, strlen(d->name));

	while (*at != node)
		at = &l->nodes[*at].chain;
	*at = d->chain;
	if (d->prev != NONE)
		l->nodes[d->prev].next = d->next;
	else
		l->nodes[d->parent].first = d->next;
	if (d->next != NONE)
		l->nodes[d->next].prev = d->prev;
	d->name = NULL;
}

/* Takes away what lies at node and below, as far as it is of a layer below `layer`. */
static void prune(struct kv_layers *l, uint32_t node, uint32_t layer)
{
	for (uint32_t c = l->nodes[node].first, next; c != NONE; c = next) {
		next = l->nodes[c].next;
		prune(l, c, layer);
	}
	if (node != ROOT && l->nodes[node].layer < layer && l->nodes[node].first == NONE)
		drop(l, node);
}

/* ---- paths ---- */

/* How a path is walked: `make` for the way to an entry of the current layer. */
struct way {
	bool make;
	unsigned links;
};

static int walk(struct kv_layers *l, uint32_t dir, const char *path, struct way *way,
		uint32_t *ret);

/*
 * The directory `name` of dir. On the way to an entry, what is missing is made, and what a layer
 * below has there and is no directory is hidden by one: the layer was unpacked by itself, where it
 * was not seen. A link of the layer itself was, and is followed.
 */
static int enter(struct kv_layers *l, uint32_t dir, const char *name, size_t n, struct way *way,
		 uint32_t *ret)
{
	const struct inode implied = { .mode = S_IFDIR | 0755 };
	uint32_t at = find(l, dir, name, n), inode;
	int e;

	if (at != NONE && is_dir(l, at)) {
		*ret = at;
		return 0;
	}
	if (at != NONE && S_ISLNK(inode_of(l, at)->mode) &&
	    (!way->make || l->nodes[at].layer == l->layer)) {
		const char *text = inode_of(l, at)->link;

		if (++way->links > MAX_LINKS)
			return -ELOOP;
		return walk(l, text[0] == '/' ? ROOT : dir, text, way, ret);
	}
	if (!way->make)
		return at == NONE ? -ENOENT : -ENOTDIR;
	if (at != NONE)
		drop(l, at);
	e = add_inode(l, &implied, &inode);
	return e < 0 ? e : add_node(l, dir, name, n, inode, ret);
}

static int walk(struct kv_layers *l, uint32_t dir, const char *path, struct way *way, uint32_t *ret)
{
	int e = 0;

	while (e == 0 && *path) {
		size_t n = strcspn(path, "/");

		if (n == 2 && memcmp(path, "..", 2) == 0)
			dir = dir == ROOT ? ROOT : l->nodes[dir].parent;
		else if (n && !(n == 1 && *path == '.'))
			e = enter(l, dir, path, n, way, &dir);
		path += n + (path[n] == '/');
	}
	if (e == 0)
		*ret = dir;
	return e;
}

/* Splits path into the node of its directory and its name. */
static int locate(struct kv_layers *l, const char *path, bool make, uint32_t *ret_dir,
		  const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	struct way way = { .make = make };
	char dir[KV_TAR_MAX_PATH + 1];
	size_t n = slash ? (size_t)(slash - path) : 0;

	if (n > KV_TAR_MAX_PATH)
		return -ENAMETOOLONG;
	memcpy(dir, path, n);
	dir[n] = '\0';
	*ret_name = slash ? slash + 1 : path;
	return walk(l, ROOT, dir, &way, ret_dir);
}

/* ---- entries ---- */

static int content_from(struct kv_layers *l, const struct kv_tar_entry *e, struct inode *ret)
{
	*ret = (struct inode){
		.mode = e->mode,
		.uid = e->uid,
		.gid = e->gid,
		.mtime_s = e->mtime_s,
	};
	ret->content = (struct kv_content){
		.layer = l->layer,
		.place = e->place,
		.ordinal = e->ordinal,
		.size = S_ISREG(e->mode) ? e->size : 0,
		.n_ranges = e->n_ranges,
	};
	if (S_ISLNK(e->mode)) {
		l->n_text += strlen(e->link);
		if (l->n_text > MAX_TEXT)
			return -E2BIG;
		ret->link = kv_strdup(l->arena, e->link);
		ret->content.size = strlen(e->link);
	}
	if (e->n_ranges) {
		ret->content.ranges =
			kv_alloc_n(l->arena, e->n_ranges, sizeof(*ret->content.ranges));
		memcpy(ret->content.ranges, e->ranges, e->n_ranges * sizeof(*e->ranges));
	}
	return 0;
}

/* The inode that a hard link names, or a broken one, which can be seen and not be read. */
static int link_target(struct kv_layers *l, const struct kv_tar_entry *e, uint32_t *ret)
{
	const struct inode broken = { .mode = S_IFREG, .content.broken = true };
	uint32_t dir, at = NONE;
	const char *name;

	if (locate(l, e->link, /* make= */ false, &dir, &name) == 0)
		at = find(l, dir, name, strlen(name));
	if (at == NONE || is_dir(l, at))
		return add_inode(l, &broken, ret);
	*ret = l->nodes[at].inode;
	return 0;
}

static int put(struct kv_layers *l, uint32_t dir, const char *name, const struct kv_tar_entry *e)
{
	uint32_t at = find(l, dir, name, strlen(name)), inode;
	struct inode in;
	int r;

	r = e->hard ? link_target(l, e, &inode) : content_from(l, e, &in);
	if (r < 0)
		return r;
	if (e->hard && at != NONE && l->nodes[at].inode == inode && l->nodes[at].layer == l->layer)
		return 0; /* to itself */
	if (!e->hard && at != NONE && S_ISDIR(e->mode) && is_dir(l, at)) {
		l->inodes[l->nodes[at].inode] = in;
		l->nodes[at].layer = l->layer;
		return 0;
	}
	if (at != NONE)
		prune(l, at, NONE);
	if (!e->hard)
		r = add_inode(l, &in, &inode);
	return r < 0 ? r : add_node(l, dir, name, strlen(name), inode, &at);
}

static int whiteout(struct kv_layers *l, uint32_t dir, const char *name)
{
	uint32_t at;

	if (kv_streq(name, OPAQUE)) {
		for (uint32_t c = l->nodes[dir].first, next; c != NONE; c = next) {
			next = l->nodes[c].next;
			prune(l, c, l->layer);
		}
		return 0;
	}
	/* Others of ".wh..wh.*" are aufs' own bookkeeping. */
	name += strlen(WHITEOUT);
	at = find(l, dir, name, strlen(name));
	if (at != NONE)
		prune(l, at, l->layer);
	return 0;
}

int kv_layers_put(struct kv_layers *l, const struct kv_tar_entry *e, struct kv_err *err)
{
	const char *name;
	uint32_t dir;
	int r;

	if (++l->n_entries > MAX_ENTRIES)
		return kv_err(err, -E2BIG, "more than %d entries", MAX_ENTRIES);
	if (!*e->path) {
		if (!e->hard && S_ISDIR(e->mode))
			return content_from(l, e, &l->inodes[l->nodes[ROOT].inode]);
		return kv_err(err, -EINVAL, "the root is no directory");
	}
	r = locate(l, e->path, /* make= */ true, &dir, &name);
	if (r == 0)
		r = kv_starts(name, WHITEOUT) ? whiteout(l, dir, name) : put(l, dir, name, e);
	if (r == -ELOOP)
		return kv_err(err, r, "%.256s: more than %d links or %d directories on the way",
			      e->path, MAX_LINKS, MAX_DEPTH);
	if (r == -E2BIG)
		return kv_err(err, r, "names and links of more than %zu MiB", MAX_TEXT >> 20);
	if (r == -EFBIG)
		return kv_err(err, r, "more than %d names", MAX_NODES);
	return r < 0 ? kv_err(err, r, "%.256s: %s", e->path, strerror(-r)) : 0;
}

struct kv_layers *kv_layers_new(struct kv_arena *a)
{
	const struct inode root = { .mode = S_IFDIR | 0755 };
	struct kv_layers *l = kv_new(a, struct kv_layers);
	uint32_t inode;

	l->arena = a;
	if (getrandom(&l->seed, sizeof(l->seed), GRND_NONBLOCK) != sizeof(l->seed))
		l->seed = (uintptr_t)l;
	if (grow((void **)&l->nodes, 0, &l->cap_nodes, sizeof(*l->nodes)) < 0 || rehash(l) < 0 ||
	    add_inode(l, &root, &inode) < 0) {
		kv_layers_free(l);
		return NULL;
	}
	l->nodes[ROOT] = (struct node){
		.first = NONE, .next = NONE, .prev = NONE, .chain = NONE, .name = ""
	};
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

void kv_layers_begin(struct kv_layers *l)
{
	l->layer++;
}

size_t kv_layers_count(const struct kv_layers *l)
{
	return l->n_entries;
}

/* ---- questions ---- */

/* The node at rel, which has no links on its way. */
static int node_at(const struct kv_layers *l, const char *rel, uint32_t *ret)
{
	uint32_t at = ROOT;

	while (*rel) {
		size_t n = strcspn(rel, "/");

		if (!is_dir(l, at))
			return -ENOTDIR;
		at = find(l, at, rel, n);
		if (at == NONE)
			return -ENOENT;
		rel += n + (rel[n] == '/');
	}
	*ret = at;
	return 0;
}

int kv_layers_lstat(const struct kv_layers *l, const char *rel, struct kv_stat *ret)
{
	const struct inode *in;
	uint32_t at;
	int e = node_at(l, rel, &at);

	if (e < 0)
		return e;
	in = inode_of(l, at);
	*ret = (struct kv_stat){
		.dev = UINT64_MAX - 1, /* no device has it */
		.ino = l->nodes[at].inode,
		.size = in->content.size,
		.mode = in->mode,
		.uid = in->uid,
		.gid = in->gid,
		.mtime_s = in->mtime_s,
	};
	return 0;
}

int kv_layers_readlink(const struct kv_layers *l, const char *rel, const char **ret)
{
	uint32_t at;
	int e = node_at(l, rel, &at);

	if (e < 0)
		return e;
	if (!S_ISLNK(inode_of(l, at)->mode))
		return -EINVAL;
	*ret = inode_of(l, at)->link;
	return 0;
}

int kv_layers_list(const struct kv_layers *l, const char *rel, struct kv_arena *a, kv_dirents *ret)
{
	uint32_t at;
	int e = node_at(l, rel, &at);

	if (e < 0)
		return e;
	if (!is_dir(l, at))
		return -ENOTDIR;
	for (uint32_t c = l->nodes[at].first; c != NONE; c = l->nodes[c].next)
		kv_vec_push(a, ret,
			    ((struct kv_dirent){ kv_strdup(a, l->nodes[c].name),
						 (uint8_t)IFTODT(inode_of(l, c)->mode) }));
	return 0;
}

int kv_layers_content(struct kv_layers *l, const char *rel, struct kv_content **ret)
{
	uint32_t at;
	int e = node_at(l, rel, &at);

	if (e < 0)
		return e;
	if (is_dir(l, at))
		return -EISDIR;
	if (!S_ISREG(inode_of(l, at)->mode))
		return -EINVAL;
	*ret = &l->inodes[l->nodes[at].inode].content;
	return 0;
}
