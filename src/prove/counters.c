/*
 * EFA's own counters: the only proof that bytes took the device (facts: nixl.md 3.5;
 * rdma_write_bytes can stay 0 where writes are emulated, tx_bytes and rx_bytes cannot).
 */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>

#include "prove/parts.h"

static const char *const names[] = { "tx_bytes", "rx_bytes" };

static bool driver_is_efa(int class_fd, const char *device)
{
	char path[300], link[PATH_MAX];
	ssize_t n;

	snprintf(path, sizeof(path), "%s/device/driver", device);
	n = readlinkat(class_fd, path, link, sizeof(link) - 1);
	if (n < 0)
		return false;
	link[n] = '\0';
	return kv_streq(kv_basename(link), "efa");
}

static int read_value(int class_fd, const char *device, const char *counter, uint64_t *ret,
		      struct kv_err *err)
{
	char path[300], text[64], *end;
	_close_ int fd = -EBADF;
	size_t n;
	int r;

	snprintf(path, sizeof(path), "%s/ports/1/hw_counters/%s", device, counter);
	fd = openat(class_fd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return kv_err(err, -errno, "open class/infiniband/%s: %s", path, strerror(errno));
	r = kv_read_all(fd, text, sizeof(text) - 1, 0, &n);
	if (r < 0)
		return kv_err(err, r, "read class/infiniband/%s: %s", path, strerror(-r));
	text[n] = '\0';
	*ret = strtoull(text, &end, 10);
	if (end == text || (*end && *end != '\n'))
		return kv_err(err, -EBADMSG, "class/infiniband/%s: no number: %s", path, text);
	return 0;
}

static int by_name(const void *a, const void *b)
{
	const struct kv_prove_count *x = a, *y = b;
	int r = strcmp(x->device, y->device);

	return r ? r : strcmp(y->counter, x->counter); /* tx before rx */
}

int kv_prove_counters_read(struct kv_arena *a, const char *sysfs, struct kv_prove_counts *ret,
			   struct kv_err *err)
{
	char *path = kv_join(a, sysfs, "class/infiniband");
	DIR *dir = opendir(path);
	struct kv_prove_counts got = { 0 };
	struct dirent *e;
	int r = 0;

	if (!dir && errno != ENOENT)
		return kv_err(err, -errno, "opendir %s: %s", path, strerror(errno));
	while (dir && r == 0 && (e = readdir(dir))) {
		if (e->d_name[0] == '.' || !driver_is_efa(dirfd(dir), e->d_name))
			continue;
		for (size_t i = 0; i < KV_ARRAY_SIZE(names) && r == 0; i++) {
			struct kv_prove_count *c = kv_vec_add(a, &got.list);

			c->device = kv_strdup(a, e->d_name);
			c->counter = kv_strdup(a, names[i]);
			r = read_value(dirfd(dir), e->d_name, names[i], &c->value, err);
		}
	}
	if (dir)
		closedir(dir);
	if (r < 0)
		return r;
	if (got.list.n)
		qsort(got.list.v, got.list.n, sizeof(got.list.v[0]), by_name);
	*ret = got;
	return 0;
}

void kv_prove_counters_delta(struct kv_arena *a, const struct kv_prove_counts *before,
			     const struct kv_prove_counts *after, struct kv_prove_result *ret)
{
	const struct kv_prove_count *b, *c;

	kv_vec_each (b, &before->list) {
		kv_vec_each (c, &after->list) {
			struct kv_prove_counter *d;

			if (!kv_streq(b->device, c->device) || !kv_streq(b->counter, c->counter))
				continue;
			d = kv_vec_add(a, &ret->counters);
			*d = (struct kv_prove_counter){ .device = b->device,
							.counter = b->counter,
							.delta = (int64_t)(c->value - b->value) };
		}
	}
}
