/* Inside the trees of squashfs images: what is known of one, and asking for more. */
#ifndef KV_ROOT_SQUASH_TREE_H
#define KV_ROOT_SQUASH_TREE_H

#include <dirent.h>
#include <stdatomic.h>

#include "root/squash.h"

/* Something in the image; inode is asked for when its place alone does not do. */
struct kv_sq_node {
	uint64_t ref;
	uint8_t type; /* DT_* */
	struct kv_sq_known *inode;
	const struct kv_sq_node *dir;  /* where it was met, if those beside it are known */
	struct kv_map *names;          /* of a directory, once asked for: -> struct kv_sq_node */
	KV_VEC(struct kv_dirent) list; /* the same as a list, */
	KV_VEC(struct kv_sq_node *) nodes; /* and its nodes */
};

struct kv_sq_known {
	struct kv_stat st;
	uint64_t at;                    /* where in the image its bytes lie as they are, else 0 */
	uint32_t fragment, fragment_at; /* as of struct kv_sq_inode */
	const char *link;
};

/* Lists as they came. */
struct kv_sq_answer {
	uint64_t number;
	uint8_t *bytes;
	size_t n;
};

/* A fragment, unpacked. */
struct kv_sq_piece {
	uint32_t number, n; /* n 0 while unused */
	uint32_t room;
	uint8_t *bytes;
};

struct kv_sq_tree {
	struct kv_tree tree;
	struct kv_arena *arena;
	struct kv_box box;
	int fd; /* of the image, for what lies in it as it is; -1 where nothing is read past the box
		 */
	uint64_t size;
	atomic_bool is_cut;        /* a part of it that was there is gone */
	uint8_t *copy;             /* of the window; KV_SQ_PAYLOAD bytes */
	struct kv_map *dirs;       /* rel -> struct kv_sq_node */
	struct kv_sq_refs *places; /* -> struct kv_sq_node: a directory has one place */
	size_t n_dirs;
	struct kv_sq_refs *inodes; /* -> struct kv_sq_inode as it came, a link's text behind it */
	struct kv_sq_refs *lists;  /* see squash_ahead.c */
	struct kv_sq_answer answers[16];
	uint64_t n_answers;
	size_t ahead;             /* bytes kept of what nobody asked for */
	struct kv_sq_page *pages; /* see squash_file.c */
	struct kv_sq_piece pieces[80];
	size_t next_piece;
};

/* What an answer's payload of n bytes says, as text for people. Memory from a. */
const char *kv_sq_text(struct kv_arena *a, const struct kv_box *box, uint32_t n);
/* Asks; the payload is in the window. An error of the reader cuts the line, as one of the image. */
int kv_sq_ask_window(struct kv_sq_tree *t, const struct kv_sq_request *rq, struct kv_sq_reply *ret);
/* The same, with the payload copied to t->copy, where nobody changes it any more. */
int kv_sq_ask(struct kv_sq_tree *t, struct kv_sq_request rq, struct kv_sq_reply *ret);
/* A map from references. A value is never NULL, and NULL where there is none. */
struct kv_sq_refs *kv_sq_refs_new(struct kv_arena *a);
void *kv_sq_refs_get(const struct kv_sq_refs *r, uint64_t ref);
void kv_sq_refs_put(struct kv_sq_refs *r, uint64_t ref, void *value);

/* The entries of a directory that came along with another one; until something is asked. */
bool kv_sq_known_list(struct kv_sq_tree *t, uint64_t ref, struct kv_span *ret);
/* Asks for them, or for those that follow. */
int kv_sq_ask_list(struct kv_sq_tree *t, const struct kv_sq_request *rq, uint64_t *ret_more,
		   struct kv_span *ret);
void kv_sq_forget_answers(struct kv_sq_tree *t);
/* What the reader says about the inode, asked for or come along. */
int kv_sq_inode_of(struct kv_sq_tree *t, uint64_t ref, const struct kv_sq_inode **ret);

/* Cuts the line, as the image has something that cannot be. -EIO. */
int kv_sq_nonsense(struct kv_sq_tree *t, const char *what);

/*
 * Asks for the entries of the directory rel and adds them to ret, with memory from a. Where dir is
 * given, its names are kept; directories among them are made known in any case. ahead: whether
 * those will be listed too.
 */
int kv_sq_list_dir(struct kv_sq_tree *t, const char *rel, uint64_t ref, struct kv_arena *a,
		   kv_dirents *ret, struct kv_sq_node *dir, bool ahead);
/* The directory at rel, made known. A second place for one directory would make walks endless. */
int kv_sq_know_dir(struct kv_sq_tree *t, const char *rel, uint64_t ref, struct kv_sq_node **ret);

/* An open file of a regular file's node, whose inode is known. 0 or -ENOMEM. */
int kv_sq_open_node(struct kv_sq_tree *t, const struct kv_sq_node *node, struct kv_file **ret);

#endif
