/* For lint alone: what was seen of one document, and the rules over it. */
#ifndef KV_LAUNCH_LINT_H
#define KV_LAUNCH_LINT_H

#include "launch/recipe.h"
#include "launch/shell.h"

/* A variable that a process of the job gets. */
struct kv_job_var {
	const char *name;
	const char *value;           /* NULL where it is known only when a shell runs */
	const char *raw;             /* as it is written */
	unsigned line, column;       /* of the value */
	size_t start, end;           /* the value's bytes in the text; equal: not one by one */
	bool in_shell;               /* a shell's: it expands what is in it */
	size_t shell, cmd;           /* then the text and its command, of j->shells */
	bool of_command;             /* what that starts gets it alone */
	bool is_default;             /* ${NAME:-VALUE}: where there is none before */
	bool looked_at, reached;     /* see kv_lint_reaches() */
	bool on_host;                /* set outside of the container */
	bool hidden;                 /* another entry takes its place */
	unsigned rank;               /* of a container's: how deep its list is, see lint_pods.c */
	const struct kv_yaml *scope; /* the map or list that it is in; NULL */
};

/* A text for bash. */
struct kv_job_shell {
	const char *what;           /* "bash_preamble" */
	const struct kv_yaml *node; /* whose text it is */
	bool errexit, pipefail;     /* it begins with set -e, set -o pipefail in effect */
	bool on_host;
	bool flows; /* what it exports, the worker behind it gets */
	bool apart; /* of a process beside the container's own: a probe, a hook */
	bool readable;
	size_t first_var, end_var; /* its own, of j->vars */
	struct kv_shell shell;
	const size_t *at; /* where each byte of it stands in the recipe */
};

struct kv_job_mount {
	const char *host, *guest;
	unsigned line, column;
};

struct kv_job_image {
	const char *path;
	unsigned line, column;
};

/* A container of a pod. */
struct kv_part {
	const struct kv_yaml *node;         /* its map */
	KV_VEC(const struct kv_yaml *) way; /* from the document to that */
	bool serves;                        /* it is none that ends before the others start */
	bool sorts; /* its variables are put in the order of their names (Dynamo, MergeEnvs) */
	bool aside; /* what Dynamo gives its workers, it does not get */
};

typedef KV_VEC(struct kv_part) kv_parts;

struct kv_job {
	struct kv_arena *arena;
	struct kv_lints *lints;
	const struct kv_dialect *dialect;
	const struct kv_yaml *root;
	const struct kv_part *part; /* the container that is looked at; NULL: all of the document */
	KV_VEC(struct kv_job_var) vars;
	KV_VEC(struct kv_job_shell) shells;
	KV_VEC(struct kv_job_mount) mounts;
	KV_VEC(struct kv_job_image) images;
	unsigned depth;          /* of the node that is walked over */
	bool is_apart;           /* it is of a probe or a hook */
	struct kv_map *outside;  /* the names that are set elsewhere than in texts for bash */
	struct kv_map *outlives; /* by name: see kv_lint_reaches() */
	bool mounts_unknown;     /* some are known only when a shell runs */
	bool keeps_ld_path;      /* --container-env names LD_LIBRARY_PATH */
	bool has_device;         /* a pod gets an EFA device, or can see all */
	bool has_env_from;       /* variables come that are not written here */
	bool has_knob;           /* something names NIXL's backend */
	struct {
		const char *name, *mend, *variable; /* "SGLang"; what to add */
		unsigned line, column;
	} framework;                   /* that chooses NIXL; name NULL */
	unsigned efa_line, efa_column; /* where it asks for EFA; 0 */
	const struct kv_yaml *env;     /* the environment of all workers; NULL */
	KV_VEC(size_t) lines;          /* where each begins */
	size_t seen_at, seen_line;     /* the last place that was asked for, its column */
	unsigned seen_column;
};

struct kv_lint *kv_lint_add(struct kv_job *j, const char *id, enum kv_severity level, unsigned line,
			    unsigned column, const char *text, const char *repair);
/* Line and column of a byte. */
void kv_lint_place(struct kv_job *j, size_t at, unsigned *ret_line, unsigned *ret_column);
/* The bytes of the recipe that are this text, as it is; false where quotes or folds changed it. */
bool kv_lint_exact(const struct kv_job *j, size_t start, const char *text, size_t *ret_end);
/* Where each byte of a scalar's text stands, and its end. */
const size_t *kv_lint_map(struct kv_job *j, const struct kv_yaml *y);
bool kv_lint_listed(const char *const *list, const char *s);
/* Whether a name is that of a secret. */
bool kv_lint_is_secret(const char *name);

/* Whether a worker may get that value, as far as the texts for bash tell. */
bool kv_lint_reaches(struct kv_job *j, const struct kv_job_var *v);

/* The containers of a document; none where it has none, or very many. */
void kv_lint_parts(struct kv_arena *a, const struct kv_yaml *root, kv_parts *ret);
/* Whether a container has to do with this child of `parent`. */
bool kv_lint_concerns(const struct kv_part *p, const struct kv_yaml *parent,
		      const struct kv_yaml *child, bool inside);
/* What each variable of a container is in the end: of entries of one name, and of $(NAME). */
void kv_lint_settle_env(struct kv_job *j);
/* Whether one that stands before it in its list is set before it, too. */
bool kv_lint_sees(const struct kv_job *j, const struct kv_job_var *v,
		  const struct kv_job_var *before);

void kv_lint_collect(struct kv_job *j);
void kv_lint_keys(struct kv_job *j);
void kv_lint_vars(struct kv_job *j);
void kv_lint_secrets(struct kv_job *j, const struct kv_yaml *y);
void kv_lint_shells(struct kv_job *j);
void kv_lint_whole(struct kv_job *j);
/* Opens the images that are here. */
void kv_lint_images(struct kv_job *j, bool closed);

#endif
