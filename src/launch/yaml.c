/* libfyaml's documents, copied into a tree of our own. */
#include <libfyaml.h>

#include "launch/yaml.h"

#define MAX_DEPTH 100

struct copy {
	struct kv_arena *arena;
	const char *path;
	struct kv_err *err;
};

static void place(struct fy_token *t, unsigned *ret_line, unsigned *ret_column)
{
	const struct fy_mark *m = t ? fy_token_start_mark(t) : NULL;

	*ret_line = m ? (unsigned)m->line + 1 : 0;
	*ret_column = m ? (unsigned)m->column + 1 : 0;
}

static struct kv_yaml *copy_node(struct copy *c, struct fy_node *n, int depth);

static void append(struct kv_yaml *parent, struct kv_yaml **last, struct kv_yaml *child)
{
	*(*last ? &(*last)->next : &parent->first) = child;
	*last = child;
}

static int copy_map(struct copy *c, struct fy_node *n, struct kv_yaml *ret, int depth)
{
	struct kv_yaml *last = NULL, *child;
	struct fy_node_pair *pair;
	void *iter = NULL;

	while ((pair = fy_node_mapping_iterate(n, &iter))) {
		struct fy_node *key = fy_node_pair_key(pair);
		const char *name = key ? fy_node_get_scalar0(key) : NULL;

		child = copy_node(c, fy_node_pair_value(pair), depth + 1);
		if (!child)
			return -EINVAL;
		child->key = kv_strdup(c->arena, name ? name : "");
		if (key)
			place(fy_node_get_scalar_token(key), &child->line, &child->column);
		append(ret, &last, child);
	}
	return 0;
}

static int copy_list(struct copy *c, struct fy_node *n, struct kv_yaml *ret, int depth)
{
	struct kv_yaml *last = NULL, *child;
	struct fy_node *item;
	void *iter = NULL;

	while ((item = fy_node_sequence_iterate(n, &iter))) {
		child = copy_node(c, item, depth + 1);
		if (!child)
			return -EINVAL;
		append(ret, &last, child);
	}
	return 0;
}

static struct kv_yaml *copy_node(struct copy *c, struct fy_node *n, int depth)
{
	struct kv_yaml *y = kv_new(c->arena, struct kv_yaml);
	const char *text;
	int r = 0;

	y->text = y->key = "";
	if (depth > MAX_DEPTH) {
		kv_err(c->err, -EINVAL, "%s: nested more than %d deep", c->path, MAX_DEPTH);
		return NULL;
	}
	if (!n) /* "key:" and nothing */
		return y;
	place(fy_node_get_scalar_token(n), &y->value_line, &y->value_column);
	y->line = y->value_line;
	y->column = y->value_column;
	if (fy_node_is_alias(n)) {
		y->kind = KV_YAML_ALIAS;
	} else if (fy_node_is_mapping(n)) {
		y->kind = KV_YAML_MAP;
		r = copy_map(c, n, y, depth);
	} else if (fy_node_is_sequence(n)) {
		y->kind = KV_YAML_LIST;
		r = copy_list(c, n, y, depth);
	} else {
		text = fy_node_get_scalar0(n);
		y->text = kv_strdup(c->arena, text ? text : "");
	}
	return r == 0 ? y : NULL;
}

/* What the parser collected, as one line. */
static int syntax_error(const struct copy *c, struct fy_diag *diag)
{
	void *iter = NULL;
	struct fy_diag_error *e = fy_diag_errors_iterate(diag, &iter);

	if (!e)
		return kv_err(c->err, -EINVAL, "%s: no YAML", c->path);
	return kv_err(c->err, -EINVAL, "%s:%d:%d: no YAML: %s", c->path, e->line, e->column,
		      e->msg ? e->msg : "");
}

static int parse(struct copy *c, struct fy_parser *p, struct fy_diag *diag, kv_yamls *ret)
{
	struct fy_document *d;

	while ((d = fy_parse_load_document(p))) {
		struct fy_node *root = fy_document_root(d);
		struct kv_yaml *y = root ? copy_node(c, root, 0) : NULL;

		fy_parse_document_destroy(p, d);
		if (root && !y)
			return -EINVAL;
		if (y)
			kv_vec_push(c->arena, ret, y);
	}
	return fy_parser_get_stream_error(p) ? syntax_error(c, diag) : 0;
}

int kv_yaml_parse(struct kv_arena *a, const char *path, struct kv_span text, kv_yamls *ret,
		  struct kv_err *err)
{
	struct fy_diag *diag = fy_diag_create(NULL);
	struct fy_parse_cfg cfg = { .flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG, .diag = diag };
	struct copy c = { a, path, err };
	struct fy_parser *p;
	int r;

	if (memchr(text.p, '\0', text.n)) {
		fy_diag_destroy(diag);
		return kv_err(err, -EINVAL, "%s: no text: it has a NUL", path);
	}
	fy_diag_set_collect_errors(diag, true);
	p = fy_parser_create(&cfg);
	if (p && fy_parser_set_string(p, (const char *)text.p, text.n) == 0)
		r = parse(&c, p, diag, ret);
	else
		r = kv_err(err, -ENOMEM, "%s: the parser can not be made", path);
	fy_parser_destroy(p);
	fy_diag_destroy(diag);
	return r;
}

const struct kv_yaml *kv_yaml_get(const struct kv_yaml *map, const char *key)
{
	if (!map || map->kind != KV_YAML_MAP)
		return NULL;
	for (const struct kv_yaml *c = map->first; c; c = c->next)
		if (kv_streq(c->key, key))
			return c;
	return NULL;
}
