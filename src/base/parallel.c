/* Loops whose rounds know nothing of each other, on several threads. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "base/base.h"

/* To start a thread takes as long as some ten rounds of the loops that we have. */
#define MAX_HELPERS 3
#define MAX_STAGES  2
#define STACK       ((size_t)256 << 10)

struct crew {
	const struct kv_stage *stages;
	size_t n_stages;
	void *arg;
	atomic_size_t next[MAX_STAGES], done[MAX_STAGES];
};

static void *work(void *arg)
{
	struct crew *c = arg;

	for (size_t s = 0; s < c->n_stages; s++) {
		const struct kv_stage *stage = &c->stages[s];
		size_t i;

		while ((i = atomic_fetch_add(&c->next[s], 1)) < stage->n) {
			stage->fn(c->arg, i);
			atomic_fetch_add(&c->done[s], 1);
		}
		while (atomic_load(&c->done[s]) < stage->n)
			sched_yield();
	}
	return NULL;
}

/* Processors beside the one that we are on. */
static size_t spare_cpus(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) == 0 ? (size_t)CPU_COUNT(&set) - 1 : 0;
}

void kv_parallel(const struct kv_stage *stages, size_t n_stages, size_t helpers, void *arg)
{
	struct crew c = { .stages = stages, .n_stages = n_stages, .arg = arg };
	size_t cpus = helpers ? spare_cpus() : 0, n = 0;
	pthread_t threads[MAX_HELPERS];
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	while (n < MAX_HELPERS && n < helpers && n < cpus &&
	       pthread_create(&threads[n], &attr, work, &c) == 0)
		n++;
	pthread_attr_destroy(&attr);
	work(&c);
	while (n)
		pthread_join(threads[--n], NULL);
}
