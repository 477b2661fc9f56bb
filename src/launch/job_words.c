/*
 * Words of bash with places: names in braces that are known only where the job runs. They become
 * variables that launch exports, so that what is printed before is what runs then.
 */
#include <ctype.h>

#include "launch/job.h"
#include "launch/render.h"

#define NAME_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"

/* "decode_0", where the job has such a worker: $KVPATH_DECODE_0. */
static const char *worker_place(const struct kv_job *j, const char *name, size_t n)
{
	for (size_t i = 0; i < j->roles.n; i++) {
		const struct kv_role *r = &j->roles.v[i];
		size_t m = strlen(r->name);
		char *text;

		if (r->kind != KV_ROLE_WORKER || n < m + 2 || strncmp(name, r->name, m) != 0 ||
		    name[m] != '_' || strspn(name + m + 1, "0123456789") < n - m - 1 ||
		    strtoul(name + m + 1, NULL, 10) >= r->count)
			continue;
		text = kv_strf(j->arena, "$KVPATH_%.*s", (int)n, name);
		for (char *c = text; *c; c++)
			*c = (char)toupper((unsigned char)*c);
		return text;
	}
	return NULL;
}

/* A name in braces that stands for something known only when the job runs, as text of bash:
 * "{head}" is $HEAD_NODE_IP. NULL for what is no place. n: length of the name without braces. */
static const char *place_text(const struct kv_job *j, const char *name, size_t n)
{
	static const struct {
		const char *name, *text;
	} places[] = {
		{ "head", "$HEAD_NODE_IP" },    { "kvpath", "$KVPATH_PROGRAM" },
		{ "log_dir", "$KVPATH_LOGS" },  { "results_dir", "$KVPATH_LOGS" },
		{ "job_id", "$SLURM_JOB_ID" },  { "node", "$SLURMD_NODENAME" },
		{ "nginx_url", "$KVPATH_URL" }, { "frontend_url", "$KVPATH_URL" },
	};

	for (size_t i = 0; i < KV_ARRAY_SIZE(places); i++)
		if (strlen(places[i].name) == n && strncmp(places[i].name, name, n) == 0)
			return places[i].text;
	if (n == 8 && strncmp(name, "run_name", n) == 0)
		return kv_shell_word(j->arena, j->name);
	return worker_place(j, name, n);
}

/* The place that starts at s ("{name}"), with its length; NULL. */
static const char *place_at(const struct kv_job *j, const char *s, size_t *ret_n)
{
	size_t n = *s == '{' ? strspn(s + 1, NAME_CHARS) : 0;

	*ret_n = n + 2;
	return n && s[n + 1] == '}' ? place_text(j, s + 1, n) : NULL;
}

/* "${NAME}" at s: its length; 0 for none. */
static size_t reference_at(const char *s)
{
	size_t n = s[0] == '$' && s[1] == '{' && !isdigit((unsigned char)s[2])
			   ? strspn(s + 2, NAME_CHARS)
			   : 0;

	return n && s[n + 2] == '}' ? n + 3 : 0;
}

const char *kv_bash_word(struct kv_arena *a, const char *s)
{
	_buf_ struct kv_buf b = { 0 };

	if (!strchr(s, '\n') || !kv_streq(kv_printable_text(a, s), s))
		return kv_shell_word(a, s);
	kv_buf_str(&b, "'");
	for (; *s; s++)
		kv_buf_add(&b, *s == '\'' ? "'\\''" : s, *s == '\'' ? 4 : 1);
	kv_buf_str(&b, "'");
	return kv_strdup(a, b.text);
}

bool kv_job_word_lives(const struct kv_job *j, const char *s)
{
	size_t n;

	for (; *s; s++)
		if (reference_at(s) || place_at(j, s, &n))
			return true;
	return false;
}

const char *kv_job_word(const struct kv_job *j, const char *s)
{
	_buf_ struct kv_buf b = { 0 };

	if (!kv_job_word_lives(j, s) || !kv_streq(kv_printable_text(j->arena, s), s))
		return kv_bash_word(j->arena, s);
	kv_buf_str(&b, "\"");
	while (*s) {
		size_t n = reference_at(s), place_n;
		const char *place = place_at(j, s, &place_n);

		if (n) {
			kv_buf_add(&b, s, n);
		} else if (place) {
			kv_buf_str(&b, place);
			n = place_n;
		} else {
			if (strchr("\\\"`$", *s))
				kv_buf_str(&b, "\\");
			kv_buf_add(&b, s, 1);
			n = 1;
		}
		s += n;
	}
	kv_buf_str(&b, "\"");
	return kv_strdup(j->arena, b.text);
}

const char *kv_job_line(const struct kv_job *j, const char *s)
{
	_buf_ struct kv_buf b = { 0 };

	while (*s) {
		size_t n = 1;
		const char *place = place_at(j, s, &n);

		if (place) {
			kv_buf_str(&b, place);
		} else {
			kv_buf_add(&b, s, 1);
			n = (s[0] == '{' || s[0] == '}') && s[1] == s[0] ? 2 : 1;
		}
		s += n;
	}
	return kv_strdup(j->arena, b.text ? b.text : "");
}
