/* Loops whose rounds know nothing of each other, on several threads. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "base/base.h"

#define MAX_HELPERS 7 /* more bring nothing: they wait for the same memory */
#define STACK       ((size_t)128 << 10)

struct loop {
	void (*fn)(void *arg, size_t i);
	void *arg;
	size_t n;
	atomic_size_t next;
};

static void *work(void *arg)
{
	struct loop *l = arg;
	size_t i;

	while ((i = atomic_fetch_add(&l->next, 1)) < l->n)
		l->fn(l->arg, i);
	return NULL;
}

/* Processors beside the one that we are on. */
static size_t spare_cpus(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) == 0 ? (size_t)CPU_COUNT(&set) - 1 : 0;
}

void kv_parallel(size_t n, size_t worth, void (*fn)(void *arg, size_t i), void *arg)
{
	struct loop l = { .fn = fn, .arg = arg, .n = n };
	size_t want = n / worth, cpus, n_helpers = 0;
	pthread_t helpers[MAX_HELPERS];
	pthread_attr_t attr;

	want = want ? want - 1 : 0;
	if (want && (cpus = spare_cpus()) < want)
		want = cpus;
	if (want > MAX_HELPERS)
		want = MAX_HELPERS;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	while (n_helpers < want && pthread_create(&helpers[n_helpers], &attr, work, &l) == 0)
		n_helpers++;
	pthread_attr_destroy(&attr);
	work(&l);
	while (n_helpers)
		pthread_join(helpers[--n_helpers], NULL);
}
