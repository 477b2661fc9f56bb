/* State files: what a sweep found out, line by line. A line that is cut at the file's end is what a
 * sweep was writing when it ended; any other one that makes no sense ends the reading. */
#include "base/hostlist.h"
#include "prove/sweep.h"

#define SCHEMA "kvpath.sweep-state/1"
/* Of one line; the head has all names. */
#define MAX_LINE ((size_t)4 << 20)

/* ---- writing ---- */

void kv_sweep_state_head(FILE *f, const struct kv_sweep *s)
{
	struct kv_arena *a = kv_arena_new();
	kv_strv names = { 0 };
	json_t *head;
	_free_ char *text = NULL;

	for (uint32_t i = 0; i < s->n; i++)
		kv_vec_push(a, &names, kv_strdup(a, s->nodes[i].name));
	head = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:s}", "nodes",
			 kv_hostlist_compress(a, &names), "launcher", s->launcher, "engine",
			 s->test.engine, "shape", s->test.shape, "op", s->test.op, "mem",
			 s->test.mem, "target", s->test.target, "iters", (json_int_t)s->test.iters,
			 "version", KVPATH_VERSION);
	text = json_dumps(head, JSON_COMPACT);
	json_decref(head);
	fprintf(f, SCHEMA " %s\n", text ? text : "{}");
	fflush(f);
	kv_arena_free(a);
}

void kv_sweep_state_node(FILE *f, const struct kv_sweep *s, uint32_t node, const json_t *brief)
{
	_free_ char *text = json_dumps(brief, JSON_COMPACT);

	fprintf(f, "node %s %s\n", s->nodes[node].name, text ? text : "{}");
	fflush(f);
}

void kv_sweep_state_lost(FILE *f, const struct kv_sweep *s, uint32_t node)
{
	fprintf(f, "lost %s %s\n", s->nodes[node].name, s->nodes[node].lost);
	fflush(f);
}

void kv_sweep_state_rate(FILE *f, struct kv_sweep_pair p, double rate, const char *provider)
{
	fprintf(f, "pair %u %u %.0f %s\n", p.a, p.b, rate, *provider ? provider : "-");
	fflush(f);
}

void kv_sweep_state_fault(FILE *f, struct kv_sweep_pair p, const char *cause, const char *text)
{
	struct kv_arena *a = kv_arena_new_small();

	fprintf(f, "fail %u %u %s %s\n", p.a, p.b, cause, kv_printable(a, text));
	fflush(f);
	kv_arena_free(a);
}

/* ---- reading ---- */

static const char *text_of(struct kv_sweep *s, const json_t *o, const char *key)
{
	return kv_sweep_intern(s, kv_printable(s->arena, kv_json_str(o, key)));
}

static bool same(const struct kv_sweep *s, const kv_strv *names)
{
	if (names->n != s->n)
		return false;
	for (size_t i = 0; i < names->n; i++)
		if (!kv_streq(names->v[i], s->nodes[i].name))
			return false;
	return true;
}

/* The first file says what the sweep is; the others have to be of the same. */
static int read_head(struct kv_arena *a, char *line, struct kv_sweep *s, struct kv_err *err)
{
	json_auto_t *head = NULL;
	kv_strv names = { 0 };
	struct kv_err why = { 0 };
	const char *engine, *shape;

	if (!kv_starts(line, SCHEMA " "))
		return kv_err(err, kv_starts(line, "kvpath.sweep-state/") ? -ENOTSUP : -EINVAL,
			      "its first line does not begin with " SCHEMA);
	head = json_loads(line + strlen(SCHEMA), JSON_REJECT_DUPLICATES, NULL);
	engine = json_string_value(json_object_get(head, "nodes"));
	if (!engine)
		return kv_err(err, -EINVAL, "its first line names no nodes");
	if (kv_hostlist_expand(a, engine, &names, &why) < 0)
		return kv_err(err, -EINVAL, "%s", why.msg);
	if (!s->arena) {
		if (kv_sweep_init(s, a, &names, &why) < 0)
			return kv_err(err, -EINVAL, "%s", why.msg);
		s->launcher = text_of(s, head, "launcher");
		s->test = (struct kv_sweep_test){
			text_of(s, head, "engine"),
			text_of(s, head, "shape"),
			text_of(s, head, "op"),
			text_of(s, head, "mem"),
			text_of(s, head, "target"),
			(uint64_t)json_integer_value(json_object_get(head, "iters")),
		};
		return 0;
	}
	if (!same(s, &names))
		return kv_err(err, -EINVAL, "it is of other nodes: %s", engine);
	engine = text_of(s, head, "engine");
	shape = text_of(s, head, "shape");
	if (!kv_streq(engine, s->test.engine) || !kv_streq(shape, s->test.shape) ||
	    !kv_streq(text_of(s, head, "op"), s->test.op) ||
	    !kv_streq(text_of(s, head, "mem"), s->test.mem))
		return kv_err(err, -EINVAL, "its pairs were measured in another way: %s, %s",
			      engine, shape);
	return 0;
}

/* The next word of a line, which is cut there; "" at its end. */
static char *word(char **at)
{
	char *w = *at, *end = w + strcspn(w, " ");

	*at = *end ? end + 1 : end;
	*end = '\0';
	return w;
}

static bool number(char **at, uint32_t below, uint32_t *ret)
{
	char *w = word(at), *end;
	unsigned long v = strtoul(w, &end, 10);

	*ret = (uint32_t)v;
	return *w >= '0' && *w <= '9' && !*end && v < below;
}

static bool pair(const struct kv_sweep *s, char **at, struct kv_sweep_pair *ret)
{
	return number(at, s->n, &ret->a) && number(at, s->n, &ret->b) && ret->a != ret->b;
}

static bool read_pair(struct kv_sweep *s, char *at, bool failed)
{
	struct kv_sweep_pair p;
	const char *first;
	char *end;
	double rate;

	if (!pair(s, &at, &p))
		return false;
	first = word(&at);
	if (failed) {
		kv_sweep_add_fault(s, p, first, at);
		return *first;
	}
	rate = strtod(first, &end);
	if (end == first || *end || !*at)
		return false;
	kv_sweep_add_rate(s, p, rate, kv_streq(at, "-") ? "" : at);
	return true;
}

static bool read_node(struct kv_sweep *s, char *at, bool lost)
{
	uint32_t node = kv_sweep_node_of(s, word(&at));
	json_auto_t *doc = NULL;

	if (node >= s->n || !*at)
		return false;
	if (lost) {
		kv_sweep_add_lost(s, node, at);
		return true;
	}
	doc = json_loads(at, JSON_REJECT_DUPLICATES, NULL);
	return doc && kv_sweep_add_node(s, node, doc, NULL) == 0;
}

static bool read_line(struct kv_sweep *s, char *line)
{
	const char *kind = word(&line);

	if (kv_streq(kind, "pair") || kv_streq(kind, "fail"))
		return read_pair(s, line, *kind == 'f');
	if (kv_streq(kind, "node") || kv_streq(kind, "lost"))
		return read_node(s, line, *kind == 'l');
	/* A newer kvpath's. */
	return *kind >= 'a' && *kind <= 'z';
}

static int read_lines(struct kv_arena *a, FILE *f, struct kv_sweep *s, struct kv_err *err)
{
	_free_ char *line = NULL;
	size_t cap = 0;
	ssize_t n;

	for (unsigned long i = 1; (n = getline(&line, &cap, f)) > 0; i++) {
		struct kv_err why = { 0 };
		int r;

		if (line[n - 1] != '\n' && i > 1)
			break;
		line[strcspn(line, "\n")] = '\0';
		if ((size_t)n > MAX_LINE)
			return kv_err(err, -EINVAL, "line %lu: longer than any line of a sweep", i);
		r = i > 1 ? 0 : read_head(a, line, s, &why);
		if (r < 0)
			return kv_err(err, r, "no state of this sweep: %s", why.msg);
		if (i > 1 && !read_line(s, line))
			return kv_err(err, -EINVAL, "line %lu: no line of a sweep", i);
	}
	if (ferror(f))
		return kv_err(err, -EIO, "%s", strerror(errno));
	return s->arena ? 0 : kv_err(err, -EINVAL, "no state of a sweep: it is empty");
}

int kv_sweep_state_read(struct kv_arena *a, const char *path, struct kv_sweep *s,
			struct kv_err *err)
{
	struct kv_err why = { 0 };
	FILE *f = fopen(path, "re");
	int r;

	if (!f)
		return kv_err(err, -errno, "%s: %s", path, strerror(errno));
	r = read_lines(a, f, s, &why);
	fclose(f);
	return r < 0 ? kv_err(err, r, "%s: %s", path, why.msg) : 0;
}
