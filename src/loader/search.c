/*
 * The search for a name without '/': _dl_map_new_object() and open_path() of glibc's elf/dl-load.c.
 * RPATH of the loader and its ancestors, then of the executable (unless the loader has RUNPATH),
 * LD_LIBRARY_PATH, RUNPATH of the loader, cache, default directories.
 */
#include "loader/internal.h"

struct search {
	struct kv_process *p;
	const char *name;
	struct kv_found *ret;
};

static bool is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_';
}

static const char *platform(struct kv_process *p)
{
	struct kv_loader *l = p->l;

	if (l->machine == EM_AARCH64)
		return "aarch64";
	if (l->machine != EM_X86_64)
		return NULL;
	/* Until 2.36 the loader replaced AT_PLATFORM on CPUs with AVX2 (sysdeps/x86/dl-hwcap). */
	return kv_loader_ldso(l)->version <= 36 && l->cpu_level >= 3 ? "haswell" : "x86_64";
}

/* Length of the token at s ("$ORIGIN", "${LIB}"), 0 where it is none; its value in *ret. */
static size_t token(struct kv_process *p, const char *s, const char *origin, const char **ret)
{
	const struct {
		const char *name, *value;
	} tokens[] = { { "ORIGIN", origin },
		       { "LIB", kv_loader_ldso(p->l)->lib },
		       { "PLATFORM", platform(p) } };
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

static void note(struct search *s, const char *path, enum kv_rule rule, const char *why)
{
	kv_vec_push(s->p->arena, &s->ret->tried, ((struct kv_tried){ path, rule, why }));
}

/* One candidate. SKIP and STOP_LIST are noted as tried. */
static enum kv_open try_path(struct search *s, const char *path, enum kv_rule rule)
{
	enum kv_open r = kv_open_verify(s->p->l, path, &s->ret->opened);

	s->ret->rule = rule;
	s->ret->other_class |= s->ret->opened.other_class;
	if (r == KV_OPEN_SKIP || r == KV_OPEN_STOP_LIST)
		note(s, path, rule, s->ret->opened.why);
	return r;
}

/* open_path(): the hwcaps subdirectories of one directory, then the directory itself. */
static enum kv_open try_dir(struct search *s, const char *dir, enum kv_rule rule)
{
	struct kv_arena *a = s->p->arena;
	struct kv_root *root = s->p->l->root;
	const char *caps = kv_join(a, dir, "glibc-hwcaps"), *sub;
	enum kv_open r;

	if (!kv_root_is_dir(root, dir)) {
		note(s, kv_join(a, dir, s->name), rule, "no such directory");
		return KV_OPEN_SKIP;
	}
	if (kv_root_is_dir(root, caps)) {
		for (size_t i = 0; (sub = kv_cpu_hwcaps(s->p->l, i)); i++) {
			sub = kv_join(a, caps, sub);
			if (!kv_root_is_dir(root, sub))
				continue;
			r = try_path(s, kv_join(a, sub, s->name), rule);
			if (r != KV_OPEN_SKIP)
				return r;
		}
	}
	return try_path(s, kv_join(a, dir, s->name), rule);
}

/* A list as in DT_RPATH: expanded, trailing slashes dropped (fillin_rpath), tried in order. */
static enum kv_open try_list(struct search *s, const char *list, const char *separators,
			     const char *origin, enum kv_rule rule)
{
	struct kv_arena *a = s->p->arena;

	if (!*list)
		return KV_OPEN_SKIP;
	for (;;) {
		size_t n = strcspn(list, separators);
		const char *dir = kv_expand(s->p, kv_strndup(a, list, n), origin);

		if (dir) {
			size_t len = strlen(dir);
			enum kv_open r;

			while (len > 1 && dir[len - 1] == '/')
				len--;
			/* An empty element is the working directory, which for a foreign process is
			 * unknown: kvpath takes "/", where container tasks start unless told
			 * otherwise. */
			dir = len && dir[0] == '/'
				      ? kv_strndup(a, dir, len)
				      : kv_join(a, "/", len ? kv_strndup(a, dir, len) : "");
			r = try_dir(s, dir, rule);
			if (r == KV_OPEN_STOP_LIST)
				return KV_OPEN_SKIP;
			if (r != KV_OPEN_SKIP)
				return r;
		}
		if (!list[n])
			return KV_OPEN_SKIP;
		list += n + 1;
	}
}

static bool has_rpath(const struct kv_object *o)
{
	return o && o->elf && o->elf->rpath && !o->elf->runpath;
}

static enum kv_open try_rpaths(struct search *s, const struct kv_object *loader)
{
	const struct kv_object *main = s->p->main;
	bool did_main = false;
	enum kv_open r;

	if (loader && loader->elf && loader->elf->runpath)
		return KV_OPEN_SKIP;
	for (const struct kv_object *o = loader; o; o = o->loader) {
		did_main |= o == main;
		if (!has_rpath(o))
			continue;
		r = try_list(s, o->elf->rpath, ":", o->origin, KV_RULE_RPATH);
		if (r != KV_OPEN_SKIP)
			return r;
	}
	if (!did_main && has_rpath(main))
		return try_list(s, main->elf->rpath, ":", main->origin, KV_RULE_RPATH);
	return KV_OPEN_SKIP;
}

static enum kv_open try_cache(struct search *s, bool no_default)
{
	const char *path = kv_cache_lookup(s->p->l, s->name);
	const kv_strv *dirs = &kv_loader_ldso(s->p->l)->dirs;

	if (!path) {
		note(s, "/etc/ld.so.cache", KV_RULE_CACHE, "not listed");
		return KV_OPEN_SKIP;
	}
	for (size_t i = 0; no_default && i < dirs->n; i++)
		if (kv_starts(path, dirs->v[i]))
			return KV_OPEN_SKIP;
	return try_path(s, path, KV_RULE_CACHE);
}

enum kv_open kv_search(struct kv_process *p, const char *name, const struct kv_object *loader,
		       struct kv_found *ret)
{
	struct search s = { p, name, ret };
	const kv_strv *dirs = &kv_loader_ldso(p->l)->dirs;
	bool no_default = loader && loader->elf && (loader->elf->flags_1 & DF_1_NODEFLIB);
	enum kv_open r = try_rpaths(&s, loader);

	for (size_t i = 0; r == KV_OPEN_SKIP && i < p->library_path.n; i++)
		r = try_list(&s, p->library_path.v[i], ":;", p->main->origin,
			     KV_RULE_LD_LIBRARY_PATH);
	if (r == KV_OPEN_SKIP && loader && loader->elf && loader->elf->runpath)
		r = try_list(&s, loader->elf->runpath, ":", loader->origin, KV_RULE_RUNPATH);
	if (r == KV_OPEN_SKIP)
		r = try_cache(&s, no_default);
	for (size_t i = 0; r == KV_OPEN_SKIP && !no_default && i < dirs->n; i++) {
		r = try_dir(&s, kv_strndup(p->arena, dirs->v[i], strlen(dirs->v[i]) - 1),
			    KV_RULE_DEFAULT);
		if (r == KV_OPEN_STOP_LIST) {
			r = KV_OPEN_SKIP;
			break;
		}
	}
	return r == KV_OPEN_STOP_LIST ? KV_OPEN_SKIP : r;
}
