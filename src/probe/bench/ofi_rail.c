/*
 * An endpoint on each domain that is taken, the memory registered there, and what completes on it.
 */
#include <string.h>
#include <sys/mman.h>

#include "probe/bench/ofi.h"

#define CQ_BATCH 64

#define OFI(s, x, call, expr) (bench_doing((s), call), ofi_check((s), (x), call, (expr)))

static int ofi_check(struct bench_side *s, const struct ofi *x, const char *call, int r)
{
	return r < 0 ? ofi_fail(s, x, call, r) : 0;
}

/* Posts the receive of message i of a rail. */
static int rail_recv(struct bench_side *s, struct ofi *x, struct ofi_rail *r, unsigned i)
{
	uint8_t *p = r->msgs + (size_t)i * OFI_MSG;
	void *desc = r->msg_mr ? fi_mr_desc(r->msg_mr) : NULL;
	ssize_t e = fi_recv(r->ep, p, OFI_MSG, desc, FI_ADDR_UNSPEC, p);

	return e < 0 ? ofi_fail(s, x, "fi_recv", e) : 0;
}

/*
 * shm names an endpoint's memory by the process's number and a count of its
 * endpoints. One who was killed leaves that behind, and another with its number (in another
 * container on the same /dev/shm, say) is told FI_EBUSY: the next endpoint has another name.
 */
#define ENDPOINT_TRIES 16

static int enable(struct bench_side *s, struct ofi *x, struct ofi_rail *r)
{
	int e = -FI_EBUSY;

	for (int i = 0; i < ENDPOINT_TRIES && e == -FI_EBUSY; i++) {
		if (r->ep)
			fi_close(&r->ep->fid);
		r->ep = NULL;
		if (OFI(s, x, "fi_endpoint", fi_endpoint(r->domain, r->info, &r->ep, NULL)) < 0 ||
		    OFI(s, x, "fi_ep_bind", fi_ep_bind(r->ep, &r->av->fid, 0)) < 0 ||
		    OFI(s, x, "fi_ep_bind", fi_ep_bind(r->ep, &r->cq->fid, FI_TRANSMIT | FI_RECV)) <
			    0)
			return -1;
		bench_doing(s, "fi_enable");
		e = fi_enable(r->ep);
	}
	return e < 0 ? ofi_fail(s, x, "fi_enable", e) : 0;
}

static int endpoint(struct bench_side *s, struct ofi *x, struct ofi_rail *r)
{
	struct fi_cq_attr cq = { .format = FI_CQ_FORMAT_DATA, .wait_obj = FI_WAIT_NONE };
	struct fi_av_attr av = { .type = FI_AV_TABLE };

	r->depth = r->info->tx_attr->size ? r->info->tx_attr->size : 64;
	cq.size = r->depth + r->info->rx_attr->size;
	if (x->delivery)
		r->info->tx_attr->op_flags = FI_DELIVERY_COMPLETE;
	if (OFI(s, x, "fi_fabric", x->lib.fabric(r->info->fabric_attr, &r->fabric, NULL)) < 0 ||
	    OFI(s, x, "fi_domain", fi_domain(r->fabric, r->info, &r->domain, NULL)) < 0 ||
	    OFI(s, x, "fi_cq_open", fi_cq_open(r->domain, &cq, &r->cq, NULL)) < 0 ||
	    OFI(s, x, "fi_av_open", fi_av_open(r->domain, &av, &r->av, NULL)) < 0)
		return -1;
	return enable(s, x, r);
}

static int registered(struct bench_side *s, struct ofi *x, struct ofi_rail *r, unsigned number)
{
	struct iovec iov = { (void *)(uintptr_t)s->addr, s->spec.buffer };
	struct fi_mr_attr a = {
		.mr_iov = &iov,
		.iov_count = 1,
		.access = FI_READ | FI_WRITE | FI_REMOTE_READ | FI_REMOTE_WRITE,
		.requested_key = number + 1,
		.iface = s->spec.vram ? FI_HMEM_CUDA : FI_HMEM_SYSTEM,
		.device.cuda = (int)s->dev,
	};

	if (OFI(s, x, "fi_mr_regattr", fi_mr_regattr(r->domain, &a, 0, &r->mr)) < 0)
		return -1;
	r->desc = fi_mr_desc(r->mr);
	r->msgs = mmap(NULL, (size_t)OFI_MSGS * OFI_MSG, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (r->msgs == MAP_FAILED) {
		r->msgs = NULL;
		return bench_fail(s, PROBE_CAUSE_ENVIRONMENT, "out of memory");
	}
	if (r->info->domain_attr->mr_mode & FI_MR_LOCAL &&
	    OFI(s, x, "fi_mr_reg",
		fi_mr_reg(r->domain, r->msgs, (size_t)OFI_MSGS * OFI_MSG, FI_RECV | FI_SEND, 0,
			  OFI_MAX_RAILS + number + 1, 0, &r->msg_mr, NULL)) < 0)
		return -1;
	for (unsigned i = 0; i < OFI_MSGS; i++)
		if (rail_recv(s, x, r, i) < 0)
			return -1;
	return 0;
}

static void describe(struct bench_side *s, const struct ofi *x)
{
	uint32_t v = x->lib.version();

	snprintf(s->detail, sizeof(s->detail),
		 "libfabric %u.%u, %.200s; %s; the target is told by %s; up to %llu operations "
		 "under "
		 "way%s",
		 FI_MAJOR(v), FI_MINOR(v), s->rail_names,
		 x->delivery ? "complete when delivered"
			     : "not complete when delivered: the provider does not offer that",
		 x->cq_data ? "remote CQ data" : "a message", (unsigned long long)x->rail[0].depth,
		 s->spec.vram ? "; CUDA memory" : "");
}

int ofi_rails_open(struct bench_side *s, struct ofi *x)
{
	if (ofi_lib_open(s, x) < 0 || ofi_rails_choose(s, x) < 0)
		return -1;
	s->rep->instantiates = true;
	x->cq_data = true;
	x->max_msg = UINT64_MAX;
	for (unsigned i = 0; i < x->n_rails; i++) {
		struct ofi_rail *r = &x->rail[i];

		if (endpoint(s, x, r) < 0 || registered(s, x, r, i) < 0)
			return -1;
		x->cq_data = x->cq_data && r->info->domain_attr->cq_data_size > 0;
		if (r->info->ep_attr->max_msg_size && r->info->ep_attr->max_msg_size < x->max_msg)
			x->max_msg = r->info->ep_attr->max_msg_size;
	}
	describe(s, x);
	return 0;
}

static void drop(struct fid *f)
{
	if (f)
		fi_close(f);
}

#define DROP(p) drop((p) ? &(p)->fid : NULL)

void ofi_rails_close(struct ofi *x)
{
	for (unsigned i = 0; i < x->n_rails; i++) {
		struct ofi_rail *r = &x->rail[i];

		DROP(r->ep);
		DROP(r->mr);
		DROP(r->msg_mr);
		DROP(r->cq);
		DROP(r->av);
		DROP(r->domain);
		DROP(r->fabric);
		if (r->msgs)
			munmap(r->msgs, (size_t)OFI_MSGS * OFI_MSG);
	}
	if (x->infos)
		x->lib.freeinfo(x->infos);
}

/* ---- completions ---- */

static int reap_error(struct bench_side *s, struct ofi *x, struct ofi_rail *r)
{
	/* Newer libraries have more fields behind those that are known here. */
	union {
		struct fi_cq_err_entry e;
		char room[sizeof(struct fi_cq_err_entry) + 64];
	} u = { 0 };
	char text[160] = "";
	const char *said;

	if (fi_cq_readerr(r->cq, &u.e, 0) < 0)
		return ofi_fail(s, x, "fi_cq_readerr", FI_EOTHER);
	said = r->cq->ops->strerror(r->cq, u.e.prov_errno, u.e.err_data, text, sizeof(text));
	bench_doing(s, "fi_cq_read");
	return bench_fail(s, PROBE_CAUSE_LIBRARY,
			  "fi_cq_read: %s (%d) on %s, in %s; the provider: %s (%d)",
			  x->lib.strerror(u.e.err), -u.e.err, r->info->domain_attr->name,
			  u.e.op_context == &x->tx ? "a transfer" : "a receive",
			  said ? said : "nothing", u.e.prov_errno);
}

static int reaped(struct bench_side *s, struct ofi *x, struct ofi_rail *r,
		  const struct fi_cq_data_entry *e)
{
	if (e->op_context == &x->tx) {
		r->out--;
		x->done++;
		return 0;
	}
	if (e->flags & FI_REMOTE_CQ_DATA) {
		x->data++;
		return 0;
	}
	if (!(e->flags & FI_RECV) || !e->op_context)
		return 0;
	x->msgs++;
	return rail_recv(s, x, r, (unsigned)(((uint8_t *)e->op_context - r->msgs) / OFI_MSG));
}

static int reap_rail(struct bench_side *s, struct ofi *x, struct ofi_rail *r)
{
	struct fi_cq_data_entry e[CQ_BATCH];
	ssize_t n;

	do {
		n = fi_cq_read(r->cq, e, CQ_BATCH);
		for (ssize_t i = 0; i < n; i++)
			if (reaped(s, x, r, &e[i]) < 0)
				return -1;
	} while (n == CQ_BATCH);
	if (n == -FI_EAVAIL)
		return reap_error(s, x, r);
	return n < 0 && n != -FI_EAGAIN ? ofi_fail(s, x, "fi_cq_read", n) : 0;
}

int ofi_reap(struct bench_side *s, struct ofi *x)
{
	for (unsigned i = 0; i < x->n_rails; i++)
		if (reap_rail(s, x, &x->rail[i]) < 0)
			return -1;
	return 0;
}
