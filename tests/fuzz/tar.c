/*
 * Any bytes as one layer, twice on top of each other: what the child makes of them, what its parent
 * takes of its records, and the merged view. With a first byte of 0xff the rest is taken for the
 * records themselves, as a reader that was taken over would send them.
 */
#include <sys/mman.h>

#include "fuzz.h"
#include "root/layers.h"

#define MAX_SPOOL ((uint64_t)8 << 20)

struct run {
	struct kv_tar_reader reader;
	struct kv_layers *view;
	bool bad;
};

static int put(void *ctx, const struct kv_tar_entry *e, struct kv_err *err)
{
	struct run *r = ctx;
	char again[KV_TAR_MAX_PATH + 1];

	KV_PROMISE(kv_tar_normal(e->path, again) && kv_streq(again, e->path));
	KV_PROMISE(e->n_ranges <= KV_TAR_MAX_RANGES);
	for (size_t i = 0; i < e->n_ranges; i++)
		KV_PROMISE(e->ranges[i].off <= e->size &&
			   e->ranges[i].n <= e->size - e->ranges[i].off);
	return kv_layers_put(r->view, e, err);
}

static bool emit(void *ctx, const void *bytes, size_t n)
{
	struct run *r = ctx;
	struct kv_err err;

	if (!r->bad)
		r->bad = kv_tar_feed(&r->reader, bytes, n, &err) < 0;
	return !r->bad;
}

static void tour(const struct kv_layers *l, struct kv_arena *a, const char *dir, unsigned depth)
{
	kv_dirents list = { 0 };

	if (depth > 16 || kv_layers_list(l, dir, a, &list) < 0)
		return;
	for (size_t i = 0; i < list.n; i++) {
		const char *name = list.v[i].name;
		const char *path = *dir ? kv_join(a, dir, name) : name;
		struct kv_stat st;

		KV_PROMISE(*name && !strchr(name, '/') && !kv_streq(name, ".") &&
			   !kv_streq(name, "..") && strlen(name) <= 255);
		KV_PROMISE(kv_layers_lstat(l, path, &st) == 0);
		if (S_ISDIR(st.mode))
			tour(l, a, path, depth + 1);
	}
}

static void scan(struct run *r, const uint8_t *data, size_t size, int spool)
{
	struct kv_tar_job job = { .blob = { .size = size },
				  .spool_fd = spool,
				  .spool_max = MAX_SPOOL,
				  .want = KV_TAR_ALL };

	job.blob.fd = memfd_create("fuzz", MFD_CLOEXEC);
	if (kv_write_all(job.blob.fd, data, size) == 0)
		kv_tar_scan(&job, emit, r);
	close(job.blob.fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kv_arena *a = kv_arena_new();
	int spool = memfd_create("fuzz-spool", MFD_CLOEXEC);
	struct run r = { .view = kv_layers_new(a) };

	for (int layer = 0; layer < 2; layer++) {
		r.bad = false;
		r.reader = (struct kv_tar_reader){
			.blob_size = size, .spool_max = MAX_SPOOL, .take = put, .ctx = &r
		};
		kv_layers_begin(r.view);
		if (size && data[0] == 0xff)
			emit(&r, data + 1, size - 1);
		else
			scan(&r, data, size, spool);
	}
	tour(r.view, a, "", 0);
	kv_layers_free(r.view);
	close(spool);
	kv_arena_free(a);
	return 0;
}
