/*
 * sbatch scripts, with pyxis' options of srun (NVIDIA/pyxis, README and args.c): read into a tree
 * like a recipe's:
 *   directives: {OPTION: VALUE}
 *   script: the text
 *   steps: [{container_image, container_mounts, container_env, command: [WORD, ...]}]
 * pyxis hands the job's environment on and then lets the image's own win (pyxis_slurmstepd.c).
 */
#include "launch/recipe.h"
#include "launch/shell.h"

#include "launch/keys.h"

static const char *const shell_keys[] = { "script", NULL };
static const char *const image_keys[] = { "container_image", NULL };
static const char *const mount_keys[] = { "container_mounts", NULL };

struct script {
	struct kv_arena *a;
	struct kv_span text;
	unsigned line; /* of `at`, which only grows */
	size_t at, begin;
};

static void place(struct script *s, struct kv_yaml *y, size_t at)
{
	unsigned column = 1;

	if (at < s->at) {
		s->at = s->begin = 0;
		s->line = 1;
	}
	for (; s->at < at && s->at < s->text.n; s->at++)
		if (s->text.p[s->at] == '\n') {
			s->line++;
			s->begin = s->at + 1;
		}
	for (size_t i = s->begin; i < at && i < s->text.n; i++)
		column += (s->text.p[i] & 0xc0) != 0x80;
	y->at = y->start = at;
	y->line = y->value_line = s->line;
	y->column = y->value_column = column;
}

static struct kv_yaml *node(struct script *s, enum kv_yaml_kind kind, const char *key, size_t at)
{
	struct kv_yaml *y = kv_new(s->a, struct kv_yaml);

	y->kind = kind;
	y->key = key;
	y->text = "";
	place(s, y, at);
	y->end = y->start;
	return y;
}

static struct kv_yaml *scalar(struct script *s, const char *key, const char *text, size_t at,
			      size_t end)
{
	struct kv_yaml *y = node(s, KV_YAML_SCALAR, key, at);

	y->text = text;
	y->end = end;
	return y;
}

static void append(struct kv_yaml *parent, struct kv_yaml **last, struct kv_yaml *child)
{
	*(*last ? &(*last)->next : &parent->first) = child;
	*last = child;
}

/* ---- #SBATCH ---- */

/* --option=value, --option value; short options are not looked at. */
static void read_option(struct script *s, size_t at, size_t end, struct kv_yaml *ret,
			struct kv_yaml **last)
{
	const char *line = kv_strndup(s->a, (const char *)s->text.p + at, end - at);
	const char *p = line + strspn(line, " \t");
	size_t n;

	if (!kv_starts(p, "--"))
		return;
	p += 2;
	n = strcspn(p, "= \t\r");
	if (n)
		append(ret, last,
		       scalar(s, kv_strndup(s->a, p, n), kv_strdup(s->a, p[n] ? p + n + 1 : ""),
			      at + (size_t)(p - line), end));
}

/* They end with the first command (sbatch(1)). */
static struct kv_yaml *read_directives(struct script *s)
{
	struct kv_yaml *ret = node(s, KV_YAML_MAP, "directives", 0), *last = NULL;
	static const char mark[] = "#SBATCH";

	for (size_t at = 0; at < s->text.n;) {
		const uint8_t *nl = memchr(s->text.p + at, '\n', s->text.n - at);
		size_t end = nl ? (size_t)(nl - s->text.p) : s->text.n, n = end - at;

		if (n > strlen(mark) && memcmp(s->text.p + at, mark, strlen(mark)) == 0)
			read_option(s, at + strlen(mark), end, ret, &last);
		else if (n && s->text.p[at] != '#' && s->text.p[at] != '\r')
			break;
		at = end + 1;
	}
	return ret;
}

/* ---- srun ---- */

static const struct option {
	const char *name, *key;
} options[] = {
	{ "--container-image", "container_image" },
	{ "--container-mounts", "container_mounts" },
	{ "--container-env", "container_env" },
};

/* Takes an option of pyxis at word i; how many words it is. What only a shell knows stays raw. */
static size_t take_option(struct script *s, const struct kv_shell_cmd *c, size_t i,
			  struct kv_yaml *step, struct kv_yaml **last)
{
	const struct kv_word *w = &c->words.v[i];

	for (size_t k = 0; k < KV_ARRAY_SIZE(options); k++) {
		size_t n = strlen(options[k].name);
		const char *value;

		if (!kv_starts(w->raw, options[k].name) || (w->raw[n] && w->raw[n] != '='))
			continue;
		if (!w->raw[n] && ++i == c->words.n)
			return 1;
		value = c->words.v[i].text ? c->words.v[i].text : c->words.v[i].raw;
		if (w->raw[n])
			value += value[0] ? n + 1 : 0;
		append(step, last, scalar(s, options[k].key, value, w->start, w->end));
		return w->raw[n] ? 1 : 2;
	}
	return 1;
}

static struct kv_yaml *read_step(struct script *s, const struct kv_shell_cmd *c, size_t first)
{
	struct kv_yaml *step = node(s, KV_YAML_MAP, "", c->start), *last = NULL;
	struct kv_yaml *command = node(s, KV_YAML_LIST, "command", c->start), *word = NULL;

	for (size_t i = first + 1; i < c->words.n;) {
		const struct kv_word *w = &c->words.v[i];

		if (!word && kv_starts(w->raw, "--container-")) {
			i += take_option(s, c, i, step, &last);
			continue;
		}
		if (w->text && !w->name && (word || w->raw[0] != '-')) {
			size_t quote = w->raw[0] == '\'' || w->raw[0] == '"';

			append(command, &word,
			       scalar(s, "", w->text, w->start + quote, w->end - quote));
		}
		i++;
	}
	append(step, &last, command);
	return step;
}

static struct kv_yaml *read_steps(struct script *s)
{
	struct kv_yaml *ret = node(s, KV_YAML_LIST, "steps", 0), *last = NULL;
	struct kv_shell shell;

	if (!kv_shell_read(s->a, s->text, &shell))
		return ret;
	for (size_t i = 0; i < shell.cmds.n; i++) {
		const struct kv_shell_cmd *c = &shell.cmds.v[i];
		size_t first = kv_shell_started(c);

		if (kv_streq(kv_basename(kv_word_text(c, first)), "srun"))
			append(ret, &last, read_step(s, c, first));
	}
	return ret;
}

static struct kv_yaml *read_script(struct kv_arena *a, struct kv_span text)
{
	struct script s = { .a = a, .text = text, .line = 1 };
	struct kv_yaml *root = node(&s, KV_YAML_MAP, "", 0), *last = NULL;

	append(root, &last, read_directives(&s));
	append(root, &last,
	       scalar(&s, "script", kv_strndup(a, (const char *)text.p, text.n), 0, text.n));
	append(root, &last, read_steps(&s));
	return root;
}

static bool has_line(struct kv_span t, const char *begin)
{
	size_t n = strlen(begin);

	for (size_t at = 0; at < t.n;) {
		const uint8_t *nl = memchr(t.p + at, '\n', t.n - at);

		if (t.n - at >= n && memcmp(t.p + at, begin, n) == 0)
			return true;
		at = nl ? (size_t)(nl - t.p) + 1 : t.n;
	}
	return false;
}

static bool is_script(struct kv_span text)
{
	return text.n > 2 && memcmp(text.p, "#!", 2) == 0 && !memchr(text.p, '\0', text.n) &&
	       (has_line(text, "#SBATCH ") || has_line(text, "srun "));
}

const struct kv_dialect kv_dialect_sbatch = {
	.name = "sbatch",
	.is_text = is_script,
	.read = read_script,
	.keys = kv_keys_sbatch,
	.shell_keys = shell_keys,
	.image_keys = image_keys,
	.mount_keys = mount_keys,
	.image_wins = true,
	.abbreviates = true,
};
