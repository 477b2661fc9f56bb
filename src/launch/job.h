/*
 * What a recipe asks to be started, whatever its dialect: roles, and for each the command, image
 * and environment. What the recipe has and nobody here understands is named, never dropped.
 */
#ifndef KV_LAUNCH_JOB_H
#define KV_LAUNCH_JOB_H

#include "launch/yaml.h"

enum kv_role_kind {
	KV_ROLE_SERVICE, /* etcd, nats */
	KV_ROLE_WORKER,
	KV_ROLE_FRONTEND,
	KV_ROLE_CLIENT,
};

/* A variable that is a port of the worker alone: `base`, and its first GPU's number on the node. */
struct kv_role_port {
	const char *name;
	unsigned base;
};

struct kv_role {
	const char *name; /* "prefill" */
	enum kv_role_kind kind;
	unsigned count;       /* of it */
	unsigned gpus;        /* of each; 0: none */
	unsigned nodes;       /* of each */
	bool on_head;         /* beside others on the first node; else on nodes that are its own */
	bool ends;            /* does its work and ends; others serve until they are ended */
	const char *image;    /* NULL: none is named */
	const char *preamble; /* bash in front of the command; NULL */
	const char *command;  /* a line of bash, with places in braces (kv_job_word) */
	struct kv_env env;    /* the recipe's, of this role */
	const char *setup;    /* bash in front of the command, which the check has not; NULL */
	unsigned tasks;       /* on each of its nodes; 0: one */
	bool every_node;      /* each of its nodes serves, not the first one alone */
	kv_strv srun;         /* options for its step */
	KV_VEC(struct kv_role_port) ports;
	/* Of a stand-in (backend_bench.c); else NULL and false. */
	const struct kv_worker_spec *spec;
	const char *peer; /* the role whose worker of the same number is the other side */
	bool measures;    /* what it prints is a document of kvpath bench */
};

struct kv_job {
	struct kv_arena *arena;
	const char *path, *dialect, *name;
	struct kv_span text;          /* of the recipe */
	KV_VEC(struct kv_role) roles; /* in the order in which they are started */
	kv_strv mounts;               /* "HOST:GUEST" */
	kv_strv srun, batch;          /* "--mpi=pmix" */
	kv_strv left;                 /* "recipe.yaml:12: output.s3: what becomes of it" */
	unsigned gpus_per_node;
	const char *served; /* the model's name at the frontend; NULL */
	unsigned port;      /* of the frontend; 0 where there is none */
	unsigned attempts, interval_s;
	bool paired; /* workers are two sides of transfers, and share a token */
};

/*
 * 0 with *ret filled. -EINVAL for what is no recipe or can not be started as it stands, -ENOTSUP
 * for one of another launcher; err says which line, why, and the way out.
 */
int kv_job_read(struct kv_arena *a, const char *path, struct kv_job *ret, struct kv_err *err);

/* Names of variables whose values are secret: never shown, never an argument. */
bool kv_is_secret_name(const char *name);

/* ---- words of bash ---- */

/* As kv_shell_word, but newlines stay what they are. */
const char *kv_bash_word(struct kv_arena *a, const char *s);
/* s as one word: places and ${NAME} are looked up where it runs, all else is as it is written. */
const char *kv_job_word(const struct kv_job *j, const char *s);
/* Whether it has a place or a ${NAME}. */
bool kv_job_word_lives(const struct kv_job *j, const char *s);
/* A line of bash with its places put in; "{{" is a brace. */
const char *kv_job_line(const struct kv_job *j, const char *s);

/* ---- for the dialects ---- */

int kv_job_dynamo(struct kv_job *j, const struct kv_yaml *root, struct kv_err *err);
int kv_job_srtctl(struct kv_job *j, const struct kv_yaml *root, struct kv_err *err);

/* Whether it can be the name of a variable of a shell. */
bool kv_job_is_name(const char *s);
/* Follows a path of keys, "common.workers". NULL where a part is missing. */
const struct kv_yaml *kv_job_get(const struct kv_yaml *map, const char *path);
/* Its text; NULL where it is missing, empty, null, or no scalar. */
const char *kv_job_text(const struct kv_yaml *map, const char *path);
/* A number of at least 1; `other` where it is missing. -EINVAL with err for anything else. */
int kv_job_number(const struct kv_job *j, const struct kv_yaml *map, const char *path,
		  unsigned other, unsigned *ret, struct kv_err *err);
/* Names each key of the map that is not among `known`, separated by spaces. */
void kv_job_rest(struct kv_job *j, const struct kv_yaml *map, const char *at, const char *known);
void kv_job_left(struct kv_job *j, const struct kv_yaml *at, const char *path, const char *why);
/* The pairs of a map of variables. */
void kv_job_env(struct kv_job *j, const struct kv_yaml *map, struct kv_env *ret);
/* "--key=value" of each; "--key" where there is no value. */
void kv_job_options(struct kv_job *j, const struct kv_yaml *map, const char *at,
		    const char *refused, kv_strv *ret);
/* container_mounts, and health_check. */
void kv_job_mounts(struct kv_job *j, const struct kv_yaml *map);
int kv_job_health(struct kv_job *j, const struct kv_yaml *root, struct kv_err *err);

/* Flags of a program: " --key value". A later map wins. without: names between spaces. again: a
 * list repeats its flag. */
const char *kv_job_flags(const struct kv_job *j, const struct kv_yaml *const flags[2],
			 const char *without, bool again);
/* etcd and nats on the first node, unless the job's environment names others. */
void kv_job_services(struct kv_job *j, const char *image, const struct kv_env *env, bool on_head);
/* Dynamo's frontend on the first node. */
void kv_job_frontend(struct kv_job *j, const char *image, const struct kv_env *env,
		     const char *flags, const char *preamble);

#endif
