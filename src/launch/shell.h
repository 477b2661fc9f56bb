/*
 * A bash text read as far as that is possible without running it: the simple commands, how they are
 * joined, and their words. What a word is where it is known only when it runs, is NULL.
 */
#ifndef KV_LAUNCH_SHELL_H
#define KV_LAUNCH_SHELL_H

#include "base/base.h"

enum kv_shell_op {
	KV_SHELL_END,
	KV_SHELL_NEXT, /* ; or a newline */
	KV_SHELL_AND,
	KV_SHELL_OR,
	KV_SHELL_PIPE,
	KV_SHELL_BACKGROUND,
};

enum kv_shell_kind {
	KV_SHELL_OTHER, /* simple, [[ ]], (( )), while, until, select */
	KV_SHELL_SUBSHELL,
	KV_SHELL_GROUP,
	KV_SHELL_IF,
	KV_SHELL_FOR,
	KV_SHELL_CASE,
};

struct kv_word {
	const char *text;  /* quotes taken away; NULL where it is known only when it runs */
	const char *raw;   /* as it is written */
	const char *name;  /* of NAME=VALUE, the rest is then about VALUE; NULL */
	size_t start, end; /* in the text */
};

/* A simple command, or one that has others in it (if, for, {, a function ...), which has no words.
 */
struct kv_shell_cmd {
	KV_VEC(struct kv_word) words;
	bool compound;
	enum kv_shell_kind kind;
	const char *function; /* whose body it is; NULL */
	unsigned depth;       /* 0: of the text itself */
	size_t inside;        /* the compound command that it is in; 0 where depth is */
	/* Which list of that: of if, while and until an even one is looked at, an odd one is not;
	 * of case one for each pattern. */
	unsigned part;
	bool inverted; /* of a pipeline behind ! */
	enum kv_shell_op before, next;
	size_t start, end; /* end: of a compound one */
};

struct kv_shell {
	KV_VEC(struct kv_shell_cmd) cmds; /* in the order of their beginnings */
};

/* False where the text can not be read (a quote without end, ...): nothing is known of it. */
bool kv_shell_read(struct kv_arena *a, struct kv_span text, struct kv_shell *ret);

/* The command behind command i and what is in that; cmds.n where there is none. */
size_t kv_shell_behind(const struct kv_shell *s, size_t i);
/* The word that is started: behind assignments, env and its like. words.n where there is none. */
size_t kv_shell_started(const struct kv_shell_cmd *c);
/* The list that word i is of srun's --export, in one word or two; NULL where it is none. */
const char *kv_shell_export_list(const struct kv_shell_cmd *c, size_t i);
/* What the words of a command that declares variables become. */
enum kv_shell_declares {
	KV_SHELL_DECLARES_NOT,
	KV_SHELL_EXPORTS,  /* export, declare -x, typeset -x */
	KV_SHELL_KEEPS_IN, /* export -n, declare +x */
	KV_SHELL_UNSETS,
};
enum kv_shell_declares kv_shell_declares(const struct kv_shell_cmd *c);
/* The word's text where it is known; "". */
static inline const char *kv_word_text(const struct kv_shell_cmd *c, size_t i)
{
	return i < c->words.n && c->words.v[i].text && !c->words.v[i].name ? c->words.v[i].text
									   : "";
}

#endif
