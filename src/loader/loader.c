/* The store of what was read of a root: parsed objects by inode, answers by path. */
#include "loader/internal.h"

const char *const kv_loads_name[_KV_LOADS_COUNT] = { "yes", "no", "abort", "unknown" };

const char *const kv_rule_name[_KV_RULE_COUNT] = {
	[KV_RULE_MAIN] = "path",       [KV_RULE_PRELOAD] = "ld_preload",
	[KV_RULE_RPATH] = "rpath",     [KV_RULE_LD_LIBRARY_PATH] = "ld_library_path",
	[KV_RULE_RUNPATH] = "runpath", [KV_RULE_CACHE] = "cache",
	[KV_RULE_DEFAULT] = "default", [KV_RULE_LOADED] = "already-loaded",
	[KV_RULE_ASSUMED] = "assumed",
};

struct known_file {
	const struct kv_elf *elf;
	int error;
};

struct kv_loader *kv_loader_new(struct kv_root *r, uint16_t machine, bool is64, bool be,
				unsigned cpu_level)
{
	struct kv_loader *l = kv_new(kv_root_arena(r), struct kv_loader);

	l->root = r;
	l->arena = kv_root_arena(r);
	l->cwd = "/";
	l->machine = machine;
	l->is64 = is64;
	l->be = be;
	l->cpu_level = cpu_level & KV_CPU_LEVEL;
	l->intel = cpu_level & KV_CPU_INTEL;
	l->by_inode = kv_map_new(l->arena);
	kv_loader_refresh(l);
	return l;
}

struct kv_loader *kv_loader_like(const struct kv_loader *l, struct kv_root *r)
{
	return kv_loader_new(r, l->machine, l->is64, l->be,
			     l->cpu_level | (l->intel ? KV_CPU_INTEL : 0));
}

void kv_loader_start_in(struct kv_loader *l, const char *cwd)
{
	/* As getcwd() tells it. */
	if (kv_root_real(l->root, cwd, 0, &l->cwd) < 0)
		l->cwd = kv_strdup(l->arena, cwd);
}

void kv_loader_refresh(struct kv_loader *l)
{
	l->by_path = kv_map_new(l->arena);
	l->dirs = kv_map_new(l->arena);
	l->cache_read = false;
	l->ldconf = NULL;
}

uint16_t kv_loader_machine(const struct kv_loader *l)
{
	return l->machine;
}

/* dev and ino as a string of letters: what a map's key must be. */
static const char *inode_key(const struct kv_stat *st, char key[33])
{
	for (unsigned i = 0; i < 16; i++) {
		key[i] = (char)('a' + (st->dev >> (4 * i) & 15));
		key[16 + i] = (char)('a' + (st->ino >> (4 * i) & 15));
	}
	key[32] = '\0';
	return key;
}

static const struct kv_elf *read_elf(struct kv_loader *l, const char *guest, int *ret_error)
{
	struct kv_elf **slot;
	struct kv_file *f;
	char key[33];

	*ret_error = kv_root_open_file(l->root, guest, &f);
	if (*ret_error < 0)
		return NULL;
	slot = (struct kv_elf **)kv_map_slot(l->by_inode, inode_key(kv_file_stat(f), key));
	if (!*slot)
		*slot = kv_elf_parse(l->arena, f);
	else
		kv_file_close(f);
	return *slot;
}

const struct kv_elf *kv_loader_elf(struct kv_loader *l, const char *guest, int *ret_error)
{
	struct known_file *k = kv_map_get(l->by_path, guest);

	if (!k) {
		k = kv_new(l->arena, struct known_file);
		k->elf = read_elf(l, guest, &k->error);
		*kv_map_slot(l->by_path, guest) = k;
	}
	if (ret_error)
		*ret_error = k->error;
	return k->elf;
}

unsigned kv_cpu_level(void)
{
	unsigned level = 1;
#ifdef __x86_64__
	__builtin_cpu_init();
	if (__builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt"))
		level = 2;
	if (level == 2 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") &&
	    __builtin_cpu_supports("fma"))
		level = 3;
	if (level == 3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
	    __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
	    __builtin_cpu_supports("avx512vl"))
		level = 4;
	if (__builtin_cpu_is("intel"))
		level |= KV_CPU_INTEL;
#endif
	return level;
}
