/*
 * What moves now: counters of EFA devices, TCP bytes of serving processes, and what these have
 * mapped.
 *
 *     sample ──► delta ──► verdict ──► text, JSON, Prometheus
 *
 * A sample is all that can be read at one moment. A delta is what two samples say of the time
 * between them, and a verdict is what that means; both are pure. What could not be read, or does
 * not make sense (a counter that was reset), is marked as not known, never counted as nothing.
 */
#ifndef KV_WATCH_WATCH_H
#define KV_WATCH_WATCH_H

#include <sys/types.h>

#include "base/base.h"

/* ---- a sample ---- */

struct kv_watch_counter {
	const char *name;
	uint64_t value;
};

/* A device of the efa driver with the counters of its port and its own, sorted by name. */
struct kv_watch_device {
	const char *name;
	uint64_t id; /* of its directory in sysfs: another one after the driver was loaded again */
	KV_VEC(struct kv_watch_counter) counters;
};

/* A TCP socket, whoever has it. */
struct kv_watch_socket {
	uint64_t cookie; /* the kernel's, never given twice */
	uint32_t inode;  /* 0 while no process has it */
	bool loopback;
	uint64_t sent, received; /* acknowledged by the peer, and in order from it */
};

/* The TCP sockets of one network namespace, sorted by inode. */
struct kv_watch_net {
	uint64_t ns;
	int error; /* -errno: its sockets are not known */
	KV_VEC(struct kv_watch_socket) sockets;
};

struct kv_watch_process {
	pid_t pid;
	uint64_t started; /* tells a pid that was given again */
	const char *comm;
	bool chosen;        /* by --pid */
	bool nixl;          /* has libnixl or one of its plugins mapped */
	kv_strv plugins;    /* paths of NIXL's plugins */
	kv_strv libfabrics; /* paths */
	bool nccl_net;      /* has NCCL's network plugin mapped */
	kv_strv efa;        /* devices that it has open */
	int maps_error, fds_error;
	uint64_t ns;             /* its network namespace; 0 where that cannot be read */
	KV_VEC(uint32_t) inodes; /* its sockets, sorted */
	/* Carried from sample to sample. */
	unsigned looks;
	uint64_t next_look_ns, looked_ns;
	uint64_t size;                       /* of its memory when its mappings were read */
	uint64_t sent_total, received_total; /* bytes seen since the watch began */
};

struct kv_watch_sample {
	struct kv_arena *arena;
	struct kv_arena_mark begin;
	uint64_t at_ns;  /* CLOCK_MONOTONIC */
	int64_t wall_ms; /* time of day */
	bool live;       /* the counters are this machine's, as the processes are */
	int efa_error;   /* -errno: whether there is a device is not known */
	KV_VEC(struct kv_watch_device) devices;
	KV_VEC(struct kv_watch_net) nets;
	/* All that were looked at, by pid; those that matter have chosen, nixl or libfabrics. */
	KV_VEC(struct kv_watch_process) processes;
	size_t unreadable;  /* processes whose mappings this user may not see */
	uint64_t fds_at_ns; /* when descriptors were last read */
};

/* Where samples come from. */
struct kv_watch {
	int root_fd;       /* of the tree that holds /sys; O_PATH */
	bool live;         /* it is this machine's */
	const pid_t *pids; /* --pid; none: what has NIXL mapped is found */
	size_t n_pids;
	bool brief;                 /* only the counters of the table are wanted */
	struct kv_watch_kept *kept; /* device.c's */
	struct kv_arena *spare;
};

/* Gives back what is kept open between samples. */
void kv_watch_close(struct kv_watch *w);

/* A sample with memory of its own, which goes with kv_watch_free. prev: the one before, or NULL. */
struct kv_watch_sample *kv_watch_take(struct kv_watch *w, const struct kv_watch_sample *prev);
void kv_watch_free(struct kv_watch *w, struct kv_watch_sample *s);

/* Whether it is one whose bytes are judged: NIXL is mapped, or it was asked for. */
static inline bool kv_watch_serves(const struct kv_watch_process *p)
{
	return p->nixl || p->chosen;
}

/* ---- the parts of a sample (device.c, tcp.c, process.c) ---- */

void kv_watch_close_devices(struct kv_watch *w);
void kv_watch_devices(struct kv_watch *w, struct kv_watch_sample *s);
/* The EFA device of /dev/infiniband/uverbsN, or NULL. */
const char *kv_watch_efa_of(const struct kv_watch *w, struct kv_arena *a, const char *uverbs);
/* Sockets of the namespaces of all processes that serve. */
void kv_watch_nets(struct kv_watch_sample *s);
const struct kv_watch_net *kv_watch_net_of(const struct kv_watch_sample *s, uint64_t ns);
/* The processes and what they have mapped. */
void kv_watch_processes(const struct kv_watch *w, const struct kv_watch_sample *prev,
			struct kv_watch_sample *s);
/* Their descriptors: sockets and devices. From prev where nothing has changed. */
void kv_watch_fds(const struct kv_watch *w, const struct kv_watch_sample *prev,
		  struct kv_watch_sample *s);
const struct kv_watch_process *kv_watch_process_of(const struct kv_watch_sample *s, pid_t pid);
/* /proc/PID, or -1. */
int kv_watch_open_process(pid_t pid);
/* The time of its start in ticks; 0 where it has ended. */
uint64_t kv_watch_started(int proc);
/* Takes a path of /proc/PID/maps. */
void kv_watch_take_map(struct kv_arena *a, struct kv_watch_process *p, const char *path);

/* ---- a delta ---- */

enum kv_watch_state {
	KV_WATCH_OK,
	KV_WATCH_NEW,   /* was not there before */
	KV_WATCH_GONE,  /* is not there any more */
	KV_WATCH_RESET, /* counts anew: its driver was loaded again, or a counter fell */
	_KV_WATCH_STATE_COUNT
};
extern const char *const kv_watch_state_name[_KV_WATCH_STATE_COUNT];

struct kv_watch_step {
	const char *name;
	uint64_t value; /* now */
	bool known;
	uint64_t delta;
};

struct kv_watch_device_delta {
	const char *name;
	enum kv_watch_state state;
	KV_VEC(struct kv_watch_step) steps; /* none where it is gone */
	bool known;                         /* tx and rx below are */
	uint64_t tx, rx;                    /* bytes */
};

struct kv_watch_process_delta {
	const struct kv_watch_process *process; /* of the later sample */
	bool known;
	const char *unknown; /* why not */
	size_t sockets;
	uint64_t sent, received;
	uint64_t local; /* of these, between addresses of this machine's loopback */
};

struct kv_watch_delta {
	const struct kv_watch_sample *now;
	double seconds;
	KV_VEC(struct kv_watch_device_delta) devices;
	size_t n_known;                                  /* devices whose bytes are known */
	uint64_t tx, rx;                                 /* of those */
	KV_VEC(struct kv_watch_process_delta) processes; /* that serve */
	size_t n_tcp_known;
	uint64_t sent, received;
};

/* Memory from the later sample. Adds to the totals of its processes. */
void kv_watch_compare(const struct kv_watch_sample *before, struct kv_watch_sample *after,
		      struct kv_watch_delta *ret);

/* ---- a verdict ---- */

enum kv_watch_path {
	KV_WATCH_UNKNOWN,
	KV_WATCH_EFA,
	KV_WATCH_TCP,
	KV_WATCH_BOTH,
	KV_WATCH_NOTHING,
	_KV_WATCH_PATH_COUNT
};
extern const char *const kv_watch_path_name[_KV_WATCH_PATH_COUNT];

struct kv_watch_verdict {
	enum kv_watch_path path;
	const char *line;
	kv_strv cannot_tell; /* what limits it */
};

void kv_watch_judge(const struct kv_watch_delta *d, struct kv_watch_verdict *ret);

/* 48.2 GB/s; memory from a. */
const char *kv_watch_rate(struct kv_arena *a, uint64_t bytes, double seconds);

#endif
