/* The two halves of the reader of bash: words (shell_word.c), and the commands that they make
 * (shell.c). */
#ifndef KV_LAUNCH_SHELL_LEX_H
#define KV_LAUNCH_SHELL_LEX_H

#include "launch/shell.h"

#define KV_SHELL_DEPTH    64
#define KV_SHELL_HEREDOCS 16

struct kv_heredoc {
	const char *end;
	bool tabs;
};

struct kv_lexer {
	struct kv_arena *a;
	struct kv_shell *out;
	const char *s;
	size_t at, n;
	bool failed;
	struct kv_heredoc heredocs[KV_SHELL_HEREDOCS];
	size_t n_heredocs;
	/* The compound commands that are open: their places in out, and what closes each. */
	size_t open[KV_SHELL_DEPTH];
	const char *closers[KV_SHELL_DEPTH];
	/* At each depth: the list that is read, what joins its next command to the last, whether a
	 * ! stands in front of the pipeline. */
	unsigned part[KV_SHELL_DEPTH];
	enum kv_shell_op joint[KV_SHELL_DEPTH];
	bool inverted[KV_SHELL_DEPTH];
	unsigned depth;
	const char *function; /* the next compound command is its body */
	bool in_header;       /* of for, select, case: words, and no command */
	bool has_cmd;         /* the last of out is being read */
	size_t current;       /* which that is */
};

/* The character so far behind the place; NUL behind the end. */
char kv_lex_peek(const struct kv_lexer *x, size_t ahead);
/* Past a quoted text that begins at `at`; beyond n where it has no end. */
size_t kv_lex_quoted(const struct kv_lexer *x, size_t at);
/* Past $(...), ${...} or (...), whose first bracket is at `at`; beyond n where it has no end. */
size_t kv_lex_brackets(const struct kv_lexer *x, size_t at);
/* Whether it ends a word. */
bool kv_lex_ends(char c);
/* The word at the place; the reader has failed where a quote has no end. */
struct kv_word kv_lex_word(struct kv_lexer *x);

#endif
