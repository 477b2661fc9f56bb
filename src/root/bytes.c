/* A tree that is one regular file made of bytes. */
#include "root/tree.h"

struct bytes_tree {
	struct kv_tree tree;
	struct kv_span bytes;
};

struct bytes_file {
	struct kv_file file;
	struct kv_span bytes;
};

static int bytes_lstat(struct kv_tree *tree, const char *rel, struct kv_stat *ret)
{
	if (*rel)
		return -ENOTDIR;
	*ret = (struct kv_stat){
		.dev = UINT64_MAX, /* no device has it: the identity is this object's address */
		.ino = (uint64_t)(uintptr_t)tree,
		.size = ((struct bytes_tree *)tree)->bytes.n,
		.mode = S_IFREG | 0644,
	};
	return 0;
}

static int bytes_readlink(struct kv_tree *tree, const char *rel, struct kv_arena *a,
			  const char **ret)
{
	(void)tree, (void)rel, (void)a, (void)ret;
	return -EINVAL;
}

static int bytes_list(struct kv_tree *tree, const char *rel, struct kv_arena *a, kv_dirents *ret)
{
	(void)tree, (void)rel, (void)a, (void)ret;
	return -ENOTDIR;
}

static int bytes_read(struct kv_file *f, uint64_t off, void *buf, size_t n, size_t *ret_n)
{
	struct kv_span s = ((struct bytes_file *)f)->bytes;

	*ret_n = off >= s.n ? 0 : n < s.n - off ? n : s.n - (size_t)off;
	if (*ret_n)
		memcpy(buf, s.p + off, *ret_n);
	return 0;
}

static void bytes_close(struct kv_file *f)
{
	free(f);
}

static const struct kv_file_ops bytes_file_ops = { bytes_read, bytes_close };

static int bytes_open(struct kv_tree *tree, const char *rel, struct kv_file **ret)
{
	struct bytes_file *f;

	if (*rel)
		return -ENOTDIR;
	f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	f->file.ops = &bytes_file_ops;
	f->file.fd = -1;
	f->bytes = ((struct bytes_tree *)tree)->bytes;
	bytes_lstat(tree, rel, &f->file.st);
	*ret = &f->file;
	return 0;
}

static void bytes_tree_close(struct kv_tree *tree)
{
	(void)tree;
}

static const struct kv_tree_ops bytes_ops = {
	.lstat = bytes_lstat,
	.readlink = bytes_readlink,
	.list = bytes_list,
	.open = bytes_open,
	.close = bytes_tree_close,
};

struct kv_tree *kv_tree_of_bytes(struct kv_arena *a, struct kv_span bytes)
{
	struct bytes_tree *t = kv_new(a, struct bytes_tree);

	t->tree.ops = &bytes_ops;
	t->bytes = bytes;
	return &t->tree;
}
