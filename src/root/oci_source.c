/* Where the named files of an image come from: a directory, or the entries of a plain tar. */
#include <fcntl.h>

#include "root/oci.h"

#define MAX_SMALL ((size_t)4 << 20)
#define MAX_HOPS  8

struct kv_oci_source {
	struct kv_arena *arena;
	struct kv_tree *dir;     /* of a layout, else NULL */
	struct kv_layers *files; /* of an archive */
	struct kv_blob archive;
	KV_VEC(int) fds; /* that blobs use */
};

int kv_oci_source_dir(struct kv_arena *a, int path_fd, struct kv_oci_source **ret,
		      struct kv_err *err)
{
	struct kv_oci_source *s = kv_new(a, struct kv_oci_source);
	int fd = fcntl(path_fd, F_DUPFD_CLOEXEC, 0);

	if (fd < 0)
		return kv_err(err, -errno, "%s", strerror(errno));
	s->arena = a;
	s->dir = kv_tree_of_dir(a, fd);
	*ret = s;
	return 0;
}

static int put(void *ctx, const struct kv_tar_entry *e, struct kv_err *err)
{
	return kv_layers_put(((struct kv_oci_source *)ctx)->files, e, err);
}

int kv_oci_source_tar(struct kv_arena *a, int fd, struct kv_oci_source **ret, struct kv_err *err)
{
	struct kv_oci_source *s = kv_new(a, struct kv_oci_source);
	struct kv_tar_job job = { .blob = { .fd = fd }, .spool_fd = -1, .want = KV_TAR_ALL };
	off_t size = lseek(fd, 0, SEEK_END);
	uint64_t unused;
	bool zstd;
	int e;

	if (size < 0)
		return kv_err(err, -errno, "%s", strerror(errno));
	job.blob.size = (uint64_t)size;
	if (!kv_tar_is_plain(&job.blob, &zstd))
		return kv_err(err, -ENOTSUP,
			      "a compressed archive: kvpath reads the archive as docker save and "
			      "podman save write it; decompress it first (%s)",
			      zstd ? "zstd -d" : "gunzip");
	s->arena = a;
	s->archive = job.blob;
	s->files = kv_layers_new(a);
	if (!s->files)
		return kv_err(err, -ENOMEM, "out of memory");
	kv_layers_begin(s->files);
	e = kv_tar_pass(&job, put, s, &unused, err);
	if (e < 0) {
		kv_layers_free(s->files);
		return e;
	}
	*ret = s;
	return 0;
}

void kv_oci_source_close(struct kv_oci_source *s)
{
	if (!s)
		return;
	if (s->dir)
		s->dir->ops->close(s->dir);
	kv_layers_free(s->files);
	for (size_t i = 0; i < s->fds.n; i++)
		close(s->fds.v[i]);
}

/* The path that a link at `name` leads to, inside the archive; NULL. */
static const char *follow(struct kv_arena *a, const char *name, const char *text)
{
	kv_strv parts = { 0 };
	const char *slash = strrchr(name, '/'), *ret = "";
	char *at, *path = text[0] == '/' ? kv_strdup(a, text)
					 : kv_strf(a, "%.*s/%s", slash ? (int)(slash - name) : 0,
						   name, text);

	while ((at = strsep(&path, "/"))) {
		if (kv_streq(at, ".."))
			parts.n -= parts.n > 0;
		else if (*at && !kv_streq(at, "."))
			kv_vec_push(a, &parts, at);
	}
	for (size_t i = 0; i < parts.n; i++)
		ret = kv_strf(a, "%s%s%s", ret, i ? "/" : "", parts.v[i]);
	return parts.n ? ret : NULL;
}

/* An archive's file: docker used to save a layer that two images share as a link. */
static int in_archive(struct kv_oci_source *s, const char *name, struct kv_blob *ret)
{
	struct kv_content *c;
	struct kv_stat st;
	int e;

	for (int i = 0; name && i < MAX_HOPS; i++) {
		const char *text;

		e = kv_layers_lstat(s->files, name, &st);
		if (e < 0)
			return e;
		if (!S_ISLNK(st.mode)) {
			e = kv_layers_content(s->files, name, &c);
			if (e == 0 && (c->broken || c->place != KV_PLACE_BLOB || c->n_ranges != 1))
				e = -EINVAL; /* empty, sparse, or a link to nothing */
			if (e == 0)
				*ret = (struct kv_blob){ s->archive.fd, c->ranges[0].at,
							 c->ranges[0].n };
			return e;
		}
		e = kv_layers_readlink(s->files, name, &text);
		if (e < 0)
			return e;
		name = follow(s->arena, name, text);
	}
	return name ? -ELOOP : -ENOENT;
}

int kv_oci_source_blob(struct kv_oci_source *s, const char *name, struct kv_blob *ret)
{
	_file_ struct kv_file *f = NULL;
	char path[KV_TAR_MAX_PATH + 1];
	int e, fd;

	if (!kv_tar_normal(name, path))
		return -EINVAL;
	if (!s->dir)
		return in_archive(s, path, ret);
	e = s->dir->ops->open(s->dir, path, &f);
	if (e < 0)
		return e;
	fd = fcntl(kv_file_fd(f), F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	kv_vec_push(s->arena, &s->fds, fd);
	*ret = (struct kv_blob){ fd, 0, kv_file_stat(f)->size };
	return 0;
}

bool kv_oci_source_has(struct kv_oci_source *s, const char *name)
{
	struct kv_stat st;

	return s->dir ? s->dir->ops->lstat(s->dir, name, &st) == 0
		      : kv_layers_lstat(s->files, name, &st) == 0;
}

int kv_oci_source_slurp(struct kv_oci_source *s, const char *name, struct kv_span *ret)
{
	struct kv_blob b;
	uint8_t *p;
	size_t got;
	int e = kv_oci_source_blob(s, name, &b);

	if (e == 0 && b.size > MAX_SMALL)
		e = -EFBIG;
	if (e < 0)
		return e;
	p = kv_alloc_raw(s->arena, (size_t)b.size + 1);
	e = kv_read_all(b.fd, p, (size_t)b.size, b.off, &got);
	if (e < 0)
		return e;
	p[got] = '\0';
	*ret = (struct kv_span){ p, got };
	return 0;
}
