/*
 * KV geometry: how many bytes of KV cache a token has, how they are cut into descriptors, and how
 * long a link needs for them at least. Read from a Hugging Face config.json. What is not modelled
 * (layers that keep less than every token, caches beside K and V) is refused, never guessed.
 */
#ifndef KV_PROVE_GEOMETRY_H
#define KV_PROVE_GEOMETRY_H

#include "base/base.h"

struct kv_geometry {
	const char *name, *model_type;
	bool mla; /* one latent vector for each token and layer, not K and V */
	uint64_t layers;
	uint64_t kv_heads, head_dim;     /* 0 for MLA */
	uint64_t kv_lora_rank, rope_dim; /* 0 but for MLA */
	uint64_t mtp_layers; /* kept too where the job decodes speculatively with them */
	uint64_t window;     /* some layers keep no more tokens than that; 0: all keep all */
	const char *dtype;   /* of the KV cache, as the config has it: bf16, fp8, ... */
	kv_strv source, notes;
};

/* A type of the cache's elements. Sizes are in sixteenths of a byte for each element. */
struct kv_dtype {
	const char *name;
	unsigned data, scale;
	unsigned mla_token; /* bytes of a token in a layer, a format of its own; 0: not one */
};

struct kv_shape_request {
	uint64_t tokens;
	uint64_t page;     /* tokens of a page (vLLM: a block) */
	uint64_t tp;       /* ranks that the cache is split over */
	const char *dtype; /* NULL or "auto": the config's */
	bool by_page;      /* a page has all layers in one place; else each layer its own buffers */
};

/* Descriptors of one size. */
struct kv_shape_descs {
	const char *what; /* "data" or "scales" */
	uint64_t count;   /* of one rank */
	uint64_t bytes;   /* of one descriptor */
};

struct kv_shape {
	const struct kv_dtype *dtype;
	uint64_t pages;
	uint64_t bytes_per_token;     /* all ranks, one copy */
	uint64_t bytes_per_request;   /* of the tokens alone */
	uint64_t bytes_moved;         /* of whole pages: what is transferred, one copy */
	uint64_t bytes_per_rank;      /* of whole pages */
	uint64_t heads_per_rank;      /* 0 for MLA */
	uint64_t copies;              /* ranks that hold the same bytes */
	uint64_t mtp_bytes_per_token; /* what the MTP layers add */
	struct kv_shape_descs descs[2];
	size_t n_descs;
};

/*
 * Reads the model that `model` names: a file, or else one of those that kvpath knows. 0, or with
 * err filled: -ENOENT, -EINVAL (no config of a model), -ENOTSUP (can't tell). Memory from a.
 */
int kv_geometry_read(struct kv_arena *a, const char *model, struct kv_geometry *ret,
		     struct kv_err *err);
/* 0; -EINVAL where the request does not fit the model, -ENOTSUP where nobody can tell. */
int kv_geometry_shape(const struct kv_geometry *g, const struct kv_shape_request *req,
		      struct kv_shape *ret, struct kv_err *err);
/* "glm-4.7, deepseek-v3, ...": the models that are known by name. */
const char *kv_geometry_names(struct kv_arena *a);

#endif
