/*
 * Which value of a variable a worker may get from a text for bash: the text is gone through in the
 * order in which it runs, one variable at a time. What a condition decides may or may not happen;
 * what ( ), a pipe or & runs changes nothing outside; a function's body runs where it is called
 * (bash(1), COMMAND EXECUTION ENVIRONMENT, ENVIRONMENT).
 */
#include "launch/lint.h"

/* Commands that are looked at for one variable of one text, after which nothing is certain. */
#define MOST_COMMANDS 100000
#define MOST_CALLS    16

typedef KV_VEC(size_t) indexes;

struct flow {
	struct kv_job *j;
	const struct kv_job_shell *s;
	const char *name;
	indexes live;          /* of j->vars: those whose value it may have here */
	bool exported, starts; /* starts: something, up to here */
	indexes bodies;        /* of functions, as they are defined */
	unsigned budget, calls;
};

/* ---- what a command does to it ---- */

/* Programs that start no worker: what they get is of no interest. */
static bool starts_nothing(const struct kv_shell_cmd *c)
{
	static const char *const tools[] = {
		":",           "[",        "alias",   "apt",     "apt-get",    "awk",
		"basename",    "break",    "cat",     "cd",      "chmod",      "chown",
		"continue",    "cp",       "curl",    "cut",     "date",       "declare",
		"df",          "dirname",  "dnf",     "dpkg",    "echo",       "eval",
		"exit",        "export",   "false",   "fi_info", "find",       "free",
		"git",         "grep",     "hash",    "head",    "hostname",   "ibv_devinfo",
		"ibv_devices", "id",       "install", "jq",      "kill",       "ldconfig",
		"ldd",         "let",      "ln",      "local",   "ls",         "lscpu",
		"mkdir",       "mktemp",   "mv",      "nproc",   "nvidia-smi", "patch",
		"patchelf",    "pip",      "pip3",    "pkill",   "popd",       "printenv",
		"printf",      "ps",       "pushd",   "pwd",     "read",       "readlink",
		"readonly",    "realpath", "return",  "rm",      "rpm",        "rsync",
		"scontrol",    "sed",      "set",     "shift",   "shopt",      "sinfo",
		"sleep",       "sort",     "source",  ".",       "squeue",     "strings",
		"tail",        "tar",      "tee",     "test",    "touch",      "tr",
		"trap",        "true",     "type",    "typeset", "ulimit",     "umask",
		"uname",       "unset",    "uv",      "wait",    "wc",         "wget",
		"which",       "whoami",   "xargs",   "yum",     NULL
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
		other |= kv_starts(word, "--export=") && !strstr(word, "ALL");
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

static bool is_live(const struct flow *w, size_t var)
{
	for (size_t i = 0; i < w->live.n; i++)
		if (w->live.v[i] == var)
			return true;
	return false;
}

static void assign(struct flow *w, size_t var, bool certain)
{
	const struct kv_job_var *v = &w->j->vars.v[var];

	/* ${NAME:-VALUE} is what it was, if it was anything. */
	if (v->is_default && w->live.n)
		return;
	if (certain) {
		w->live = (indexes){ 0 };
		kv_vec_push(w->j->arena, &w->live, var);
	} else if (!is_live(w, var)) {
		indexes live = { 0 };

		for (size_t i = 0; i < w->live.n; i++)
			kv_vec_push(w->j->arena, &live, w->live.v[i]);
		kv_vec_push(w->j->arena, &live, var);
		w->live = live;
	}
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
			w->live = (indexes){ 0 };
	}
}

static void reach(struct flow *w)
{
	for (size_t i = 0; w->exported && i < w->live.n; i++)
		w->j->vars.v[w->live.v[i]].reached = true;
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

	for (size_t i = first_at(w, at); i < w->s->end_var && w->j->vars.v[i].cmd == at; i++) {
		if (!kv_streq(w->j->vars.v[i].name, w->name))
			continue;
		if (w->j->vars.v[i].of_command)
			own = &w->j->vars.v[i];
		else
			assign(w, i, certain);
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

static size_t behind(const struct kv_shell *s, size_t i)
{
	for (unsigned depth = s->cmds.v[i].depth; ++i < s->cmds.n;)
		if (s->cmds.v[i].depth <= depth)
			break;
	return i;
}

/* Where the body of a function of that name begins; 0 where there is none. */
static size_t body_of(const struct flow *w, const char *name)
{
	for (size_t i = w->bodies.n; *name && i-- > 0;)
		if (kv_streq(w->s->shell.cmds.v[w->bodies.v[i]].function, name))
			return w->bodies.v[i] + 1;
	return 0;
}

static void take_list(struct flow *w, size_t at, bool certain);

static void take_one(struct flow *w, size_t at, bool certain)
{
	const struct kv_shell_cmd *c = &w->s->shell.cmds.v[at];
	size_t body;

	if (c->function) {
		kv_vec_push(w->j->arena, &w->bodies, at);
		return;
	}
	if (c->compound) {
		take_list(w, at + 1, certain && c->opens);
		return;
	}
	body = body_of(w, kv_word_text(c, kv_shell_started(c)));
	if (!body || w->calls == MOST_CALLS) {
		take_command(w, at, certain);
		return;
	}
	w->calls++;
	take_list(w, body, certain);
	w->calls--;
}

/* From command `at` on all that are as deep. */
static void take_list(struct flow *w, size_t at, bool certain)
{
	const struct kv_shell *s = &w->s->shell;
	enum kv_shell_op before = KV_SHELL_NEXT;

	for (unsigned depth = at < s->cmds.n ? s->cmds.v[at].depth : 0;
	     at < s->cmds.n && s->cmds.v[at].depth == depth && w->budget; at = behind(s, at)) {
		const struct kv_shell_cmd *c = &s->cmds.v[at];
		const struct flow old = *w;
		bool apart = before == KV_SHELL_PIPE || c->next == KV_SHELL_PIPE ||
			     c->next == KV_SHELL_BACKGROUND || (c->opens == '(' && !c->function);

		w->budget--;
		take_one(w, at, certain && before != KV_SHELL_AND && before != KV_SHELL_OR);
		if (apart) {
			w->live = old.live;
			w->exported = old.exported;
		}
		before = c->next;
	}
}

/* ---- the questions ---- */

static struct flow begin(struct kv_job *j, const struct kv_job_shell *s, const char *name)
{
	return (struct flow){ .j = j, .s = s, .name = name, .budget = MOST_COMMANDS };
}

/* Of all variables of that name in the text. */
static void look_at(struct kv_job *j, const struct kv_job_shell *s, const char *name)
{
	struct flow w = begin(j, s, name);

	take_list(&w, 0, /* certain= */ true);
	/* A text that starts nothing is one that others read in. */
	if (s->flows || !w.starts)
		reach(&w);
	for (size_t i = s->first_var; i < s->end_var; i++)
		if (kv_streq(j->vars.v[i].name, name)) {
			j->vars.v[i].looked_at = true;
			j->vars.v[i].reached |= !w.budget;
		}
}

/* Whether a text takes the place of what was set before it. */
static bool survives(struct kv_job *j, const struct kv_job_shell *s, const struct kv_job_var *v)
{
	size_t var = (size_t)(v - j->vars.v);
	struct flow w = begin(j, s, v->name);

	w.exported = true;
	kv_vec_push(j->arena, &w.live, var);
	j->vars.v[var].reached = false;
	take_list(&w, 0, /* certain= */ true);
	return j->vars.v[var].reached || is_live(&w, var) || !w.budget;
}

bool kv_lint_reaches(struct kv_job *j, const struct kv_job_var *v)
{
	if (v->in_shell) {
		if (!v->looked_at)
			look_at(j, &j->shells.v[v->shell], v->name);
		return v->reached;
	}
	for (size_t i = 0; i < j->shells.n; i++)
		if (j->shells.v[i].readable && !survives(j, &j->shells.v[i], v))
			return false;
	return true;
}
