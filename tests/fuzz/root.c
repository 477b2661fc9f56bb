/* An empty directory, made once and removed at once: it lives on as a descriptor. */
#include <fcntl.h>

#include "fuzz.h"

struct kv_root *kv_fuzz_root(struct kv_arena *a)
{
	static char path[64];
	struct kv_root *r;
	struct kv_err err;

	if (!*path) {
		char dir[] = "/tmp/kvpath-fuzz-XXXXXX";
		int fd;

		KV_PROMISE(mkdtemp(dir));
		fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
		KV_PROMISE(fd >= 0 && rmdir(dir) == 0);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	}
	KV_PROMISE(kv_root_open(a, path, &r, &err) == 0);
	return r;
}
