/* kvpath size: how large a model's KV cache is, and what that means on a link. Opens two files. */
#include "report/size.h"
#include "cmd/cmd.h"

static int fail(int r, const struct kv_err *err)
{
	return kv_fail(r == -ENOTSUP ? KV_STATUS_UNKNOWN : KV_STATUS_USAGE, "%s", err->msg);
}

static int run(struct kv_opts *o)
{
	struct kv_shape_request req = {
		.tokens = o->tokens,
		.page = o->page,
		.tp = o->tp,
		.dtype = o->dtype,
		.by_page = o->layout && kv_streq(o->layout, "page"),
	};
	struct kv_geometry model;
	struct kv_shape shape;
	struct kv_size_report report = { &model, &req, &shape, { 0 } };
	struct kv_err err = { 0 };
	int r;

	if (o->args.n != 1)
		return kv_fail(KV_STATUS_USAGE,
			       "size: a CONFIG.json is expected, or a model's name (%s)",
			       kv_geometry_names(o->arena));
	if (!o->tokens)
		return kv_fail(KV_STATUS_USAGE, "size: --tokens N is expected");
	r = kv_geometry_read(o->arena, o->args.v[0], &model, &err);
	if (r == 0)
		r = kv_geometry_shape(&model, &req, &shape, &err);
	for (size_t i = 0; i < o->results.n && r == 0; i++)
		r = kv_rates_read(o->arena, o->results.v[i], shape.descs[0].bytes, &report.measured,
				  &err);
	if (r < 0)
		return fail(r, &err);
	if (o->json)
		return kv_print_json(kv_json_size(o->arena, &report));
	kv_text_size(stdout, o->arena, &report, o->style);
	return KV_STATUS_OK;
}

const struct kv_command kv_cmd_size = {
	.name = "size",
	.usage = "[OPTIONS] CONFIG.json|MODEL --tokens N",
	.summary = "say how many bytes of KV cache a request has, and how long links need for them",
	.options = "tokens page tp dtype layout result json quiet color",
	.help = "CONFIG.json is a model's, as Hugging Face has it; glm-4.7, deepseek-v3, "
		"llama-3.3-70b and qwen3-235b are known\n"
		"by name. Transfers move whole pages. Layout layer: each layer has buffers of its "
		"own, two (K and V), or one for\n"
		"MLA; page: a page has all layers in one place. Times are payload over rate and "
		"nothing else: no transfer is\n"
		"faster. --quiet prints the bytes of a request alone.",
	.examples = "A known model, on four ranks\n"
		    "kvpath size glm-4.7 --tokens 30000 --dtype fp8 --tp 4\n"
		    "With the rates that were measured\n"
		    "kvpath size config.json --tokens 8000 --result bench.json",
	.run = run,
};
