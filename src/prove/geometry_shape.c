/*
 * Bytes and descriptors of a request's KV cache.
 *
 * vLLM's attention backends keep K and V of a layer in two regions and transfer whole blocks, one
 * descriptor for each block and region; MLA has one region for each layer (vllm,
 * nixl_connector.py, register_kv_caches()). SGLang has a buffer for K and one for V of each layer
 * (memory_pool.py) and joins neighbouring pages, so its descriptors are at most as many. With more
 * ranks than KV heads, heads are replicated (vllm, get_num_kv_heads()); an MLA cache always is.
 */
#include "prove/geometry.h"

/*
 * fp8 has one scale for a whole tensor: no bytes with the tokens. fp4 (SGLang's, NVFP4): a byte of
 * scale for 16 elements, in buffers beside the data. fp8_ds_mla (vLLM, FlashMLA): 512 fp8, 4
 * scales of 4 bytes, 64 bf16.
 */
static const struct kv_dtype dtypes[] = {
	{ "bf16", 32, 0, 0 }, { "fp16", 32, 0, 0 }, { "fp32", 64, 0, 0 },
	{ "fp8", 16, 0, 0 },  { "fp4", 8, 1, 0 },   { "fp8_ds_mla", 0, 0, 656 },
};

static const struct kv_dtype *dtype_of(const char *name)
{
	for (size_t i = 0; i < KV_ARRAY_SIZE(dtypes); i++)
		if (kv_streq(dtypes[i].name, name))
			return &dtypes[i];
	return NULL;
}

/* The product of n factors; false where it does not fit, also in JSON's signed integers. */
static bool product(const uint64_t *factors, size_t n, uint64_t *ret)
{
	uint64_t v = 1;

	for (size_t i = 0; i < n; i++)
		if (__builtin_mul_overflow(v, factors[i], &v))
			return false;
	*ret = v;
	return v <= INT64_MAX;
}
#define PRODUCT(ret, ...)                                                                          \
	product((const uint64_t[]){ __VA_ARGS__ },                                                 \
		sizeof((const uint64_t[]){ __VA_ARGS__ }) / sizeof(uint64_t), ret)

/* What one rank keeps of one token in one layer: `parts` vectors (K and V) of data and of scales.
 */
struct vectors {
	uint64_t parts, data, scale;
};

static int vectors_of(const struct kv_geometry *g, const struct kv_dtype *d, uint64_t heads,
		      struct vectors *ret, struct kv_err *err)
{
	uint64_t elements = g->mla ? g->kv_lora_rank + g->rope_dim : heads * g->head_dim;

	if (d->mla_token && !(g->mla && g->kv_lora_rank == 512 && g->rope_dim == 64))
		return kv_err(err, -EINVAL, "%s: a format for MLA with 512 and 64 elements only",
			      d->name);
	if (elements * d->data % 16 || elements * d->scale % 16)
		return kv_err(err, -EINVAL, "%s: %llu elements are no whole bytes", d->name,
			      (unsigned long long)elements);
	*ret = (struct vectors){ g->mla ? 1 : 2,
				 d->mla_token ? d->mla_token : elements * d->data / 16,
				 elements * d->scale / 16 };
	return 0;
}

static int split_heads(const struct kv_geometry *g, uint64_t tp, struct kv_shape *s,
		       struct kv_err *err)
{
	uint64_t more = tp > g->kv_heads ? tp : g->kv_heads, less = tp + g->kv_heads - more;

	if (g->mla) {
		s->copies = tp;
		return 0;
	}
	if (more % less)
		return kv_err(err, -EINVAL, "%llu KV heads can not be split over %llu ranks",
			      (unsigned long long)g->kv_heads, (unsigned long long)tp);
	s->heads_per_rank = tp > g->kv_heads ? 1 : g->kv_heads / tp;
	s->copies = tp > g->kv_heads ? tp / g->kv_heads : 1;
	return 0;
}

/* Adds the descriptors of vectors of `bytes`; false where the numbers do not fit. */
static bool add_descs(const struct kv_geometry *g, const struct kv_shape_request *req,
		      const struct vectors *v, const char *what, uint64_t bytes, struct kv_shape *s)
{
	struct kv_shape_descs *d = &s->descs[s->n_descs];

	if (!bytes)
		return true;
	s->n_descs++;
	d->what = what;
	if (req->by_page) {
		d->count = s->pages;
		return PRODUCT(&d->bytes, req->page, g->layers, v->parts, bytes);
	}
	return PRODUCT(&d->count, s->pages, g->layers, v->parts) &&
	       PRODUCT(&d->bytes, req->page, bytes);
}

static bool add_bytes(const struct kv_geometry *g, const struct kv_shape_request *req,
		      const struct vectors *v, struct kv_shape *s)
{
	uint64_t rank_token, all, moved_rank, whole;

	if (!PRODUCT(&rank_token, g->layers, v->parts, v->data + v->scale) ||
	    !PRODUCT(&all, rank_token, req->tp) ||
	    !PRODUCT(&moved_rank, rank_token, s->pages, req->page) ||
	    !PRODUCT(&whole, moved_rank, req->tp))
		return false;
	s->bytes_per_token = all / s->copies;
	s->bytes_per_rank = moved_rank;
	s->bytes_moved = whole / s->copies;
	s->mtp_bytes_per_token = s->bytes_per_token / g->layers * g->mtp_layers;
	return PRODUCT(&s->bytes_per_request, s->bytes_per_token, req->tokens);
}

int kv_geometry_shape(const struct kv_geometry *g, const struct kv_shape_request *req,
		      struct kv_shape *ret, struct kv_err *err)
{
	const char *name = !req->dtype || kv_streq(req->dtype, "auto") ? g->dtype : req->dtype;
	struct kv_shape s = { .dtype = dtype_of(name) };
	struct vectors v = { 0 };
	int r;

	if (!req->tokens || !req->page || !req->tp)
		return kv_err(err, -EINVAL, "tokens, page and tp are at least 1");
	if (!s.dtype)
		return kv_err(err, -EINVAL, "%s: no such type of a KV cache", name);
	if (g->window && req->tokens > g->window)
		return kv_err(err, -ENOTSUP,
			      "%s: cannot tell: layers that keep %llu tokens at most are not "
			      "modelled beyond that",
			      g->name, (unsigned long long)g->window);
	r = split_heads(g, req->tp, &s, err);
	if (r == 0)
		r = vectors_of(g, s.dtype, s.heads_per_rank, &v, err);
	if (r < 0)
		return r;
	s.pages = req->tokens / req->page + (req->tokens % req->page != 0);
	if (!add_descs(g, req, &v, "data", v.data, &s) ||
	    !add_descs(g, req, &v, "scales", v.scale, &s) || !add_bytes(g, req, &v, &s))
		return kv_err(err, -EINVAL, "%s: that many bytes can not be counted", g->name);
	*ret = s;
	return 0;
}
