/*
 * KV708: a step of the repair whose failure does not stop the job. Only steps that put libfabric or
 * NIXL in place are looked at; what becomes of a failure, lint_fate.c says.
 */
#include <strings.h>

#include "launch/lint_context.h"

/* Words in which a repair is recognised, also where a variable is in them. */
static bool is_about_fabric(const struct kv_shell_cmd *c)
{
	for (size_t i = 1; i < c->words.n; i++) {
		const char *raw = c->words.v[i].raw;

		if (strcasestr(raw, "fabric") || strcasestr(raw, "nixl") || strcasestr(raw, "/efa"))
			return true;
	}
	return false;
}

/* A copy to a backup, or of what is only read: nothing depends on it. */
static bool is_aside(const struct kv_shell_cmd *c)
{
	static const char *const parts[] = { "backup", ".bak",  ".orig", ".old", ".save",
					     ".log",   ".json", ".csv",  ".txt", ".out" };

	for (size_t k = 1; k < c->words.n; k++)
		for (size_t i = 0; i < KV_ARRAY_SIZE(parts); i++)
			if (strstr(c->words.v[k].raw, parts[i]))
				return true;
	return false;
}

/* The program that it starts; "" where that is not known. */
static const char *program(const struct kv_shell_cmd *c)
{
	return kv_word_text(c, kv_shell_started(c));
}

/* sed that writes its result elsewhere changes nothing. */
static bool only_reads(const struct kv_shell_cmd *c)
{
	if (!kv_streq(kv_basename(program(c)), "sed"))
		return false;
	for (size_t i = kv_shell_started(c); i < c->words.n; i++)
		if (kv_starts(c->words.v[i].raw, "-i") ||
		    kv_starts(c->words.v[i].raw, "--in-place"))
			return false;
	return true;
}

static bool is_step(const struct kv_shell_cmd *c)
{
	static const char *const tools[] = { "cp",  "ln",   "mv",   "install", "sed",   "patch",
					     "tar", "dpkg", "rpm",  "apt-get", "apt",   "yum",
					     "dnf", "pip",  "pip3", "uv",      "rsync", NULL };
	static const char *const always[] = { "ldconfig", NULL };
	const char *first = program(c), *what = kv_word_text(c, kv_shell_started(c) + 1);

	if (c->compound)
		return false;
	if (kv_streq(kv_basename(first), "kvpath"))
		return kv_streq(what, "fix") || kv_streq(what, "check");
	return kv_lint_listed(always, kv_basename(first)) ||
	       (kv_lint_listed(tools, kv_basename(first)) && is_about_fabric(c) && !is_aside(c) &&
		!only_reads(c));
}

static void lint_one(struct kv_job *j, const struct kv_job_shell *s)
{
	struct kv_context x;
	unsigned number = 0;

	kv_context_read(j->arena, s, &x);
	for (size_t i = 0; i < s->shell.cmds.n; i++) {
		const struct kv_shell_cmd *c = &s->shell.cmds.v[i];
		const char *why = is_step(c) ? kv_fate_passed_over(&x, i) : NULL;
		unsigned line, column;

		number += c->depth == 0;
		if (!why)
			continue;
		kv_lint_place(j, s->at[c->start], &line, &column);
		kv_lint_add(j, "KV708", KV_WARNING, line, column,
			    kv_strf(j->arena, "%s, command %u (%s): %s", s->what, number,
				    kv_basename(program(c)), why),
			    "join the steps by &&, or begin with set -e, and let a step that fails "
			    "end the job; kvpath fix does the whole repair in one step");
	}
}

void kv_lint_shells(struct kv_job *j)
{
	for (size_t i = 0; i < j->shells.n; i++)
		if (j->shells.v[i].readable)
			lint_one(j, &j->shells.v[i]);
}
