/*
 * Which value of a variable a worker may get from a text for bash: the text is gone through in the
 * order in which it runs, one variable at a time. What a condition decides may or may not happen;
 * what ( ), a pipe or & runs changes nothing outside; a function's body runs where it is called
 * (bash(1), COMMAND EXECUTION ENVIRONMENT, ENVIRONMENT).
 */
#include "launch/lint.h"

/* What is looked at for one variable of one text; beyond that nothing is certain. */
#define MOST_COMMANDS  100000
#define MOST_FUNCTIONS 64
#define MOST_CALLS     16

/* Set elsewhere, before the text. */
#define OUTSIDE SIZE_MAX

/* Whose values the variable may have: the newest first. */
struct value {
	size_t var; /* of j->vars, or OUTSIDE */
	bool reached;
	struct value *older;
};

struct flow {
	struct kv_job *j;
	const struct kv_job_shell *s;
	const char *name;
	struct value *live;
	bool exported, outlives; /* outlives: something that is started gets what is set OUTSIDE */
	bool starts;             /* something, up to here */
	size_t bodies[MOST_FUNCTIONS], n_bodies; /* of functions, as they are defined */
	unsigned budget, calls;
};

/* ---- what a command does to it ---- */

/* Programs that start no worker: what they get is of no interest. */
static bool starts_nothing(const struct kv_shell_cmd *c)
{
	static const char *const tools[] = {
		":",           "[",        "alias",    "apt",      "apt-get",  "awk",
		"basename",    "break",    "cat",      "cd",       "chmod",    "chown",
		"continue",    "cp",       "curl",     "cut",      "date",     "declare",
		"df",          "dirname",  "dnf",      "dpkg",     "echo",     "eval",
		"exit",        "export",   "false",    "fi_info",  "find",     "free",
		"git",         "grep",     "hash",     "head",     "hostname", "ibv_devinfo",
		"ibv_devices", "id",       "install",  "jq",       "kill",     "ldconfig",
		"ldd",         "let",      "ln",       "local",    "ls",       "lscpu",
		"mkdir",       "mktemp",   "ml",       "module",   "mv",       "nproc",
		"nvidia-smi",  "patch",    "patchelf", "pip",      "pip3",     "pkill",
		"popd",        "printenv", "printf",   "ps",       "pushd",    "pwd",
		"read",        "readlink", "readonly", "realpath", "return",   "rm",
		"rpm",         "rsync",    "scontrol", "sed",      "set",      "shift",
		"shopt",       "sinfo",    "sleep",    "sort",     "source",   ".",
		"squeue",      "strings",  "tail",     "tar",      "tee",      "test",
		"touch",       "tr",       "trap",     "true",     "type",     "typeset",
		"ulimit",      "umask",    "uname",    "unset",    "uv",       "wait",
		"wc",          "wget",     "which",    "whoami",   "xargs",    "yum",
		NULL
	};
	static const char *const shells[] = { "bash", "sh", NULL };
	static const char *const workers[] = { "python", "vllm", "sglang", "trtllm",
					       "dynamo", "srun", "mpirun", "torchrun" };
	size_t first = kv_shell_started(c);
	const char *program = kv_basename(kv_word_text(c, first));

	if (first == c->words.n || kv_lint_listed(tools, program))
		return true;
	if (!kv_lint_listed(shells, program) || kv_word_text(c, first + 1)[0] != '-')
		return false;
	for (size_t i = first + 1; i < c->words.n; i++)
		for (size_t k = 0; k < KV_ARRAY_SIZE(workers); k++)
			if (strstr(c->words.v[i].raw, workers[k]))
				return false;
	return true;
}

/* Whether srun's list lets the variable through. */
static bool lets_through(const char *list, const char *name)
{
	for (size_t n; *list; list += n + (list[n] == ',')) {
		n = strcspn(list, ",");
		if ((n == 3 && !strncmp(list, "ALL", n)) ||
		    (n == strlen(name) && !strncmp(list, name, n)))
			return true;
	}
	return false;
}

/* env -i, env -u NAME, srun --export without ALL: what it starts does not get the variable that is
 * there. */
static bool withholds(const struct flow *w, const struct kv_shell_cmd *c)
{
	bool env = false, other = false;

	for (size_t i = 0; i < c->words.n; i++) {
		const char *word = kv_word_text(c, i);

		env |= kv_streq(word, "env");
		other |= env &&
			 (kv_streq(word, "-i") || kv_streq(word, "-") ||
			  kv_streq(word, "--ignore-environment") ||
			  (kv_streq(word, "-u") && kv_streq(kv_word_text(c, i + 1), w->name)) ||
			  (kv_starts(word, "--unset=") &&
			   kv_streq(word + strlen("--unset="), w->name)));
		if (kv_shell_export_list(c, i))
			other |= !lets_through(kv_shell_export_list(c, i), w->name);
	}
	return other;
}

/* Whether a text that is handed to another shell sets it. */
static bool sets_it_inside(const struct flow *w, const struct kv_shell_cmd *c)
{
	const char *sets = kv_strf(w->j->arena, "%s=", w->name);

	for (size_t i = 0; i < c->words.n; i++)
		if (!c->words.v[i].name && c->words.v[i].raw && strpbrk(c->words.v[i].raw, " \n") &&
		    strstr(c->words.v[i].raw, sets))
			return true;
	return false;
}

static void assign(struct flow *w, size_t var, bool certain)
{
	struct value *v;

	/* ${NAME:-VALUE} is what it was, if it was anything. */
	if (var != OUTSIDE && w->j->vars.v[var].is_default && w->live)
		return;
	v = kv_new(w->j->arena, struct value);
	v->var = var;
	v->older = certain ? NULL : w->live;
	w->live = v;
}

/* export NAME, export -n NAME, unset NAME: what the words of a command say of it. */
static void declare(struct flow *w, const struct kv_shell_cmd *c, bool certain)
{
	enum kv_shell_declares how = kv_shell_declares(c);

	for (size_t i = 1; how && i < c->words.n; i++) {
		const struct kv_word *word = &c->words.v[i];

		if (!kv_streq(word->name ? word->name : kv_word_text(c, i), w->name))
			continue;
		if (how == KV_SHELL_EXPORTS)
			w->exported = true;
		else if (certain)
			w->exported = false;
		if (how == KV_SHELL_UNSETS && certain)
			w->live = NULL;
	}
}

/* All that are older than one that was reached were so, too. */
static void reach(struct flow *w)
{
	for (struct value *v = w->live; w->exported && v && !v->reached; v = v->older) {
		v->reached = true;
		if (v->var == OUTSIDE)
			w->outlives = true;
		else
			w->j->vars.v[v->var].reached = true;
	}
}

/* The first variable of the text that is set at this command or behind it. */
static size_t first_at(const struct flow *w, size_t cmd)
{
	size_t low = w->s->first_var, high = w->s->end_var;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (w->j->vars.v[mid].cmd < cmd)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static void take_command(struct flow *w, size_t at, bool certain)
{
	const struct kv_shell_cmd *c = &w->s->shell.cmds.v[at];
	struct kv_job_var *own = NULL; /* of what it starts alone */
	/* What it had before, nothing that is started got. */
	bool first = !w->exported && kv_shell_declares(c) == KV_SHELL_EXPORTS;

	for (size_t i = first_at(w, at); i < w->s->end_var && w->j->vars.v[i].cmd == at; i++) {
		if (!kv_streq(w->j->vars.v[i].name, w->name))
			continue;
		if (w->j->vars.v[i].of_command)
			own = &w->j->vars.v[i];
		else
			assign(w, i, certain || first);
	}
	declare(w, c, certain);
	if (starts_nothing(c))
		return;
	w->starts = true;
	if (own)
		own->reached = true;
	else if (!withholds(w, c) && !sets_it_inside(w, c))
		reach(w);
}

/* ---- the order ---- */

/* The body of a function of that name; false where there is none. */
static bool find_body(const struct flow *w, const char *name, size_t *ret)
{
	for (size_t i = w->n_bodies; *name && i-- > 0;)
		if (kv_streq(w->s->shell.cmds.v[w->bodies[i]].function, name)) {
			*ret = w->bodies[i];
			return true;
		}
	return false;
}

static void take_list(struct flow *w, size_t at, bool certain);

/* What is inside of a compound command; of [[ ]] nothing. */
static void take_inside(struct flow *w, size_t at, bool certain)
{
	const struct kv_shell *s = &w->s->shell;

	if (at + 1 < s->cmds.n && s->cmds.v[at + 1].depth > s->cmds.v[at].depth)
		take_list(w, at + 1, certain);
}

static void take_one(struct flow *w, size_t at, bool certain)
{
	const struct kv_shell_cmd *c = &w->s->shell.cmds.v[at];
	size_t body;

	if (c->function) {
		if (w->n_bodies < MOST_FUNCTIONS)
			w->bodies[w->n_bodies++] = at;
		return;
	}
	if (c->compound) {
		take_inside(w, at,
			    certain && (c->kind == KV_SHELL_GROUP || c->kind == KV_SHELL_SUBSHELL));
		return;
	}
	if (w->calls == MOST_CALLS || !find_body(w, kv_word_text(c, kv_shell_started(c)), &body)) {
		take_command(w, at, certain);
		return;
	}
	w->calls++;
	take_inside(w, body, certain);
	w->calls--;
}

/* From command `at` on all that are as deep. */
static void take_list(struct flow *w, size_t at, bool certain)
{
	const struct kv_shell *s = &w->s->shell;
	enum kv_shell_op before = KV_SHELL_NEXT;

	for (unsigned depth = at < s->cmds.n ? s->cmds.v[at].depth : 0;
	     at < s->cmds.n && s->cmds.v[at].depth == depth && w->budget;
	     at = kv_shell_behind(s, at)) {
		const struct kv_shell_cmd *c = &s->cmds.v[at];
		struct value *live = w->live;
		bool exported = w->exported;
		bool apart = before == KV_SHELL_PIPE || c->next == KV_SHELL_PIPE ||
			     c->next == KV_SHELL_BACKGROUND ||
			     (c->kind == KV_SHELL_SUBSHELL && !c->function);

		w->budget--;
		take_one(w, at, certain && before != KV_SHELL_AND && before != KV_SHELL_OR);
		if (apart) {
			w->live = live;
			w->exported = exported;
		}
		before = c->next;
	}
}

/* ---- the questions ---- */

/* Goes through the text; `set`: the variable is there before. */
static struct flow go_through(struct kv_job *j, const struct kv_job_shell *s, const char *name,
			      bool set)
{
	struct flow w = { .j = j, .s = s, .name = name, .budget = MOST_COMMANDS, .exported = set };

	if (set)
		assign(&w, OUTSIDE, /* certain= */ true);
	take_list(&w, 0, /* certain= */ true);
	/* A text that starts nothing is one that others read in. */
	if (s->flows || !w.starts)
		reach(&w);
	return w;
}

/* Of all variables of that name in the text. */
static void look_at(struct kv_job *j, const struct kv_job_shell *s, const char *name)
{
	struct flow w = go_through(j, s, name, kv_map_get(j->outside, name) != NULL);

	for (size_t i = s->first_var; i < s->end_var; i++)
		if (kv_streq(j->vars.v[i].name, name)) {
			j->vars.v[i].looked_at = true;
			j->vars.v[i].reached |= !w.budget;
		}
}

/* Whether something gets what was set before a text, in spite of that. */
static bool outlives(struct kv_job *j, const struct kv_job_shell *s, const char *name)
{
	struct flow w = go_through(j, s, name, /* set= */ true);

	return w.outlives || !w.budget;
}

bool kv_lint_reaches(struct kv_job *j, const struct kv_job_var *v)
{
	static const char yes[1], no[1];
	bool all = true;
	void **known;

	if (v->hidden || (j->part && !j->part->serves))
		return false;
	if (v->in_shell) {
		if (j->shells.v[v->shell].apart)
			return false;
		if (!v->looked_at)
			look_at(j, &j->shells.v[v->shell], v->name);
		return v->reached;
	}
	if (!j->outlives)
		j->outlives = kv_map_new(j->arena);
	known = kv_map_slot(j->outlives, v->name);
	if (!*known) {
		for (size_t i = 0; all && i < j->shells.n; i++)
			all = j->shells.v[i].apart || !j->shells.v[i].readable ||
			      outlives(j, &j->shells.v[i], v->name);
		*known = (void *)(uintptr_t)(all ? yes : no);
	}
	return *known == yes;
}
