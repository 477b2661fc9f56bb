/* kvpath lint: what is wrong with launch recipes. Opens those files and nothing else. */
#include "report/lint.h"
#include "cmd/cmd.h"

static int run(struct kv_opts *o)
{
	KV_VEC(const struct kv_lints *) files = { 0 };
	int status = KV_STATUS_OK;

	if (!o->args.n)
		return kv_fail(KV_STATUS_USAGE, "lint: a RECIPE is expected");
	for (size_t i = 0; i < o->args.n; i++) {
		struct kv_lints *l = kv_new(o->arena, struct kv_lints);
		struct kv_err err = { 0 };
		int r = kv_recipe_lint(o->arena, o->args.v[i], l, &err);

		if (r < 0)
			return kv_fail(r == -ENOTSUP ? KV_STATUS_UNKNOWN : KV_STATUS_USAGE, "%s",
				       err.msg);
		kv_vec_push(o->arena, &files, l);
		for (size_t k = 0; k < l->list.n; k++)
			if (l->list.v[k].error || o->strict)
				status = KV_STATUS_OFF;
	}
	if (o->json || o->sarif) {
		int r = kv_print_json(o->json ? kv_json_lint(files.v, files.n)
					      : kv_sarif_lint(o->arena, files.v, files.n, status));

		return r == KV_STATUS_OK ? status : r;
	}
	for (size_t i = 0; i < files.n; i++)
		kv_text_lint(stdout, files.v[i], o->style);
	return status;
}

const struct kv_command kv_cmd_lint = {
	.name = "lint",
	.usage = "[OPTIONS] RECIPE ...",
	.summary = "say what is wrong with launch recipes: variables, keys, the backend, secrets",
	.options = "strict json sarif quiet color",
	.help = "RECIPE is YAML: a recipe of dynamo.tools or srtctl, srtslurm.yaml, a "
		"DynamoGraphDeployment or another object of\n"
		"Kubernetes. Status 1 where there is an error; --strict counts warnings. Values "
		"that may be secret are never printed.",
	.examples = "Before a job is queued\n"
		    "kvpath lint recipe.yaml\n"
		    "For a code host that shows findings\n"
		    "kvpath lint --sarif recipe.yaml >kvpath.sarif",
	.run = run,
};
