/*
 * What the merged tree is made of: nodes (names) that point to inodes, as in a file system, so that
 * hard links share identity and content. Directories find their children by one hash table for all.
 * Nodes and inodes are named by their numbers; a pointer to one lasts until the next is added.
 */
#ifndef KV_ROOT_LAYERS_NODES_H
#define KV_ROOT_LAYERS_NODES_H

#include "root/layers.h"

#define KV_LAYERS_MAX_ENTRIES 5000000
/* With directories that have no entry of their own. */
#define KV_LAYERS_MAX_NODES (2 * KV_LAYERS_MAX_ENTRIES)
#define KV_LAYERS_MAX_TEXT  ((size_t)256 << 20) /* names and links together */
#define KV_LAYERS_MAX_DEPTH 512

#define KV_NO_NODE   UINT32_MAX
#define KV_ROOT_NODE 0

struct kv_node {
	uint32_t parent, first, next, prev, chain;
	uint32_t inode, layer;
	uint32_t depth;
	const char *name; /* NULL once it was dropped */
};

struct kv_inode {
	uint32_t mode, uid, gid;
	int64_t mtime_s;
	const char *link;
	struct kv_content content;
};

struct kv_layers {
	struct kv_arena *arena;
	struct kv_node *nodes;
	struct kv_inode *inodes;
	uint32_t *buckets; /* a power of two of them */
	size_t n_nodes, cap_nodes, n_inodes, cap_inodes, n_buckets;
	size_t n_entries, n_text;
	uint64_t seed; /* names are the image's: nobody shall choose them to collide */
	uint32_t layer;
};

/* The child of parent with this name of n bytes; KV_NO_NODE. */
uint32_t kv_node_find(const struct kv_layers *l, uint32_t parent, const char *name, size_t n);
/* Adds it, of the current layer. 0, -ENOMEM, or what was too much: -E2BIG for text, -EFBIG for
 * nodes, -ELOOP for depth. */
int kv_node_add(struct kv_layers *l, uint32_t parent, const char *name, size_t n, uint32_t inode,
		uint32_t *ret);
/* Takes the name out of its directory; what is below it has been taken out before. */
void kv_node_drop(struct kv_layers *l, uint32_t node);
/* Takes away what lies at node and below, as far as it is of a layer below `layer`. */
void kv_node_prune(struct kv_layers *l, uint32_t node, uint32_t layer);
int kv_inode_add(struct kv_layers *l, const struct kv_inode *from, uint32_t *ret);
const struct kv_inode *kv_inode_of(const struct kv_layers *l, uint32_t node);
bool kv_node_is_dir(const struct kv_layers *l, uint32_t node);

#endif
