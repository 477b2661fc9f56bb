/*
 * Launch recipes: the dialects that are known, and what is wrong with a recipe. A dialect is one
 * file behind struct kv_dialect; a rule knows no dialect.
 */
#ifndef KV_LAUNCH_RECIPE_H
#define KV_LAUNCH_RECIPE_H

#include "launch/edit.h"
#include "launch/yaml.h"
#include "rules/rules.h"

/* The keys of maps, by where they are (keys.def). */
struct kv_keys {
	const char *path; /* "a/b": names; a '*' stands for any, a '-' for an item of a list */
	bool closed;      /* the launcher refuses others */
	const char *keys; /* separated by blanks; "x*" stands for all that begin so */
};

struct kv_dialect {
	const char *name;
	bool (*is)(const struct kv_yaml *root);
	/* For what is no YAML: whether a text is one, and the tree that it is read into. NULL. */
	bool (*is_text)(struct kv_span text);
	struct kv_yaml *(*read)(struct kv_arena *a, struct kv_span text);
	const struct kv_keys *keys; /* path NULL at the end; NULL: none are known */
	/* Maps with these names, or that end so behind '_', are of variables; lists of {name,
	 * value} too. NULL at the end, as in the other lists. */
	const char *const *env_keys;
	const char *const *shell_keys; /* texts for bash */
	const char *const *image_keys; /* images of containers */
	const char *const *mount_keys; /* {HOST: GUEST}, [HOST:GUEST], "HOST:GUEST,..." */
	/* A variable's value reaches the process as it is written: no shell sees it. */
	bool literal;
	/* The containers are pyxis': what the image sets wins over what the job exports. */
	bool image_wins;
	bool may_mount;        /* the site can add mounts that the recipe does not show */
	bool abbreviates;      /* keys may be cut short */
	bool asks_for_devices; /* a container has those alone that the recipe asks for */
	/* Kubernetes' objects: containers with an environment each (lint_pods.c). */
	bool has_pods;
};

extern const struct kv_dialect kv_dialect_dynamo, kv_dialect_srtctl, kv_dialect_srtslurm,
	kv_dialect_k8s, kv_dialect_sbatch;

struct kv_lint {
	const char *id, *text, *repair;
	enum kv_severity level; /* KV_INFO: it can not be told */
	unsigned line, column;
	struct kv_edit edit; /* what mends it; text NULL where nothing certain does */
	bool done;           /* it has been mended */
};

struct kv_lints {
	struct kv_arena *arena;
	const char *path;
	struct kv_span text;
	const struct kv_dialect *dialect;       /* of the first document that has one */
	KV_VEC(struct kv_lint) list;            /* by place */
	KV_VEC(const struct kv_yaml *) secrets; /* what a diff must not show */
};

struct kv_lint_options {
	bool closed; /* open no image: for a text that nobody trusts */
};

/* 0 with ret filled; -EINVAL for what is no recipe, -ENOTSUP where no dialect is recognised. */
int kv_recipe_lint(struct kv_arena *a, const char *path, const struct kv_lint_options *o,
		   struct kv_lints *ret, struct kv_err *err);
int kv_recipe_lint_text(struct kv_arena *a, const char *path, struct kv_span text,
			const struct kv_lint_options *o, struct kv_lints *ret, struct kv_err *err);

/* The edits of all findings that are mended for certain. */
void kv_recipe_edits(const struct kv_lints *l, kv_edits *ret);
/*
 * Writes the recipe with those edits in place of what it was read from, all or nothing; mode and
 * owner stay. 0 with the findings marked, or -errno; -ESTALE where the file has changed since.
 */
int kv_recipe_fix(struct kv_lints *l, struct kv_err *err);
/* What it would do, as a unified diff; how many places are not shown as they have a secret. */
size_t kv_recipe_diff(FILE *out, const struct kv_lints *l);

#endif
