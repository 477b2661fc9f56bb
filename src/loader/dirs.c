/*
 * Search paths: their elements with tokens replaced, and the subdirectories for CPUs that are tried
 * in each (glibc elf/dl-load.c fillin_rpath(), elf/dl-hwcaps.c _dl_important_hwcaps()).
 */
#include "loader/internal.h"

static bool is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_';
}

/* Up to 2.36 the x86-64 loader replaced AT_PLATFORM, but on Intel's CPUs alone
 * (sysdeps/x86/cpu-features.c). */
static const char *platform(struct kv_loader *l)
{
	if (l->machine == EM_AARCH64)
		return "aarch64";
	if (l->machine != EM_X86_64 || !l->is64)
		return NULL;
	return kv_loader_ldso(l)->version <= 36 && l->intel && l->cpu_level >= 3 ? "haswell"
										 : "x86_64";
}

/* Length of the token at s ("$ORIGIN", "${LIB}"), 0 where it is none; its value in *ret. */
static size_t token(struct kv_process *p, const char *s, const char *origin, const char **ret)
{
	const struct {
		const char *name, *value;
	} tokens[] = { { "ORIGIN", origin },
		       { "LIB", kv_loader_ldso(p->l)->lib },
		       { "PLATFORM", platform(p->l) } };
	bool curly = s[1] == '{';
	const char *name = s + 1 + curly;

	for (size_t i = 0; i < KV_ARRAY_SIZE(tokens); i++) {
		size_t n = strlen(tokens[i].name);

		if (strncmp(name, tokens[i].name, n) != 0)
			continue;
		if (curly ? name[n] != '}' : is_name_char(name[n]))
			continue;
		*ret = tokens[i].value;
		return 1 + n + 2 * (size_t)curly;
	}
	return 0;
}

const char *kv_expand(struct kv_process *p, const char *text, const char *origin)
{
	_buf_ struct kv_buf out = { 0 };

	if (!strchr(text, '$'))
		return text;
	while (*text) {
		const char *value = NULL;
		size_t n = *text == '$' ? token(p, text, origin, &value) : 0;

		if (n && !value)
			return NULL;
		if (n)
			kv_buf_str(&out, value);
		else
			kv_buf_add(&out, text, 1);
		text += n ? n : 1;
	}
	return kv_strdup(p->arena, out.text ? out.text : "");
}

const char *kv_guest(struct kv_loader *l, const char *path)
{
	return path[0] == '/' ? path : *path ? kv_join(l->arena, l->cwd, path) : l->cwd;
}

/* ---- subdirectories for CPUs ---- */

/* glibc-hwcaps, best first (sysdeps/x86_64/dl-hwcaps-subdirs.c); other machines that kvpath meets
 * have none. NULL ends. */
const char *kv_cpu_hwcaps(struct kv_loader *l, size_t i)
{
	static const char *const x86[] = { "x86-64-v4", "x86-64-v3", "x86-64-v2" };

	if (l->machine != EM_X86_64 || !l->is64 || kv_loader_ldso(l)->version < 33)
		return NULL;
	i += l->cpu_level < 4 ? 4 - l->cpu_level : 0;
	return i < KV_ARRAY_SIZE(x86) ? x86[i] : NULL;
}

/*
 * Until 2.36: every combination of the words that describe the CPU, each a level of directories;
 * the more, and the earlier in the list, the better. The list ends with none of them.
 */
static void add_legacy(struct kv_loader *l, kv_strv *ret)
{
	const char *words[4];
	size_t n = 0;

	words[n++] = "tls";
	words[n++] = platform(l);
	if (l->machine == EM_X86_64 && l->intel && l->cpu_level == 4)
		words[n++] = "avx512_1";
	words[n++] = l->machine == EM_X86_64 ? "x86_64" : "atomics";
	for (size_t mask = ((size_t)1 << n) - 1; mask; mask--) {
		_buf_ struct kv_buf sub = { 0 };

		for (size_t i = 0; i < n; i++)
			if (mask >> (n - 1 - i) & 1)
				kv_buf_fmt(&sub, "%s/", words[i]);
		kv_vec_push(l->arena, ret, kv_strdup(l->arena, sub.text));
	}
}

static const kv_strv *hwcaps(struct kv_loader *l)
{
	unsigned version = kv_loader_ldso(l)->version;
	const char *name;

	if (l->hwcaps.n)
		return &l->hwcaps;
	for (size_t i = 0; (name = kv_cpu_hwcaps(l, i)); i++)
		kv_vec_push(l->arena, &l->hwcaps, kv_strf(l->arena, "glibc-hwcaps/%s/", name));
	/* Removed in 2.37 (6099908fb8). */
	if (version && version <= 36 && platform(l))
		add_legacy(l, &l->hwcaps);
	kv_vec_push(l->arena, &l->hwcaps, kv_strdup(l->arena, ""));
	return &l->hwcaps;
}

/* ---- lists ---- */

/* What none of its subdirectories for CPUs can be in: one look instead of one at each. */
static bool lacks_top(struct kv_loader *l, const char *spelled, const char *sub, kv_strv *missing)
{
	size_t n = strcspn(sub, "/");
	char *top;

	for (size_t i = 0; i < missing->n; i++)
		if (strncmp(missing->v[i], sub, n) == 0 && !missing->v[i][n])
			return true;
	top = kv_strndup(l->arena, sub, n);
	if (kv_root_is_dir(l->root, kv_cat(l->arena, spelled, top)))
		return false;
	kv_vec_push(l->arena, missing, top);
	return true;
}

static struct kv_search_dir *dir_of(struct kv_loader *l, const char *spelled)
{
	struct kv_search_dir **slot = (struct kv_search_dir **)kv_map_slot(l->dirs, spelled);
	const kv_strv *subs = hwcaps(l);
	kv_strv missing = { 0 };
	struct kv_search_dir *d;
	bool there, relative;

	if (*slot)
		return *slot;
	d = *slot = kv_new(l->arena, struct kv_search_dir);
	d->spelled = kv_strdup(l->arena, spelled);
	relative = spelled[0] != '/';
	there = !relative && kv_root_is_dir(l->root, spelled);
	for (size_t i = 0; i < subs->n; i++) {
		const char *sub = subs->v[i];

		if (*sub && !relative && (!there || lacks_top(l, spelled, sub, &missing)))
			continue;
		kv_vec_add(l->arena, &d->subs)->prefix =
			*sub ? kv_cat(l->arena, spelled, sub) : d->spelled;
		/* What is relative may come and go: it counts as there (fillin_rpath()). */
		if (relative)
			d->subs.v[d->subs.n - 1].state = KV_DIR_THERE;
	}
	return d;
}

static void add_dir(struct kv_process *p, const char *dir, struct kv_search_list *list)
{
	struct kv_search_dir *d;
	size_t n = strlen(dir);

	while (n > 1 && dir[n - 1] == '/')
		n--;
	/* An empty element stays empty: the working directory. */
	d = dir_of(p->l,
		   kv_strf(p->arena, "%.*s%s", (int)n, dir, !n || dir[n - 1] == '/' ? "" : "/"));
	/* A list holds a directory once. */
	for (size_t i = 0; i < list->dirs.n; i++)
		if (list->dirs.v[i] == d)
			return;
	kv_vec_push(p->arena, &list->dirs, d);
}

const struct kv_search_list *kv_search_list(struct kv_process *p, const char *text,
					    const char *separators, const char *origin)
{
	struct kv_search_list *list = kv_new(p->arena, struct kv_search_list);

	for (;;) {
		size_t n = strcspn(text, separators);
		const char *dir = kv_expand(p, kv_strndup(p->arena, text, n), origin);

		/* One whose tokens have no value is dropped. */
		if (dir && (*dir || !n))
			add_dir(p, dir, list);
		if (!text[n])
			return list;
		text += n + 1;
	}
}

const struct kv_search_list *kv_object_rpath(struct kv_process *p, struct kv_object *o)
{
	/* DT_RUNPATH makes DT_RPATH void (elf/get-dynamic-info.h); an empty one is none. */
	if (!o->elf || !o->elf->rpath || o->elf->runpath || !*o->elf->rpath)
		return NULL;
	if (!o->rpath_list)
		o->rpath_list = kv_search_list(p, o->elf->rpath, ":", o->origin);
	return o->rpath_list;
}

const struct kv_search_list *kv_object_runpath(struct kv_process *p, struct kv_object *o)
{
	if (!o->elf || !o->elf->runpath || !*o->elf->runpath)
		return NULL;
	if (!o->runpath_list)
		o->runpath_list = kv_search_list(p, o->elf->runpath, ":", o->origin);
	return o->runpath_list;
}

const struct kv_search_list *kv_default_path(struct kv_process *p)
{
	const kv_strv *dirs = &kv_loader_ldso(p->l)->dirs;
	struct kv_search_list *list;

	if (p->default_path)
		return p->default_path;
	list = kv_new(p->arena, struct kv_search_list);
	for (size_t i = 0; i < dirs->n; i++)
		add_dir(p, dirs->v[i], list);
	p->default_path = list;
	return list;
}
