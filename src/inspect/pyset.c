/*
 * NIXL_PLUGIN_DIR as python's code sets it before there is an agent. NIXL's own package did so up
 * to 0.7.1, where the environment had none; what that comes to is read in its source. Of other code
 * it is told that it sets the variable, as only the code knows to what.
 */
#include "inspect/internal.h"
#include "repair/pytoken.h"

#define VARIABLE "NIXL_PLUGIN_DIR"
#define TAIL     "/plugins/" /* of the directories that NIXL's package tries */
#define MAX_TEXT ((size_t)64 << 10)
#define MOST     4 /* directories tried; real sources have two */

/* A window over the tokens: what is left and right of the one in the middle. */
struct window {
	struct kv_pytokens t;
	struct kv_pytok before[2], at, next, after;
};

static void next(struct window *w)
{
	w->before[0] = w->before[1];
	w->before[1] = w->at;
	w->at = w->next;
	w->next = w->after;
	kv_pytokens_next(&w->t, &w->after);
}

static struct window window(struct kv_span source)
{
	struct window w = { 0 };

	kv_pytokens_init(&w.t, source);
	for (int i = 0; i < 3; i++)
		next(&w);
	return w;
}

static bool is(const struct window *w, const struct kv_pytok *tok, const char *text)
{
	return kv_pytok_is(&w->t, tok, text);
}

static bool is_over(const struct window *w)
{
	return w->at.kind == KV_PYTOK_END || w->at.kind == KV_PYTOK_ERROR;
}

static bool is_string(const struct window *w, const char *text)
{
	return w->at.kind == KV_PYTOK_STRING && w->at.body_end - w->at.body == strlen(text) &&
	       memcmp(w->t.src.p + w->at.body, text, strlen(text)) == 0;
}

enum use { READS, SETS, SETS_BY_NAME };

/* What the code does with the variable whose name is in the middle; anything but a look at it may
 * set it. */
static enum use use(const struct window *w)
{
	if (is(w, &w->before[1], "(") &&
	    (is(w, &w->before[0], "get") || is(w, &w->before[0], "getenv")))
		return READS;
	if (is(w, &w->next, "in") || is(w, &w->next, "not") || is(w, &w->next, "==") ||
	    is(w, &w->before[1], "=="))
		return READS;
	if (!is(w, &w->before[1], "[") || !is(w, &w->next, "]"))
		return SETS;
	return is(w, &w->after, "=") ? SETS_BY_NAME : READS;
}

bool kv_python_sets(struct kv_span source, const char *variable)
{
	struct window w;

	if (kv_span_find(source, 0, variable, strlen(variable)) >= source.n)
		return false;
	for (w = window(source); !is_over(&w); next(&w))
		if (is_string(&w, variable) && use(&w) != READS)
			return true;
	return w.at.kind == KV_PYTOK_ERROR;
}

/* What the package's own code tries: the directories, in order, each behind a part of __file__. */
struct tried {
	const char *dirs[MOST];
	size_t n;
	bool guarded;    /* unless the environment has one */
	bool in_package; /* else by __file__ without its last `less` characters */
	size_t less;
	unsigned sets;
};

static void take(struct kv_facts *f, const struct window *w, struct tried *ret)
{
	const char *text = (const char *)w->t.src.p;
	size_t n = w->at.body_end - w->at.body;

	if (is_string(w, VARIABLE)) {
		enum use u = use(w);

		ret->guarded |= is(w, &w->next, "not") && !ret->sets;
		ret->sets += u == SETS ? 2 : u == SETS_BY_NAME;
	} else if (w->at.kind == KV_PYTOK_STRING && n > strlen(TAIL) &&
		   memcmp(text + w->at.body_end - strlen(TAIL), TAIL, strlen(TAIL)) == 0) {
		if (ret->n < MOST)
			ret->dirs[ret->n++] = kv_strndup(f->arena, text + w->at.body, n);
	} else if (is(w, &w->at, "__file__")) {
		ret->in_package |= is(w, &w->before[1], "(") && is(w, &w->before[0], "dirname");
	} else if (w->at.kind == KV_PYTOK_NUMBER && is(w, &w->before[1], "-") &&
		   is(w, &w->before[0], ":")) {
		ret->less = strtoul(text + w->at.start, NULL, 10);
	}
}

/* The directory that it comes to: the first that is there. False where this is not NIXL's code. */
static bool settle(struct kv_facts *f, const char *file, const struct tried *t, const char **ret)
{
	const char *base =
		t->in_package ? kv_strf(f->arena, "%s/", kv_dirname(f->arena, file)) : NULL;

	if (t->sets != 1 || !t->guarded || !t->n)
		return false;
	if (!base && t->less && t->less < strlen(file))
		base = kv_strndup(f->arena, file, strlen(file) - t->less);
	for (size_t i = 0; base && !*ret && i < t->n; i++) {
		const char *dir = kv_strf(f->arena, "%s%s", base, t->dirs[i]);

		if (kv_root_is_dir(f->root, dir))
			*ret = kv_strndup(f->arena, dir, strlen(dir) - 1);
	}
	return base != NULL;
}

static bool file_sets(struct kv_facts *f, const char *file, struct kv_span *ret)
{
	return kv_root_slurp(f->root, file, MAX_TEXT, ret) == 0 && kv_python_sets(*ret, VARIABLE);
}

void kv_code_plugin_dir(struct kv_facts *f, const struct kv_nixl *n, struct kv_code_dir *ret)
{
	const char *own = kv_join(f->arena, n->path, "__init__.py");
	const char *meta = kv_join(f->arena, n->site, "nixl/__init__.py");
	struct tried t = { 0 };
	struct window w;
	struct kv_span s;

	if (!f->start_was_read)
		f->start_sets = kv_site_code(f, kv_python_sets, VARIABLE);
	f->start_was_read = true;
	*ret = (struct kv_code_dir){ .file = f->start_sets };
	if (!ret->file && n->api_py && kv_python_sets(n->api_source, VARIABLE))
		ret->file = n->api_py;
	if (!ret->file && n->meta && file_sets(f, meta, &s))
		ret->file = meta;
	ret->untold = ret->file != NULL;
	if (ret->untold || !file_sets(f, own, &s))
		return;
	for (w = window(s); !is_over(&w); next(&w))
		take(f, &w, &t);
	ret->untold = !settle(f, own, &t, &ret->dir);
	ret->file = own;
}
