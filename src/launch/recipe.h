/*
 * Launch recipes: the dialects that are known, and what is wrong with a recipe. A dialect is one
 * file behind struct kv_dialect; a rule knows no dialect.
 */
#ifndef KV_LAUNCH_RECIPE_H
#define KV_LAUNCH_RECIPE_H

#include "launch/yaml.h"

struct kv_dialect {
	const char *name;
	bool (*is)(const struct kv_yaml *root);
	/* Keys that its top level takes, NULL at the end; a last one "x*" stands for all that begin
	 * so. NULL where they are not public. */
	const char *const *top_keys;
	/* Maps with these names, or that end so behind '_', are of variables; lists of {name,
	 * value} too. NULL at the end. */
	const char *const *env_keys;
	bool literal; /* a variable's value reaches the process as it is written: no shell sees it
		       */
};

extern const struct kv_dialect kv_dialect_dynamo, kv_dialect_srtctl, kv_dialect_srtslurm,
	kv_dialect_k8s;

struct kv_lint {
	const char *id, *text, *repair;
	bool error;
	unsigned line, column;
};

struct kv_lints {
	struct kv_arena *arena;
	const char *path;
	const struct kv_dialect *dialect; /* of the first document that has one */
	KV_VEC(struct kv_lint) list;      /* by place */
};

/* 0 with ret filled; -EINVAL for what is no YAML, -ENOTSUP where no dialect is recognised. */
int kv_recipe_lint(struct kv_arena *a, const char *path, struct kv_lints *ret, struct kv_err *err);

#endif
