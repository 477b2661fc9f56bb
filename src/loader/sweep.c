/*
 * Whether all references of many objects are defined. No answer depends on another, so idle
 * processors are invited to take objects from the far end of the list. Nobody waits for one to
 * begin: a thread takes longer to start than most loads, and on a busy machine far longer.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "loader/sweep.h"

/* ---- one object ---- */

/* Asked of a helper's work now and then: it ends early once nobody needs it. */
static bool is_over(const atomic_bool *over)
{
	return over && atomic_load_explicit(over, memory_order_relaxed);
}

static struct kv_swept sweep(const struct kv_scope *s, const atomic_bool *over)
{
	struct kv_swept got = { .is_whole = true };
	struct kv_definers known = { 0 };
	struct kv_elf_ref r = { 0 };

	while (got.is_whole && kv_elf_next_ref(s->from->elf, &r) && !is_over(over)) {
		const struct kv_object *in = kv_likely_definer(s, &r, &known);

		got.is_whole = in || (!kv_is_wanted(s, &r) && !kv_may_abort(s, &r));
		got.tls |= r.tls;
		got.lost_tls |= r.tls && !(in && in->elf->tls.memsz);
	}
	got.tls |= !got.is_whole;
	got.lost_tls |= !got.is_whole;
	return got;
}

/* ---- many ---- */

enum { FREE, TAKEN, DONE };

struct slot {
	atomic_uchar state;
	struct kv_swept swept; /* once DONE */
};

struct kv_sweep {
	struct kv_process *p;
	const kv_objects *list, *fresh;
	struct slot *slots; /* one for each of fresh */
	atomic_size_t next; /* where the next helper looks */
	atomic_bool over;
};

static bool take(struct slot *slot)
{
	unsigned char free = FREE;

	return atomic_compare_exchange_strong(&slot->state, &free, TAKEN);
}

static void help(struct kv_sweep *w)
{
	struct kv_scope s = { .p = w->p, .list = w->list };
	size_t i;

	while ((i = atomic_fetch_add(&w->next, 1)) < w->fresh->n && !is_over(&w->over)) {
		struct slot *slot = &w->slots[i];

		if (!take(slot))
			return; /* from here on all are taken */
		kv_scope_from(&s, w->fresh->v[i]);
		slot->swept = sweep(&s, &w->over);
		atomic_store_explicit(&slot->state, DONE, memory_order_release);
	}
}

struct kv_swept kv_sweep_object(struct kv_sweep *w, struct kv_scope *s, size_t i)
{
	struct slot *slot = &w->slots[i];

	/* One that a helper is still at is done twice: it may have lost its processor. */
	if (!take(slot) && atomic_load_explicit(&slot->state, memory_order_acquire) == DONE)
		return slot->swept;
	kv_scope_from(s, w->fresh->v[i]);
	return sweep(s, NULL);
}

/* ---- the helpers ---- */

#define MOST_HELPERS 3
/* Fewer objects than this are looked through before a helper has begun. */
#define WORTH_HELP 64
#define STACK_SIZE ((size_t)128 << 10)

/*
 * The sweep that those may join who come now. Each thread looks in once and ends: none is left
 * behind for a fork, or for an exec to wait for.
 */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t left;
	struct kv_sweep *work; /* NULL: none */
	unsigned inside;
} helpers = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.left = PTHREAD_COND_INITIALIZER,
};

static void *helper(void *arg)
{
	struct kv_sweep *work;

	pthread_mutex_lock(&helpers.lock);
	work = helpers.work;
	helpers.inside += work != NULL;
	pthread_mutex_unlock(&helpers.lock);
	if (!work)
		return arg;
	help(work);
	pthread_mutex_lock(&helpers.lock);
	if (!--helpers.inside)
		pthread_cond_signal(&helpers.left);
	pthread_mutex_unlock(&helpers.lock);
	return arg;
}

/* As many as there are processors to spare, and on those: a scheduler that saves power would begin
 * them on this one, to wait for what they should share. */
static void start_helpers(void)
{
	int own = sched_getcpu(), spare;
	pthread_attr_t attr;
	pthread_t thread;
	cpu_set_t set;

	if (own < 0 || sched_getaffinity(0, sizeof(set), &set) < 0 || pthread_attr_init(&attr))
		return;
	CPU_CLR((size_t)own, &set);
	spare = CPU_COUNT(&set);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	pthread_attr_setaffinity_np(&attr, sizeof(set), &set);
	for (int i = 0; i < spare && i < MOST_HELPERS; i++)
		if (pthread_create(&thread, &attr, helper, NULL))
			break;
	pthread_attr_destroy(&attr);
}

static void offer(struct kv_sweep *w)
{
	/* What is read of an object when it is first asked for is read now: helpers only look. */
	for (size_t i = 0; i < w->p->loaded.n; i++)
		if (w->p->loaded.v[i]->elf)
			(void)kv_elf_n_syms(w->p->loaded.v[i]->elf);
	pthread_mutex_lock(&helpers.lock);
	helpers.work = w;
	pthread_mutex_unlock(&helpers.lock);
	start_helpers();
}

struct kv_sweep *kv_sweep_start(struct kv_process *p, const kv_objects *list,
				const kv_objects *fresh)
{
	struct kv_sweep *w = kv_new(p->arena, struct kv_sweep);

	w->p = p;
	w->list = list;
	w->fresh = fresh;
	w->slots = kv_alloc_n(p->arena, fresh->n, sizeof(*w->slots));
	if (fresh->n >= WORTH_HELP)
		offer(w);
	return w;
}

void kv_sweep_end(struct kv_sweep *w)
{
	atomic_store(&w->over, true);
	pthread_mutex_lock(&helpers.lock);
	if (helpers.work == w)
		helpers.work = NULL;
	while (helpers.inside)
		pthread_cond_wait(&helpers.left, &helpers.lock);
	pthread_mutex_unlock(&helpers.lock);
}
