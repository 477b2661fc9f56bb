/* The parts of the lead: sweep_link.c has the connections, sweep_lead.c what is done with them. */
#ifndef KV_PROVE_SWEEP_LEAD_H
#define KV_PROVE_SWEEP_LEAD_H

#include "prove/sweep_run.h"

#define KV_NO_NODE UINT32_MAX

enum kv_link_kind {
	KV_LINK_GATE,     /* listens */
	KV_LINK_LAUNCHER, /* what a program that brings workers says */
	KV_LINK_GUEST,    /* has not said who it is */
	KV_LINK_WORKER,
};

struct kv_link {
	enum kv_link_kind kind;
	struct kv_line line;
	uint32_t node; /* KV_NO_NODE until it is known */
	bool trusted;  /* over a remote shell */
	bool dead;     /* to be freed when the events at hand are dealt with */
	int64_t since; /* of a guest */
	pid_t pid;     /* of a remote shell or launcher */
	char nonce[KV_SWEEP_TOKEN_HEX + 1];
	char *said; /* the last line that was no worker's: why it ended, mostly; malloc */
	struct kv_link *next;
};

enum kv_doing {
	KV_DOING_AWAITED, /* not heard of yet */
	KV_DOING_CHECK,
	KV_DOING_NOTHING,
	KV_DOING_LISTEN, /* asked to, no port yet */
	KV_DOING_SERVE,
	KV_DOING_CONNECT,
	KV_DOING_STOP,
};

/* A node, as long as the sweep runs. */
struct kv_run_node {
	struct kv_link *link; /* NULL before it came, and once it is lost */
	enum kv_doing doing;
	bool failed; /* as a sender, in this batch */
	struct kv_sweep_pair pair;
	char address[64];
	const char *cause, *text; /* of its failure; interned */
};

struct kv_run {
	struct kv_sweep_lead *lead;
	struct kv_sweep *sweep;
	struct kv_run_node *nodes;
	struct kv_link *links;
	size_t n_guests;
	int epoll;
	uint32_t batch, busy; /* nodes that do something in this batch */
	uint32_t awaited;     /* nodes whose check is awaited */
	const char *launcher_said;
	uint32_t launchers; /* that run */
	int64_t drawn;
	bool ending;   /* who goes now is not lost */
	char step[64]; /* for the progress */
	uint64_t step_n, step_done;
};

int kv_run_open(struct kv_run *run, struct kv_err *err);
/* One wait of at most ms, and what came of it. */
int kv_run_turn(struct kv_run *run, int ms, struct kv_err *err);
void kv_run_close(struct kv_run *run);
/* False where it is lost now. */
bool kv_run_send(struct kv_run *run, uint32_t node, const char *fmt, ...) KV_PRINTF(3, 4);
void kv_run_lose(struct kv_run *run, uint32_t node, const char *why);

/* What sweep_lead.c makes of a line of a worker, false where it is none, and of a node's loss. */
bool kv_run_said(struct kv_run *run, uint32_t node, char *line);
void kv_run_lost(struct kv_run *run, uint32_t node);

#endif
