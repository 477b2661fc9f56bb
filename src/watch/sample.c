/* All that can be read at one moment. */
#include <time.h>

#include "watch/watch.h"

/* The memory of the sample that was given back last is used again: to get it anew costs more than
 * to fill it. */
static struct kv_arena *spare_arena(struct kv_watch *w)
{
	struct kv_arena *a = w->spare ? w->spare : kv_arena_new();

	w->spare = NULL;
	return a;
}

struct kv_watch_sample *kv_watch_take(struct kv_watch *w, const struct kv_watch_sample *prev)
{
	struct kv_arena *a = spare_arena(w);
	struct kv_watch_sample *s = kv_new(a, struct kv_watch_sample);
	struct timespec t;

	s->arena = a;
	s->begin = kv_arena_mark(a);
	s->live = w->live;
	clock_gettime(CLOCK_REALTIME, &t);
	s->wall_ms = (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
	clock_gettime(CLOCK_MONOTONIC, &t);
	s->at_ns = (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
	/* The counters first: they are what the time is of. */
	kv_watch_devices(w, s);
	kv_watch_processes(w, prev, s);
	kv_watch_nets(s);
	kv_watch_fds(w, prev, s);
	return s;
}

void kv_watch_free(struct kv_watch *w, struct kv_watch_sample *s)
{
	struct kv_arena *a = s->arena;

	if (w->spare) {
		kv_arena_free(a);
		return;
	}
	kv_arena_rewind(a, s->begin);
	w->spare = a;
}

void kv_watch_close(struct kv_watch *w)
{
	kv_watch_close_devices(w);
	kv_arena_free(w->spare);
	w->spare = NULL;
}
