/*
 * Proof by real bytes: runs kvpath-probe (or the target's python where the wheel has no C API)
 * inside the target, two agents in two processes, and says what was proven and what was not. Never
 * rounds up.
 */
#ifndef KV_PROVE_PROVE_H
#define KV_PROVE_PROVE_H

#include "base/base.h"

struct kv_prove_mount {
	const char *host, *guest;
};

struct kv_prove_request {
	const char
		*target; /* "/" (run in place) or a root directory (new mount namespace, chroot) */
	const char *probe;      /* host path of kvpath-probe */
	const char *capi;       /* guest path of libnixl_capi.so, NULL where the wheel has none */
	const char *python;     /* guest path of the interpreter, NULL where none */
	const char *py_module;  /* package to import ("nixl_cu13"), with py_dir on sys.path */
	const char *py_dir;     /* guest directory that holds the package */
	const char *plugin_dir; /* guest directory of the plugins */
	const char *backend;    /* "LIBFABRIC" */
	const char *mem;        /* "dram" or "vram" */
	uint64_t bytes;         /* payload */
	unsigned deadline_s;
	const struct kv_prove_mount *mounts;
	size_t n_mounts;
	const struct kv_env *env; /* the target's environment for the processes */
};

struct kv_prove_counter {
	char *device;  /* "rdmap0s6" */
	char *counter; /* "tx_bytes" */
	int64_t delta;
};

struct kv_prove_result {
	const char *verdict;         /* "on-fabric", "off-fabric", "unknown" */
	const char *provider;        /* "efa", "tcp", ...; NULL where nothing named it */
	const char *provider_source; /* where the name was read: the line or the call */
	const char *via;             /* "capi" or "python" */
	const char *error;           /* NULL, or why it failed, one line */
	uint64_t bytes;              /* moved and checked */
	uint64_t elapsed_us;
	bool intact;
	KV_VEC(struct kv_prove_counter) counters;
	kv_strv proven, not_proven; /* of loads, instantiates, registers, moves, efa */
	const char *log;            /* what NIXL wrote, for --verbose */
};

/*
 * 0 with *ret filled, also where the proof fails (that is a verdict). -EPERM where a directory
 * target needs root, other -errno where the proof could not be tried; err says why. Memory from a.
 */
int kv_prove(struct kv_arena *a, const struct kv_prove_request *req, struct kv_prove_result *ret,
	     struct kv_err *err);

/*
 * Makes the request's target (target and mounts are read) this process's root, in a mount namespace
 * of its own, with /proc, /sys and /dev, on an overlay in memory: nothing is written to the target.
 * For a process that then only executes something there. -errno with err filled; the process must
 * then end.
 */
int kv_prove_enter(const struct kv_prove_request *req, struct kv_err *err);

#endif
