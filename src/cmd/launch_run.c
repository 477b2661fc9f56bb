/* The steps of a launch, from the checks before the start to the end of the last one. */
#include <signal.h>

#include "cmd/launch.h"
#include "cmd/screen.h"

#define PAUSE_NS 200000000ULL
#define GRACE_NS 10000000000ULL /* for a step that was told to end */
#define LAST_NS  40000000000ULL /* then for srun and Slurm to end it */
#define MAX_DOC  ((size_t)64 << 20)

/* ---- progress ---- */

/* A line of progress. */
static KV_PRINTF(2, 3) void say(const struct kv_launching *g, const char *fmt, ...)
{
	struct kv_arena *a = kv_arena_new_small();
	va_list ap;

	if (g->o->quiet) {
		kv_arena_free(a);
		return;
	}
	va_start(ap, fmt);
	/* On the terminal's other screen the table says it. */
	if (!g->terminal)
		fprintf(stderr, "kvpath: %s\n", kv_masked(&g->r, kv_vstrf(a, fmt, ap)));
	va_end(ap);
	kv_arena_free(a);
}

static void draw(struct kv_launching *g)
{
	FILE *f;

	if (!g->terminal)
		return;
	free(g->text);
	g->text = NULL;
	f = open_memstream(&g->text, &g->text_n);
	if (!f)
		return;
	kv_text_launch_now(f, &g->r);
	for (size_t i = 0; i < g->told.n; i++)
		fprintf(f, "%s\n", g->told.v[i]);
	if (fclose(f) == 0)
		kv_screen_draw(g->text, g->o->style.color);
}

/* Takes note of a signal, waits a moment; true where the end was asked for. */
static bool pause_a_moment(struct kv_launching *g)
{
	enum kv_wake wake;

	draw(g);
	wake = kv_screen_wait(kv_steps_now() + PAUSE_NS);
	g->asked += wake == KV_WAKE_END;
	return wake == KV_WAKE_END;
}

/* ---- ending ---- */

static void wait_until(struct kv_launching *g, struct kv_running *v, size_t n, uint64_t until)
{
	while (kv_steps_alive(v, n) && kv_steps_now() < until) {
		bool again = pause_a_moment(g);

		(void)kv_steps_reap(v, n);
		if (again)
			break;
	}
}

/* Ends what runs among these. */
static void end_steps(struct kv_launching *g, struct kv_running *v, size_t n)
{
	if (!kv_steps_alive(v, n))
		return;
	kv_steps_tell(g->o->arena, v, n, /* hard= */ false);
	wait_until(g, v, n, kv_steps_now() + GRACE_NS);
	if (!kv_steps_alive(v, n))
		return;
	kv_steps_tell(g->o->arena, v, n, /* hard= */ true);
	wait_until(g, v, n, kv_steps_now() + LAST_NS);
	for (size_t i = 0; i < n; i++)
		if (v[i].state == KV_STEP_RUNNING)
			(void)kill(-v[i].pid, SIGKILL);
	wait_until(g, v, n, kv_steps_now() + LAST_NS);
}

/* ---- before the start ---- */

static json_t *read_doc(struct kv_arena *a, const char *path)
{
	struct kv_err err = { 0 };
	struct kv_span text;
	json_t *doc;

	if (kv_read_file(a, path, MAX_DOC, &text, &err) < 0)
		return NULL;
	doc = json_loadb((const char *)text.p, text.n, 0, NULL);
	return json_is_object(doc) && json_object_get(doc, "verdict") ? doc : NULL;
}

/* The image, once, where it is a file or a directory that this machine has. */
static void check_image(struct kv_launching *g)
{
	const struct kv_launch *l = g->r.launch;
	struct kv_arena *a = g->o->arena;
	const char *image = l->how.place == KV_PLACE_ROOT ? l->how.root : NULL, *text = "";
	kv_strv argv = { 0 };
	json_t *doc;

	for (size_t i = 0; l->how.place == KV_PLACE_PYXIS && i < l->checks.n; i++)
		image = l->checks.v[i].role->image;
	if (!image || image[0] != '/' || access(image, R_OK) < 0)
		return;
	kv_vec_push(a, &argv, kv_strdup(a, l->how.program));
	kv_vec_push(a, &argv, kv_strdup(a, "check"));
	kv_vec_push(a, &argv, kv_strdup(a, "--json"));
	for (size_t i = 0; i < l->how.options.n; i++)
		kv_vec_push(a, &argv, kv_strdup(a, l->how.options.v[i]));
	for (size_t i = 0; i < l->job->mounts.n; i++)
		kv_vec_push(a, &argv, kv_strf(a, "--mount=%s", l->job->mounts.v[i]));
	kv_vec_push(a, &argv, kv_strdup(a, image));
	(void)kv_ask(a, &argv, &text);
	doc = json_loads(text, 0, NULL);
	kv_vec_push(a, &g->r.checked,
		    ((struct kv_checked){ .name = image,
					  .role = "image",
					  .doc = doc,
					  .error = doc ? NULL : "it could not be examined" }));
	say(g, "image %s: %s; the nodes decide, behind the recipe's preamble", image,
	    kv_checked_verdict(&g->r.checked.v[g->r.checked.n - 1]));
}

static const char *last_line(struct kv_arena *a, const char *path)
{
	kv_strv lines = { 0 };

	kv_tail(a, path, 1, &lines);
	return lines.n ? lines.v[0] : NULL;
}

/* One node's answer: its document, or the last that was said in place of one. */
static bool take_node(struct kv_launching *g, const struct kv_running *s, unsigned t)
{
	struct kv_arena *a = g->o->arena;
	const struct kv_step *step = s->step;
	struct kv_checked c = { .name = g->r.nodes.v[step->first + t], .role = step->role->name };
	bool off;

	c.doc = read_doc(a, kv_strf(a, "%s/%s", g->r.logs, step->logs.v[t]));
	if (!c.doc) {
		c.error = last_line(a, kv_strf(a, "%s/%s.%u.err", g->r.logs, step->name, t));
		c.error = c.error ? c.error
				  : last_line(a, kv_strf(a, "%s/%s.srun", g->r.logs, step->name));
		c.error = c.error ? c.error
			  : s->status
				  ? kv_strf(a, "the check ended with status %d", s->status)
				  : kv_strf(a,
					    "nothing of the check arrived in %s: the nodes have "
					    "to share that directory (-o DIR)",
					    g->r.logs);
	}
	off = kv_streq(kv_checked_verdict(&c), "off-fabric");
	say(g, "%s (%s): %s%s%s", c.name, c.role, kv_checked_verdict(&c), c.error ? ": " : "",
	    c.error ? c.error : "");
	kv_vec_push(a, &g->r.checked, c);
	/* Where the check did not come about, a worker would not either. */
	return off || !c.doc || (g->o->strict && s->status != 0);
}

int kv_launching_check(struct kv_launching *g)
{
	const struct kv_launch *l = g->r.launch;
	KV_VEC(struct kv_running) v = { 0 };
	struct kv_err err = { 0 };
	bool refused = false;

	if (!l->checks.n)
		return KV_STATUS_OK;
	check_image(g);
	for (size_t i = 0; i < l->checks.n; i++) {
		struct kv_running *s = kv_vec_add(g->o->arena, &v);

		say(g, "%u nodes of %s are checked", l->checks.v[i].nodes,
		    l->checks.v[i].role->name);
		if (kv_step_start(l, &l->checks.v[i], &g->env, g->r.logs, &g->r.nodes, s, &err) <
		    0) {
			v.n--;
			end_steps(g, v.v, v.n);
			return kv_fail(KV_STATUS_UNKNOWN, "%s", err.msg);
		}
	}
	while (kv_steps_alive(v.v, v.n) && !pause_a_moment(g))
		(void)kv_steps_reap(v.v, v.n);
	if (g->asked) {
		end_steps(g, v.v, v.n);
		g->r.end = KV_LAUNCH_STOPPED;
		return KV_STATUS_OK;
	}
	for (size_t i = 0; i < v.n; i++)
		for (unsigned t = 0; t < v.v[i].step->nodes; t++)
			refused |= take_node(g, &v.v[i], t);
	if (refused)
		g->r.end = KV_LAUNCH_REFUSED;
	return KV_STATUS_OK;
}

/* ---- the run ---- */

static void tell(void *arg, const char *name, const struct kv_finding *fi)
{
	struct kv_launching *g = arg;
	const char *line = kv_strf(g->o->arena, "%s, by its log: %s %s: %s", name, fi->id,
				   kv_severity_name[fi->severity], fi->detail);

	kv_vec_push(g->o->arena, &g->told, kv_strdup(g->o->arena, kv_masked(&g->r, line)));
	say(g, "%s", line);
}

static bool may_end(const struct kv_running *s)
{
	return !s->step || s->step->ends;
}

static bool has_node(const struct kv_launch_result *r, const struct kv_running *s, const char *node)
{
	for (unsigned i = 0; s->step && i < s->step->nodes; i++)
		if (s->step->first + i < r->nodes.n &&
		    kv_streq(r->nodes.v[s->step->first + i], node))
			return true;
	return false;
}

/* A node that fails takes the whole job with it: the step to name is the one that was on it. */
static void blame(struct kv_launching *g, struct kv_running *first)
{
	struct kv_launch_result *r = &g->r;

	r->end = KV_LAUNCH_DIED;
	r->culprit = first;
	r->dead_node = kv_down_node(r->arena, &r->nodes);
	for (size_t i = r->steps.n; r->dead_node && i > 0; i--)
		if (has_node(r, &r->steps.v[i - 1], r->dead_node))
			r->culprit = &r->steps.v[i - 1];
}

/* Looks at what has ended. True where that is the end of the run. */
static bool look(struct kv_launching *g, size_t known)
{
	struct kv_launch_result *r = &g->r;
	struct kv_running *bad = NULL;
	size_t ending = 0, left = 0;

	for (size_t i = 0; i < known; i++) {
		struct kv_running *s = &r->steps.v[i];

		ending += s->step && s->step->ends;
		left += s->step && s->step->ends && s->state == KV_STEP_RUNNING;
		if (s->state == KV_STEP_DONE && !s->said && kv_step_lost_node(r->arena, s, r->logs))
			s->state = KV_STEP_LOST;
		if (s->state == KV_STEP_WAITING || s->state == KV_STEP_RUNNING)
			continue;
		if (!s->said && s->state == KV_STEP_LOST)
			say(g, "%s was lost with its node", s->name);
		else if (!s->said)
			say(g, "%s ended with status %d", s->name, s->status);
		s->said = true;
		/* One that was killed is no consequence of another's end. */
		if ((!bad || (bad->status <= 128 && s->status > 128)) &&
		    (s->state != KV_STEP_DONE || !may_end(s)))
			bad = s;
	}
	if (bad)
		blame(g, bad);
	return bad || (ending && !left && known == r->steps.n);
}

/* Starts step number i. */
static int start_one(struct kv_launching *g, size_t i)
{
	const struct kv_launch *l = g->r.launch;
	struct kv_running *s = &g->r.steps.v[i];
	struct kv_err err = { 0 };
	int r = s->step ? kv_step_start(l, s->step, &g->env, g->r.logs, &g->r.nodes, s, &err)
			: kv_bash_start(l, s->name, s->text, &g->env, g->r.logs, s, &err);

	if (r < 0)
		return kv_fail(KV_STATUS_UNKNOWN, "%s: %s", s->name, err.msg);
	say(g, s->step ? "%s started" : "%s", s->step ? s->name : s->what);
	for (size_t k = 0; s->step && s->step->role->kind == KV_ROLE_WORKER && k < s->step->logs.n;
	     k++)
		kv_follow_add(&g->follow, s->name,
			      kv_strf(g->o->arena, "%s/%s", g->r.logs, s->step->logs.v[k]));
	return KV_STATUS_OK;
}

static void add(struct kv_launching *g, enum kv_role_kind from, enum kv_role_kind to)
{
	const struct kv_launch *l = g->r.launch;

	for (size_t i = 0; i < l->steps.n; i++)
		if (l->steps.v[i].role->kind >= from && l->steps.v[i].role->kind <= to)
			kv_vec_push(g->o->arena, &g->r.steps,
				    ((struct kv_running){ .name = l->steps.v[i].name,
							  .step = &l->steps.v[i] }));
}

static void add_wait(struct kv_launching *g, const char *name, const char *what, const char *text)
{
	if (text)
		kv_vec_push(g->o->arena, &g->r.steps,
			    ((struct kv_running){ .name = name, .what = what, .text = text }));
}

static void clear_logs(struct kv_launching *g)
{
	/* A log of an earlier launch in the same directory is none of this one. */
	for (size_t i = 0; i < g->r.launch->steps.n; i++) {
		const struct kv_step *s = &g->r.launch->steps.v[i];

		for (size_t k = 0; k < s->logs.n; k++)
			(void)unlink(kv_join(g->o->arena, g->r.logs, s->logs.v[k]));
		if (s->document)
			(void)unlink(kv_join(g->o->arena, g->r.logs, s->document));
	}
}

int kv_launching_run(struct kv_launching *g)
{
	struct kv_launch_result *r = &g->r;
	size_t started = 0;
	int status = KV_STATUS_OK;

	add(g, KV_ROLE_SERVICE, KV_ROLE_SERVICE);
	add_wait(g, "wait-services", "waiting for etcd and nats", r->launch->services);
	add(g, KV_ROLE_WORKER, KV_ROLE_FRONTEND);
	add_wait(g, "wait-frontend", "waiting for the frontend and the workers", r->launch->ready);
	add(g, KV_ROLE_CLIENT, KV_ROLE_CLIENT);
	clear_logs(g);
	kv_follow_init(&g->follow, g->o->arena, g->o->backend);
	for (;;) {
		/* What comes behind a wait starts when it has ended. */
		while (status == KV_STATUS_OK && started < r->steps.n &&
		       (!started || r->steps.v[started - 1].step ||
			r->steps.v[started - 1].state == KV_STEP_DONE))
			status = start_one(g, started++);
		if (status != KV_STATUS_OK || pause_a_moment(g))
			break;
		(void)kv_steps_reap(r->steps.v, r->steps.n);
		kv_follow_read(&g->follow, /* last= */ false, tell, g);
		if (look(g, started))
			break;
	}
	if (g->asked)
		r->end = KV_LAUNCH_STOPPED;
	end_steps(g, r->steps.v, r->steps.n);
	kv_follow_read(&g->follow, /* last= */ true, tell, g);
	kv_follow_close(&g->follow);
	return status;
}
