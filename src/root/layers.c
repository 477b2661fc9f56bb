/* Merging the layers: the way to an entry, what it does to the tree, and what the tree then has. */
#include <dirent.h>

#include "root/layers_nodes.h"

#define MAX_LINKS 40 /* as the kernel's MAXSYMLINKS */
#define WHITEOUT  ".wh."
#define OPAQUE    ".wh..wh..opq"

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
	const struct kv_inode implied = { .mode = S_IFDIR | 0755 };
	uint32_t at = kv_node_find(l, dir, name, n), inode;
	int e;

	if (at != KV_NO_NODE && kv_node_is_dir(l, at)) {
		*ret = at;
		return 0;
	}
	if (at != KV_NO_NODE && S_ISLNK(kv_inode_of(l, at)->mode) &&
	    (!way->make || l->nodes[at].layer == l->layer)) {
		const char *text = kv_inode_of(l, at)->link;

		if (++way->links > MAX_LINKS)
			return -ELOOP;
		return walk(l, text[0] == '/' ? KV_ROOT_NODE : dir, text, way, ret);
	}
	if (!way->make)
		return at == KV_NO_NODE ? -ENOENT : -ENOTDIR;
	if (at != KV_NO_NODE)
		kv_node_drop(l, at);
	e = kv_inode_add(l, &implied, &inode);
	return e < 0 ? e : kv_node_add(l, dir, name, n, inode, ret);
}

static int walk(struct kv_layers *l, uint32_t dir, const char *path, struct way *way, uint32_t *ret)
{
	int e = 0;

	while (e == 0 && *path) {
		size_t n = strcspn(path, "/");

		if (n == 2 && memcmp(path, "..", 2) == 0)
			dir = dir == KV_ROOT_NODE ? KV_ROOT_NODE : l->nodes[dir].parent;
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
	return walk(l, KV_ROOT_NODE, dir, &way, ret_dir);
}

/* ---- entries ---- */

static int content_from(struct kv_layers *l, const struct kv_tar_entry *e, struct kv_inode *ret)
{
	*ret = (struct kv_inode){
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
		if (l->n_text > KV_LAYERS_MAX_TEXT)
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
	const struct kv_inode broken = { .mode = S_IFREG, .content.broken = true };
	uint32_t dir, at = KV_NO_NODE;
	const char *name;

	if (locate(l, e->link, /* make= */ false, &dir, &name) == 0)
		at = kv_node_find(l, dir, name, strlen(name));
	if (at == KV_NO_NODE || kv_node_is_dir(l, at))
		return kv_inode_add(l, &broken, ret);
	*ret = l->nodes[at].inode;
	return 0;
}

static int put(struct kv_layers *l, uint32_t dir, const char *name, const struct kv_tar_entry *e)
{
	uint32_t at = kv_node_find(l, dir, name, strlen(name)), inode;
	struct kv_inode in;
	int r;

	r = e->hard ? link_target(l, e, &inode) : content_from(l, e, &in);
	if (r < 0)
		return r;
	if (e->hard && at != KV_NO_NODE && l->nodes[at].inode == inode &&
	    l->nodes[at].layer == l->layer)
		return 0; /* to itself */
	if (!e->hard && at != KV_NO_NODE && S_ISDIR(e->mode) && kv_node_is_dir(l, at)) {
		l->inodes[l->nodes[at].inode] = in;
		l->nodes[at].layer = l->layer;
		return 0;
	}
	if (at != KV_NO_NODE)
		kv_node_prune(l, at, KV_NO_NODE);
	if (!e->hard)
		r = kv_inode_add(l, &in, &inode);
	return r < 0 ? r : kv_node_add(l, dir, name, strlen(name), inode, &at);
}

static int whiteout(struct kv_layers *l, uint32_t dir, const char *name)
{
	uint32_t at;

	if (kv_streq(name, OPAQUE)) {
		for (uint32_t c = l->nodes[dir].first, next; c != KV_NO_NODE; c = next) {
			next = l->nodes[c].next;
			kv_node_prune(l, c, l->layer);
		}
		return 0;
	}
	/* Others of ".wh..wh.*" are aufs' own bookkeeping. */
	name += strlen(WHITEOUT);
	at = kv_node_find(l, dir, name, strlen(name));
	if (at != KV_NO_NODE)
		kv_node_prune(l, at, l->layer);
	return 0;
}

int kv_layers_put(struct kv_layers *l, const struct kv_tar_entry *e, struct kv_err *err)
{
	const char *name;
	uint32_t dir;
	int r;

	if (++l->n_entries > KV_LAYERS_MAX_ENTRIES)
		return kv_err(err, -E2BIG, "more than %d entries", KV_LAYERS_MAX_ENTRIES);
	if (!*e->path) {
		if (!e->hard && S_ISDIR(e->mode))
			return content_from(l, e, &l->inodes[l->nodes[KV_ROOT_NODE].inode]);
		return kv_err(err, -EINVAL, "the root is no directory");
	}
	r = locate(l, e->path, /* make= */ true, &dir, &name);
	if (r == 0)
		r = kv_starts(name, WHITEOUT) ? whiteout(l, dir, name) : put(l, dir, name, e);
	if (r == -ELOOP)
		return kv_err(err, r, "%.256s: more than %d links or %d directories on the way",
			      e->path, MAX_LINKS, KV_LAYERS_MAX_DEPTH);
	if (r == -E2BIG)
		return kv_err(err, r, "names and links of more than %zu MiB",
			      KV_LAYERS_MAX_TEXT >> 20);
	if (r == -EFBIG)
		return kv_err(err, r, "more than %d names", KV_LAYERS_MAX_NODES);
	return r < 0 ? kv_err(err, r, "%.256s: %s", e->path, strerror(-r)) : 0;
}

void kv_layers_begin(struct kv_layers *l)
{
	l->layer++;
}

/* ---- questions ---- */

/* The node at rel, which has no links on its way. */
static int node_at(const struct kv_layers *l, const char *rel, uint32_t *ret)
{
	uint32_t at = KV_ROOT_NODE;

	while (*rel) {
		size_t n = strcspn(rel, "/");

		if (!kv_node_is_dir(l, at))
			return -ENOTDIR;
		at = kv_node_find(l, at, rel, n);
		if (at == KV_NO_NODE)
			return -ENOENT;
		rel += n + (rel[n] == '/');
	}
	*ret = at;
	return 0;
}

int kv_layers_lstat(const struct kv_layers *l, const char *rel, struct kv_stat *ret)
{
	const struct kv_inode *in;
	uint32_t at;
	int e = node_at(l, rel, &at);

	if (e < 0)
		return e;
	in = kv_inode_of(l, at);
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
	if (!S_ISLNK(kv_inode_of(l, at)->mode))
		return -EINVAL;
	*ret = kv_inode_of(l, at)->link;
	return 0;
}

int kv_layers_list(const struct kv_layers *l, const char *rel, struct kv_arena *a, kv_dirents *ret)
{
	uint32_t at;
	int e = node_at(l, rel, &at);

	if (e < 0)
		return e;
	if (!kv_node_is_dir(l, at))
		return -ENOTDIR;
	for (uint32_t c = l->nodes[at].first; c != KV_NO_NODE; c = l->nodes[c].next)
		kv_vec_push(a, ret,
			    ((struct kv_dirent){ kv_strdup(a, l->nodes[c].name),
						 (uint8_t)IFTODT(kv_inode_of(l, c)->mode) }));
	return 0;
}

int kv_layers_content(struct kv_layers *l, const char *rel, struct kv_content **ret)
{
	uint32_t at;
	int e = node_at(l, rel, &at);

	if (e < 0)
		return e;
	if (kv_node_is_dir(l, at))
		return -EISDIR;
	if (!S_ISREG(kv_inode_of(l, at)->mode))
		return -EINVAL;
	*ret = &l->inodes[l->nodes[at].inode].content;
	return 0;
}
