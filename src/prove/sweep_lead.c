/*
 * The lead: checks, then round after round, then once more what looked slow. A round ends when each
 * of its nodes is done with it or lost, so that all links of the next one are free at once.
 */
#include "prove/sweep_lead.h"

#define GRACE_MS 15000 /* a bench has the deadline itself, and says more */
#define AFTER_MS 10000 /* for the receiver, once the sender is done */
#define AGAIN    8     /* batches of what looks slow, at most */
#define DRAW_MS  200

static void draw(struct kv_run *run, bool now)
{
	int64_t t = kv_sweep_now();

	if (!run->lead->progress || (!now && t - run->drawn < DRAW_MS))
		return;
	run->drawn = t;
	fprintf(stderr, "\r\33[Kkvpath: %s: %llu of %llu", run->step,
		(unsigned long long)run->step_done, (unsigned long long)run->step_n);
	fflush(stderr);
}

static void begin(struct kv_run *run, uint64_t n, const char *step)
{
	snprintf(run->step, sizeof(run->step), "%s", step);
	run->step_n = n;
	run->step_done = 0;
	draw(run, true);
}

/* ---- what is heard ---- */

static void idle(struct kv_run *run, uint32_t node)
{
	struct kv_run_node *d = &run->nodes[node];

	run->busy -= d->doing >= KV_DOING_LISTEN;
	if (d->doing == KV_DOING_AWAITED || d->doing == KV_DOING_CHECK) {
		run->awaited--;
		run->step_done++;
	}
	d->doing = KV_DOING_NOTHING;
}

static uint32_t partner(const struct kv_run_node *d, uint32_t node)
{
	return d->pair.a == node ? d->pair.b : d->pair.a;
}

static void stop(struct kv_run *run, uint32_t node)
{
	struct kv_run_node *d = &run->nodes[node];

	if (d->doing < KV_DOING_LISTEN || d->doing == KV_DOING_STOP)
		return;
	d->doing = KV_DOING_STOP;
	kv_run_send(run, node, "stop %u", run->batch);
}

void kv_run_lost(struct kv_run *run, uint32_t node)
{
	struct kv_run_node *d = &run->nodes[node];
	bool paired = d->doing >= KV_DOING_LISTEN;

	idle(run, node);
	if (paired)
		stop(run, partner(d, node));
}

static void checked(struct kv_run *run, uint32_t node, const char *text)
{
	json_auto_t *doc = json_loads(text, JSON_REJECT_DUPLICATES, NULL);

	if (run->nodes[node].doing != KV_DOING_CHECK)
		return;
	if (!doc || kv_sweep_add_node(run->sweep, node, doc, NULL) < 0) {
		kv_run_lose(run, node, "what it says is no result of a check");
		return;
	}
	if (run->lead->state)
		kv_sweep_state_node(run->lead->state, run->sweep, node, doc);
	idle(run, node);
}

static void on_port(struct kv_run *run, uint32_t node, const char *line)
{
	struct kv_run_node *d = &run->nodes[node];
	unsigned batch, port;
	uint32_t to = d->pair.a;

	if (sscanf(line, "port %u %u", &batch, &port) != 2 || batch != run->batch ||
	    d->doing != KV_DOING_LISTEN)
		return;
	d->doing = KV_DOING_SERVE;
	if (!run->nodes[to].link) {
		stop(run, node);
		return;
	}
	run->busy++;
	run->nodes[to].doing = KV_DOING_CONNECT;
	kv_run_send(run, to, "connect %u %s %u", run->batch, d->address, port);
}

/* What failed is kept until the round's end: by then it is known whether a node was lost. */
static void failed(struct kv_run *run, struct kv_run_node *sender, const char *cause,
		   const char *text)
{
	sender->failed = true;
	sender->cause = kv_sweep_intern(run->sweep, kv_printable(run->sweep->arena, cause));
	sender->text = kv_sweep_intern(run->sweep, kv_printable(run->sweep->arena, text));
}

static void sent(struct kv_run *run, uint32_t node, const char *line)
{
	struct kv_run_node *d = &run->nodes[node];
	char cause[32], provider[32];
	double rate;
	int at = 0;

	run->step_done++;
	if (sscanf(line, "done %*u rate %lf %31s", &rate, provider) == 2 && rate >= 1) {
		const char *name = kv_streq(provider, "-") ? "" : provider;

		kv_sweep_add_rate(run->sweep, d->pair, rate, name);
		if (run->lead->state)
			kv_sweep_state_rate(run->lead->state, d->pair, rate, name);
	} else if (sscanf(line, "done %*u fail %31s %n", cause, &at) == 1 && at > 0) {
		failed(run, d, cause, line + at);
	} else {
		failed(run, d, "bench", "it says nothing that can be read");
	}
}

static void on_done(struct kv_run *run, uint32_t node, const char *line)
{
	struct kv_run_node *d = &run->nodes[node];
	char cause[32];
	unsigned batch;
	int at = 0;

	if (sscanf(line, "done %u", &batch) != 1 || batch != run->batch ||
	    d->doing < KV_DOING_LISTEN)
		return;
	/* A listener that ends before anybody could connect. */
	if (d->doing == KV_DOING_LISTEN && sscanf(line, "done %*u fail %31s %n", cause, &at) == 1)
		failed(run, &run->nodes[d->pair.a], cause, line + at);
	else if (d->doing == KV_DOING_CONNECT)
		sent(run, node, line);
	idle(run, node);
}

bool kv_run_said(struct kv_run *run, uint32_t node, char *line)
{
	bool known = true;

	if (kv_starts(line, "check "))
		checked(run, node, line + strlen("check "));
	else if (kv_starts(line, "nocheck "))
		kv_run_lose(run, node,
			    kv_strf(run->sweep->arena, "no check: %s", line + strlen("nocheck ")));
	else if (kv_starts(line, "port "))
		on_port(run, node, line);
	else if (kv_starts(line, "done "))
		on_done(run, node, line);
	else
		known = false;
	draw(run, false);
	return known;
}

/* ---- steps ---- */

static bool takes_part(const struct kv_run *run, uint32_t node)
{
	return !run->lead->here || run->lead->here[node];
}

static int check_all(struct kv_run *run, struct kv_err *err)
{
	int64_t end = kv_sweep_now() + (run->lead->start_s + run->lead->deadline_s) * 1000LL;
	int r = 0;

	for (uint32_t i = 0; i < run->sweep->n; i++)
		run->awaited += takes_part(run, i);
	begin(run, run->awaited, "nodes checked");
	while (r == 0 && run->awaited && kv_sweep_now() < end) {
		bool launched = run->launchers > 0;

		r = kv_run_turn(run, 100, err);
		/* Who was to bring the rest has ended. */
		if (launched && !run->launchers)
			end = kv_sweep_now() + 2000;
	}
	for (uint32_t i = 0; r == 0 && i < run->sweep->n; i++) {
		const struct kv_run_node *d = &run->nodes[i];

		if (!takes_part(run, i) || d->doing >= KV_DOING_NOTHING)
			continue;
		kv_run_lose(run, i,
			    d->doing == KV_DOING_CHECK ? "its check did not end in time"
			    : run->launcher_said       ? run->launcher_said
						       : "it did not start in time");
	}
	return r;
}

/* Checked and found off the fabric, a node has nothing to show through NIXL. */
static bool able(const struct kv_run *run, uint32_t node)
{
	const struct kv_sweep_node *d = &run->sweep->nodes[node];

	return run->nodes[node].link && d->verdict &&
	       (!kv_starts(run->sweep->test.engine, "nixl:") ||
		!kv_streq(d->verdict, "off-fabric"));
}

static void pair_begin(struct kv_run *run, struct kv_sweep_pair p)
{
	for (size_t i = 0; i < 2; i++) {
		struct kv_run_node *d = &run->nodes[i ? p.b : p.a];

		d->pair = p;
		d->failed = false;
	}
	run->nodes[p.b].doing = KV_DOING_LISTEN;
	run->busy++;
	kv_run_send(run, p.b, "listen %u", run->batch);
}

/* Senders that are done have their receivers end too. */
static void hurry(struct kv_run *run, const struct kv_sweep_pair *pairs, size_t n, bool late)
{
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < 2; k++) {
			uint32_t node = k ? pairs[i].b : pairs[i].a;
			struct kv_run_node *d = &run->nodes[node];

			if (d->doing >= KV_DOING_LISTEN && late && !d->failed &&
			    d->doing == KV_DOING_CONNECT)
				failed(run, d, "deadline", "it did not end in time");
			if (d->doing == KV_DOING_LISTEN && late)
				failed(run, &run->nodes[d->pair.a], "deadline",
				       "the receiver did not listen in time");
			if (d->doing == KV_DOING_STOP && late)
				kv_run_lose(run, node, "it does not answer");
			else
				stop(run, node);
		}
}

/* Every sender is done, or never began. */
static bool sent_all(const struct kv_run *run, const struct kv_sweep_pair *pairs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (run->nodes[pairs[i].a].doing >= KV_DOING_LISTEN ||
		    run->nodes[pairs[i].b].doing == KV_DOING_LISTEN)
			return false;
	return true;
}

static void keep_faults(struct kv_run *run, const struct kv_sweep_pair *pairs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct kv_run_node *d = &run->nodes[pairs[i].a];

		if (!d->failed || !d->link || !run->nodes[pairs[i].b].link)
			continue;
		kv_sweep_add_fault(run->sweep, pairs[i], d->cause, d->text);
		if (run->lead->state)
			kv_sweep_state_fault(run->lead->state, pairs[i], d->cause, d->text);
	}
}

/* All pairs at once, until each is done. */
static int batch(struct kv_run *run, const struct kv_sweep_pair *pairs, size_t n,
		 struct kv_err *err)
{
	int64_t end = kv_sweep_now() + run->lead->deadline_s * 1000LL + GRACE_MS, after = 0;
	int r = 0;

	run->batch++;
	for (size_t i = 0; i < n; i++)
		pair_begin(run, pairs[i]);
	while (r == 0 && run->busy) {
		int64_t now = kv_sweep_now();

		r = kv_run_turn(run, 100, err);
		if (!after && sent_all(run, pairs, n))
			after = now + AFTER_MS;
		if (now > end || (after && now > after)) {
			hurry(run, pairs, n, true);
			end = now + GRACE_MS;
			after = 0;
		}
	}
	keep_faults(run, pairs, n);
	return r;
}

static int measure(struct kv_run *run, struct kv_err *err)
{
	struct kv_sweep *s = run->sweep;
	uint32_t all = kv_sweep_rounds(s->n), want = run->lead->rounds;
	struct kv_sweep_pair *pairs =
		kv_alloc_n(s->arena, kv_sweep_slots(s->n) + 1, sizeof(*pairs));
	uint64_t left = run->lead->pairs;
	int r = 0;

	want = want < all ? want : all;
	for (uint32_t i = 0; r == 0 && i < want && left; i++) {
		uint32_t round = kv_sweep_round_of(s->n, want, i);
		char step[64];
		size_t n = 0;

		for (uint32_t k = 0; k < kv_sweep_slots(s->n) && left; k++) {
			struct kv_sweep_pair p = kv_sweep_pair_at(s->n, round, k);

			if (!able(run, p.a) || !able(run, p.b) || kv_sweep_has(s, p))
				continue;
			pairs[n++] = p;
			left--;
		}
		snprintf(step, sizeof(step), "round %u of %u, pairs measured", i + 1, want);
		begin(run, n, step);
		r = n ? batch(run, pairs, n, err) : 0;
	}
	return r;
}

/* ---- once more ---- */

struct again {
	struct kv_sweep_pair *pairs;
	size_t n;
	bool *taken;
};

static void again_add(const struct kv_run *run, struct again *g, struct kv_sweep_pair p)
{
	if (g->taken[p.a] || g->taken[p.b] || !able(run, p.a) || !able(run, p.b) ||
	    !kv_sweep_has(run->sweep, p))
		return;
	g->taken[p.a] = g->taken[p.b] = true;
	g->pairs[g->n++] = p;
}

static bool needs_again(const struct kv_sweep_node *d)
{
	return d->slow && !d->confirmed;
}

/* Of what is not confirmed, as much as fits in one batch: each node once. */
static void again_choose(const struct kv_run *run, struct again *g, uint32_t shift)
{
	const struct kv_sweep *s = run->sweep;

	memset(g->taken, 0, s->n);
	g->n = 0;
	for (size_t i = 0; i < s->slow.n; i++)
		if (!s->slow.v[i].confirmed)
			again_add(run, g, s->slow.v[i].pair);
	for (uint32_t i = 0; i < s->n; i++)
		for (uint32_t k = 1; needs_again(&s->nodes[i]) && !g->taken[i] && k < s->n; k++) {
			struct kv_sweep_pair p = { i, (i + shift + k) % s->n };

			if (p.b != i && !s->nodes[p.b].slow)
				again_add(run, g, p);
		}
}

static int measure_again(struct kv_run *run, struct kv_err *err)
{
	struct kv_sweep *s = run->sweep;
	struct again g = { kv_alloc_n(s->arena, s->n + 1, sizeof(*g.pairs)), 0,
			   kv_alloc(s->arena, s->n + 1) };
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < AGAIN; i++) {
		kv_sweep_judge(s);
		again_choose(run, &g, i);
		if (!g.n)
			break;
		begin(run, g.n, "once more, pairs measured");
		r = batch(run, g.pairs, g.n, err);
	}
	return r;
}

int kv_sweep_lead(struct kv_sweep_lead *l, struct kv_err *err)
{
	struct kv_run run = { .lead = l, .sweep = l->sweep, .epoll = -EBADF };
	int r;

	run.nodes = kv_alloc_n(l->sweep->arena, l->sweep->n + 1, sizeof(*run.nodes));
	r = kv_run_open(&run, err);
	if (r == 0)
		r = check_all(&run, err);
	if (r == 0)
		r = measure(&run, err);
	if (r == 0)
		r = measure_again(&run, err);
	if (l->progress)
		fputs("\r\33[K", stderr);
	kv_run_close(&run);
	return r;
}
