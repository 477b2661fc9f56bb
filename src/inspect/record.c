/*
 * A recording: of the host the files that were read, with what was read of them; the links and
 * directories on the way; the names in directories that were listed; and the index. Of the target,
 * and of the fabric sources, what they answered (root/notes.h). Nothing else. Owners, times and
 * modes are left out, so that the same answers give the same bytes.
 */
#include <fcntl.h>

#include "inspect/record.h"
#include "root/tar_write.h"

#define MAX_LINKS 40

struct entry {
	const char *path; /* "/sys/class" */
	mode_t type;
	const char *text; /* of a file, or of a link */
};

struct tree {
	struct kv_arena *arena;
	struct kv_root *root;
	KV_VEC(struct entry *) entries;
	struct kv_map *known;
};

/* Of files that tell more than kvpath asks: the lines that are kept, by what stands in them. */
static const struct {
	const char *path, *keep[3];
} reduced[] = {
	{ "/proc/self/mountinfo",
	  { " /sys/class/infiniband", " /sys/bus/pci", " /dev/infiniband" } },
	{ "/proc/self/status", { "CapEff:" } },
	{ "/proc/self/limits", { "Max locked memory" } },
	{ "/proc/meminfo", { "HugePages_Total:", "HugePages_Free:", "Hugepagesize:" } },
};

/* Variables that kvpath looks at, by the beginning of their names. */
static const char *const variables[] = {
	"NIXL_",
	"FI_",
	"RDMAV_",
	"IBV_",
	"UCX_",
	"LD_",
	"SGLANG_DISAGGREGATION_",
	"TRTLLM_NIXL_",
	"TRTLLM_USE_PY_NIXL_KVCACHE=",
	"VLLM_NIXL_",
	"DYN_KVBM_NIXL_",
	"LMCACHE_NIXL_",
	"MX_NIXL_",
	"MELLANOX_VISIBLE_DEVICES",
	"ENROOT_RESTRICT_DEV",
	"PYTORCH_CUDA_ALLOC_CONF",
	"PYTORCH_ALLOC_CONF",
	"GLIBC_TUNABLES",
	"KVPATH_BACKEND=",
	"NCCL_IB_DISABLE=",
	"NCCL_NET_PLUGIN=",
	/* Which python there is, and where that looks. */
	"PATH=",
	"PYTHONHOME=",
	"PYTHONNOUSERSITE=",
	"PYTHONPATH=",
	"PYTHONSAFEPATH=",
	"PYTHONUSERBASE=",
};

static const char *const secrets[] = {
	"TOKEN", "SECRET", "PASSWORD", "PASSWD", "KEY", "CREDENTIAL"
};

/* ---- the tree ---- */

static struct entry *put(struct tree *t, const char *path, mode_t type)
{
	struct entry **slot = (struct entry **)kv_map_slot(t->known, path);

	if (!*slot) {
		*slot = kv_new(t->arena, struct entry);
		**slot = (struct entry){ kv_strdup(t->arena, path), type, NULL };
		kv_vec_push(t->arena, &t->entries, *slot);
	}
	return *slot;
}

static struct entry *put_link(struct tree *t, const char *path, const char **ret_text)
{
	struct entry *e;

	if (kv_root_readlink(t->root, path, ret_text) < 0)
		return NULL;
	e = put(t, path, S_IFLNK);
	e->text = *ret_text;
	return e;
}

/*
 * Everything on the way to path, links as links. With follow the last name too. NULL where the way
 * ends before.
 */
static struct entry *put_way(struct tree *t, const char *path, bool follow)
{
	const char *at = "", *rest = path, *text;
	struct entry *e = NULL;
	int links = 0;

	while (*(rest += strspn(rest, "/"))) {
		size_t n = strcspn(rest, "/");
		const char *name = kv_strndup(t->arena, rest, n);
		bool last = !rest[n + strspn(rest + n, "/")];
		struct kv_stat st;

		rest += n;
		if (kv_streq(name, ".") || kv_streq(name, "..")) {
			at = *at && name[1] ? kv_dirname(t->arena, at) : at;
			at = kv_streq(at, "/") ? "" : at;
			continue;
		}
		name = kv_strf(t->arena, "%s/%s", at, name);
		if (kv_root_stat(t->root, name, KV_NOFOLLOW, &st) < 0)
			return NULL;
		if (!S_ISLNK(st.mode)) {
			e = put(t, name, S_ISDIR(st.mode) ? S_IFDIR : S_IFREG);
			at = name;
			continue;
		}
		e = put_link(t, name, &text);
		if (!e || (last && !follow) || ++links > MAX_LINKS)
			return e;
		at = text[0] == '/' ? "" : at;
		rest = kv_strf(t->arena, "%s%s", text, rest);
	}
	return e;
}

static const char *reduce(struct tree *t, const char *path, const char *text)
{
	const char *kept = "";
	size_t at = 0;

	while (at < KV_ARRAY_SIZE(reduced) && !kv_streq(reduced[at].path, path))
		at++;
	if (at == KV_ARRAY_SIZE(reduced))
		return kv_strf(t->arena, "%s\n", text);
	while (*text) {
		size_t n = strcspn(text, "\n");
		const char *line = kv_strndup(t->arena, text, n);

		for (size_t i = 0; i < 3 && reduced[at].keep[i]; i++)
			if (strstr(line, reduced[at].keep[i])) {
				kept = kv_strf(t->arena, "%s%s\n", kept, line);
				break;
			}
		text += n + (text[n] == '\n');
	}
	return kept;
}

static void put_names(struct tree *t, const char *dir)
{
	struct entry *at = put_way(t, dir, true);
	kv_dirents list = { 0 };
	struct kv_dirent *d;

	if (!at || kv_root_list(t->root, at->path, &list) < 0)
		return;
	kv_vec_each (d, &list)
		put_way(t, kv_join(t->arena, at->path, d->name), false);
}

static void put_answer(struct tree *t, const struct kv_asked *a)
{
	struct entry *e;

	if (a->error < 0)
		return;
	if (a->question == KV_ASKED_LIST) {
		put_names(t, a->path);
	} else if (a->question != KV_ASKED_NODE) {
		e = put_way(t, a->path, a->question != KV_ASKED_LINK);
		if (e && a->question == KV_ASKED_TEXT)
			e->text = reduce(t, a->path, a->text);
	}
}

/* ---- the index ---- */

bool kv_is_secret(const char *name)
{
	for (size_t i = 0; i < KV_ARRAY_SIZE(secrets); i++)
		if (strcasestr(name, secrets[i]))
			return true;
	return false;
}

/* A variable with names and passwords in addresses (http://name:word@host) taken out. */
static void add_value(const char *value, struct kv_buf *ret)
{
	const char *user;

	while ((user = strstr(value, "://"))) {
		size_t host;

		user += strlen("://");
		host = strcspn(user, "@/,");
		kv_buf_add(ret, value, (size_t)(user - value));
		value = user;
		if (user[host] == '@') {
			kv_buf_str(ret, "masked");
			value += host;
		}
	}
	kv_buf_str(ret, value);
}

static void add_variable(struct kv_arena *a, const char *pair, struct kv_buf *ret)
{
	const char *line = kv_printable(a, pair), *value = strchr(line, '=');
	const char *name = value ? kv_strndup(a, line, (size_t)(value - line)) : line;

	if (!value)
		return;
	kv_buf_fmt(ret, "env %s=", name);
	if (kv_is_secret(name))
		kv_buf_str(ret, "masked");
	else
		add_value(value + 1, ret);
	kv_buf_str(ret, "\n");
}

static bool is_of(const char *pair, const char *name)
{
	size_t n = name ? strlen(name) : 0;

	return n && strncmp(pair, name, n) == 0 && pair[n] == '=';
}

/* Whether a default that people wrote asks for it. */
static bool is_ones_own(const struct kv_facts *f, const char *pair)
{
	const struct kv_named_default *d;

	for (size_t i = 0; i < f->nixls.n; i++)
		if (is_of(pair, f->nixls.v[i].def.env))
			return true;
	for (size_t i = 0; i < f->frameworks.n; i++)
		kv_vec_each (d, &f->frameworks.v[i].defaults)
			if (is_of(pair, d->def.env))
				return true;
	return false;
}

/* Where NIXL's configuration or a NIXL lies below it, or could, in a user's directory of packages;
 * else it is nobody's business. */
static bool matters_home(const struct kv_facts *f)
{
	const char *home = kv_env_get(f->env, "HOME");

	if (kv_streq(f->config.from, "HOME"))
		return true;
	for (size_t i = 0; home && i < f->nixls.n; i++) {
		const char *site = f->nixls.v[i].site;

		if (site && (strstr(site, "/.local/lib/") ||
			     (kv_starts(site, home) && site[strlen(home)] == '/')))
			return true;
	}
	return false;
}

static bool is_looked_at(const struct kv_facts *f, const char *pair)
{
	for (size_t i = 0; i < KV_ARRAY_SIZE(variables); i++)
		if (kv_starts(pair, variables[i]))
			return true;
	return is_ones_own(f, pair) || (is_of(pair, "HOME") && matters_home(f));
}

static const char *node_word(const struct kv_node *n)
{
	if (!n->there)
		return "absent";
	if (!n->right)
		return "wrong";
	return n->error ? strerrorname_np(n->error) : "ok";
}

/* Whether the lack of a file in the tree says it all. */
static bool is_absence(int error)
{
	return error == -ENOENT || error == -ENOTDIR;
}

static void make_index(const struct kv_record *rec, struct kv_buf *ret)
{
	const kv_askeds *asked = rec->sysroot ? kv_sysroot_asked(rec->sysroot) : NULL;
	const struct kv_facts *f = rec->facts;

	kv_buf_str(ret, KV_SYSROOT_INDEX " 1\n");
	if (!asked)
		kv_buf_str(ret, KV_SYSROOT_NO_HOST "\n");
	for (size_t i = 0; asked && i < asked->n; i++) {
		const struct kv_asked *a = &asked->v[i];

		if (a->question == KV_ASKED_NODE)
			kv_buf_fmt(ret, "device %s %s\n", a->path, node_word(&a->node));
		else if (a->error < 0 && !is_absence(a->error) && strerrorname_np(-a->error))
			kv_buf_fmt(ret, "error %s %s\n", a->path, strerrorname_np(-a->error));
	}
	for (size_t i = 0; i < f->env->pairs.n; i++)
		if (is_looked_at(f, f->env->pairs.v[i]))
			add_variable(f->arena, f->env->pairs.v[i], ret);
}

/* ---- the tar ---- */

static int by_path(const void *a, const void *b)
{
	return strcmp((*(struct entry *const *)a)->path, (*(struct entry *const *)b)->path);
}

static void add_member(const struct entry *e, struct kv_buf *tar)
{
	const char *text = e->text ? e->text : "";

	kv_tar_add(tar, e->path + 1, e->type,
		   (struct kv_span){ (const uint8_t *)text, strlen(text) });
}

static void add_host(struct kv_sysroot *s, struct kv_buf *ret)
{
	struct kv_arena *a = kv_sysroot_arena(s);
	struct tree t = { .arena = a, .root = kv_sysroot_files(s), .known = kv_map_new(a) };
	const kv_askeds *asked = kv_sysroot_asked(s);

	for (size_t i = 0; i < asked->n; i++)
		put_answer(&t, &asked->v[i]);
	if (t.entries.n > 1)
		qsort(t.entries.v, t.entries.n, sizeof(*t.entries.v), by_path);
	for (size_t i = 0; i < t.entries.n; i++)
		add_member(t.entries.v[i], ret);
}

void kv_record_make(const struct kv_record *rec, struct kv_buf *ret)
{
	_buf_ struct kv_buf index = { 0 };

	/* The index comes first: by it the tar is known. */
	make_index(rec, &index);
	kv_recording_text(ret, KV_SYSROOT_INDEX, index.text);
	kv_recording_text(ret, KV_SYSROOT_REPORT, rec->report);
	if (rec->sysroot)
		add_host(rec->sysroot, ret);
	if (rec->notes)
		kv_recording_target(rec, ret);
	kv_tar_end(ret);
}

/* ---- the file ---- */

int kv_record_save(const char *path, const struct kv_buf *bytes, bool force, struct kv_err *err)
{
	_buf_ struct kv_buf temporary = { 0 };
	const char *name = path;
	_close_ int fd = -EBADF;
	int r;

	if (force) {
		kv_buf_fmt(&temporary, "%s.%d", path, getpid());
		name = temporary.text;
	}
	fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return kv_err(err, -errno, "%s: %s%s", name, strerror(errno),
			      errno == EEXIST && !force ? " (--force replaces it)" : "");
	r = kv_write_all(fd, bytes->text, bytes->n);
	if (r == 0 && force && rename(name, path) < 0)
		r = -errno;
	if (r < 0) {
		unlink(name);
		return kv_err(err, r, "%s: %s", path, strerror(-r));
	}
	return 0;
}
