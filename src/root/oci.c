/*
 * What is read as a stack of layers: two image formats, and the recording of a host, which is one
 * layer. Entries of the table of formats.
 */
#include <fcntl.h>
#include <sys/utsname.h>

#include "root/oci.h"

struct oci_tree {
	struct kv_tree tree;
	struct kv_oci_source *source;
	struct kv_stack *stack;
	struct kv_env env;
	const char *cwd;
	int fd;
};

/* ---- the tree ---- */

static struct kv_layers *layers_of(struct kv_tree *t)
{
	return kv_stack_tree(((struct oci_tree *)t)->stack);
}

static int oci_lstat(struct kv_tree *t, const char *rel, struct kv_stat *ret)
{
	return kv_layers_lstat(layers_of(t), rel, ret);
}

static int oci_readlink(struct kv_tree *t, const char *rel, struct kv_arena *a, const char **ret)
{
	(void)a;
	return kv_layers_readlink(layers_of(t), rel, ret);
}

static int oci_list(struct kv_tree *t, const char *rel, struct kv_arena *a, kv_dirents *ret)
{
	return kv_layers_list(layers_of(t), rel, a, ret);
}

static int oci_open(struct kv_tree *t, const char *rel, struct kv_file **ret)
{
	return kv_stack_open_file(((struct oci_tree *)t)->stack, rel, ret);
}

static void oci_close(struct kv_tree *t)
{
	struct oci_tree *o = (struct oci_tree *)t;

	kv_stack_close(o->stack);
	kv_oci_source_close(o->source);
	kv_closep(&o->fd);
}

static const char *oci_fault(struct kv_tree *t)
{
	return kv_stack_fault(((struct oci_tree *)t)->stack);
}

static const struct kv_env *oci_env(struct kv_tree *t)
{
	return &((struct oci_tree *)t)->env;
}

static const char *oci_cwd(struct kv_tree *t)
{
	return ((struct oci_tree *)t)->cwd;
}

static const struct kv_tree_ops oci_ops = {
	.lstat = oci_lstat,
	.readlink = oci_readlink,
	.list = oci_list,
	.open = oci_open,
	.close = oci_close,
	.fault = oci_fault,
	.env = oci_env,
	.cwd = oci_cwd,
};

/* ---- opening ---- */

/* This machine's architecture as Go names it, which is what images are labelled with. */
static const char *host_arch(struct kv_arena *a)
{
	static const char *const names[][2] = {
		{ "x86_64", "amd64" },
		{ "aarch64", "arm64" },
	};
	struct utsname u;

	if (uname(&u) < 0)
		return "unknown";
	for (size_t i = 0; i < KV_ARRAY_SIZE(names); i++)
		if (kv_streq(u.machine, names[i][0]))
			return names[i][1];
	return kv_strdup(a, u.machine);
}

static int find_layers(struct kv_arena *a, struct kv_oci_source *s, const struct kv_oci_image *im,
		       kv_stack_layers *ret, struct kv_err *err)
{
	for (size_t i = 0; i < im->layers.n; i++) {
		struct kv_stack_layer l = im->layers.v[i];
		int e = kv_oci_source_blob(s, l.name, &l.blob);

		l.name = kv_printable(a, l.name);
		if (e < 0)
			return kv_err(err, e, "layer %zu (%.256s): %s", i + 1, l.name,
				      e == -ENOENT ? "missing" : strerror(-e));
		if (im->sizes.v[i] != UINT64_MAX && im->sizes.v[i] != l.blob.size)
			return kv_err(err, -EBADMSG,
				      "layer %zu (%.256s): %llu bytes, the manifest says %llu",
				      i + 1, l.name, (unsigned long long)l.blob.size,
				      (unsigned long long)im->sizes.v[i]);
		kv_vec_push(a, ret, l);
	}
	return 0;
}

static int open_image(struct kv_arena *a, struct kv_oci_source *s, struct oci_tree *t,
		      struct kv_err *err)
{
	const struct kv_oci_image *im;
	kv_oci_images list = { 0 };
	kv_stack_layers layers = { 0 };
	int e;

	if (kv_oci_source_has(s, "oci-layout") && kv_oci_source_has(s, "index.json"))
		e = kv_oci_list_layout(a, s, &list, err);
	else if (kv_oci_source_has(s, "manifest.json"))
		e = kv_oci_list_docker(a, s, &list, err);
	else
		e = kv_err(err, -ENOTSUP,
			   "a tar archive, but none of an image (no manifest.json, no oci-layout): "
			   "unpack it and check the directory");
	if (e == 0)
		e = kv_oci_choose(a, &list, host_arch(a), &im, err);
	if (e == 0)
		e = find_layers(a, s, im, &layers, err);
	if (e == 0)
		e = kv_stack_open(a, &layers, &t->stack, err);
	if (e < 0)
		return e;
	t->env.pairs = im->env;
	t->cwd = im->cwd;
	return e;
}

/* Opens what the source holds, which ends with the tree, or at once where that fails. */
static int open_source(struct kv_arena *a, struct kv_oci_source *s, int fd, struct kv_tree **ret,
		       struct kv_err *err)
{
	struct oci_tree *t = kv_new(a, struct oci_tree);
	int e = open_image(a, s, t, err);

	if (e < 0) {
		kv_oci_source_close(s);
		return e;
	}
	t->tree.ops = &oci_ops;
	t->source = s;
	t->fd = fd;
	*ret = &t->tree;
	return 0;
}

/* ---- the formats ---- */

static bool has(int dir_fd, const char *name)
{
	struct stat st;

	return fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool is_layout(int fd, const struct stat *st)
{
	return S_ISDIR(st->st_mode) && has(fd, "oci-layout") && has(fd, "index.json") &&
	       has(fd, "blobs") && !has(fd, "usr") && !has(fd, "etc");
}

static int open_layout(struct kv_arena *a, int fd, struct kv_tree **ret, struct kv_err *err)
{
	struct kv_oci_source *s;
	int e = kv_oci_source_dir(a, fd, &s, err);

	return e < 0 ? e : open_source(a, s, fd, ret, err);
}

/* A tar's header has "ustar" at 257 (POSIX and GNU alike); compressed ones are met to say so. */
static bool is_archive(int fd, const struct stat *st)
{
	struct kv_blob b = { fd, 0, (uint64_t)st->st_size };
	char magic[5];
	size_t n = 0;
	bool zstd;

	if (!S_ISREG(st->st_mode))
		return false;
	return !kv_tar_is_plain(&b, &zstd) ||
	       (kv_read_all(fd, magic, sizeof(magic), 257, &n) == 0 && n == sizeof(magic) &&
		memcmp(magic, "ustar", sizeof(magic)) == 0);
}

static int open_archive(struct kv_arena *a, int fd, struct kv_tree **ret, struct kv_err *err)
{
	struct kv_oci_source *s;
	int e = kv_oci_source_tar(a, fd, &s, err);

	return e < 0 ? e : open_source(a, s, fd, ret, err);
}

/* ---- a recorded host ---- */

static bool is_recording(int fd, const struct stat *st)
{
	char name[sizeof(KV_RECORDING_INDEX)];
	size_t n = 0;

	return S_ISREG(st->st_mode) && kv_read_all(fd, name, sizeof(name), 0, &n) == 0 &&
	       n == sizeof(name) && memcmp(name, KV_RECORDING_INDEX, n) == 0;
}

static int open_recording(struct kv_arena *a, int fd, struct kv_tree **ret, struct kv_err *err)
{
	struct oci_tree *t = kv_new(a, struct oci_tree);
	kv_stack_layers layers = { 0 };
	struct stat st;
	int e;

	if (fstat(fd, &st) < 0)
		return kv_err(err, -errno, "%s", strerror(errno));
	kv_vec_push(a, &layers,
		    ((struct kv_stack_layer){ .blob = { fd, 0, (uint64_t)st.st_size },
					      .name = "the recording" }));
	e = kv_stack_open(a, &layers, &t->stack, err);
	if (e < 0)
		return e;
	t->tree.ops = &oci_ops;
	t->fd = fd;
	*ret = &t->tree;
	return 0;
}

const struct kv_image_format kv_recording_format = {
	.name = "recorded host",
	.is = is_recording,
	.open = open_recording,
};

const struct kv_image_format kv_oci_layout_format = {
	.name = "OCI layout",
	.is = is_layout,
	.open = open_layout,
};

const struct kv_image_format kv_oci_archive_format = {
	.name = "docker or OCI archive",
	.is = is_archive,
	.open = open_archive,
};
