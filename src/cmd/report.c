/* kvpath report: results of the other commands as one HTML file. Opens those files and nothing
 * else. */
#include <sys/stat.h>

#include "base/newfile.h"
#include "cmd/cmd.h"
#include "report/html.h"

static int write_file(const struct kv_opts *o, const struct kv_buf *page)
{
	_newfile_ struct kv_newfile f = { .fd = -EBADF, .dir = -EBADF };
	struct kv_err err = { 0 };
	int r = kv_newfile_open(o->arena, o->output, &f, &err);

	if (r == 0) {
		r = kv_write_all(f.fd, page->text, page->n);
		if (r < 0)
			kv_err(&err, r, "%s: %s", o->output, strerror(-r));
	}
	if (r == 0)
		r = kv_newfile_commit(&f, o->force, &err);
	if (r == -EEXIST)
		return kv_fail(KV_STATUS_USAGE, "report: %s exists (--force replaces it)",
			       o->output);
	return r == 0 ? KV_STATUS_OK : kv_fail(KV_STATUS_UNKNOWN, "report: %s", err.msg);
}

/* Never a result itself, under whatever name; and no device. */
static int check_output(const struct kv_opts *o)
{
	struct kv_err err = { 0 };
	struct stat out, in;

	if (!o->force)
		return KV_STATUS_OK;
	if (kv_newfile_check(o->output, &err) < 0)
		return kv_fail(KV_STATUS_USAGE, "report: %s", err.msg);
	for (size_t i = 0; stat(o->output, &out) == 0 && i < o->args.n; i++)
		if (stat(o->args.v[i], &in) == 0 && in.st_dev == out.st_dev &&
		    in.st_ino == out.st_ino)
			return kv_fail(KV_STATUS_USAGE,
				       "report: %s: is one of the results; name another file",
				       o->output);
	return KV_STATUS_OK;
}

static int read_all(const struct kv_opts *o, struct kv_docs *docs)
{
	for (size_t i = 0; i < o->args.n; i++) {
		struct kv_err err = { 0 };
		int r = kv_docs_add(docs, o->args.v[i], &err);

		if (r < 0)
			return kv_fail(r == -ENOTSUP ? KV_STATUS_UNKNOWN : KV_STATUS_USAGE, "%s",
				       err.msg);
	}
	return KV_STATUS_OK;
}

static int run(struct kv_opts *o)
{
	struct kv_docs docs = { .arena = o->arena, .backend = o->backend };
	struct kv_html h = { .arena = o->arena };
	int r = KV_STATUS_OK;

	if (!o->args.n)
		return kv_fail(KV_STATUS_USAGE,
			       "report: a RESULT.json is expected, as --json of the other commands "
			       "prints it");
	if (!o->output && isatty(STDOUT_FILENO))
		return kv_fail(KV_STATUS_USAGE, "report: -o FILE.html is expected");
	if (o->output)
		r = check_output(o);
	if (r == KV_STATUS_OK)
		r = read_all(o, &docs);
	if (r == KV_STATUS_OK) {
		kv_html_report(&h, &docs);
		if (o->output)
			r = write_file(o, &h.out);
		else
			fwrite(h.out.text, 1, h.out.n, stdout);
	}
	kv_buf_clear(&h.out);
	kv_docs_free(&docs);
	return r;
}

const struct kv_command kv_cmd_report = {
	.name = "report",
	.usage = "[OPTIONS] RESULT.json ... -o REPORT.html",
	.summary = "write results as one HTML file: the path, findings, measurements",
	.options = "output force backend",
	.help = "RESULT.json is what check, why, prove, bench, size, log and sweep print with "
		"--json, in any mix. The file needs no\n"
		"script, no network and no other file. The verdict at its head is the worst one of "
		"the results.",
	.examples = "Check and proof in one page\n"
		    "kvpath report check.json prove.json -o report.html",
	.run = run,
};
