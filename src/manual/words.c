/* What the words of a command line may be, as the tables have it. */
#include "launch/render.h"
#include "manual/manual.h"
#include "prove/geometry.h"

static void split(struct kv_arena *a, const char *list, const char *between, kv_strv *ret)
{
	while (*list) {
		size_t n = strcspn(list, between);

		if (n)
			kv_vec_push(a, ret, kv_strndup(a, list, n));
		list += n;
		list += strspn(list, between);
	}
}

struct kv_words kv_words_of_option(struct kv_arena *a, const struct kv_option *o)
{
	struct kv_words w = { .takes = KV_TAKES_TEXT };

	if (strchr(o->arg, '|')) {
		split(a, o->arg, "|", &w.choices);
	} else if (kv_streq(o->arg, "DIALECT")) {
		for (size_t i = 0; kv_writers[i]; i++)
			kv_vec_push(a, &w.choices, kv_strdup(a, kv_writers[i]->name));
	} else if (kv_streq(o->name, "backend")) {
		split(a, "LIBFABRIC UCX", " ", &w.choices);
	} else if (kv_streq(o->name, "provider")) {
		split(a, "efa tcp", " ", &w.choices);
	} else if (strstr(o->arg, "DIR") || strstr(o->arg, "HOST:")) {
		w.takes = KV_TAKES_DIR;
	} else if (strstr(o->arg, "FILE") || strstr(o->arg, "PATH") || strchr(o->arg, '.')) {
		w.takes = KV_TAKES_FILE;
	}
	if (w.choices.n)
		w.takes = KV_TAKES_CHOICE;
	return w;
}

struct kv_words kv_words_of_command(struct kv_arena *a, const struct kv_command *c)
{
	static const char *const files[] = { "TARGET", "FILE", "IMAGE", "ROOT", "RECIPE", ".json" };
	struct kv_words w = { .takes = KV_TAKES_TEXT };

	for (size_t i = 0; i < KV_ARRAY_SIZE(files); i++)
		if (strstr(c->usage, files[i]))
			w.takes = KV_TAKES_FILE;
	if (strstr(c->usage, "|MODEL"))
		split(a, kv_geometry_names(a), ", ", &w.choices);
	if (strstr(c->usage, "[ID"))
		for (size_t i = 0; kv_rule_id(i); i++)
			kv_vec_push(a, &w.choices, kv_strdup(a, kv_rule_id(i)));
	if (w.choices.n && w.takes == KV_TAKES_TEXT)
		w.takes = KV_TAKES_CHOICE;
	return w;
}

bool kv_words_repeat(const struct kv_option *o)
{
	return kv_streq(o->name, "mount") || strstr(o->help, "(repeatable");
}
