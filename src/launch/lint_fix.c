/*
 * lint --fix: what is certain, written into the recipe as edits of its bytes. The document is never
 * written anew, so that comments, order, quotes and line endings stay.
 */
#include <ctype.h>
#include <fcntl.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/newfile.h"
#include "launch/recipe.h"

void kv_recipe_edits(const struct kv_lints *l, kv_edits *ret)
{
	*ret = (kv_edits){ 0 };
	for (size_t i = 0; i < l->list.n; i++)
		if (l->list.v[i].edit.text)
			kv_vec_push(l->arena, ret, l->list.v[i].edit);
	kv_edits_settle(ret);
}

/* ---- writing ---- */

static bool same_owner(const struct stat *a, const struct stat *b)
{
	return a->st_uid == b->st_uid && a->st_gid == b->st_gid;
}

/* The new file like the old one. Who can not give it to its owner must not change whose it is. */
static int like_old(int fd, const char *path, const struct stat *old, struct kv_err *err)
{
	struct stat now;

	if (fstat(fd, &now) < 0)
		return kv_err(err, -errno, "%s: %s", path, strerror(errno));
	if (!same_owner(&now, old) && fchown(fd, old->st_uid, old->st_gid) < 0)
		return kv_err(err, -errno, "%s: its owner can not be kept: %s", path,
			      strerror(errno));
	if (fchmod(fd, old->st_mode & 07777) < 0)
		return kv_err(err, -errno, "%s: its mode can not be kept: %s", path,
			      strerror(errno));
	return 0;
}

/* Links lead to the file that is edited; they stay. */
static int write_text(struct kv_arena *a, const char *path, struct kv_span before,
		      struct kv_span after, struct kv_err *err)
{
	_free_ char *real = realpath(path, NULL);
	_newfile_ struct kv_newfile f = { .fd = -EBADF, .dir = -EBADF };
	struct kv_span now;
	struct stat old;
	int r;

	if (!real || stat(real, &old) < 0)
		return kv_err(err, -errno, "%s: %s", path, strerror(errno));
	if (!S_ISREG(old.st_mode))
		return kv_err(err, -EINVAL, "%s: no regular file: nothing can be written there",
			      path);
	r = kv_newfile_open(a, real, &f, err);
	if (r == 0)
		r = like_old(f.fd, path, &old, err);
	if (r == 0 && kv_write_all(f.fd, after.p, after.n) < 0)
		r = kv_err(err, -EIO, "%s: it can not be written", path);
	if (r == 0)
		r = kv_read_file(a, real, before.n + 1, &now, err);
	if (r == 0 && (now.n != before.n || memcmp(now.p, before.p, now.n) != 0))
		r = kv_err(err, -ESTALE, "%s: somebody changed it meanwhile: nothing is written",
			   path);
	return r < 0 ? r : kv_newfile_commit(&f, true, err);
}

int kv_recipe_fix(struct kv_lints *l, struct kv_err *err)
{
	kv_edits edits;
	int r;

	kv_recipe_edits(l, &edits);
	if (!edits.n)
		return 0;
	r = write_text(l->arena, l->path, l->text, kv_edits_apply(l->arena, l->text, &edits), err);
	for (size_t i = 0; r == 0 && i < l->list.n; i++)
		l->list.v[i].done = l->list.v[i].edit.text != NULL;
	return r;
}

/* ---- as a diff ---- */

static bool names_secret(struct kv_span line)
{
	static const char *const words[] = { "token",      "secret",     "passw",      "api_key",
					     "apikey",     "api-key",    "access_key", "accesskey",
					     "credential", "private_key" };

	for (size_t i = 0; i < line.n; i++)
		for (size_t k = 0; k < KV_ARRAY_SIZE(words); k++) {
			size_t n = strlen(words[k]);

			if (line.n - i >= n &&
			    strncasecmp((const char *)line.p + i, words[k], n) == 0)
				return true;
		}
	return false;
}

/* Lines that name a secret, also in a comment, and those that a secret's value is on. */
static bool hides(const void *ctx, struct kv_span line, unsigned number)
{
	const struct kv_lints *l = ctx;
	size_t at;

	if (names_secret(line))
		return true;
	if (!number)
		return false;
	at = (size_t)(line.p - l->text.p);
	for (size_t i = 0; i < l->secrets.n; i++)
		if (l->secrets.v[i]->at < at + line.n && at < l->secrets.v[i]->end)
			return true;
	return false;
}

size_t kv_recipe_diff(FILE *out, const struct kv_lints *l)
{
	kv_edits edits;

	kv_recipe_edits(l, &edits);
	return kv_edits_diff(out, l->path, l->text, &edits, hides, l);
}
