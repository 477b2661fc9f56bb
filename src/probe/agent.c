/*
 * One agent, following nixl.md 4.4: open, register, meet the peer, move, check. Both roles run the
 * same steps up to the move. What happens is kept in the shared report as it happens, since any
 * call into NIXL may be the last one.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "probe/capi.h"
#include "probe/link.h"
#include "probe/mem.h"

#define NOTIF_TEXT "kvpath-probe: all sent"

struct agent {
	const struct probe_plan *plan;
	enum probe_role role;
	struct probe_report *rep;
	int link;
	struct capi api;
	struct probe_mem mem;
	struct link_hello peer_mem;
	char *peer; /* the peer's name, from its metadata */
	void *agent, *backend, *args;
	void *reg, *local, *remote, *req, *notifs;
	bool registered;
};

static int nixl_check(struct agent *ag, const char *call, int status)
{
	if (status >= 0)
		return status;
	return probe_fail(ag->rep, PROBE_CAUSE_NIXL, "%s: %s (%d)", call, capi_status_name(status),
			  status);
}

static void doing(struct agent *ag, const char *call)
{
	snprintf(ag->rep->doing, sizeof(ag->rep->doing), "%s", call);
}

/* Calls and records a failure: -1, else NIXL's status (0, or NIXL_IN_PROG where that can be). */
#define NIXL(ag, fn, ...)                                                                          \
	(doing((ag), "nixl_capi_" #fn),                                                            \
	 nixl_check((ag), "nixl_capi_" #fn, (ag)->api.fn(__VA_ARGS__)))

static int agent_open(struct agent *ag)
{
	const char *name = ag->role == PROBE_TARGET ? "kvpath-target" : "kvpath-initiator";
	void *mems = NULL, *params = NULL;
	int r;

	if (capi_open(&ag->api, ag->plan->capi, ag->rep) < 0 ||
	    NIXL(ag, create_agent, name, &ag->agent) < 0)
		return -1;
	/* NIXL <= 1.0.1 opened every plugin by now, later ones open it here: past this call it is
	 * loaded. */
	if (NIXL(ag, get_plugin_params, ag->agent, ag->plan->backend, &mems, &params) < 0)
		return -1;
	ag->rep->loads = true;
	r = NIXL(ag, create_backend, ag->agent, ag->plan->backend, params, &ag->backend);
	ag->api.destroy_mem_list(mems);
	ag->api.destroy_params(params);
	if (r < 0)
		return -1;
	ag->rep->instantiates = true;
	/* So that no other backend is used, whatever else NIXL has. */
	if (NIXL(ag, create_opt_args, &ag->args) < 0 ||
	    NIXL(ag, opt_args_add_backend, ag->args, ag->backend) < 0)
		return -1;
	return NIXL(ag, create_notif_map, &ag->notifs);
}

/*
 * The buffer is registered as a whole, and transfers go to places inside it, as KV blocks do in a
 * registered cache. `each` exists to tell a fault of exactly that apart (see kv_prove).
 */
static int add_registrations(struct agent *ag)
{
	const struct probe_mem *mem = &ag->mem;

	if (!ag->plan->each)
		return NIXL(ag, reg_dlist_add_desc, ag->reg, mem->addr, mem->lay.total, mem->dev,
			    NULL, 0);
	for (size_t i = 0; i < mem->lay.n; i++)
		if (NIXL(ag, reg_dlist_add_desc, ag->reg, mem->addr + mem->lay.piece[i].off,
			 mem->lay.piece[i].len, mem->dev, NULL, 0) < 0)
			return -1;
	return 0;
}

static int agent_register(struct agent *ag)
{
	int kind = ag->plan->vram ? NIXL_MEM_VRAM : NIXL_MEM_DRAM;
	bool source = (ag->role == PROBE_INITIATOR) != ag->plan->read;

	if (probe_mem_fill(&ag->mem, ag->plan, source, ag->rep) < 0 ||
	    NIXL(ag, create_reg_dlist, kind, &ag->reg) < 0 || add_registrations(ag) < 0 ||
	    NIXL(ag, register_mem, ag->agent, ag->reg, ag->args) < 0)
		return -1;
	ag->registered = ag->rep->registers = true;
	return 0;
}

static int send_hello(struct agent *ag)
{
	struct link_hello hello = { .addr = ag->mem.addr, .dev = ag->mem.dev };
	void *md = NULL;
	size_t n = 0;
	int r;

	if (NIXL(ag, get_local_md, ag->agent, &md, &n) < 0)
		return -1;
	r = link_send(ag->link, ag->plan, LINK_HELLO, &hello, sizeof(hello), md, n, ag->rep);
	free(md);
	return r;
}

static int recv_hello(struct agent *ag)
{
	void *data = NULL;
	size_t n = 0;
	int r = -1;

	doing(ag, "the wait for the other agent's metadata");
	if (link_recv(ag->link, ag->plan, LINK_HELLO, &data, &n, ag->rep) < 0)
		return -1;
	if (n < sizeof(ag->peer_mem)) {
		probe_fail(ag->rep, PROBE_CAUSE_PEER,
			   "the other agent's metadata is %zu bytes long", n);
	} else {
		memcpy(&ag->peer_mem, data, sizeof(ag->peer_mem));
		r = NIXL(ag, load_remote_md, ag->agent, (char *)data + sizeof(ag->peer_mem),
			 n - sizeof(ag->peer_mem), &ag->peer);
	}
	free(data);
	return r;
}

/* One side sends first: two large blobs sent at once would fill both socket buffers. */
static int agent_meet(struct agent *ag)
{
	bool first = ag->role == PROBE_INITIATOR;

	if (first ? send_hello(ag) < 0 || recv_hello(ag) < 0
		  : recv_hello(ag) < 0 || send_hello(ag) < 0)
		return -1;
	doing(ag, "the wait for the other agent to be ready");
	if (link_send(ag->link, ag->plan, LINK_READY, NULL, 0, NULL, 0, ag->rep) < 0)
		return -1;
	return link_recv(ag->link, ag->plan, LINK_READY, NULL, NULL, ag->rep);
}

/* 1 where the expected notification is among those that came, 0 where not yet, -1 on failure. */
static int take_notifs(struct agent *ag)
{
	const char *from = NULL;
	const void *text = NULL;
	size_t agents = 0, count = 0, n = 0;

	if (NIXL(ag, get_notifs, ag->agent, ag->notifs, ag->args) < 0 ||
	    NIXL(ag, notif_map_size, ag->notifs, &agents) < 0)
		return -1;
	for (size_t i = 0; i < agents; i++) {
		if (NIXL(ag, notif_map_get_agent_at, ag->notifs, i, &from) < 0 ||
		    NIXL(ag, notif_map_get_notifs_size, ag->notifs, from, &count) < 0)
			return -1;
		for (size_t k = 0; k < count; k++) {
			if (NIXL(ag, notif_map_get_notif, ag->notifs, from, k, &text, &n) < 0)
				return -1;
			if (n == strlen(NOTIF_TEXT) && !memcmp(text, NOTIF_TEXT, n))
				return 1;
		}
	}
	return 0;
}

static int target_move(struct agent *ag)
{
	int came = 0;

	while (!came) {
		came = take_notifs(ag);
		if (came < 0)
			return -1;
		if (came)
			break;
		doing(ag, "the wait for NIXL's notification");
		if (!probe_left_ms(ag->plan, 1))
			return probe_fail(ag->rep, PROBE_CAUSE_DEADLINE,
					  "no notification came in time");
		/* The initiator is silent until it is answered: readable means that it ended. */
		if (link_poll(ag->link, 1))
			return link_recv(ag->link, ag->plan, LINK_BYE, NULL, NULL, ag->rep);
	}
	ag->rep->completed = ag->rep->notified = true;
	doing(ag, "the check of the bytes");
	if (!ag->plan->read && probe_mem_check(&ag->mem, ag->plan, ag->rep) < 0)
		return -1;
	ag->rep->intact = true;
	ag->rep->done = true;
	if (link_send(ag->link, ag->plan, LINK_NOTIFIED, NULL, 0, NULL, 0, ag->rep) < 0)
		return -1;
	return link_recv(ag->link, ag->plan, LINK_BYE, NULL, NULL, ag->rep);
}

static int make_request(struct agent *ag)
{
	int kind = ag->plan->vram ? NIXL_MEM_VRAM : NIXL_MEM_DRAM;

	if (NIXL(ag, create_xfer_dlist, kind, &ag->local) < 0 ||
	    NIXL(ag, create_xfer_dlist, kind, &ag->remote) < 0)
		return -1;
	for (size_t i = 0; i < ag->mem.lay.n; i++) {
		const struct probe_piece *p = &ag->mem.lay.piece[i];

		if (NIXL(ag, xfer_dlist_add_desc, ag->local, ag->mem.addr + p->off, p->len,
			 ag->mem.dev) < 0 ||
		    NIXL(ag, xfer_dlist_add_desc, ag->remote, ag->peer_mem.addr + p->off, p->len,
			 ag->peer_mem.dev) < 0)
			return -1;
	}
	if (NIXL(ag, opt_args_set_notif_msg, ag->args, NOTIF_TEXT, strlen(NOTIF_TEXT)) < 0 ||
	    NIXL(ag, opt_args_set_has_notif, ag->args, true) < 0)
		return -1;
	return NIXL(ag, create_xfer_req, ag->agent, ag->plan->read ? NIXL_OP_READ : NIXL_OP_WRITE,
		    ag->local, ag->remote, ag->peer, &ag->req, ag->args);
}

/* Polls without pause for a moment, since small transfers take microseconds, then a little slower.
 */
static int complete_request(struct agent *ag)
{
	uint64_t start = probe_now_ns();
	int st = NIXL(ag, post_xfer_req, ag->agent, ag->req, ag->args);

	while (st == NIXL_IN_PROG) {
		st = NIXL(ag, get_xfer_status, ag->agent, ag->req);
		if (st == NIXL_IN_PROG && !probe_left_ms(ag->plan, 1))
			return probe_fail(ag->rep, PROBE_CAUSE_DEADLINE,
					  "nixl_capi_get_xfer_status still says NIXL_CAPI_IN_PROG");
		if (st == NIXL_IN_PROG && probe_now_ns() - start > 1000000)
			nanosleep(&(struct timespec){ .tv_nsec = 20000 }, NULL);
	}
	if (st < 0)
		return -1;
	ag->rep->elapsed_us = (probe_now_ns() - start) / 1000;
	ag->rep->completed = true;
	return 0;
}

static int initiator_move(struct agent *ag)
{
	if (make_request(ag) < 0 || complete_request(ag) < 0)
		return -1;
	/* Backends without a progress thread of their own move the notification on only when
	 * called. */
	do {
		if (NIXL(ag, get_notifs, ag->agent, ag->notifs, NULL) < 0)
			return -1;
		doing(ag, "the wait for the target to see the notification");
	} while (!link_poll(ag->link, 1) && probe_left_ms(ag->plan, 1));
	if (link_recv(ag->link, ag->plan, LINK_NOTIFIED, NULL, NULL, ag->rep) < 0)
		return -1;
	ag->rep->notified = true;
	doing(ag, "the check of the bytes");
	if (ag->plan->read && probe_mem_check(&ag->mem, ag->plan, ag->rep) < 0)
		return -1;
	ag->rep->intact = true;
	ag->rep->done = true;
	return 0;
}

/* Order as in nixl.md 4.4 step 9. Failures are of no interest any more: all results are in the
 * report. */
static void agent_close(struct agent *ag)
{
	const struct capi *api = &ag->api;

	doing(ag, "NIXL's clean-up");
	if (ag->req && api->release_xfer_req(ag->agent, ag->req) >= 0)
		api->destroy_xfer_req(ag->req);
	if (ag->role == PROBE_INITIATOR && ag->rep->done)
		link_send(ag->link, ag->plan, LINK_BYE, NULL, 0, NULL, 0, ag->rep);
	if (ag->local)
		api->destroy_xfer_dlist(ag->local);
	if (ag->remote)
		api->destroy_xfer_dlist(ag->remote);
	if (ag->registered)
		api->deregister_mem(ag->agent, ag->reg, ag->args);
	if (ag->reg)
		api->destroy_reg_dlist(ag->reg);
	if (ag->peer)
		api->invalidate_remote_md(ag->agent, ag->peer);
	if (ag->notifs)
		api->destroy_notif_map(ag->notifs);
	if (ag->args)
		api->destroy_opt_args(ag->args);
	if (ag->backend)
		api->destroy_backend(ag->backend);
	if (ag->agent)
		api->destroy_agent(ag->agent);
	free(ag->peer);
	probe_mem_close(&ag->mem);
}

/*
 * Without a GPU a loading backend is still worth knowing, so that failure waits until NIXL was
 * asked; NIXL's own failure is then the more telling one.
 */
static int agent_open_all(struct agent *ag)
{
	struct probe_report no_memory = { 0 };

	if (probe_mem_open(&ag->mem, ag->plan, ag->rep) < 0) {
		no_memory = *ag->rep;
		ag->rep->cause = PROBE_CAUSE_NONE;
		ag->rep->error[0] = '\0';
	}
	if (agent_open(ag) < 0)
		return -1;
	if (!no_memory.cause)
		return 0;
	doing(ag, no_memory.call);
	return probe_fail(ag->rep, no_memory.cause, "%s", no_memory.error);
}

void probe_agent_run(const struct probe_plan *plan, enum probe_role role, int link_fd,
		     struct probe_report *rep)
{
	struct agent ag = { .plan = plan, .role = role, .rep = rep, .link = link_fd };

	if (agent_open_all(&ag) == 0 && agent_register(&ag) == 0 && agent_meet(&ag) == 0) {
		if (role == PROBE_TARGET)
			target_move(&ag);
		else
			initiator_move(&ag);
	}
	rep->done = true;
	/* The peer must not wait for a clean-up that hangs. */
	if (!rep->intact)
		shutdown(link_fd, SHUT_RDWR);
	agent_close(&ag);
	doing(&ag, "");
}
