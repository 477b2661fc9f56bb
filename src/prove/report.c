/* The agents' JSON. It was written inside the target, so every field is checked before it is
 * believed. */
#include <jansson.h>

#include "prove/parts.h"

static bool get_bool(const json_t *o, const char *key, bool *ret)
{
	const json_t *v = json_object_get(o, key);

	*ret = json_is_true(v);
	return json_is_boolean(v);
}

static bool get_u64(const json_t *o, const char *key, uint64_t *ret)
{
	const json_t *v = json_object_get(o, key);

	if (!json_is_integer(v) || json_integer_value(v) < 0)
		return false;
	*ret = (uint64_t)json_integer_value(v);
	return true;
}

static const char *get_str(struct kv_arena *a, const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s && *s ? kv_strdup(a, s) : NULL;
}

static int report_get(struct kv_arena *a, const json_t *o, struct kv_prove_report *ret,
		      struct kv_err *err)
{
	struct kv_prove_report rep = { 0 };
	const char *missing = NULL;
	struct {
		const char *key;
		bool *value;
	} flags[] = {
		{ "loads", &rep.loads },         { "instantiates", &rep.instantiates },
		{ "registers", &rep.registers }, { "moves", &rep.moves },
		{ "intact", &rep.intact },       { "clean_end", &rep.clean_end },
	};

	for (size_t i = 0; i < KV_ARRAY_SIZE(flags); i++)
		if (!get_bool(o, flags[i].key, flags[i].value))
			missing = flags[i].key;
	if (!get_u64(o, "bytes", &rep.bytes))
		missing = "bytes";
	if (!get_u64(o, "elapsed_us", &rep.elapsed_us))
		missing = "elapsed_us";
	rep.via = get_str(a, o, "via");
	rep.cause = get_str(a, o, "cause");
	rep.agent = get_str(a, o, "agent");
	rep.call = get_str(a, o, "call");
	rep.error = get_str(a, o, "error");
	if (!rep.via)
		missing = "via";
	/* One step proves nothing without those before it. */
	if (rep.intact && !(rep.loads && rep.instantiates && rep.registers && rep.moves))
		missing = "the steps before \"intact\"";
	if (missing)
		return kv_err(err, -EBADMSG, "the agents' report lacks %s", missing);
	*ret = rep;
	return 0;
}

int kv_prove_report_parse(struct kv_arena *a, const char *text, struct kv_prove_report *ret,
			  struct kv_err *err)
{
	char *copy = kv_strdup(a, text), *save = NULL;
	json_t *last = NULL;
	int r;

	for (char *s = strtok_r(copy, "\n", &save); s; s = strtok_r(NULL, "\n", &save)) {
		json_t *o = *s == '{' ? json_loads(s, 0, NULL) : NULL;
		const char *schema = json_string_value(json_object_get(o, "schema"));

		if (schema && kv_streq(schema, "kvpath.probe/1")) {
			json_decref(last);
			last = o;
		} else {
			json_decref(o);
		}
	}
	if (!last)
		return kv_err(err, -ENODATA, "the agents reported nothing");
	r = report_get(a, last, ret, err);
	json_decref(last);
	return r;
}
