/*
 * Which sockets and EFA devices a process has open, by its descriptors. Where no socket is new
 * since the sample before, and the last look is not long ago, what was found then is kept.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "watch/watch.h"

#define MAX_FDS 1000000
#define KEPT_NS (10 * 1000000000ULL)
#define UVERBS  "/infiniband/uverbs"
#define SOCKET  "socket:["

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* What stands under the name must be a device, unless the devices are a recorded host's. */
static void take_uverbs(const struct kv_watch *w, struct kv_arena *a, int dir, const char *fd_name,
			const char *target, struct kv_watch_process *p)
{
	const char *name = kv_basename(target), *efa;
	struct stat st;

	if (w->live && (fstatat(dir, fd_name, &st, 0) < 0 || !S_ISCHR(st.st_mode)))
		return;
	if (name[strspn(name + 6, "0123456789") + 6])
		return;
	efa = kv_watch_efa_of(w, a, name);
	if (efa && !kv_strv_has(&p->efa, efa))
		kv_vec_push(a, &p->efa, kv_strdup(a, efa));
}

static int read_fds(const struct kv_watch *w, struct kv_arena *a, struct kv_watch_process *p)
{
	_close_ int proc = kv_watch_open_process(p->pid);
	char target[256];
	struct dirent *e;
	DIR *dir;
	int fd;

	p->efa = (kv_strv){ 0 };
	p->inodes.v = NULL;
	p->inodes.n = p->inodes.cap = 0;
	/* Its number may be another one's by now: what was found out is then looked at anew. */
	if (kv_watch_started(proc) != p->started) {
		p->next_look_ns = 0;
		return -ESRCH;
	}
	fd = openat(proc, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir)
		return -errno;
	for (size_t i = 0; i < MAX_FDS && (e = readdir(dir)); i++) {
		ssize_t n = e->d_name[0] == '.'
				    ? -1
				    : readlinkat(dirfd(dir), e->d_name, target, sizeof(target) - 1);

		if (n < 0)
			continue;
		target[n] = '\0';
		if (kv_starts(target, SOCKET))
			kv_vec_push(a, &p->inodes,
				    (uint32_t)strtoul(target + strlen(SOCKET), NULL, 10));
		else if (strstr(target, UVERBS))
			take_uverbs(w, a, dirfd(dir), e->d_name, target, p);
	}
	closedir(dir);
	if (p->inodes.n)
		qsort(p->inodes.v, p->inodes.n, sizeof(*p->inodes.v), by_number);
	return 0;
}

/* Both lists are sorted: whether one of s is not among those of prev. */
static bool has_new_socket(const struct kv_watch_net *prev, const struct kv_watch_net *s)
{
	size_t k = 0;

	for (size_t i = 0; i < s->sockets.n; i++) {
		while (k < prev->sockets.n && prev->sockets.v[k].inode < s->sockets.v[i].inode)
			k++;
		if (k >= prev->sockets.n || prev->sockets.v[k].inode != s->sockets.v[i].inode)
			return true;
	}
	return false;
}

static bool must_read(const struct kv_watch_sample *prev, const struct kv_watch_sample *s)
{
	const struct kv_watch_net *n;

	if (!prev || s->at_ns - prev->fds_at_ns > KEPT_NS)
		return true;
	kv_vec_each (n, &s->nets) {
		const struct kv_watch_net *before = kv_watch_net_of(prev, n->ns);

		if (!before || has_new_socket(before, n))
			return true;
	}
	return false;
}

void kv_watch_fds(const struct kv_watch *w, const struct kv_watch_sample *prev,
		  struct kv_watch_sample *s)
{
	bool all = must_read(prev, s);
	struct kv_watch_process *p;

	s->fds_at_ns = all ? s->at_ns : prev->fds_at_ns;
	kv_vec_each (p, &s->processes) {
		const struct kv_watch_process *old = kv_watch_process_of(prev, p->pid);

		if (!kv_watch_serves(p) && !p->libfabrics.n)
			continue;
		if (all || !old || old->started != p->started ||
		    (!kv_watch_serves(old) && !old->libfabrics.n))
			p->fds_error = read_fds(w, s->arena, p);
	}
}
