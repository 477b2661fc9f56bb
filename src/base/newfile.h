/*
 * A file that is there whole or not at all. It has no name while it is written, so that nothing is
 * left of it however the process ends; on file systems that cannot do that (NFS, FUSE) it has a
 * hidden one in its directory, which the usual signals remove and SIGKILL leaves.
 */
#ifndef KV_NEWFILE_H
#define KV_NEWFILE_H

#include "base/base.h"

struct kv_newfile {
	int fd, dir;
	const char *name; /* in dir */
	char temp[64];    /* its name while it is written, "" for none */
	const char *path; /* where it can be opened meanwhile; memory from the arena */
};

/* Faults for tests to inject; zero in the programs. */
extern struct kv_newfile_test {
	bool no_tmpfile;
} kv_newfile_test;

/* -EINVAL where path has what must not be replaced: a device, a directory, /dev/stdout. */
int kv_newfile_check(const char *path, struct kv_err *err);
/* A new file that will be path, readable and writable, with mode 0666 less the umask. */
int kv_newfile_open(struct kv_arena *a, const char *path, struct kv_newfile *ret,
		    struct kv_err *err);
/* Sees it onto the disk and gives it its name. -EEXIST where there is one and replace is false. */
int kv_newfile_commit(struct kv_newfile *f, bool replace, struct kv_err *err);
/* Gives up what was not committed. */
void kv_newfile_close(struct kv_newfile *f);

#define _newfile_ __attribute__((cleanup(kv_newfile_close)))

#endif
