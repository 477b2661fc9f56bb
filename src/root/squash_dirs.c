/* Carrying out the edits of a squashfs image: a tree of them, walked from the leaves to the root.
 */
#include <dirent.h>
#include <limits.h>
#include <sqfs/xattr.h>
#include <sqfs/xattr_reader.h>
#include <sys/stat.h>

#include "root/squash_write.h"

struct node {
	const char *name;
	const struct kv_edit *edit; /* NULL: a directory of the image on the way to one */
	const struct kv_sqw_data *data;
	KV_VEC(struct node *) below;
};

static int nonsense(struct kv_sqw *w, const char *path, const char *what)
{
	w->s->why = kv_strf(w->arena, "%.120s: %s", path, what);
	return -EINVAL;
}

/* ---- the tree of edits ---- */

static struct node *child_of(struct kv_sqw *w, struct node *dir, const char *name, size_t n)
{
	struct node *new;

	for (size_t i = 0; i < dir->below.n; i++)
		if (strlen(dir->below.v[i]->name) == n &&
		    memcmp(dir->below.v[i]->name, name, n) == 0)
			return dir->below.v[i];
	new = kv_new(w->arena, struct node);
	new->name = kv_strndup(w->arena, name, n);
	kv_vec_push(w->arena, &dir->below, new);
	return new;
}

static int plant(struct kv_sqw *w, struct node *root, const struct kv_edit *edit,
		 const struct kv_sqw_data *data)
{
	struct node *at = root;

	for (const char *p = edit->path; *p == '/';) {
		size_t n = strcspn(++p, "/");

		if (!n || n > NAME_MAX)
			return nonsense(w, edit->path, "not a path");
		at = child_of(w, at, p, n);
		p += n;
	}
	if (at == root || at->edit)
		return nonsense(w, edit->path, "changed twice in one plan");
	at->edit = edit;
	at->data = data;
	return 0;
}

/* ---- lists of the image ---- */

/* The type of a directory's entry, from that of the reader's list. */
static uint8_t entry_type(uint8_t type)
{
	static const uint8_t types[] = {
		[DT_DIR] = SQFS_INODE_DIR,     [DT_REG] = SQFS_INODE_FILE,
		[DT_LNK] = SQFS_INODE_SLINK,   [DT_BLK] = SQFS_INODE_BDEV,
		[DT_CHR] = SQFS_INODE_CDEV,    [DT_FIFO] = SQFS_INODE_FIFO,
		[DT_SOCK] = SQFS_INODE_SOCKET,
	};

	return types[type];
}

/* The entries of one answer of the reader, which is part of this process. */
static int take_entries(struct kv_sqw *w, size_t n, kv_sqw_entries *ret)
{
	struct kv_sq_entry raw;

	for (size_t at = sizeof(struct kv_sq_list); at < n; at += sizeof(raw) + raw.n + 1) {
		const char *name;

		memcpy(&raw, w->payload + at, sizeof(raw));
		name = kv_strndup(w->arena, (const char *)w->payload + at + sizeof(raw), raw.n);
		if (strlen(name) != raw.n || strchr(name, '/') || kv_streq(name, ".") ||
		    kv_streq(name, ".."))
			return kv_sq_fail(w->s, "directory table", SQFS_ERROR_CORRUPTED);
		kv_vec_push(
			w->arena, ret,
			((struct kv_sqw_entry){ name, raw.ref, raw.ino, entry_type(raw.type) }));
	}
	return 0;
}

/* Lists are in the order of names: Linux stops looking behind where a name would be. */
static int check_order(struct kv_sqw *w, const kv_sqw_entries *list)
{
	for (size_t i = 1; i < list->n; i++)
		if (strcmp(list->v[i - 1].name, list->v[i].name) >= 0)
			return kv_sq_fail(w->s, "directory table", SQFS_ERROR_CORRUPTED);
	return 0;
}

static int list_of(struct kv_sqw *w, uint64_t ref, kv_sqw_entries *ret)
{
	struct kv_sq_request rq = { .op = KV_SQ_LIST, .ref = ref };
	struct kv_sq_reply rp = { 0 };
	int e;

	do {
		rp = (struct kv_sq_reply){ 0 };
		e = kv_sq_list(w->s, &rq, w->payload, &rp);
		if (e == 0)
			e = take_entries(w, rp.n, ret);
		rq.off = rp.more;
	} while (e == 0 && rp.more);
	return e < 0 ? e : check_order(w, ret);
}

static void insert(struct kv_sqw *w, kv_sqw_entries *list, struct kv_sqw_entry new)
{
	size_t i = list->n;

	kv_vec_push(w->arena, list, new);
	for (; i && strcmp(list->v[i - 1].name, new.name) > 0; i--)
		list->v[i] = list->v[i - 1];
	list->v[i] = new;
}

static struct kv_sqw_entry *find(const kv_sqw_entries *list, const char *name)
{
	for (size_t i = 0; i < list->n; i++)
		if (kv_streq(list->v[i].name, name))
			return &list->v[i];
	return NULL;
}

/* What the old image has at path. */
static int look_up(struct kv_sqw *w, const char *path, struct kv_sqw_entry *ret)
{
	struct kv_sqw_entry at = { .ref = w->s->super.root_inode_ref, .type = SQFS_INODE_DIR };

	for (const char *p = path; *p == '/';) {
		size_t n = strcspn(++p, "/");
		kv_sqw_entries list = { 0 };
		const struct kv_sqw_entry *next;
		int e = at.type == SQFS_INODE_DIR ? list_of(w, at.ref, &list) : -ENOTDIR;

		if (e < 0)
			return e;
		next = find(&list, kv_strndup(w->arena, p, n));
		if (!next)
			return nonsense(w, path, "is not there");
		at = *next;
		p += n;
	}
	*ret = at;
	return 0;
}

/* ---- carrying out ---- */

static int new_inode(struct kv_sqw *w, const struct kv_edit *edit, struct kv_sqw_inode *ret)
{
	int e = kv_sqw_id(w, edit->uid, &ret->uid);

	if (e == 0)
		e = kv_sqw_id(w, edit->gid, &ret->gid);
	if (e == 0 && w->n_inodes == UINT32_MAX)
		e = kv_sq_fail(w->s, "superblock", SQFS_ERROR_OVERFLOW);
	ret->mode = edit->mode;
	ret->mtime = w->job->edit->now;
	ret->xattr = KV_SQW_NONE;
	ret->number = e == 0 ? ++w->n_inodes : 0;
	return e;
}

/* The name of an extended attribute, and past its value. */
static int next_xattr(sqfs_xattr_reader_t *xr, bool *ret_signs)
{
	sqfs_xattr_entry_t *key = NULL;
	sqfs_xattr_value_t *value = NULL;
	int e = sqfs_xattr_reader_read_key(xr, &key);

	if (e)
		return e;
	*ret_signs = kv_streq((const char *)key->key, "security.ima") ||
		     kv_streq((const char *)key->key, "security.evm");
	e = sqfs_xattr_reader_read_value(xr, key, &value);
	sqfs_free(value);
	sqfs_free(key);
	return e;
}

/* Whether one of the attributes signs the content that a file has. */
static int find_signature(struct kv_sqw *w, uint32_t index, bool *ret)
{
	sqfs_xattr_reader_t *xr = sqfs_xattr_reader_create(0);
	sqfs_xattr_id_t id;
	int e = xr ? sqfs_xattr_reader_load(xr, &w->s->super, &w->s->file, w->s->cmp)
		   : SQFS_ERROR_ALLOC;

	*ret = false;
	if (!e)
		e = sqfs_xattr_reader_get_desc(xr, index, &id);
	if (!e)
		e = sqfs_xattr_reader_seek_kv(xr, &id);
	for (uint32_t i = 0; !e && !*ret && i < id.count; i++)
		e = next_xattr(xr, ret);
	sqfs_destroy(xr);
	return e ? kv_sq_fail(w->s, "table of extended attributes", e) : 0;
}

/* A list of attributes stays as it is, so that one which is of the old content cannot. */
static int kept_xattrs(struct kv_sqw *w, const struct node *n, const struct kv_sqw_entry *old,
		       uint32_t *ret)
{
	sqfs_inode_generic_t *inode;
	bool signs = false;
	int e;

	if (!n->edit->keep_xattrs)
		return 0;
	if (!old || old->type != SQFS_INODE_FILE)
		return nonsense(w, n->edit->path, "is not the file that it was");
	e = kv_sq_inode_at(w->s, old->ref, &inode);
	if (e == 0)
		sqfs_inode_get_xattr_index(inode, ret);
	if (e == 0 && *ret != KV_SQW_NONE)
		e = find_signature(w, *ret, &signs);
	if (signs)
		e = nonsense(w, n->edit->path,
			     "is signed (security.ima), and would not be any more");
	return e;
}

static int edit_dir(struct kv_sqw *w, const struct node *n, const struct kv_sqw_inode *i,
		    uint32_t parent, kv_sqw_entries *list, uint64_t *ret);

/* The entry that an edit leaves in its directory; old is what is there. */
static int make_entry(struct kv_sqw *w, const struct node *n, const struct kv_sqw_entry *old,
		      uint32_t parent, struct kv_sqw_entry *ret)
{
	kv_sqw_entries none = { 0 };
	struct kv_sqw_inode i = { 0 };
	int e;

	if (n->edit->kind == KV_EDIT_NAME) {
		e = look_up(w, n->edit->text, ret);
		ret->name = n->name;
		return e;
	}
	e = new_inode(w, n->edit, &i);
	if (e < 0)
		return e;
	ret->name = n->name;
	ret->number = i.number;
	switch (n->edit->kind) {
	case KV_EDIT_DIR:
		ret->type = SQFS_INODE_DIR;
		return edit_dir(w, n, &i, parent, &none, &ret->ref);
	case KV_EDIT_LINK:
		ret->type = SQFS_INODE_SLINK;
		i.mode = 0777;
		return kv_sqw_link_inode(w, &i, n->edit->text, &ret->ref);
	default:
		ret->type = SQFS_INODE_FILE;
		e = kept_xattrs(w, n, old, &i.xattr);
		return e < 0 ? e : kv_sqw_file_inode(w, &i, n->data, &ret->ref);
	}
}

static int edit_old_dir(struct kv_sqw *w, const struct node *n, uint64_t *ref);

static int edit_entry(struct kv_sqw *w, const struct node *n, uint32_t parent, kv_sqw_entries *list)
{
	struct kv_sqw_entry *old = find(list, n->name), new = { 0 };
	enum kv_edit_kind kind;
	int e;

	if (!n->edit) {
		if (!old || old->type != SQFS_INODE_DIR)
			return nonsense(w, n->name, "is no directory of the image");
		return edit_old_dir(w, n, &old->ref);
	}
	kind = n->edit->kind;
	if (old && ((kind != KV_EDIT_FILE && kind != KV_EDIT_LINK && kind != KV_EDIT_REMOVE) ||
		    (old->type != SQFS_INODE_FILE && old->type != SQFS_INODE_SLINK)))
		return nonsense(w, n->edit->path, "exists already");
	if (kind != KV_EDIT_DIR && n->below.n)
		return nonsense(w, n->edit->path, "is no directory");
	if (kind == KV_EDIT_REMOVE) {
		if (!old)
			return nonsense(w, n->edit->path, "is not there");
		list->n--;
		memmove(old, old + 1, (size_t)(list->v + list->n - old) * sizeof(*old));
		return 0;
	}
	e = make_entry(w, n, old, parent, &new);
	if (e < 0)
		return e;
	if (old)
		*old = new;
	else
		insert(w, list, new);
	return 0;
}

static int edit_dir(struct kv_sqw *w, const struct node *n, const struct kv_sqw_inode *i,
		    uint32_t parent, kv_sqw_entries *list, uint64_t *ret)
{
	for (size_t j = 0; j < n->below.n; j++) {
		int e = edit_entry(w, n->below.v[j], i->number, list);

		if (e < 0)
			return e;
	}
	/* The root is said to be in a directory whose number is the first that none has. */
	if (parent > w->s->super.inode_count && !*n->name)
		parent = w->n_inodes + 1;
	return kv_sqw_dir_inode(w, i, parent, list, ret);
}

/* A directory of the image: keeps what it is, but for its list and, where a name comes or goes,
 * its time. */
static int edit_old_dir(struct kv_sqw *w, const struct node *n, uint64_t *ref)
{
	sqfs_inode_generic_t *inode;
	struct kv_sqw_inode i;
	kv_sqw_entries list = { 0 };
	uint32_t parent;
	int e = kv_sq_inode_at(w->s, *ref, &inode);

	if (e < 0)
		return e;
	if (!S_ISDIR(inode->base.mode))
		return kv_sq_fail(w->s, "directory table", SQFS_ERROR_CORRUPTED);
	i = (struct kv_sqw_inode){ inode->base.mode,         inode->base.uid_idx,
				   inode->base.gid_idx,      inode->base.mod_time,
				   inode->base.inode_number, KV_SQW_NONE };
	sqfs_inode_get_xattr_index(inode, &i.xattr);
	parent = inode->base.type == SQFS_INODE_DIR ? inode->data.dir.parent_inode
						    : inode->data.dir_ext.parent_inode;
	for (size_t j = 0; j < n->below.n; j++)
		if (n->below.v[j]->edit)
			i.mtime = w->job->edit->now;
	e = list_of(w, *ref, &list);
	return e < 0 ? e : edit_dir(w, n, &i, parent, &list, ref);
}

int kv_sqw_dirs(struct kv_sqw *w)
{
	const kv_edits *edits = w->job->edit->edits;
	struct node root = { .name = "" };

	for (size_t i = 0; i < edits->n; i++) {
		int e = plant(w, &root, &edits->v[i], &w->job->data[i]);

		if (e < 0)
			return e;
	}
	w->n_inodes = w->s->super.inode_count;
	w->root = w->s->super.root_inode_ref;
	return edit_old_dir(w, &root, &w->root);
}
