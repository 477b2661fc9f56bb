/* The dialects of launchers in which a repair can be written: one file for each. */
#ifndef KV_LAUNCH_RENDER_H
#define KV_LAUNCH_RENDER_H

#include "launch/bring.h"

/* What a dialect is given, beside the backend's name. */
enum kv_writer_needs {
	KV_NEEDS_NOTHING, /* it calls kvpath where the job starts */
	KV_NEEDS_FACTS,   /* the target's */
	KV_NEEDS_BRING,   /* those, and what has to be brought */
};

struct kv_render {
	struct kv_arena *arena;
	const char *backend;
	kv_strv options;              /* kv_wanted_options() */
	kv_strv before_job;           /* those and --env, for what does not see the job's own */
	const char *program;          /* this kvpath on the host, absolute */
	const kv_strv *fabrics;       /* host directories to borrow libfabric from, absolute */
	const struct kv_facts *facts; /* NULL unless needed */
	struct kv_bring bring;
};

struct kv_writer {
	const char *name, *summary;
	enum kv_writer_needs needs;
	/* Prints the text. 0, or 1 where there is none, which was said on stderr. */
	int (*print)(FILE *out, const struct kv_render *r);
};

/* NULL-terminated. */
extern const struct kv_writer *const kv_writers[];

/* ---- for the dialects ---- */

/* Where a job finds kvpath when it is mounted for it. */
#define KV_JOB_PROGRAM "/opt/kvpath/bin/kvpath"

/* The options of a kvpath that is called for a job: its backend, and its memory where that is not
 * the default. */
void kv_wanted_options(struct kv_arena *a, const char *backend, bool vram, kv_strv *ret);
/* s as one word of a POSIX shell; as a scalar of JSON and so of YAML. */
const char *kv_shell_word(struct kv_arena *a, const char *s);
/* Words with spaces between them. */
const char *kv_shell_words(struct kv_arena *a, const kv_strv *words);
const char *kv_json_word(struct kv_arena *a, const char *s);
/* The part of a variable before and behind the '='. */
const char *kv_pair_name(struct kv_arena *a, const char *pair);
const char *kv_pair_value(const char *pair);
/* Comment lines that say what only something inside the container can make; nothing where all is
 * brought. */
void kv_print_left(FILE *out, const struct kv_render *r, const char *who);

#endif
