/*
 * What the target's own dynamic linker says of itself: its default directories, $LIB and version
 * stand as plain strings in its read-only data (glibc elf/dl-load.c system_dirs[], DL_DST_LIB; the
 * banner of `ld.so --version`). A table by distribution would be a guess.
 */
#include "loader/internal.h"

#define MAX_LDSO ((size_t)16 << 20)
#define WINDOW   ((uint64_t)32 << 10) /* of libc.so.6, read at a time */
#define BANNER   ((uint64_t)4 << 10)  /* the longest text that is found across two windows */

/* Where PT_INTERP points per machine; the ABI fixes these (glibc shlib-versions, sysdeps
 * ldd-rewrite). */
static const struct {
	uint16_t machine;
	bool is64;
	const char *path;
	uint32_t cache_flags; /* sysdeps .../dl-cache.h _DL_CACHE_DEFAULT_ID */
} abis[] = {
	{ EM_X86_64, true, "/lib64/ld-linux-x86-64.so.2", 0x0303 },
	{ EM_AARCH64, true, "/lib/ld-linux-aarch64.so.1", 0x0a03 },
	{ EM_386, false, "/lib/ld-linux.so.2", 0x0003 },
	{ EM_ARM, false, "/lib/ld-linux-armhf.so.3", 0x0903 },
	{ EM_RISCV, true, "/lib/ld-linux-riscv64-lp64d.so.1", 0x1003 },
	{ EM_PPC64, true, "/lib64/ld64.so.2", 0x0503 },
	{ EM_S390, true, "/lib/ld64.so.1", 0x0403 },
};

uint32_t kv_cache_flags(const struct kv_loader *l);

uint32_t kv_cache_flags(const struct kv_loader *l)
{
	for (size_t i = 0; i < KV_ARRAY_SIZE(abis); i++)
		if (abis[i].machine == l->machine && abis[i].is64 == l->is64)
			return abis[i].cache_flags;
	return 0;
}

static bool is_path_text(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (s[i] <= ' ' || s[i] > '~')
			return false;
	return n > 1 && s[0] == '/' && s[n - 1] == '/';
}

/*
 * system_dirs[]: the longest run of adjacent NUL-terminated strings that are directories with a
 * trailing slash. In every glibc it holds at least "/lib.../" and "/usr/lib.../".
 */
static void find_dirs(struct kv_arena *a, struct kv_span s, kv_strv *ret)
{
	kv_strv run = { 0 };

	for (const uint8_t *slash = s.p; (slash = memchr(slash, '/', s.n - (size_t)(slash - s.p)));
	     slash++) {
		size_t p = (size_t)(slash - s.p);

		if (s.n - p < 3 || slash[1] || slash[2] != '/')
			continue;
		while (p > 0 && s.p[p - 1])
			p--;
		run.n = 0;
		for (const char *text;
		     (text = kv_span_str(s, p)) && is_path_text(text, strlen(text));
		     p += strlen(text) + 1)
			kv_vec_push(a, &run, kv_strdup(a, text));
		if (run.n > ret->n) {
			*ret = run;
			run = (kv_strv){ 0 };
		}
	}
}

/* What stands before the minor of the release, the surest first. */
static const char *const banners[] = { "stable release version 2.", "release version 2." };

static unsigned version_behind(struct kv_span s, const char *banner)
{
	size_t n = strlen(banner), at = kv_span_find(s, 0, banner, n);

	return at < s.n && kv_span_str(s, at + n)
		       ? (unsigned)strtoul(kv_span_str(s, at + n), NULL, 10)
		       : 0;
}

static unsigned find_version(struct kv_span s)
{
	unsigned version = 0;

	for (size_t i = 0; i < KV_ARRAY_SIZE(banners) && !version; i++)
		version = version_behind(s, banners[i]);
	return version;
}

/* "lib/x86_64-linux-gnu" for "/usr/lib/x86_64-linux-gnu/": DL_DST_LIB names the same directory. */
static const char *lib_of_dirs(struct kv_arena *a, const kv_strv *dirs)
{
	for (size_t i = 0; i < dirs->n; i++)
		if (kv_starts(dirs->v[i], "/usr/"))
			return kv_strndup(a, dirs->v[i] + 5, strlen(dirs->v[i]) - 6);
	return "lib";
}

static void fill_defaults(struct kv_loader *l, struct kv_ldso *so)
{
	if (l->is64 && l->machine != EM_AARCH64 && l->machine != EM_RISCV) {
		kv_vec_push(l->arena, &so->dirs, kv_strdup(l->arena, "/lib64/"));
		kv_vec_push(l->arena, &so->dirs, kv_strdup(l->arena, "/usr/lib64/"));
	} else {
		kv_vec_push(l->arena, &so->dirs, kv_strdup(l->arena, "/lib/"));
		kv_vec_push(l->arena, &so->dirs, kv_strdup(l->arena, "/usr/lib/"));
	}
}

/* The read-only data: the loader's own tables of strings. Behind the code where they are apart, in
 * the first segment where there is but one. */
static void read_strings(struct kv_loader *l, const struct kv_elf *e, struct kv_ldso *so)
{
	for (size_t i = e->loads.n; i-- > 0 && !(so->version && so->dirs.n);) {
		const struct kv_elf_segment *seg = &e->loads.v[i];
		struct kv_span s;

		if ((seg->flags & PF_W) || seg->filesz > MAX_LDSO)
			continue;
		s = kv_elf_read_at(e, l->arena, seg->offset, seg->filesz);
		if (!so->dirs.n)
			find_dirs(l->arena, s, &so->dirs);
		if (!so->version)
			so->version = find_version(s);
	}
}

/* Whether a text stands anywhere in the loader, its tables of data included. */
static bool says(struct kv_loader *l, const struct kv_elf *e, const char *text)
{
	for (size_t i = 0; i < e->loads.n; i++) {
		const struct kv_elf_segment *seg = &e->loads.v[i];
		struct kv_span s;

		if (seg->filesz > MAX_LDSO)
			continue;
		s = kv_elf_read_at(e, l->arena, seg->offset, seg->filesz);
		if (kv_span_find(s, 0, text, strlen(text)) < s.n)
			return true;
	}
	return false;
}

/* The same of a large segment, of which not more is read than it takes. */
static unsigned find_version_in(struct kv_loader *l, const struct kv_elf *e,
				const struct kv_elf_segment *seg)
{
	uint8_t *room = kv_alloc_raw(l->arena, WINDOW + BANNER);
	unsigned version = 0;

	for (size_t i = 0; i < KV_ARRAY_SIZE(banners) && !version; i++)
		for (uint64_t at = 0; at < seg->filesz && !version; at += WINDOW) {
			uint64_t n = seg->filesz - at;

			n = n < WINDOW + BANNER ? n : WINDOW + BANNER;
			n = kv_elf_read_to(e, seg->offset + at, room, (size_t)n);
			version = version_behind((struct kv_span){ room, (size_t)n }, banners[i]);
		}
	return version;
}

unsigned kv_libc_version(struct kv_loader *l, const struct kv_elf *e)
{
	if (l->libc == e)
		return l->libc_version;
	l->libc = e;
	l->libc_version = 0;
	for (size_t i = e->loads.n; i-- > 0 && !l->libc_version;) {
		const struct kv_elf_segment *seg = &e->loads.v[i];

		if (!(seg->flags & PF_W) && seg->filesz <= MAX_LDSO)
			l->libc_version = find_version_in(l, e, seg);
	}
	return l->libc_version;
}

/* Before 2.33 ld.so carries no banner, but libc.so.6 does. The newest node that a libc defines
 * dates it from below. */
static unsigned version_of_libc(struct kv_loader *l, const kv_strv *dirs)
{
	for (size_t i = 0; i < dirs->n; i++) {
		const struct kv_elf *e =
			kv_loader_elf(l, kv_strf(l->arena, "%slibc.so.6", dirs->v[i]), NULL);
		const char *node;
		unsigned version;

		if (!e || e->machine != l->machine || e->is64 != l->is64)
			continue;
		version = kv_libc_version(l, e);
		node = version ? NULL : kv_elf_max_def(e, "GLIBC_2.");
		if (version || node)
			return version ? version
				       : (unsigned)strtoul(node + strlen("GLIBC_2."), NULL, 10);
	}
	return 0;
}

/* musl's loader bears its name in the ABI: /lib/ld-musl-x86_64.so.1. */
static const char *find_musl(struct kv_loader *l)
{
	kv_dirents list = { 0 };
	const struct kv_dirent *d;

	if (kv_root_list(l->root, "/lib", &list) < 0)
		return NULL;
	kv_vec_each (d, &list)
		if (kv_starts(d->name, "ld-musl-"))
			return kv_join(l->arena, "/lib", d->name);
	return NULL;
}

static const char *why_unknown(struct kv_loader *l, const struct kv_ldso *so)
{
	const char *musl = find_musl(l);
	struct kv_stat st;

	if (musl)
		return kv_strf(l->arena, "%s is musl's loader, which kvpath does not model", musl);
	if (so->path && kv_root_stat(l->root, so->path, 0, &st) == -ENOENT)
		return kv_strf(l->arena, "%s is not there: the target is no root of a system",
			       so->path);
	if (so->path)
		return kv_strf(l->arena, "%s is no dynamic loader of glibc's that can be read",
			       so->path);
	return "a machine whose loader kvpath does not know";
}

const struct kv_ldso *kv_loader_ldso(struct kv_loader *l)
{
	struct kv_ldso *so = l->ldso;
	const struct kv_elf *e;

	if (so)
		return so;
	so = l->ldso = kv_new(l->arena, struct kv_ldso);
	for (size_t i = 0; i < KV_ARRAY_SIZE(abis); i++)
		if (abis[i].machine == l->machine && abis[i].is64 == l->is64)
			so->path = abis[i].path;
	e = so->path ? kv_loader_elf(l, so->path, NULL) : NULL;
	if (e && e->loads.n && e->machine == l->machine && e->is64 == l->is64 && e->be == l->be)
		read_strings(l, e, so);
	if (!so->version && so->dirs.n)
		so->version = version_of_libc(l, &so->dirs);
	so->is_glibc = so->version != 0;
	so->has_tls_tunables = so->version >= 32 ||
			       (so->is_glibc && e && says(l, e, "glibc.rtld.optional_static_tls"));
	if (!so->is_glibc)
		so->unknown_why = why_unknown(l, so);
	if (so->dirs.n < 2)
		fill_defaults(l, so);
	so->lib = lib_of_dirs(l->arena, &so->dirs);
	so->is_debian = strstr(so->lib, "-linux-gnu") != NULL;
	return so;
}
