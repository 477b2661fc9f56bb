/* Layers in tar archives as a tree, and the bytes of their files. */
#include <fcntl.h>
#include <sys/mman.h>

#include "root/stack.h"

#define MAX_SPOOL  ((uint64_t)4 << 30)  /* what is kept in advance */
#define MAX_MEMORY ((uint64_t)32 << 20) /* the same where there is no disk to keep it on */
#define MAX_FETCH  ((uint64_t)8 << 30)  /* one file that is asked for */

struct kv_stack {
	struct kv_arena *arena;
	kv_stack_layers blobs;
	struct kv_layers *tree;
	int spool;
	uint64_t spool_at, spool_max;
	const char *fault;
};

/*
 * An unlinked file in $TMPDIR, else /var/tmp or /tmp (the first is on a disk where the second may
 * be memory); where none can be written, memory of its own.
 */
static int open_spool(struct kv_stack *s)
{
	const char *const dirs[] = { getenv("TMPDIR"), "/var/tmp", "/tmp" };

	s->spool_max = MAX_SPOOL;
	for (size_t i = 0; s->spool < 0 && i < KV_ARRAY_SIZE(dirs); i++)
		if (dirs[i] && dirs[i][0] == '/')
			s->spool = open(dirs[i], O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);
	for (size_t i = 0; s->spool < 0 && i < KV_ARRAY_SIZE(dirs); i++) {
		char *name = kv_strf(s->arena, "%s/kvpath-XXXXXX", dirs[i] ? dirs[i] : "");

		/* File systems without O_TMPFILE: NFS, older overlays. */
		if (!dirs[i] || dirs[i][0] != '/')
			continue;
		s->spool = mkostemp(name, O_CLOEXEC);
		if (s->spool >= 0)
			unlink(name);
	}
	if (s->spool < 0) {
		s->spool = memfd_create("kvpath-spool", MFD_CLOEXEC);
		s->spool_max = MAX_MEMORY;
	}
	return s->spool < 0 ? -errno : 0;
}

static int put(void *ctx, const struct kv_tar_entry *e, struct kv_err *err)
{
	return kv_layers_put(((struct kv_stack *)ctx)->tree, e, err);
}

static int read_layer(struct kv_stack *s, size_t i, struct kv_err *err)
{
	struct kv_tar_job job = { .blob = s->blobs.v[i].blob, .want = KV_TAR_ALL };
	struct kv_err why = { 0 };
	bool zstd;
	int e = 0;

	if (s->spool < 0 && !kv_tar_is_plain(&job.blob, &zstd))
		e = open_spool(s);
	if (e < 0)
		return kv_err(err, e, "a temporary file: %s", strerror(-e));
	job.spool_fd = s->spool;
	job.spool_at = s->spool_at;
	job.spool_max = s->spool_max;
	kv_layers_begin(s->tree);
	e = kv_tar_pass(&job, put, s, &s->spool_at, &why);
	return e < 0 ? kv_err(err, e, "layer %zu (%s): %s", i + 1, s->blobs.v[i].name, why.msg) : 0;
}

int kv_stack_open(struct kv_arena *a, const kv_stack_layers *layers, struct kv_stack **ret,
		  struct kv_err *err)
{
	struct kv_stack *s = kv_new(a, struct kv_stack);
	int e = 0;

	s->arena = a;
	s->blobs = *layers;
	s->spool = -1;
	s->tree = kv_layers_new(a);
	if (!s->tree)
		return kv_err(err, -ENOMEM, "out of memory");
	for (size_t i = 0; e == 0 && i < layers->n; i++)
		e = read_layer(s, i, err);
	if (e < 0) {
		kv_stack_close(s);
		return e;
	}
	*ret = s;
	return 0;
}

void kv_stack_close(struct kv_stack *s)
{
	if (!s)
		return;
	kv_layers_free(s->tree);
	kv_closep(&s->spool);
	s->spool = -1;
}

struct kv_layers *kv_stack_tree(struct kv_stack *s)
{
	return s->tree;
}

const char *kv_stack_fault(const struct kv_stack *s)
{
	return s->fault;
}

/* ---- files ---- */

struct stack_file {
	struct kv_file file;
	struct kv_stack *stack;
	struct kv_content *content;
};

static int take_fetched(void *ctx, const struct kv_tar_entry *e, struct kv_err *err)
{
	struct stack_file *f = ctx;
	struct kv_content *c = f->content;

	if (e->ordinal != c->ordinal || e->size != c->size || e->place != KV_PLACE_SPOOL ||
	    e->n_ranges != 1 || e->ranges[0].n != c->size)
		return kv_err(err, -EIO, "no room for %llu bytes in the temporary file",
			      (unsigned long long)c->size);
	c->place = e->place;
	c->n_ranges = 1;
	c->ranges = kv_alloc_n(f->stack->arena, 1, sizeof(*c->ranges));
	c->ranges[0] = e->ranges[0];
	return 0;
}

/* Another pass over the layer for the whole file. */
static int fetch(struct stack_file *f)
{
	struct kv_stack *s = f->stack;
	const struct kv_content *c = f->content;
	struct kv_stack_layer *layer = &s->blobs.v[c->layer - 1];
	struct kv_tar_job job = { .blob = layer->blob, .want = c->ordinal };
	struct kv_err why = { 0 };
	int e = c->size > MAX_FETCH ? -EFBIG : 0;

	if (e == 0 && s->spool < 0)
		e = open_spool(s);
	if (e < 0)
		return e;
	job.spool_fd = s->spool;
	job.spool_at = s->spool_at;
	job.spool_max = s->spool_at + c->size;
	e = kv_tar_pass(&job, take_fetched, f, &s->spool_at, &why);
	if (e == 0 && (!c->n_ranges || c->ranges[0].n != c->size))
		e = kv_err(&why, -EIO, "an entry is gone that was there");
	if (e < 0)
		s->fault = kv_strf(s->arena, "layer %zu (%s): %s", (size_t)c->layer, layer->name,
				   why.msg);
	return e;
}

/* The range that has off; NULL. */
static const struct kv_tar_range *range_at(const struct kv_content *c, uint64_t off)
{
	for (size_t i = 0; i < c->n_ranges; i++)
		if (off >= c->ranges[i].off && off - c->ranges[i].off < c->ranges[i].n)
			return &c->ranges[i];
	return NULL;
}

static int read_some(struct stack_file *f, uint64_t off, void *buf, size_t n, size_t *ret_n)
{
	const struct kv_tar_range *g = range_at(f->content, off);
	const struct kv_blob *b = &f->stack->blobs.v[f->content->layer - 1].blob;
	bool spooled;
	int e = g ? 0 : fetch(f);

	if (e < 0)
		return e;
	/* Ranges are not longer than what they lie in: kv_tar_feed saw to it. */
	g = g ? g : range_at(f->content, off);
	spooled = f->content->place == KV_PLACE_SPOOL;
	if (!g)
		return -EIO;
	if (n > g->n - (off - g->off))
		n = (size_t)(g->n - (off - g->off));
	e = kv_read_all(spooled ? f->stack->spool : b->fd, buf, n,
			(spooled ? 0 : b->off) + g->at + (off - g->off), ret_n);
	if (e == 0 && *ret_n < n)
		e = -EIO;
	if (e < 0 && !f->stack->fault)
		f->stack->fault = "it changed or could not be read while kvpath read it";
	return e;
}

static int stack_read(struct kv_file *file, uint64_t off, void *buf, size_t n, size_t *ret_n)
{
	struct stack_file *f = (struct stack_file *)file;
	size_t done = 0;

	if (f->content->broken)
		return -EIO;
	if (off >= f->content->size)
		n = 0;
	else if (n > f->content->size - off)
		n = (size_t)(f->content->size - off);
	while (done < n) {
		size_t got = 0;
		int e = read_some(f, off + done, (char *)buf + done, n - done, &got);

		if (e < 0)
			return e;
		done += got;
	}
	*ret_n = done;
	return 0;
}

static void stack_file_close(struct kv_file *file)
{
	free(file);
}

static const struct kv_file_ops stack_file_ops = { stack_read, stack_file_close };

int kv_stack_open_file(struct kv_stack *s, const char *rel, struct kv_file **ret)
{
	struct kv_content *c;
	struct stack_file *f;
	int e = kv_layers_content(s->tree, rel, &c);

	if (e < 0)
		return e;
	if (c->broken)
		return -EIO;
	f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	f->file.ops = &stack_file_ops;
	f->file.fd = -1;
	f->stack = s;
	f->content = c;
	(void)kv_layers_lstat(s->tree, rel, &f->file.st);
	*ret = &f->file;
	return 0;
}
