/* What this process may take: locked memory, the cgroup's memory, huge pages. */
#include "inspect/host.h"

#define CGROUP           "/sys/fs/cgroup"
#define MAX_DEPTH        32
#define CAP_IPC_LOCK_BIT 14

/* What cgroup v1 says for no limit: the largest long, down to a page of any size. */
#define V1_UNLIMITED ((uint64_t)1 << 62)

/* A number, or "max" and "unlimited". False where it is neither. */
static bool amount(const char *text, uint64_t *ret)
{
	char *end;

	if (kv_starts(text, "max") || kv_starts(text, "unlimited")) {
		*ret = KV_UNLIMITED;
		return true;
	}
	if (text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	*ret = strtoull(text, &end, 10);
	if (*ret >= V1_UNLIMITED)
		*ret = KV_UNLIMITED;
	return errno == 0 && (!*end || *end == ' ' || *end == '\n');
}

/* What stands behind the line's key, spaces skipped; NULL. */
static const char *after(const char *text, const char *key)
{
	const char *line = text;

	while (line && *line && !kv_starts(line, key)) {
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
	if (!line || !*line)
		return NULL;
	line += strlen(key);
	return line + strspn(line, " \t");
}

/*
 * The kernel's RDMA core holds nobody to the limit who has CAP_IPC_LOCK in the first user namespace
 * (ib_umem_get(): capable()).
 */
static bool exempt(struct kv_sysroot *s)
{
	const char *status = kv_sysroot_value(s, "/proc/self", "status");
	const char *map = kv_sysroot_value(s, "/proc/self", "uid_map");
	const char *caps = status ? after(status, "CapEff:") : NULL;
	unsigned long inside, outside, n;

	if (status && !caps)
		kv_sysroot_odd(s, "/proc/self/status");

	return caps && map && (strtoull(caps, NULL, 16) >> CAP_IPC_LOCK_BIT & 1) &&
	       sscanf(map, "%lu %lu %lu", &inside, &outside, &n) == 3 && inside == 0 &&
	       outside == 0 && n == UINT32_MAX;
}

static void find_memlock(struct kv_limits *l, struct kv_sysroot *s)
{
	const char *text = kv_sysroot_value(s, "/proc/self", "limits");
	const char *soft = text ? after(text, "Max locked memory") : NULL, *hard;

	if (!soft || !amount(soft, &l->memlock)) {
		if (text)
			kv_sysroot_odd(s, "/proc/self/limits");
		return;
	}
	hard = soft + strcspn(soft, " ");
	hard += strspn(hard, " ");
	if (!amount(hard, &l->memlock_hard))
		l->memlock_hard = l->memlock;
	l->memlock_known = true;
	l->memlock_exempt = exempt(s);
}

/* The smallest limit on the way from dir up to the mount's top, as each level holds. */
static void lowest(struct kv_sysroot *s, const char *top, const char *below, const char *name,
		   uint64_t *ret, const char **ret_file)
{
	struct kv_arena *a = kv_sysroot_arena(s);
	const char *dir = kv_strf(a, "%s%s", top, kv_streq(below, "/") ? "" : below);

	for (int i = 0; i < MAX_DEPTH && kv_starts(dir, top); i++, dir = kv_dirname(a, dir)) {
		const char *text = kv_sysroot_value(s, dir, name);
		uint64_t v;

		if (text && !amount(text, &v)) {
			kv_sysroot_odd(s, kv_join(a, dir, name));
		} else if (text && v < *ret) {
			*ret = v;
			*ret_file = kv_join(a, dir, name);
		}
	}
}

/* The process's place in the hierarchy whose line of /proc/self/cgroup has this controller. */
static const char *place_of(struct kv_sysroot *s, const char *text, const char *controller)
{
	for (const char *line = text; line && *line; line = strchr(line, '\n')) {
		const char *list, *place;

		line += *line == '\n';
		list = strchr(line, ':');
		place = list ? strchr(list + 1, ':') : NULL;
		if (!place)
			return NULL;
		if ((size_t)(place - list - 1) != strlen(controller) ||
		    strncmp(list + 1, controller, strlen(controller)) != 0)
			continue;
		place = kv_strndup(kv_sysroot_arena(s), place + 1, strcspn(place + 1, "\n"));
		return strstr(place, "/..") ? NULL : place; /* outside of what is mounted here */
	}
	return NULL;
}

/*
 * cgroup v2 has one hierarchy, v1 one for each controller. In a container the place that
 * /proc/self/cgroup names may be the host's: what is mounted then begins at the container's own, so
 * that only the top answers.
 */
static void find_cgroup(struct kv_limits *l, struct kv_sysroot *s)
{
	const char *text = kv_sysroot_value(s, "/proc/self", "cgroup");
	const char *unified = text ? place_of(s, text, "") : NULL;
	const char *memory = text ? place_of(s, text, "memory") : NULL;
	const char *hugetlb = text ? place_of(s, text, "hugetlb") : NULL;
	const char *size =
		kv_strf(kv_sysroot_arena(s), "%lluMB", (unsigned long long)(l->huge_size >> 20));

	l->memory = l->hugetlb = KV_UNLIMITED;
	lowest(s, CGROUP, unified ? unified : "/", "memory.max", &l->memory, &l->memory_file);
	lowest(s, CGROUP "/memory", memory ? memory : "/", "memory.limit_in_bytes", &l->memory,
	       &l->memory_file);
	lowest(s, CGROUP, unified ? unified : "/",
	       kv_strf(kv_sysroot_arena(s), "hugetlb.%s.max", size), &l->hugetlb, &l->hugetlb_file);
	lowest(s, CGROUP "/hugetlb", hugetlb ? hugetlb : "/",
	       kv_strf(kv_sysroot_arena(s), "hugetlb.%s.limit_in_bytes", size), &l->hugetlb,
	       &l->hugetlb_file);
}

static void find_huge(struct kv_limits *l, struct kv_sysroot *s)
{
	const char *text = kv_sysroot_value(s, "/proc", "meminfo");
	const char *total = text ? after(text, "HugePages_Total:") : NULL;
	const char *free = text ? after(text, "HugePages_Free:") : NULL;
	const char *size = text ? after(text, "Hugepagesize:") : NULL;

	l->huge_known = total && free && size && amount(total, &l->huge_total) &&
			amount(free, &l->huge_free) && amount(size, &l->huge_size);
	l->huge_size *= 1024;
}

void kv_find_limits(struct kv_host *h, struct kv_sysroot *s)
{
	find_memlock(&h->limits, s);
	find_huge(&h->limits, s);
	find_cgroup(&h->limits, s);
}
