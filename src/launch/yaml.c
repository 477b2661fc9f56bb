/*
 * libfyaml's events, made into a tree of our own. Its documents are not used: of each key they ask
 * all keys before it, which is the square of a map's length.
 */
#include <libfyaml.h>

#include "launch/yaml.h"

#define MAX_DEPTH 100
#define FEW_KEYS  16

struct reader {
	struct kv_arena *arena;
	const char *path;
	struct kv_span text;
	struct kv_err *err;
	struct fy_parser *parser;
	struct kv_map *anchors; /* of the document: the nodes that are read to their ends */
	bool failed;            /* err is filled */
};

/* The names of a map: a list while they are few. */
struct names {
	const char *few[FEW_KEYS];
	size_t n;
	struct kv_map *many;
};

static bool is_new(struct reader *c, struct names *s, const char *name)
{
	void **slot;

	for (size_t i = 0; !s->many && i < s->n; i++)
		if (kv_streq(s->few[i], name))
			return false;
	if (!s->many && s->n < FEW_KEYS) {
		s->few[s->n++] = name;
		return true;
	}
	if (!s->many) {
		s->many = kv_map_new(c->arena);
		for (size_t i = 0; i < s->n; i++)
			*kv_map_slot(s->many, s->few[i]) = s;
	}
	slot = kv_map_slot(s->many, name);
	if (*slot)
		return false;
	*slot = s;
	return true;
}

static struct kv_yaml *fail(struct reader *c, const char *why, unsigned line, unsigned column)
{
	if (!c->failed)
		kv_err(c->err, -EINVAL, "%s:%u:%u: no YAML: %s", c->path, line, column, why);
	c->failed = true;
	return NULL;
}

static void set_start(struct kv_yaml *y, const struct fy_mark *m)
{
	y->line = y->value_line = m ? (unsigned)m->line + 1 : 0;
	y->column = y->value_column = m ? (unsigned)m->column + 1 : 0;
	y->at = y->start = y->end = m ? m->input_pos : 0;
}

static size_t end_of(struct fy_event *e, size_t otherwise)
{
	const struct fy_mark *m = fy_event_end_mark(e);

	return m ? m->input_pos : otherwise;
}

static struct kv_yaml *read_node(struct reader *c, struct fy_event *e, int depth);

/* The node of the next event; NULL at the end of a list or map, and where the reader failed. */
static struct kv_yaml *read_next(struct reader *c, int depth, size_t *ret_end)
{
	struct fy_event *e = fy_parser_parse(c->parser);
	struct kv_yaml *y = NULL;

	if (!e) {
		c->failed = true; /* what the parser says is fetched at the end */
		return NULL;
	}
	if (e->type == FYET_SEQUENCE_END || e->type == FYET_MAPPING_END)
		*ret_end = end_of(e, 0);
	else
		y = read_node(c, e, depth);
	fy_parser_event_free(c->parser, e);
	return y;
}

static void append(struct kv_yaml *parent, struct kv_yaml **last, struct kv_yaml *child)
{
	*(*last ? &(*last)->next : &parent->first) = child;
	*last = child;
	parent->weight += child->weight;
	if (parent->weight < child->weight)
		parent->weight = SIZE_MAX;
}

static void end_at(struct kv_yaml *y, const struct kv_yaml *last, size_t end)
{
	y->end = y->flow || !last ? end : last->end;
}

static void read_map(struct reader *c, struct kv_yaml *ret, int depth)
{
	struct kv_yaml *last = NULL, *key, *child;
	struct names names = { .n = 0 };
	size_t end = ret->end;

	while ((key = read_next(c, depth + 1, &end))) {
		child = read_next(c, depth + 1, &end);
		if (!child)
			return;
		child->key = key->text;
		child->line = key->line;
		child->column = key->column;
		child->at = key->at;
		if (!child->value_line) /* "key:" and nothing */
			child->start = child->end = key->end;
		if (key->kind == KV_YAML_SCALAR && !is_new(c, &names, key->text)) {
			fail(c, "a key twice in one map", key->line, key->column);
			return;
		}
		append(ret, &last, child);
	}
	end_at(ret, last, end);
}

static void read_list(struct reader *c, struct kv_yaml *ret, int depth)
{
	struct kv_yaml *last = NULL, *child;
	size_t end = ret->end;

	while ((child = read_next(c, depth + 1, &end)))
		append(ret, &last, child);
	end_at(ret, last, end);
}

static void read_scalar(struct reader *c, struct kv_yaml *ret, struct fy_event *e)
{
	size_t n = 0;
	const char *text = fy_token_get_text(fy_event_get_token(e), &n);

	if (text)
		ret->text = kv_strndup(c->arena, text, n);
	ret->end = end_of(e, ret->end);
}

static const char *text_of(struct reader *c, struct fy_token *t)
{
	size_t n = 0;
	const char *text = t ? fy_token_get_text(t, &n) : NULL;

	return text ? kv_strndup(c->arena, text, n) : "";
}

static void read_alias(struct reader *c, struct kv_yaml *ret, struct fy_event *e)
{
	ret->kind = KV_YAML_ALIAS;
	ret->end = end_of(e, ret->end);
	ret->of = kv_map_get(c->anchors, text_of(c, e->alias.anchor));
	if (ret->of)
		ret->weight = ret->of->weight;
}

static struct fy_token *anchor_of(const struct fy_event *e)
{
	return e->type == FYET_MAPPING_START    ? e->mapping_start.anchor
	       : e->type == FYET_SEQUENCE_START ? e->sequence_start.anchor
	       : e->type == FYET_SCALAR         ? e->scalar.anchor
						: NULL;
}

static struct kv_yaml *read_node(struct reader *c, struct fy_event *e, int depth)
{
	struct kv_yaml *y = kv_new(c->arena, struct kv_yaml);

	y->text = y->key = "";
	y->weight = 1;
	set_start(y, fy_event_start_mark(e));
	if (depth > MAX_DEPTH) {
		kv_err(c->err, -EINVAL, "%s: nested more than %d deep", c->path, MAX_DEPTH);
		c->failed = true;
		return NULL;
	}
	y->flow = fy_event_get_node_style(e) == FYNS_FLOW;
	switch (e->type) {
	case FYET_ALIAS:
		read_alias(c, y, e);
		break;
	case FYET_MAPPING_START:
		y->kind = KV_YAML_MAP;
		read_map(c, y, depth);
		break;
	case FYET_SEQUENCE_START:
		y->kind = KV_YAML_LIST;
		read_list(c, y, depth);
		break;
	default:
		read_scalar(c, y, e);
	}
	if (anchor_of(e))
		*kv_map_slot(c->anchors, text_of(c, anchor_of(e))) = y;
	return c->failed ? NULL : y;
}

/* A line of control, as templates of Helm and Jinja have them: {{- if ... }}, {% for ... %}. */
static bool is_template(struct kv_span text)
{
	bool first = true;

	for (size_t i = 0; i + 1 < text.n; i++) {
		if (first && text.p[i] == '{' && (text.p[i + 1] == '{' || text.p[i + 1] == '%'))
			return true;
		first = text.p[i] == '\n' || (first && text.p[i] == ' ');
	}
	return false;
}

/* What the parser collected, as one line. */
static int syntax_error(const struct reader *c, struct fy_diag *diag)
{
	const char *template = is_template(c->text) ? "; it is a template: lint what comes of it "
						      "(helm template CHART >FILE)"
						    : "";
	void *iter = NULL;
	struct fy_diag_error *e = fy_diag_errors_iterate(diag, &iter);

	if (!e)
		return kv_err(c->err, -EINVAL, "%s: no YAML%s", c->path, template);
	return kv_err(c->err, -EINVAL, "%s:%d:%d: no YAML: %s%s", c->path, e->line, e->column,
		      e->msg ? e->msg : "", template);
}

static int read_stream(struct reader *c, struct fy_diag *diag, kv_yamls *ret)
{
	struct fy_event *e;
	struct kv_yaml *y;

	while (!c->failed && (e = fy_parser_parse(c->parser))) {
		if (e->type == FYET_SCALAR || e->type == FYET_MAPPING_START ||
		    e->type == FYET_SEQUENCE_START || e->type == FYET_ALIAS) {
			c->anchors = kv_map_new(c->arena);
			y = read_node(c, e, 0);
			if (y)
				kv_vec_push(c->arena, ret, y);
		}
		fy_parser_event_free(c->parser, e);
	}
	if (fy_parser_get_stream_error(c->parser))
		return syntax_error(c, diag);
	return c->failed ? -EINVAL : 0;
}

/* Length of the character at the head of s; 0 where that is no UTF-8. */
static size_t character(struct kv_span s)
{
	/* Below these a shorter one would do. */
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	uint8_t head = s.p[0];
	size_t n = head < 0x80   ? 1
		   : head < 0xc0 ? 0
		   : head < 0xe0 ? 2
		   : head < 0xf0 ? 3
		   : head < 0xf8 ? 4
				 : 0;
	uint32_t c = head & (0x7fU >> n);

	if (n <= 1 || s.n < n)
		return n == 1;
	for (size_t i = 1; i < n; i++) {
		if ((s.p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s.p[i] & 0x3fU);
	}
	return c >= least[n] && c <= 0x10ffff && (c < 0xd800 || c > 0xdfff) ? n : 0;
}

/* The line of the first byte that is no text, of which libfyaml reads some for ever; 0. */
static unsigned wrong_line(struct kv_span text)
{
	unsigned line = 1;
	size_t n;

	for (; text.n; text.p += n, text.n -= n) {
		n = text.p[0] ? character(text) : 0;
		if (!n)
			return line;
		line += text.p[0] == '\n';
	}
	return 0;
}

int kv_yaml_parse(struct kv_arena *a, const char *path, struct kv_span text, kv_yamls *ret,
		  struct kv_err *err)
{
	struct fy_diag *diag = fy_diag_create(NULL);
	struct fy_parse_cfg cfg = { .flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG, .diag = diag };
	struct reader c = { .arena = a, .path = path, .text = text, .err = err };
	unsigned wrong = wrong_line(text);
	int r;

	if (wrong) {
		fy_diag_destroy(diag);
		return kv_err(err, -EINVAL, "%s:%u: no text: a byte that is no UTF-8", path, wrong);
	}
	fy_diag_set_collect_errors(diag, true);
	c.parser = fy_parser_create(&cfg);
	if (c.parser && fy_parser_set_string(c.parser, (const char *)text.p, text.n) == 0)
		r = read_stream(&c, diag, ret);
	else
		r = kv_err(err, -ENOMEM, "%s: the parser can not be made", path);
	fy_parser_destroy(c.parser);
	fy_diag_destroy(diag);
	return r;
}

/* ---- aliases ---- */

/* The keys of a map that are not among `names`, behind those of `into`. */
static void merge(struct kv_arena *a, struct kv_map *names, struct kv_yaml *into,
		  const struct kv_yaml *map)
{
	struct kv_yaml *last = into->first;

	while (last && last->next)
		last = last->next;
	for (const struct kv_yaml *c = map->kind == KV_YAML_MAP ? map->first : NULL; c;
	     c = c->next) {
		void **known = kv_map_slot(names, c->key);
		struct kv_yaml *copy;

		if (*known)
			continue;
		copy = kv_new(a, struct kv_yaml);
		*copy = *c;
		copy->next = NULL;
		*known = copy;
		last = last->next = copy;
	}
}

static void merge_all(struct kv_arena *a, struct kv_yaml *y, struct kv_yaml *merged)
{
	struct kv_map *names = kv_map_new(a);

	for (struct kv_yaml *c = y->first; c; c = c->next)
		*kv_map_slot(names, c->key) = c;
	if (merged->kind == KV_YAML_MAP)
		merge(a, names, y, merged);
	for (const struct kv_yaml *c = merged->kind == KV_YAML_LIST ? merged->first : NULL; c;
	     c = c->next)
		merge(a, names, y, c);
	merged->first = NULL; /* it is nowhere twice */
}

static void follow(struct kv_arena *a, struct kv_yaml *y)
{
	struct kv_yaml *merged = NULL;

	if (y->kind == KV_YAML_ALIAS && y->of) {
		y->kind = y->of->kind;
		y->flow = y->of->flow;
		y->text = y->of->text;
		y->value_line = y->of->value_line;
		y->value_column = y->of->value_column;
		y->start = y->of->start;
		y->end = y->of->end;
		y->first = y->of->first; /* of a node in front, which was gone through */
		return;
	}
	for (struct kv_yaml *c = y->first; c; c = c->next) {
		follow(a, c);
		if (y->kind == KV_YAML_MAP && kv_streq(c->key, "<<"))
			merged = c;
	}
	if (merged)
		merge_all(a, y, merged);
}

void kv_yaml_follow(struct kv_arena *a, struct kv_yaml *root, size_t most)
{
	if (root->weight <= most)
		follow(a, root);
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
