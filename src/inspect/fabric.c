/*
 * libfabric copies: which release and ABI, which providers, whether built with CUDA. All read from
 * the library itself: file names and packages can lie, its version nodes, imports and strings
 * cannot.
 */
#include <dirent.h>

#include "inspect/internal.h"

#define MAX_CONF ((size_t)1 << 16)

const char *const kv_source_name[_KV_SOURCE_COUNT] = { "target", "mount", "fabric" };

/*
 * A provider defines run-time parameters; their names stand in the library exactly where it is
 * built in (libfabric prov/<name>/src: fi_param_define). Provider names themselves do not:
 * libfabric's core lists them all.
 */
#define PARAMETER(name) name, sizeof(name) - 1

static const struct {
	const char *provider, *parameter;
	size_t length;
} markers[] = {
	{ "efa", PARAMETER("use_device_rdma") }, { "tcp", PARAMETER("prefetch_rbuf_size") },
	{ "sockets", PARAMETER("pe_waittime") }, { "shm", PARAMETER("disable_cma") },
	{ "verbs", PARAMETER("gid_idx") },       { "cxi", PARAMETER("rdzv_threshold") },
};

/* What the strings of a libfabric tell. */
struct strings {
	bool begins[UINT8_MAX + 1]; /* first bytes of what is sought */
	bool marker[KV_ARRAY_SIZE(markers)];
	bool cuda, driver_plain, driver_numbered;
	const char *release, *provdir, *conf;
};

/* "1.17.0", "2.3.0amzn2.0": PACKAGE_VERSION of libfabric, not an address ("127.0.0.1"). */
static bool is_release(const char *s)
{
	unsigned dots = 0;
	const char *p = s;

	for (; (*p >= '0' && *p <= '9') || *p == '.'; p++)
		dots += *p == '.';
	if (!*p)
		return dots == 2;
	return dots >= 2 &&
	       (kv_starts(p, "amzn") || kv_starts(p, "rc") || kv_starts(p, "a") || *p == '~');
}

static void take_string(struct kv_arena *a, const char *s, size_t n, struct strings *ret)
{
	for (size_t i = 0; i < KV_ARRAY_SIZE(markers); i++)
		ret->marker[i] |= n == markers[i].length && memcmp(s, markers[i].parameter, n) == 0;
	if (n >= 5 && n <= 24 && !ret->release && s[0] >= '1' && s[0] <= '9' && is_release(s))
		ret->release = kv_strdup(a, s);
	if (n == strlen("libcudart.so") && memcmp(s, "libcudart.so", n) == 0)
		ret->cuda = true;
	ret->driver_plain |= kv_streq(s, "libcuda.so");
	ret->driver_numbered |= kv_streq(s, "libcuda.so.1");
	if (s[0] == '/' && !ret->provdir && n > strlen("/libfabric") && kv_ends(s, "/libfabric") &&
	    !strpbrk(s, ": "))
		ret->provdir = kv_strdup(a, s);
	if (s[0] == '/' && !ret->conf && kv_ends(s, "/libfabric.conf") && !strpbrk(s, ": "))
		ret->conf = kv_strdup(a, s);
}

static void set_begins(struct strings *ret)
{
	for (size_t i = 0; i < KV_ARRAY_SIZE(markers); i++)
		ret->begins[(uint8_t)markers[i].parameter[0]] = true;
	for (uint8_t c = '1'; c <= '9'; c++)
		ret->begins[c] = true;
	ret->begins['/'] = ret->begins['l'] = true;
}

#define SHORTEST 5 /* bytes of a text that is sought */

/* How many bytes there are up to the last NUL among so many; 0: none is one. */
static size_t up_to_nul(const uint8_t *p, size_t n)
{
	while (n && p[n - 1])
		n--;
	return n;
}

static void take_segment(struct kv_arena *a, const struct kv_elf *e,
			 const struct kv_elf_segment *seg, struct strings *ret)
{
	struct kv_span s = kv_elf_read_at(e, a, seg->offset, seg->filesz);
	const uint8_t *end;
	size_t n;

	for (size_t at = 0; s.n - at > SHORTEST; at += n) {
		/* Most of what lies between texts is full of NULs, and none begins before one. */
		n = up_to_nul(s.p + at, SHORTEST);
		if (n)
			continue;
		end = memchr(s.p + at, 0, s.n - at);
		if (!end)
			return;
		n = (size_t)(end - s.p) - at;
		if (ret->begins[s.p[at]])
			take_string(a, (const char *)s.p + at, n, ret);
	}
}

/* One pass over the read-only data: segments that are neither code nor writable, where there are
 * such. */
static void read_strings(struct kv_arena *a, const struct kv_elf *e, struct strings *ret)
{
	bool split = false;

	set_begins(ret);
	for (size_t i = 0; i < e->loads.n; i++)
		split |= i > 0 && !(e->loads.v[i].flags & (PF_W | PF_X));
	for (size_t i = 0; i < e->loads.n; i++) {
		const struct kv_elf_segment *s = &e->loads.v[i];

		/* The first segment then holds the tables, not the data. */
		if (!(s->flags & (split ? PF_W | PF_X : PF_W)) && s->filesz && !(split && i == 0))
			take_segment(a, e, s, ret);
	}
}

/* Whether the distribution's package database lists the file. */
static bool is_distro_file(struct kv_arena *a, struct kv_root *r, const char *path)
{
	static const char *const lists[] = { "libfabric1", "libfabric1:amd64", "libfabric1:arm64" };
	const char *real;

	if (kv_root_real(r, path, 0, &real) < 0)
		return false;
	for (size_t i = 0; i < KV_ARRAY_SIZE(lists); i++) {
		const char *db = kv_strf(a, "/var/lib/dpkg/info/%s.list", lists[i]);
		struct kv_span s;
		const char *line =
			kv_strf(a, "%s\n", kv_starts(real, "/usr/lib") ? real + 4 : real);

		/* With a merged /usr the list may say /lib/... or /usr/lib/...: the shorter text is
		 * in both. */
		if (kv_root_slurp(r, db, 1 << 20, &s) == 0 &&
		    kv_span_find(s, 0, line, strlen(line)) < s.n)
			return true;
	}
	/* rpm's database is binary; its libfabric package puts the library in /usr/lib64 and
	 * nothing else does. */
	return kv_starts(real, "/usr/lib64/libfabric.so.") && kv_root_is_dir(r, "/var/lib/rpm") &&
	       !kv_root_is_dir(r, "/var/lib/dpkg");
}

/* Whether it is one, and of which ABI: without looking through its texts. */
static bool is_fabric(const char *path, const struct kv_elf *e, struct kv_fabric *ret)
{
	const char *abi = e && e->type == ET_DYN ? kv_elf_max_def(e, "FABRIC_") : NULL;

	if (!abi)
		return false;
	*ret = (struct kv_fabric){ .path = path, .elf = e, .abi = abi, .unread = true };
	return true;
}

bool kv_fabric_read(struct kv_arena *a, struct kv_root *r, const char *path, const struct kv_elf *e,
		    struct kv_fabric *ret)
{
	struct strings strings = { 0 };

	if (!is_fabric(path, e, ret))
		return false;
	ret->unread = false;
	read_strings(a, e, &strings);
	ret->release = strings.release;
	ret->provdir = strings.provdir;
	ret->conf = strings.conf;
	for (size_t i = 0; i < KV_ARRAY_SIZE(markers); i++)
		if (strings.marker[i])
			kv_vec_push(a, &ret->providers, kv_strdup(a, markers[i].provider));
	ret->efa_built_in = kv_strv_has(&ret->providers, "efa");
	ret->cuda = strings.cuda;
	ret->plain_cuda = strings.cuda && strings.driver_plain && !strings.driver_numbered;
	for (size_t i = 0; i < e->needed.n; i++)
		ret->cuda |= kv_starts(e->needed.v[i], "libcudart.so");
	ret->distro = is_distro_file(a, r, path);
	return true;
}

static bool seen_inode(const kv_fabrics *list, const struct kv_elf *e)
{
	for (size_t i = 0; i < list->n; i++)
		if (list->v[i].elf->st.dev == e->st.dev && list->v[i].elf->st.ino == e->st.ino)
			return true;
	return false;
}

void kv_find_fabrics(struct kv_facts *f)
{
	for (size_t i = 0; i < f->scan->libfabrics.n; i++) {
		const char *path = f->scan->libfabrics.v[i];
		const struct kv_elf *e = kv_loader_elf(f->loader, path, NULL);
		struct kv_fabric fab;

		if (!e || e->machine != kv_loader_machine(f->loader) ||
		    seen_inode(&f->fabrics, e) ||
		    !(f->brief ? is_fabric(path, e, &fab)
			       : kv_fabric_read(f->arena, f->root, path, e, &fab)))
			continue;
		fab.source = kv_root_is_mounted(f->root, path) ? KV_SOURCE_MOUNT : KV_SOURCE_TARGET;
		kv_vec_push(f->arena, &f->fabrics, fab);
	}
}

const char *kv_fabric_efa_dso(const struct kv_fabric *fab)
{
	for (size_t i = 0; !fab->efa_built_in && i < fab->dsos.n; i++)
		if (kv_streq(kv_basename(fab->dsos.v[i]), "libefa-fi.so"))
			return fab->dsos.v[i];
	return NULL;
}

/*
 * A variable's name up to the first '=', blanks and all, and its value up to the end of the line;
 * the first of one name counts (libfabric src/var.c, load_conf()).
 */
void kv_fabric_settings(struct kv_facts *f, struct kv_fabric *fab)
{
	struct kv_span s;
	const char *text;

	if (!fab->conf || fab->settings.pairs.n ||
	    kv_root_slurp(f->root, fab->conf, MAX_CONF, &s) < 0)
		return;
	for (text = (const char *)s.p; *text; text += *text == '\n') {
		size_t n = strcspn(text, "\n"), name = strcspn(text, "=\n");

		if (name < n && !kv_env_get(&fab->settings, kv_strndup(f->arena, text, name)))
			kv_env_put(f->arena, &fab->settings, kv_strndup(f->arena, text, n));
		text += n;
	}
}
