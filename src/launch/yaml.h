/* YAML as a plain tree with the place of each node. Aliases stay what they are: nothing is copied
 * for them, so that a small file can not become a large tree. */
#ifndef KV_LAUNCH_YAML_H
#define KV_LAUNCH_YAML_H

#include "base/base.h"

enum kv_yaml_kind { KV_YAML_SCALAR, KV_YAML_LIST, KV_YAML_MAP, KV_YAML_ALIAS };

struct kv_yaml {
	enum kv_yaml_kind kind;
	bool flow;             /* a list or a map between brackets */
	const char *text;      /* a scalar's, "" for others */
	const char *key;       /* its name in a map, "" in a list */
	unsigned line, column; /* from 1; of the key where it has one */
	unsigned value_line, value_column;
	/* Bytes of the text that was parsed. at: of the key, else of the value. A scalar's begin
	 * inside of its quotes; those of a list or map end behind its last item or bracket. */
	size_t at, start, end;
	struct kv_yaml *first, *next; /* its children; the one behind it */
	const struct kv_yaml *of;     /* an alias' node; NULL */
	size_t weight;                /* how many nodes it is, with those of its aliases */
};

typedef KV_VEC(struct kv_yaml *) kv_yamls;

/* The documents of a text. 0, or -EINVAL with err: "path:line:column: why". */
int kv_yaml_parse(struct kv_arena *a, const char *path, struct kv_span text, kv_yamls *ret,
		  struct kv_err *err);
/*
 * Puts the nodes of aliases, and the keys that `<<` merges, in their places: the children are those
 * of the anchor, not copies. Nothing where the tree would have more than `most` nodes.
 */
void kv_yaml_follow(struct kv_arena *a, struct kv_yaml *root, size_t most);
/* The child of a map; NULL. */
const struct kv_yaml *kv_yaml_get(const struct kv_yaml *map, const char *key);

#endif
