/*
 * Reads a model's config.json as far as its KV cache is concerned. The keys are those of vLLM's
 * ModelConfig.get_total_num_kv_heads() and get_head_size(), and SGLang's ModelConfig: older models
 * name the same things otherwise.
 */
#include <fcntl.h>
#include <jansson.h>

#include "prove/geometry.h"

#define MAX_CONFIG ((size_t)8 << 20)
#define MAX_NUMBER 100000000

extern const struct kv_model {
	const char *name, *text;
} kv_models[];

typedef const char *const names[5];

static names layers_keys = { "num_hidden_layers", "n_layer", "num_layers", "n_layers" };
static names heads_keys = { "num_attention_heads", "n_head", "n_heads" };
static names kv_heads_keys = { "num_key_value_heads", "num_kv_heads", "n_head_kv",
			       "multi_query_group_num" };
static names head_dim_keys = { "head_dim", "kv_channels" };
static names hidden_keys = { "hidden_size", "n_embd", "d_model" };
static names text_keys = { "text_config", "llm_config", "language_config" };
static names window_keys = { "sliding_window", "attention_chunk_size" };

/* Whatever of these is set in a config changes the cache in a way that is not modelled. */
static const struct unmodelled {
	const char *key, *why;
} unmodelled[] = {
	{ "index_topk", "sparse attention keeps an index beside the KV cache" },
	{ "compress_ratios", "layers keep compressed caches" },
	{ "layers_block_type", "layers of several kinds" },
	{ "hybrid_override_pattern", "layers of several kinds" },
	{ "attn_type_list", "layers of several kinds" },
	{ "attn_layer_period", "layers of several kinds" },
	{ "attn_layer_indices", "layers of several kinds" },
	{ "full_attention_interval", "layers with linear attention" },
	{ "linear_num_value_heads", "layers with linear attention" },
	{ "linear_attn_config", "layers with linear attention" },
	{ "mamba_d_state", "layers that keep a state, not K and V" },
	{ "ssm_state_size", "layers that keep a state, not K and V" },
	{ "state_size", "layers that keep a state, not K and V" },
	{ "cross_attention_layers", "layers with cross-attention" },
	{ "is_encoder_decoder", "an encoder, and layers with cross-attention" },
	{ "num_kv_shared_layers", "layers that share a cache" },
	{ "cla_share_factor", "layers that share a cache" },
	{ "block_configs", "layers that differ from one another" },
	{ "swa_num_key_value_heads", "layers that differ from one another" },
	{ "num_global_key_value_heads", "layers that differ from one another" },
	{ "global_head_dim", "layers that differ from one another" },
	{ "attn_config", "an older form of config" },
};

/* Types of models whose layers all keep K and V (or the latent vector) of every token. */
static const char *const uniform_types[] = {
	"llama",       "mistral",     "mixtral", "qwen2",    "qwen2_moe",
	"qwen3",       "qwen3_moe",   "glm4",    "glm4_moe", "glm4_moe_lite",
	"deepseek_v2", "deepseek_v3", "kimi_k2", "phi3",     "minimax_m2",
};

/* The first of the keys that is there and not null. */
static const json_t *find(const json_t *o, names keys, const char **ret_key)
{
	for (size_t i = 0; i < KV_ARRAY_SIZE(*(names *)0) && keys[i]; i++) {
		const json_t *v = json_object_get(o, keys[i]);

		*ret_key = keys[i];
		if (v && !json_is_null(v))
			return v;
	}
	return NULL;
}

/* 0 with *ret = 0 where no key is there. */
static int number(const json_t *o, names keys, uint64_t *ret, struct kv_err *err)
{
	const char *key;
	const json_t *v = find(o, keys, &key);

	*ret = 0;
	if (!v)
		return 0;
	if (json_is_array(v))
		return kv_err(err, -ENOTSUP, "cannot tell: %s differs between layers", key);
	if (!json_is_integer(v) || json_integer_value(v) < 1 || json_integer_value(v) > MAX_NUMBER)
		return kv_err(err, -EINVAL, "%s is no number of such", key);
	*ret = (uint64_t)json_integer_value(v);
	return 0;
}

static bool is_set(const json_t *v)
{
	if (json_is_array(v) || json_is_object(v))
		return json_is_array(v) ? json_array_size(v) : json_object_size(v);
	return json_is_true(v) || (json_is_string(v) && json_string_length(v)) ||
	       (json_is_number(v) && json_number_value(v) != 0);
}

static bool has_uniform_type(const struct kv_geometry *g)
{
	for (size_t i = 0; i < KV_ARRAY_SIZE(uniform_types); i++)
		if (kv_streq(uniform_types[i], g->model_type))
			return true;
	return false;
}

/* layer_types: full attention everywhere, or windows whose size is known. */
static int check_layer_types(const json_t *o, bool has_window, struct kv_err *err)
{
	const json_t *types = json_object_get(o, "layer_types");

	for (size_t i = 0; i < json_array_size(types); i++) {
		const char *type = json_string_value(json_array_get(types, i));

		if (type && kv_streq(type, "full_attention"))
			continue;
		if (!type || !has_window ||
		    (!kv_streq(type, "sliding_attention") && !kv_streq(type, "chunked_attention")))
			return kv_err(err, -ENOTSUP,
				      "cannot tell: layer_types has %s, which is not "
				      "modelled",
				      type ? type : "something else");
	}
	return 0;
}

static int check_modelled(const json_t *o, struct kv_geometry *g, struct kv_err *err)
{
	const json_t *uses = json_object_get(o, "use_sliding_window");

	for (size_t i = 0; i < KV_ARRAY_SIZE(unmodelled); i++)
		if (is_set(json_object_get(o, unmodelled[i].key)))
			return kv_err(err, -ENOTSUP, "cannot tell: %s (%s) is not modelled",
				      unmodelled[i].why, unmodelled[i].key);
	if (!json_is_false(uses)) {
		int r = number(o, window_keys, &g->window, err);

		if (r < 0)
			return r;
	}
	return check_layer_types(o, g->window != 0, err);
}

static int read_mla(const json_t *o, struct kv_geometry *g, struct kv_err *err)
{
	int r = number(o, (names){ "kv_lora_rank" }, &g->kv_lora_rank, err);

	if (r < 0 || !g->kv_lora_rank)
		return r;
	g->mla = true;
	r = number(o, (names){ "qk_rope_head_dim" }, &g->rope_dim, err);
	if (r == 0 && !g->rope_dim)
		return kv_err(err, -EINVAL, "there is kv_lora_rank and no qk_rope_head_dim");
	return r;
}

static int read_heads(const json_t *o, struct kv_geometry *g, struct kv_err *err)
{
	uint64_t heads, hidden, v_dim;
	int r = number(o, heads_keys, &heads, err);

	if (r == 0)
		r = number(o, kv_heads_keys, &g->kv_heads, err);
	if (r == 0)
		r = number(o, head_dim_keys, &g->head_dim, err);
	if (r == 0)
		r = number(o, hidden_keys, &hidden, err);
	if (r == 0)
		r = number(o, (names){ "v_head_dim" }, &v_dim, err);
	if (r < 0)
		return r;
	/* Falcon before its new decoder, and GPTBigCode: one head for all. */
	if (json_is_true(json_object_get(o, "multi_query")) &&
	    !json_is_true(json_object_get(o, "new_decoder_architecture")))
		g->kv_heads = 1;
	if (!g->kv_heads)
		g->kv_heads = heads;
	if (!g->head_dim && heads && hidden % heads == 0)
		g->head_dim = hidden / heads;
	if (!g->kv_heads || !g->head_dim)
		return kv_err(err, -EINVAL, "the config names no %s",
			      g->kv_heads ? "head_dim" : "attention heads");
	if (v_dim && v_dim != g->head_dim)
		return kv_err(err, -ENOTSUP,
			      "cannot tell: K and V of different size are not modelled");
	return 0;
}

/* The cache's type where no option names one: a checkpoint made for an fp8 cache says so. */
static void read_dtype(struct kv_arena *a, const json_t *top, const json_t *o,
		       struct kv_geometry *g)
{
	static const char *const known[][2] = { { "bfloat16", "bf16" },
						{ "float16", "fp16" },
						{ "float32", "fp32" } };
	const char *key;
	const json_t *scheme =
		json_object_get(json_object_get(top, "quantization_config"), "kv_cache_scheme");
	const char *type = json_string_value(find(o, (names){ "torch_dtype", "dtype" }, &key));

	if (!type)
		type = json_string_value(find(top, (names){ "torch_dtype", "dtype" }, &key));
	for (size_t i = 0; type && i < KV_ARRAY_SIZE(known); i++)
		if (kv_streq(type, known[i][0]))
			g->dtype = known[i][1];
	if (!g->dtype)
		kv_vec_push(a, &g->notes,
			    kv_strdup(a, "the config names no type of elements that is known: bf16 "
					 "is assumed"));
	if (!g->dtype)
		g->dtype = "bf16";
	type = json_string_value(json_object_get(scheme, "type"));
	if (type && kv_streq(type, "float") &&
	    json_integer_value(json_object_get(scheme, "num_bits")) == 8) {
		g->dtype = "fp8";
		kv_vec_push(a, &g->notes, kv_strdup(a, "the checkpoint asks for an fp8 KV cache"));
	}
}

static void read_texts(struct kv_arena *a, const char *model, const json_t *top, const json_t *o,
		       struct kv_geometry *g)
{
	const char *name = json_string_value(json_object_get(top, "_name_or_path"));
	const char *type = json_string_value(json_object_get(o, "model_type"));
	const json_t *sources = json_object_get(top, "kvpath_source");

	g->name = kv_strdup(a, name && *name ? kv_basename(name) : model);
	g->model_type = kv_strdup(a, type ? type : "");
	for (size_t i = 0; i < json_array_size(sources); i++) {
		const char *s = json_string_value(json_array_get(sources, i));

		if (s)
			kv_vec_push(a, &g->source, kv_strdup(a, s));
	}
	if (!has_uniform_type(g))
		kv_vec_push(a, &g->notes,
			    kv_strf(a,
				    "model_type %s is not known: every layer is taken to keep "
				    "all tokens, as nothing in the config says otherwise",
				    *g->model_type ? g->model_type : "(none)"));
}

static int read_config(struct kv_arena *a, const char *model, const json_t *top,
		       struct kv_geometry *g, struct kv_err *err)
{
	const json_t *o = top;
	const char *key;
	int r;

	/* A model of several modes keeps the text model's config inside. */
	if (!find(top, layers_keys, &key) && json_is_object(find(top, text_keys, &key)))
		o = find(top, text_keys, &key);
	r = number(o, layers_keys, &g->layers, err);
	if (r == 0 && !g->layers)
		return kv_err(err, -EINVAL, "no config of a model: it has no num_hidden_layers");
	if (r == 0)
		r = check_modelled(o, g, err);
	if (r == 0)
		r = number(o, (names){ "num_nextn_predict_layers", "mtp_num_hidden_layers" },
			   &g->mtp_layers, err);
	if (r == 0)
		r = read_mla(o, g, err);
	if (r == 0 && !g->mla)
		r = read_heads(o, g, err);
	if (r < 0)
		return r;
	read_texts(a, model, top, o, g);
	read_dtype(a, top, o, g);
	return 0;
}

/* The text of a known model, or of the file. */
static int load_text(struct kv_arena *a, const char *model, struct kv_span *ret, struct kv_err *err)
{
	int r;

	for (const struct kv_model *m = kv_models; m->name; m++)
		if (strcasecmp(m->name, model) == 0 && access(model, F_OK) != 0) {
			*ret = (struct kv_span){ (const uint8_t *)m->text, strlen(m->text) };
			return 0;
		}
	r = kv_read_file(a, model, MAX_CONFIG, ret, err);
	if (r == -ENOENT)
		return kv_err(err, r, "%s: no such file, and no model that is known by name (%s)",
			      model, kv_geometry_names(a));
	return r;
}

int kv_geometry_read(struct kv_arena *a, const char *model, struct kv_geometry *ret,
		     struct kv_err *err)
{
	struct kv_geometry g = { 0 };
	struct kv_err why = { 0 };
	struct kv_span text;
	json_error_t bad;
	json_t *top;
	int r = load_text(a, model, &text, err);

	if (r < 0)
		return r;
	top = json_loadb((const char *)text.p, text.n, JSON_REJECT_DUPLICATES, &bad);
	if (!json_is_object(top)) {
		json_decref(top);
		return kv_err(err, -EINVAL, "%s: no JSON of a model: %s", model,
			      top ? "not an object" : bad.text);
	}
	r = read_config(a, model, top, &g, &why);
	json_decref(top);
	if (r < 0)
		return kv_err(err, r, "%s: %s", model, why.msg);
	*ret = g;
	return 0;
}

const char *kv_geometry_names(struct kv_arena *a)
{
	const char *all = "";

	for (const struct kv_model *m = kv_models; m->name; m++)
		all = kv_strf(a, "%s%s%s", all, *all ? ", " : "", m->name);
	return all;
}
