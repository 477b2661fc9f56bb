/* What a command of bash is about: what is behind it, what it starts, what it declares. */
#include "launch/shell.h"

size_t kv_shell_behind(const struct kv_shell *s, size_t i)
{
	for (unsigned depth = s->cmds.v[i].depth; ++i < s->cmds.n;)
		if (s->cmds.v[i].depth <= depth)
			break;
	return i;
}

/* How many words of env's options stand at i (env(1)). */
static size_t env_options(const struct kv_shell_cmd *c, size_t i)
{
	size_t n = 0;

	for (const char *w; *(w = kv_word_text(c, i + n)) == '-'; n++)
		n += kv_streq(w, "-u") || kv_streq(w, "-C");
	return n;
}

size_t kv_shell_started(const struct kv_shell_cmd *c)
{
	static const char *const words[] = { "exec", "env", "time", "nohup", "command" };
	size_t i = 0, k;

	while (i < c->words.n) {
		for (k = 0; k < KV_ARRAY_SIZE(words); k++)
			if (kv_streq(words[k], kv_word_text(c, i)))
				break;
		if (!c->words.v[i].name && k == KV_ARRAY_SIZE(words))
			break;
		i += 1 + (k == 1 ? env_options(c, i + 1) : 0);
	}
	return i < c->words.n ? i : c->words.n;
}

enum kv_shell_declares kv_shell_declares(const struct kv_shell_cmd *c)
{
	const char *first = kv_word_text(c, 0), *option = kv_word_text(c, 1);

	if (kv_streq(first, "unset"))
		return kv_streq(option, "-f") ? KV_SHELL_DECLARES_NOT : KV_SHELL_UNSETS;
	if (kv_streq(first, "export"))
		return kv_streq(option, "-n") ? KV_SHELL_KEEPS_IN : KV_SHELL_EXPORTS;
	if (!kv_streq(first, "declare") && !kv_streq(first, "typeset"))
		return KV_SHELL_DECLARES_NOT;
	return !strchr(option, 'x') ? KV_SHELL_DECLARES_NOT
	       : option[0] == '-'   ? KV_SHELL_EXPORTS
	       : option[0] == '+'   ? KV_SHELL_KEEPS_IN
				    : KV_SHELL_DECLARES_NOT;
}

const char *kv_shell_export_list(const struct kv_shell_cmd *c, size_t i)
{
	static const char option[] = "--export=";

	if (kv_starts(kv_word_text(c, i), option))
		return kv_word_text(c, i) + strlen(option);
	return i && i < c->words.n && kv_streq(kv_word_text(c, i - 1), "--export")
		       ? c->words.v[i].text
		       : NULL;
}
