/*
 * Squashfs images (.sqsh) as trees: questions go to the process that reads the image, and its
 * answers are believed no more than the image would be. Whatever is wrong with one of them cuts the
 * line to it: a tree that lied once is not asked again.
 *
 * Names of a directory are kept once something in it was asked for, since a loader's search asks
 * for hundreds that are not there. The inspector's walk lists every directory once: of those only
 * the directories' places are kept.
 */
#include "root/squash_tree.h"

/* st_dev of what an image holds. No device of Linux has it: their numbers have 32 bits. */
#define IMAGE_DEV ((uint64_t)0x73717368 << 32)

/* ---- paths ---- */

static int dir_at(struct kv_sq_tree *t, const char *rel, struct kv_sq_node **ret);

/* Makes the names of the directory known. */
static int load_names(struct kv_sq_tree *t, const char *rel, struct kv_sq_node *dir)
{
	kv_dirents list = { 0 };
	int e;

	if (dir->names)
		return 0;
	dir->names = kv_map_new(t->arena);
	e = kv_sq_list_dir(t, rel, dir->ref, t->arena, &list, dir, /* ahead= */ false);
	dir->list.v = list.v;
	dir->list.n = list.n;
	return e;
}

static int node_at(struct kv_sq_tree *t, const char *rel, struct kv_sq_node **ret)
{
	const char *slash = strrchr(rel, '/'), *name = slash ? slash + 1 : rel;
	struct kv_sq_node *dir;
	char *parent;
	int e;

	if (!*rel)
		return dir_at(t, rel, ret);
	parent = kv_strndup(t->arena, rel, slash ? (size_t)(slash - rel) : 0);
	e = dir_at(t, parent, &dir);
	if (e == 0)
		e = load_names(t, parent, dir);
	if (e < 0)
		return e;
	*ret = kv_map_get(dir->names, name);
	return *ret ? 0 : -ENOENT;
}

static int dir_at(struct kv_sq_tree *t, const char *rel, struct kv_sq_node **ret)
{
	int e = 0;

	if (*t->box.fault)
		return -EIO;
	*ret = kv_map_get(t->dirs, rel);
	if (!*ret)
		e = node_at(t, rel, ret);
	if (e < 0)
		return e;
	return (*ret)->type == DT_DIR ? 0 : -ENOTDIR;
}

/* Makes node->inode known. */
static int load_inode(struct kv_sq_tree *t, struct kv_sq_node *node)
{
	const struct kv_sq_inode *raw;
	const char *text;
	int e;

	if (node->inode)
		return 0;
	e = kv_sq_inode_of(t, node->ref, &raw);
	if (e < 0)
		return e;
	text = (const char *)(raw + 1);
	if (raw->size > INT64_MAX)
		return kv_sq_nonsense(t, "its reader answers nonsense");
	if (IFTODT(raw->mode) != node->type)
		return kv_sq_nonsense(t, "a file is not what its directory says that it is");
	if (S_ISLNK(raw->mode) != (raw->link_n != 0) || memchr(text, 0, raw->link_n))
		return kv_sq_nonsense(t, "a link has a text that cannot be");
	if (raw->at && (!S_ISREG(raw->mode) || raw->at > t->size || t->size - raw->at < raw->size))
		return kv_sq_nonsense(t, "its reader answers nonsense");
	node->inode = kv_new(t->arena, struct kv_sq_known);
	node->inode->st = (struct kv_stat){
		.dev = IMAGE_DEV,
		.ino = raw->ino,
		.size = raw->size,
		.mode = raw->mode,
		.uid = raw->uid,
		.gid = raw->gid,
		.mtime_s = raw->mtime_s,
	};
	node->inode->at = raw->at;
	node->inode->fragment = raw->fragment;
	node->inode->fragment_at = raw->fragment_at;
	node->inode->link = kv_strndup(t->arena, text, raw->link_n);
	return 0;
}

/* With its inode known. */
static int whole_node_at(struct kv_sq_tree *t, const char *rel, struct kv_sq_node **ret)
{
	int e = node_at(t, rel, ret);

	return e == 0 ? load_inode(t, *ret) : e;
}

/* ---- the interface ---- */

static int squash_lstat(struct kv_tree *tree, const char *rel, struct kv_stat *ret)
{
	struct kv_sq_node *node;
	int e = whole_node_at((struct kv_sq_tree *)tree, rel, &node);

	if (e == 0)
		*ret = node->inode->st;
	return e;
}

static int squash_readlink(struct kv_tree *tree, const char *rel, struct kv_arena *a,
			   const char **ret)
{
	struct kv_sq_node *node;
	int e = whole_node_at((struct kv_sq_tree *)tree, rel, &node);

	if (e < 0)
		return e;
	if (node->type != DT_LNK)
		return -EINVAL;
	*ret = kv_strdup(a, node->inode->link);
	return 0;
}

static int squash_list(struct kv_tree *tree, const char *rel, struct kv_arena *a, kv_dirents *ret)
{
	struct kv_sq_tree *t = (struct kv_sq_tree *)tree;
	struct kv_sq_node *dir;
	int e = dir_at(t, rel, &dir);

	if (e < 0)
		return e;
	if (!dir->names)
		return kv_sq_list_dir(t, rel, dir->ref, a, ret, NULL, /* ahead= */ true);
	for (size_t i = 0; i < dir->list.n; i++)
		kv_vec_push(a, ret, dir->list.v[i]);
	return 0;
}

static int squash_open(struct kv_tree *tree, const char *rel, struct kv_file **ret)
{
	struct kv_sq_tree *t = (struct kv_sq_tree *)tree;
	struct kv_sq_node *node;
	int e = whole_node_at(t, rel, &node);

	if (e < 0)
		return e;
	if (node->type != DT_REG)
		return node->type == DT_DIR ? -EISDIR : -EINVAL;
	return kv_sq_open_node(t, node, ret);
}

/* It answers nothing; what fails here would fail again where it matters. */
static void squash_will_skip(struct kv_tree *tree, const char *const *names, size_t n)
{
	struct kv_sq_tree *t = (struct kv_sq_tree *)tree;
	struct kv_sq_request rq = { .op = KV_SQ_SKIP };
	struct kv_sq_reply rp;

	for (size_t i = 0; i < n && KV_SQ_PAYLOAD - rq.n > strlen(names[i]); i++) {
		memcpy(t->box.window + rq.n, names[i], strlen(names[i]) + 1);
		rq.n += (uint32_t)strlen(names[i]) + 1;
	}
	if (rq.n && !*t->box.fault)
		(void)kv_sq_ask_window(t, &rq, &rp);
}

static void squash_close(struct kv_tree *tree)
{
	struct kv_sq_tree *t = (struct kv_sq_tree *)tree;

	kv_box_stop(&t->box);
	kv_closep(&t->fd);
	kv_sq_forget_answers(t);
}

static const char *squash_fault(struct kv_tree *tree)
{
	const struct kv_sq_tree *t = (const struct kv_sq_tree *)tree;

	if (*t->box.fault)
		return t->box.fault;
	return atomic_load(&t->is_cut) ? "the image was cut short while it was read" : NULL;
}

static const struct kv_tree_ops squash_ops = {
	.lstat = squash_lstat,
	.readlink = squash_readlink,
	.list = squash_list,
	.will_skip = squash_will_skip,
	.open = squash_open,
	.close = squash_close,
	.fault = squash_fault,
};

struct kv_tree *kv_squash_tree(struct kv_arena *a, const struct kv_box *box, int image,
			       uint64_t root)
{
	struct kv_sq_tree *t = kv_new(a, struct kv_sq_tree);
	struct kv_sq_node *dir;
	struct stat st;

	t->tree.ops = &squash_ops;
	t->arena = a;
	t->box = *box;
	t->fd = image;
	t->size = fstat(image, &st) == 0 ? (uint64_t)st.st_size : 0;
	t->copy = kv_alloc_raw(a, KV_SQ_PAYLOAD);
	t->dirs = kv_map_new(a);
	t->places = kv_sq_refs_new(a);
	t->inodes = kv_sq_refs_new(a);
	t->lists = kv_sq_refs_new(a);
	kv_sq_know_dir(t, "", root, &dir);
	return &t->tree;
}

/* ---- the format ---- */

static bool is_squash(int fd, const struct stat *st)
{
	char magic[4] = { 0 };
	size_t n = 0;

	return S_ISREG(st->st_mode) && kv_read_all(fd, magic, sizeof(magic), 0, &n) == 0 &&
	       n == 4 && memcmp(magic, "hsqs", 4) == 0;
}

static int open_squash(struct kv_arena *a, int fd, struct kv_tree **ret, struct kv_err *err)
{
	struct kv_sq_reply hello;
	struct kv_box box;
	int e = kv_box_start(fd, kv_box_serve_squash, KV_BOX_DEADLINE_S, &box, err);

	if (e < 0)
		return e;
	e = kv_box_hello(&box, &hello);
	if (e < 0) {
		kv_err(err, e, "%s", box.fault);
	} else if (hello.error) {
		e = hello.error;
		kv_err(err, e, "%s", kv_sq_text(a, &box, hello.n));
	}
	if (e < 0) {
		kv_box_stop(&box);
		return e;
	}
	*ret = kv_squash_tree(a, &box, fd, hello.more);
	return 0;
}

const struct kv_image_format kv_squash_format = { "squashfs", is_squash, open_squash };
