/* kvpath explain: a finding's page. */
#include "cmd/cmd.h"

static void list(void)
{
	for (size_t i = 0; kv_rule_id(i); i++)
		printf("%s  %s\n", kv_rule_id(i), kv_rule_title(kv_rule_id(i)));
}

static int run(struct kv_opts *o)
{
	const char *page;
	char *id;

	if (!o->args.n) {
		list();
		return KV_STATUS_OK;
	}
	for (size_t i = 0; i < o->args.n; i++) {
		id = kv_strdup(o->arena, o->args.v[i]);
		for (char *c = id; *c; c++)
			if (*c >= 'a' && *c <= 'z')
				*c = (char)(*c - 'a' + 'A');
		page = kv_rule_page(id);
		if (!page)
			return kv_fail(KV_STATUS_USAGE,
				       "%s: no such finding (kvpath explain lists them)",
				       o->args.v[i]);
		fputs(page, stdout);
	}
	return KV_STATUS_OK;
}

const struct kv_command kv_cmd_explain = {
	.name = "explain",
	.usage = "[ID ...]",
	.summary = "print a finding's page: symptom, cause, how it is detected, repair, source",
	.options = "",
	.help = "Without an id it lists the catalogue.",
	.examples = "One finding\n"
		    "kvpath explain KV101\n"
		    "All of them\n"
		    "kvpath explain",
	.run = run,
};
