/* A small container-like tree for the journal's tests, and what it looks like to the last detail.
 */
#ifndef KV_TEST_JOURNAL_TREE_H
#define KV_TEST_JOURNAL_TREE_H

#include "repair/gen.h"

struct jtree {
	char path[64];
	int root;
	int source; /* a file outside of the root to copy from */
};

enum jtree_shape {
	JTREE_USUAL,    /* /var/lib is there */
	JTREE_NO_VAR,   /* nor is /var */
	JTREE_HAS_STATE /* an empty /var/lib/kvpath is there, as a package may bring it */
};

void jtree_make(struct jtree *t, enum jtree_shape shape);
void jtree_drop(struct jtree *t);
/* Every entry with type, mode, owner, size, hash, times, link text, link count, inode and xattrs,
 * one a line, sorted; skip: the state directory is left out. To be freed. */
char *jtree_manifest(const struct jtree *t, bool skip_state);
/* Fails the test, showing the first line that differs. */
void jtree_same(const char *want, const char *have, const char *where);
/* A plan that does everything to the tree that can be done. */
void jtree_ops(struct kv_arena *a, const struct jtree *t, kv_ops *ops);
/* Another one, on the paths of the first and on others. */
void jtree_ops2(struct kv_arena *a, kv_ops *ops);
/* The path on the host, in a static buffer. */
const char *jtree_host(const struct jtree *t, const char *path);
void jtree_write(const struct jtree *t, const char *path, const char *text, uint32_t mode);

#endif
