/* kvpath bake: writes a repaired copy of an image. */
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#include "base/newfile.h"
#include "cmd/cmd.h"
#include "repair/bake.h"
#include "repair/planner.h"

/* Where the copy is worth showing. */
#define PROGRESS_BYTES ((uint64_t)64 << 20)

struct bake {
	const struct kv_opts *o;
	const char *image, *out;
	int fd; /* of image */
	struct stat st;
	uint32_t now;
};

/* ---- what is asked for ---- */

static int check_args(const struct kv_opts *o)
{
	if (o->args.n != 1)
		return kv_fail(KV_STATUS_USAGE,
			       "bake: one image is expected (see kvpath bake --help)");
	if (!o->output || !*o->output || kv_ends(o->output, "/"))
		return kv_fail(KV_STATUS_USAGE, "bake: -o FILE is expected: the image to write");
	if (kv_streq(o->how, "env"))
		return kv_fail(KV_STATUS_USAGE,
			       "bake: --how env writes nothing; kvpath render --for env prints "
			       "what the job would export");
	return KV_STATUS_OK;
}

static int open_image(struct bake *b)
{
	b->fd = open(b->image, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (b->fd < 0 || fstat(b->fd, &b->st) < 0)
		return kv_fail(errno == EACCES ? KV_STATUS_UNKNOWN : KV_STATUS_USAGE, "%s: %s",
			       b->image, strerror(errno));
	return KV_STATUS_OK;
}

/* Never the image itself, under whatever name; and nothing that exists, unless that is asked for.
 */
static int check_output(const struct bake *b)
{
	struct kv_err err = { 0 };
	struct stat st;

	if (stat(b->out, &st) == 0 && st.st_dev == b->st.st_dev && st.st_ino == b->st.st_ino)
		return kv_fail(KV_STATUS_USAGE, "%s: is the image itself; name another file",
			       b->out);
	if (lstat(b->out, &st) < 0)
		return KV_STATUS_OK;
	if (!b->o->force)
		return kv_fail(KV_STATUS_USAGE, "%s: exists already (--force replaces it)", b->out);
	if (kv_newfile_check(b->out, &err) < 0)
		return kv_fail(KV_STATUS_USAGE, "%s", err.msg);
	return KV_STATUS_OK;
}

/* Builders that make the same bytes of the same things name the time that these have. */
static int find_time(struct bake *b)
{
	const char *epoch = getenv("SOURCE_DATE_EPOCH");
	unsigned long long v;
	char *end;

	b->now = (uint32_t)time(NULL);
	if (!epoch || !*epoch)
		return KV_STATUS_OK;
	errno = 0;
	v = strtoull(epoch, &end, 10);
	if (errno || *end || *epoch < '0' || *epoch > '9' || v > UINT32_MAX)
		return kv_fail(KV_STATUS_USAGE,
			       "SOURCE_DATE_EPOCH=%s: seconds since 1970 are expected", epoch);
	b->now = (uint32_t)v;
	return KV_STATUS_OK;
}

static int check_format(const struct kv_target *t)
{
	const char *format = kv_root_format(t->root);

	if (!format)
		return kv_fail(KV_STATUS_USAGE,
			       "%s: not an image but a directory: kvpath fix repairs it in place",
			       t->path);
	if (!kv_streq(format, "squashfs"))
		return kv_fail(KV_STATUS_UNKNOWN,
			       "%s: bake writes squashfs images (.sqsh), not %s ones: run kvpath "
			       "fix as a step of the image's build (RUN kvpath fix --image /), or "
			       "bake what enroot import makes of it",
			       t->path, format);
	return KV_STATUS_OK;
}

/* ---- writing ---- */

static void show_progress(void *arg, uint64_t done, uint64_t total)
{
	const struct bake *b = arg;

	if (b->o->quiet || total < PROGRESS_BYTES || !isatty(STDERR_FILENO))
		return;
	fprintf(stderr, "\rcopying: %3u%%%s", (unsigned)(done * 100 / total),
		done == total ? "\r             \r" : "");
}

static int verify(struct kv_arena *a, const char *path, const struct kv_bake *plan,
		  struct kv_err *err)
{
	struct kv_root *baked;
	int r = kv_root_open(a, path, &baked, err);

	if (r < 0)
		return r;
	r = kv_bake_verify(baked, plan, err);
	kv_root_close(baked);
	return r;
}

/* The new image with the plan's operations, looked at again before it gets its name. */
static int write_edited(struct bake *b, const struct kv_plan *p, struct kv_squash_edit *e,
			const char *path, struct kv_err *err)
{
	const char *self = kv_strf(b->o->arena, "/proc/self/fd/%d", b->fd);
	struct kv_bake plan;
	struct kv_root *image;
	int r = kv_root_open(b->o->arena, access(self, R_OK) == 0 ? self : b->image, &image, err);

	if (r < 0)
		return r;
	r = kv_bake_plan(b->o->arena, image, &p->ops, &plan, err);
	kv_root_close(image);
	e->edits = &plan.edits;
	if (r == 0)
		r = kv_squash_edit(e, err);
	e->edits = NULL; /* they end here */
	return r < 0 ? r : verify(b->o->arena, path, &plan, err);
}

static int write_image(struct bake *b, const struct kv_plan *p, struct kv_err *err)
{
	_newfile_ struct kv_newfile f = { .fd = -EBADF, .dir = -EBADF };
	struct kv_squash_edit e = {
		.arena = b->o->arena,
		.image = b->fd,
		.now = b->now,
		.progress = show_progress,
		.arg = b,
	};
	struct stat now;
	int r = kv_newfile_open(b->o->arena, b->out, &f, err);

	if (r < 0)
		return r;
	e.out = f.fd;
	/* An image that needs nothing is copied to the byte. */
	r = p->ops.n ? write_edited(b, p, &e, f.path, err)
		     : kv_squash_copy(&e, (uint64_t)b->st.st_size, err);
	if (r == 0 && (fstat(b->fd, &now) < 0 || now.st_size != b->st.st_size ||
		       now.st_mtim.tv_sec != b->st.st_mtim.tv_sec ||
		       now.st_mtim.tv_nsec != b->st.st_mtim.tv_nsec))
		r = kv_err(err, -ESTALE, "changed while it was read");
	return r < 0 ? r : kv_newfile_commit(&f, b->o->force, err);
}

/* ---- the command ---- */

static int report(const struct bake *b, const struct kv_target *t, const struct kv_plan *p,
		  const char *done)
{
	const struct kv_opts *o = b->o;
	const char *out = kv_printable(o->arena, b->out);
	int r;

	if (o->json) {
		json_t *doc = kv_plan_json(o, t, p, "kvpath.bake/1", done);

		json_object_set_new(doc, "output", json_string(out));
		r = kv_print_json(doc);
		return r != KV_STATUS_OK ? r : (int)kv_plan_status(o, p);
	}
	if (p->reason)
		kv_plan_print_reason(o, p);
	else if (!o->quiet)
		kv_plan_print_ops(o, p);
	if (kv_streq(done, "nothing"))
		printf("%s was not written; %s is %s\n", out, kv_printable(o->arena, b->image),
		       kv_verdict_name[p->findings.verdict]);
	else if (kv_streq(done, "copied"))
		printf("nothing to do: %s is a copy of %s, byte for byte: %s\n", out,
		       kv_printable(o->arena, b->image), kv_verdict_name[p->findings.verdict]);
	else
		printf("%zu operations baked into %s: %s\n", p->ops.n, out,
		       kv_verdict_name[p->findings.verdict]);
	if (!p->reason)
		kv_plan_print_left(o, p);
	return kv_plan_status(o, p);
}

/* Whose fault it is: the image is only read. */
static const char *at_fault(const struct bake *b, int code)
{
	return code == -EEXIST || code == -ENOSPC || code == -EDQUOT || code == -EFBIG ||
			       code == -EROFS || code == -ENOENT
		       ? b->out
		       : b->image;
}

static int bake_plan(struct bake *b, const struct kv_target *t, const struct kv_plan *p)
{
	struct kv_err err = { 0 };

	if (kv_plan_status(b->o, p) != KV_STATUS_OK)
		return report(b, t, p, "nothing");
	if (write_image(b, p, &err) < 0)
		return kv_fail(err.code == -EEXIST ? KV_STATUS_USAGE : KV_STATUS_UNKNOWN, "%s: %s",
			       at_fault(b, err.code), err.msg);
	return report(b, t, p, p->ops.n ? "written" : "copied");
}

static int bake(struct bake *b)
{
	_target_ struct kv_target t = { 0 };
	struct kv_facts *f;
	struct kv_plan plan;
	int r = check_output(b);

	if (r == KV_STATUS_OK)
		r = find_time(b);
	if (r == KV_STATUS_OK)
		r = kv_target_open_arg(b->o, &t);
	if (r == KV_STATUS_OK)
		r = check_format(&t);
	if (r != KV_STATUS_OK)
		return r;
	f = kv_target_facts(&t);
	r = kv_target_intact(&t);
	if (r != KV_STATUS_OK)
		return r;
	kv_plan_make(f, b->o->fabrics.n > 0, &plan);
	r = kv_target_intact(&t);
	if (r == KV_STATUS_OK)
		r = bake_plan(b, &t, &plan);
	kv_plan_close(&plan);
	return r;
}

static int run(struct kv_opts *o)
{
	struct bake b = { .o = o, .out = o->output, .fd = -1 };
	int r = check_args(o);

	if (r != KV_STATUS_OK)
		return r;
	b.image = o->args.v[0];
	r = open_image(&b);
	if (r == KV_STATUS_OK)
		r = bake(&b);
	kv_closep(&b.fd);
	return r;
}

const struct kv_command kv_cmd_bake = {
	.name = "bake",
	.usage = "[OPTIONS] IMAGE -o FILE",
	.summary = "write a repaired copy of a squashfs image (.sqsh)",
	.options = "output force mount fabric env backend mem how json quiet color",
	.help = "What kvpath fix would do to the unpacked image, journal included: FILE unpacks to "
		"the repaired directory,\nand kvpath undo works on that. Blocks that do not change "
		"are copied, not compressed again. FILE is there\nwhole or not at all. Where "
		"nothing has to be done it is a copy; where no repair is possible it is not\n"
		"written and the status is 1. SOURCE_DATE_EPOCH gives the time of what is new. "
		"kvpath fix --dry-run IMAGE\nonly shows the plan.",
	.examples = "A repaired image beside the old one\n"
		    "kvpath bake container.sqsh -o repaired.sqsh",
	.run = run,
};
