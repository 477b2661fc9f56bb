/*
 * Squashfs images (.sqsh) as trees: questions go to the process that reads the image, and its
 * answers are believed no more than the image would be. Whatever is wrong with one of them cuts the
 * line to it: a tree that lied once is not asked again.
 *
 * Names of a directory are kept once something in it was asked for, since a loader's search asks
 * for hundreds that are not there. The inspector's walk lists every directory once: of those only
 * the directories' places are kept.
 */
#include <dirent.h>

#include "root/squash.h"

/* st_dev of what an image holds. No device of Linux has it: their numbers have 32 bits. */
#define IMAGE_DEV ((uint64_t)0x73717368 << 32)

#define MAX_ENTRIES 1000000 /* of one directory */
#define MAX_DIRS    2000000 /* of one image */

/* Something in the image; inode is asked for when its place alone does not do. */
struct node {
	uint64_t ref;
	uint8_t type; /* DT_* */
	struct inode *inode;
	struct kv_map *names;          /* of a directory, once asked for: -> struct node */
	KV_VEC(struct kv_dirent) list; /* the same as a list */
};

struct inode {
	struct kv_stat st;
	const char *link;
};

struct squash_tree {
	struct kv_tree tree;
	struct kv_arena *arena;
	struct kv_box box;
	uint8_t *copy;         /* of the window */
	struct kv_map *dirs;   /* rel -> struct node */
	struct kv_map *places; /* ref, as text -> struct node: a directory has one place */
	size_t n_dirs;
};

struct squash_file {
	struct kv_file file;
	struct squash_tree *t;
	uint64_t ref;
};

/* ---- asking ---- */

/* What the window holds, as text for people. */
static const char *text_of(struct kv_arena *a, const struct kv_box *box, uint32_t n)
{
	const char *text = kv_strndup(a, (const char *)box->window, n < 200 ? n : 200);

	return *text ? kv_printable(a, text) : "damaged squashfs image";
}

/* Asks. An error of the reader is one of the image. */
static int ask_box(struct squash_tree *t, const struct kv_sq_request *rq, struct kv_sq_reply *ret)
{
	int e = kv_box_ask(&t->box, rq, ret);

	if (e == 0 && ret->error)
		e = kv_box_cut(&t->box, "%s", text_of(t->arena, &t->box, ret->n));
	return e;
}

/* The same; what is answered is in t->copy. */
static int ask(struct squash_tree *t, struct kv_sq_request rq, struct kv_sq_reply *ret)
{
	int e = ask_box(t, &rq, ret);

	if (e == 0)
		memcpy(t->copy, t->box.window, ret->n);
	return e;
}

static int nonsense(struct squash_tree *t, const char *what)
{
	return kv_box_cut(&t->box, "damaged squashfs image: %s", what);
}

/* ---- lists ---- */

/* What is done with each entry of a list. */
struct taker {
	struct squash_tree *t;
	const char *rel;
	struct kv_arena *arena;
	kv_dirents *list;
	struct node *dir; /* whose names are kept, or NULL */
	char before[256]; /* the name before, "" at first */
	size_t n;
};

static const char *rel_of(struct kv_arena *a, const char *dir, const char *name)
{
	return *dir ? kv_strf(a, "%s/%s", dir, name) : kv_strdup(a, name);
}

/* The directory at rel, made known. A second place for one directory would make walks endless. */
static int know_dir(struct squash_tree *t, const char *rel, uint64_t ref, struct node **ret)
{
	struct node **slot = (struct node **)kv_map_slot(t->dirs, rel);
	char key[17];
	void **place;

	if (!*slot) {
		if (++t->n_dirs > MAX_DIRS)
			return nonsense(t, "it has more directories than kvpath walks through");
		for (unsigned i = 0; i < 16; i++)
			key[i] = (char)('a' + (ref >> (4 * i) & 15));
		key[16] = '\0';
		place = kv_map_slot(t->places, key);
		if (*place)
			return nonsense(t, "a directory lies in two places");
		*slot = kv_new(t->arena, struct node);
		**slot = (struct node){ .ref = ref, .type = DT_DIR };
		*place = *slot;
	}
	*ret = *slot;
	return 0;
}

/*
 * A name must be one that a file can have, and names must ascend: that is the format's order
 * (squashfs' lookup relies on it), and it makes each of them the only one.
 */
static bool is_name(struct taker *k, const char *name, size_t n)
{
	if (!n || memchr(name, '/', n) || memchr(name, 0, n) || (n == 1 && name[0] == '.') ||
	    (n == 2 && name[0] == '.' && name[1] == '.'))
		return false;
	memcpy(k->t->copy + KV_SQ_PAYLOAD, name, n);
	k->t->copy[KV_SQ_PAYLOAD + n] = '\0';
	if (strcmp((const char *)k->t->copy + KV_SQ_PAYLOAD, k->before) <= 0)
		return false;
	memcpy(k->before, name, n);
	k->before[n] = '\0';
	return true;
}

static int take(struct taker *k, uint64_t ref, uint8_t type, const char *name, size_t n)
{
	struct node *node = NULL;
	char *kept;
	int e = 0;

	if (!is_name(k, name, n))
		return nonsense(k->t, "a directory has a name that cannot be, or twice the same");
	if (type == DT_UNKNOWN || type > DT_SOCK)
		return nonsense(k->t, "its reader answers nonsense");
	if (++k->n > MAX_ENTRIES)
		return nonsense(k->t, "a directory has more entries than kvpath looks at");
	kept = kv_strdup(k->arena, k->before);
	kv_vec_push(k->arena, k->list, ((struct kv_dirent){ kept, type }));
	if (type == DT_DIR)
		e = know_dir(k->t, rel_of(k->arena, k->rel, kept), ref, &node);
	if (e < 0 || !k->dir)
		return e;
	if (!node) {
		node = kv_new(k->arena, struct node);
		*node = (struct node){ .ref = ref, .type = type };
	}
	*kv_map_slot(k->dir->names, kept) = node;
	return 0;
}

static int take_all(struct taker *k, size_t n)
{
	struct kv_span s = { k->t->copy, n };
	struct kv_sq_entry entry;

	while (s.n) {
		int e;

		if (s.n < sizeof(entry))
			return nonsense(k->t, "its reader answers nonsense");
		memcpy(&entry, s.p, sizeof(entry));
		if (s.n - sizeof(entry) < entry.n)
			return nonsense(k->t, "its reader answers nonsense");
		e = take(k, entry.ref, entry.type, (const char *)s.p + sizeof(entry), entry.n);
		if (e < 0)
			return e;
		s.p += sizeof(entry) + entry.n;
		s.n -= sizeof(entry) + entry.n;
	}
	return 0;
}

static int ask_list(struct taker *k, uint64_t ref)
{
	struct kv_sq_request rq = { .op = KV_SQ_LIST, .ref = ref };
	struct kv_sq_reply rp;

	do {
		int e = ask(k->t, rq, &rp);

		if (e == 0)
			e = take_all(k, rp.n);
		if (e < 0)
			return e;
		/* It goes on, or ends. */
		if (rp.more && (rp.more <= rq.off || !rp.n))
			return nonsense(k->t, "its reader answers nonsense");
		rq.off = rp.more;
	} while (rq.off);
	return 0;
}

/* ---- paths ---- */

static int dir_at(struct squash_tree *t, const char *rel, struct node **ret);

/* Makes the names of the directory known. */
static int load_names(struct squash_tree *t, const char *rel, struct node *dir)
{
	struct taker k = { .t = t, .rel = rel, .arena = t->arena, .dir = dir };
	kv_dirents list = { 0 };
	int e;

	if (dir->names)
		return 0;
	dir->names = kv_map_new(t->arena);
	k.list = &list;
	e = ask_list(&k, dir->ref);
	dir->list.v = list.v;
	dir->list.n = list.n;
	return e;
}

static int node_at(struct squash_tree *t, const char *rel, struct node **ret)
{
	const char *slash = strrchr(rel, '/'), *name = slash ? slash + 1 : rel;
	struct node *dir;
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

static int dir_at(struct squash_tree *t, const char *rel, struct node **ret)
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
static int load_inode(struct squash_tree *t, struct node *node)
{
	struct kv_sq_reply rp;
	struct kv_sq_inode raw;
	const char *text;
	int e;

	if (node->inode)
		return 0;
	e = ask(t, (struct kv_sq_request){ .op = KV_SQ_INODE, .ref = node->ref }, &rp);
	if (e < 0)
		return e;
	if (rp.n < sizeof(raw))
		return nonsense(t, "its reader answers nonsense");
	memcpy(&raw, t->copy, sizeof(raw));
	text = (const char *)t->copy + sizeof(raw);
	if (raw.link_n != rp.n - sizeof(raw) || raw.link_n > KV_SQ_LINK || raw.size > INT64_MAX)
		return nonsense(t, "its reader answers nonsense");
	if (IFTODT(raw.mode) != node->type)
		return nonsense(t, "a file is not what its directory says that it is");
	if (S_ISLNK(raw.mode) != (raw.link_n != 0) || memchr(text, 0, raw.link_n))
		return nonsense(t, "a link has a text that cannot be");
	node->inode = kv_new(t->arena, struct inode);
	node->inode->st = (struct kv_stat){
		.dev = IMAGE_DEV,
		.ino = raw.ino,
		.size = raw.size,
		.mode = raw.mode,
		.uid = raw.uid,
		.gid = raw.gid,
		.mtime_s = raw.mtime_s,
	};
	node->inode->link = kv_strndup(t->arena, text, raw.link_n);
	return 0;
}

/* With its inode known. */
static int whole_node_at(struct squash_tree *t, const char *rel, struct node **ret)
{
	int e = node_at(t, rel, ret);

	return e == 0 ? load_inode(t, *ret) : e;
}

/* ---- the interface ---- */

static int squash_lstat(struct kv_tree *tree, const char *rel, struct kv_stat *ret)
{
	struct node *node;
	int e = whole_node_at((struct squash_tree *)tree, rel, &node);

	if (e == 0)
		*ret = node->inode->st;
	return e;
}

static int squash_readlink(struct kv_tree *tree, const char *rel, struct kv_arena *a,
			   const char **ret)
{
	struct node *node;
	int e = whole_node_at((struct squash_tree *)tree, rel, &node);

	if (e < 0)
		return e;
	if (node->type != DT_LNK)
		return -EINVAL;
	*ret = kv_strdup(a, node->inode->link);
	return 0;
}

static int squash_list(struct kv_tree *tree, const char *rel, struct kv_arena *a, kv_dirents *ret)
{
	struct squash_tree *t = (struct squash_tree *)tree;
	struct taker k = { .t = t, .rel = rel, .arena = a, .list = ret };
	struct node *dir;
	int e = dir_at(t, rel, &dir);

	if (e < 0)
		return e;
	if (!dir->names)
		return ask_list(&k, dir->ref);
	for (size_t i = 0; i < dir->list.n; i++)
		kv_vec_push(a, ret, dir->list.v[i]);
	return 0;
}

static int squash_read(struct kv_file *f, uint64_t off, void *buf, size_t n, size_t *ret_n)
{
	struct squash_file *file = (struct squash_file *)f;
	struct kv_sq_request rq = { .op = KV_SQ_READ, .ref = file->ref };
	struct kv_sq_reply rp;
	size_t done = 0;

	if (off > f->st.size)
		off = f->st.size;
	if (n > f->st.size - off)
		n = (size_t)(f->st.size - off);
	while (done < n) {
		int e;

		rq.off = off + done;
		rq.n = n - done < KV_SQ_PAYLOAD ? (uint32_t)(n - done) : KV_SQ_PAYLOAD;
		e = ask_box(file->t, &rq, &rp);
		if (e < 0)
			return e;
		if (rp.n != rq.n)
			return nonsense(file->t, "its reader answers nonsense");
		memcpy((uint8_t *)buf + done, file->t->box.window, rp.n);
		done += rp.n;
	}
	*ret_n = done;
	return 0;
}

static void squash_file_close(struct kv_file *f)
{
	free(f);
}

static const struct kv_file_ops file_ops = { squash_read, squash_file_close };

static int squash_open(struct kv_tree *tree, const char *rel, struct kv_file **ret)
{
	struct squash_tree *t = (struct squash_tree *)tree;
	struct squash_file *f;
	struct node *node;
	int e = whole_node_at(t, rel, &node);

	if (e < 0)
		return e;
	if (node->type != DT_REG)
		return node->type == DT_DIR ? -EISDIR : -EINVAL;
	f = malloc(sizeof(*f));
	if (!f)
		return -ENOMEM;
	f->file = (struct kv_file){ .ops = &file_ops, .fd = -1, .st = node->inode->st };
	f->t = t;
	f->ref = node->ref;
	*ret = &f->file;
	return 0;
}

static void squash_close(struct kv_tree *tree)
{
	kv_box_stop(&((struct squash_tree *)tree)->box);
}

static const char *squash_fault(struct kv_tree *tree)
{
	const struct squash_tree *t = (const struct squash_tree *)tree;

	return *t->box.fault ? t->box.fault : NULL;
}

static const struct kv_tree_ops squash_ops = {
	.lstat = squash_lstat,
	.readlink = squash_readlink,
	.list = squash_list,
	.open = squash_open,
	.close = squash_close,
	.fault = squash_fault,
};

struct kv_tree *kv_squash_tree(struct kv_arena *a, const struct kv_box *box, uint64_t root)
{
	struct squash_tree *t = kv_new(a, struct squash_tree);
	struct node *dir;

	t->tree.ops = &squash_ops;
	t->arena = a;
	t->box = *box;
	t->copy = kv_alloc_raw(a, KV_SQ_PAYLOAD + 256);
	t->dirs = kv_map_new(a);
	t->places = kv_map_new(a);
	know_dir(t, "", root, &dir);
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

static int open_squash(struct kv_arena *a, int fd, const char *host_path, struct kv_tree **ret,
		       struct kv_err *err)
{
	struct kv_sq_reply hello;
	struct kv_box box;
	int e = kv_box_start(fd, kv_box_serve_squash, KV_BOX_DEADLINE_S, &box, err);

	(void)host_path;
	if (e < 0)
		return e;
	e = kv_box_hello(&box, &hello);
	if (e < 0) {
		kv_err(err, e, "%s", box.fault);
	} else if (hello.error) {
		e = hello.error;
		kv_err(err, e, "%s", text_of(a, &box, hello.n));
	}
	if (e < 0) {
		kv_box_stop(&box);
		return e;
	}
	*ret = kv_squash_tree(a, &box, hello.more);
	/* The child has it from here on. */
	close(fd);
	return 0;
}

const struct kv_image_format kv_squash_format = { "squashfs", is_squash, open_squash };
