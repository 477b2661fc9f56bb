/*
 * When a transfer began and ended, by the processor's counter. The kernel's clock, read without a
 * system call, takes 25 to 40 ns and waits for what was loaded before it: 0.8% of a transfer of
 * 10 us. So the counter itself is read, where the kernel's clock runs by it (it is not used for
 * that unless all processors agree); elsewhere the clock.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "probe/bench/bench.h"

#define CLOCKSOURCE "/sys/devices/system/clocksource/clocksource0/current_clocksource"

static bool kernel_counts(const char *counter)
{
	char name[32] = "";
	int fd = open(CLOCKSOURCE, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, name, sizeof(name) - 1);

	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return false;
	name[strcspn(name, "\n")] = '\0';
	return strcmp(name, counter) == 0;
}

#define TRIES 5 /* at one moment by both: this thread may lose its core between two reads */

static void now_by_both(const struct bench_ticks *t, uint64_t *ret_ns, uint64_t *ret_tick)
{
	uint64_t least = UINT64_MAX;

	for (int i = 0; i < TRIES; i++) {
		uint64_t before = bench_tick(t), ns = probe_now_ns(), took = bench_tick(t) - before;

		if (took >= least)
			continue;
		least = took;
		*ret_ns = ns;
		*ret_tick = before + took / 2;
	}
}

void bench_ticks_start(struct bench_ticks *t)
{
	t->counted = kernel_counts(BENCH_COUNTER);
	now_by_both(t, &t->ns, &t->tick);
}

double bench_ns_per_tick(const struct bench_ticks *t)
{
	uint64_t ns = t->ns, tick = t->tick;

	if (!t->counted)
		return 1;
	now_by_both(t, &ns, &tick);
	return tick > t->tick && ns > t->ns ? (double)(ns - t->ns) / (double)(tick - t->tick) : 1;
}
