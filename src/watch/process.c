/*
 * Processes by what they have mapped, not by their names: NIXL and its plugins, libfabric, NCCL's
 * network plugin. To read the mappings of every process each second would cost more than all else:
 * a process is looked at when it was there for a sample, then after 1, 2, 4... seconds, as it may
 * still be importing, and at least every half minute, as it may open a plugin late.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "watch/watch.h"

#define MAX_PROCESSES 65536
#define MAX_MAPS      ((size_t)64 << 20)
#define MAX_LOOKS     5 /* 2^5 s */
#define SECOND        1000000000ULL
#define MAX_SAME_NS   (120 * SECOND)
#define MAX_WAIT_NS   (2 * SECOND + SECOND / 2)

/* ---- mappings ---- */

static bool is_shared_object(const char *name)
{
	const char *so = strstr(name, ".so");

	return so && (!so[3] || so[3] == '.');
}

static void add_once(struct kv_arena *a, kv_strv *list, const char *path)
{
	if (!kv_strv_has(list, path))
		kv_vec_push(a, list, kv_strdup(a, path));
}

void kv_watch_take_map(struct kv_arena *a, struct kv_watch_process *p, const char *path)
{
	const char *name = kv_basename(path);

	if (!is_shared_object(name))
		return;
	/* NIXL's plugins are named by their backend, in capitals: libplugin_UCX.so. */
	if (kv_starts(name, "libplugin_") && name[10] >= 'A' && name[10] <= 'Z') {
		add_once(a, &p->plugins, path);
		p->nixl = true;
	} else if (kv_starts(name, "libnixl")) {
		p->nixl = true;
	} else if (kv_starts(name, "libfabric.so") || kv_starts(name, "libfabric-")) {
		add_once(a, &p->libfabrics, path);
	} else if (kv_starts(name, "libnccl-net")) {
		p->nccl_net = true;
	}
}

/* A line of maps: address perms offset dev inode path. Only code tells: r-x. */
static void take_line(struct kv_arena *a, struct kv_watch_process *p, char *line)
{
	char *path = strchr(line, '/');
	char *perms = strchr(line, ' ');
	size_t n;

	if (!path || !perms || perms[3] != 'x')
		return;
	n = strlen(path);
	if (kv_ends(path, " (deleted)"))
		path[n - strlen(" (deleted)")] = '\0';
	kv_watch_take_map(a, p, path);
}

/* 0 or -errno. A process without memory of its own, of the kernel or ended, has no lines. */
static int read_maps(struct kv_arena *a, int proc, struct kv_watch_process *p)
{
	_close_ int fd = openat(proc, "maps", O_RDONLY | O_CLOEXEC);
	static char text[64 << 10];
	size_t have = 0, total = 0;

	if (fd < 0)
		return -errno;
	while (total < MAX_MAPS) {
		ssize_t n = read(fd, text + have, sizeof(text) - 1 - have);
		char *line = text, *end;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		total += (size_t)n;
		have += (size_t)n;
		text[have] = '\0';
		for (; (end = memchr(line, '\n', have - (size_t)(line - text))); line = end + 1) {
			*end = '\0';
			take_line(a, p, line);
		}
		have -= (size_t)(line - text);
		memmove(text, line, have);
		if (have == sizeof(text) - 1)
			have = 0; /* no line of maps is so long */
	}
	return 0;
}

/* ---- one process ---- */

static void read_comm(struct kv_arena *a, int proc, struct kv_watch_process *p)
{
	_close_ int fd = openat(proc, "comm", O_RDONLY | O_CLOEXEC);
	char text[64];
	size_t n = 0;

	if (fd >= 0 && kv_read_all(fd, text, sizeof(text), 0, &n) < 0)
		n = 0;
	while (n && text[n - 1] == '\n')
		n--;
	p->comm = kv_strndup(a, text, n);
}

/* The 22nd and the 23rd value of stat; the name before may hold anything. start 0 where it is gone.
 */
static void read_stat(int proc, uint64_t *ret_started, uint64_t *ret_size)
{
	_close_ int fd = openat(proc, "stat", O_RDONLY | O_CLOEXEC);
	char text[1024], *at;
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	*ret_started = *ret_size = 0;
	if (n <= 0)
		return;
	text[n] = '\0';
	at = strrchr(text, ')');
	for (int i = 0; at && i < 20; i++) {
		at = strchr(at, ' ');
		at = at ? at + 1 : NULL;
	}
	if (!at)
		return;
	*ret_started = strtoull(at, &at, 10);
	*ret_size = strtoull(at, NULL, 10);
}

uint64_t kv_watch_started(int proc)
{
	uint64_t started, size;

	read_stat(proc, &started, &size);
	return started;
}

int kv_watch_open_process(pid_t pid)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/*
 * Who maps a library grows by it: the kernel writes out mappings of a process that has the size it
 * had only now and then. A thread of the kernel has none.
 */
static bool may_have_changed(const struct kv_watch_sample *s, const struct kv_watch_process *p,
			     uint64_t size)
{
	return p->maps_error || p->size != size || (size && s->at_ns - p->looked_ns > MAX_SAME_NS);
}

static void plan_look(const struct kv_watch_sample *s, struct kv_watch_process *p)
{
	/* One that has a plugin will hardly get more soon. */
	if (p->plugins.n)
		p->looks = MAX_LOOKS;
	p->next_look_ns = s->at_ns + (SECOND << p->looks);
	if (p->looks < MAX_LOOKS)
		p->looks++;
}

static void look(struct kv_watch_sample *s, int proc, uint64_t size, struct kv_watch_process *p)
{
	struct stat st;

	p->size = size;
	p->looked_ns = s->at_ns;
	p->plugins.n = p->libfabrics.n = 0;
	p->plugins.cap = p->libfabrics.cap = 0;
	p->plugins.v = p->libfabrics.v = NULL;
	p->nixl = p->nccl_net = false;
	p->maps_error = read_maps(s->arena, proc, p);
	p->ns = 0;
	if (p->nixl || p->chosen || p->libfabrics.n) {
		read_comm(s->arena, proc, p);
		if (fstatat(proc, "ns/net", &st, 0) == 0)
			p->ns = st.st_ino;
	}
}

static void copy_strings(struct kv_arena *a, kv_strv *list)
{
	kv_strv old = *list;

	*list = (kv_strv){ 0 };
	for (size_t i = 0; i < old.n; i++)
		kv_vec_push(a, list, kv_strdup(a, old.v[i]));
}

/* What is known of it from the sample before; the memory is the new sample's. */
static void carry(struct kv_arena *a, const struct kv_watch_process *old,
		  struct kv_watch_process *p)
{
	*p = *old;
	p->comm = old->comm ? kv_strdup(a, old->comm) : NULL;
	copy_strings(a, &p->plugins);
	copy_strings(a, &p->libfabrics);
	copy_strings(a, &p->efa);
	p->inodes.v = NULL;
	p->inodes.n = p->inodes.cap = 0;
	for (size_t i = 0; i < old->inodes.n; i++)
		kv_vec_push(a, &p->inodes, old->inodes.v[i]);
}

const struct kv_watch_process *kv_watch_process_of(const struct kv_watch_sample *s, pid_t pid)
{
	size_t lo = 0, hi = s ? s->processes.n : 0;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (s->processes.v[mid].pid == pid)
			return &s->processes.v[mid];
		if (s->processes.v[mid].pid < pid)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

static void add_process(const struct kv_watch_sample *prev, struct kv_watch_sample *s, pid_t pid,
			bool chosen)
{
	const struct kv_watch_process *old = kv_watch_process_of(prev, pid);
	struct kv_watch_process p = { .pid = pid, .chosen = chosen };
	uint64_t started, size;

	if (old)
		carry(s->arena, old, &p);
	/* Most that are new are gone before the next sample: those of shells, probes, compilers. */
	if (!old && prev && !chosen && s->at_ns - prev->at_ns < MAX_WAIT_NS) {
		p.maps_error = -EAGAIN;
	} else if (!old || s->at_ns >= old->next_look_ns) {
		_close_ int proc = kv_watch_open_process(pid);

		read_stat(proc, &started, &size);
		if (!started)
			return; /* it has ended */
		if (p.started != started)
			p = (struct kv_watch_process){ .pid = pid,
						       .chosen = chosen,
						       .maps_error = -EAGAIN };
		p.started = started;
		if (may_have_changed(s, &p, size))
			look(s, proc, size, &p);
		plan_look(s, &p);
	}
	s->unreadable += p.maps_error == -EACCES || p.maps_error == -EPERM;
	kv_vec_push(s->arena, &s->processes, p);
}

static bool is_there(pid_t pid)
{
	_close_ int proc = kv_watch_open_process(pid);

	return proc >= 0;
}

static int by_pid(const void *a, const void *b)
{
	pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;

	return x < y ? -1 : x > y;
}

void kv_watch_processes(const struct kv_watch *w, const struct kv_watch_sample *prev,
			struct kv_watch_sample *s)
{
	KV_VEC(pid_t) pids = { 0 };
	DIR *dir = w->n_pids ? NULL : opendir("/proc");
	struct dirent *e;
	pid_t self = getpid();

	for (size_t i = 0; i < w->n_pids; i++)
		if (is_there(w->pids[i]))
			kv_vec_push(s->arena, &pids, w->pids[i]);
	while (dir && pids.n < MAX_PROCESSES && (e = readdir(dir))) {
		char *end;
		long pid = strtol(e->d_name, &end, 10);

		if (!*end && pid > 0 && pid != self)
			kv_vec_push(s->arena, &pids, (pid_t)pid);
	}
	if (dir)
		closedir(dir);
	if (pids.n)
		qsort(pids.v, pids.n, sizeof(*pids.v), by_pid);
	for (size_t i = 0; i < pids.n; i++)
		if (!i || pids.v[i] != pids.v[i - 1])
			add_process(prev, s, pids.v[i], w->n_pids != 0);
}
