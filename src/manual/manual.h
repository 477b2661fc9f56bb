/*
 * Man pages and completions, made of the tables that --help prints. kvpath-manual runs when kvpath
 * is built and is not installed.
 */
#ifndef KV_MANUAL_MANUAL_H
#define KV_MANUAL_MANUAL_H

#include "cmd/cmd.h"

/* What a word of the command line may be. */
enum kv_takes { KV_TAKES_TEXT, KV_TAKES_FILE, KV_TAKES_DIR, KV_TAKES_CHOICE };

struct kv_words {
	enum kv_takes takes;
	kv_strv choices;
};

/* The value of an option that has one. */
struct kv_words kv_words_of_option(struct kv_arena *a, const struct kv_option *o);
/* The words after the options; KV_TAKES_TEXT where there are none. Choices may come beside files.
 */
struct kv_words kv_words_of_command(struct kv_arena *a, const struct kv_command *c);
bool kv_words_repeat(const struct kv_option *o);

/* The page of a command; of the program where c is NULL. */
void kv_manual_page(FILE *out, const struct kv_command *c);
void kv_manual_bash(FILE *out, struct kv_arena *a);
void kv_manual_zsh(FILE *out, struct kv_arena *a);
void kv_manual_fish(FILE *out, struct kv_arena *a);

#endif
