/*
 * Raw libfabric behind the engine `ofi:PROVIDER[/DOMAIN+DOMAIN...]`. The library is opened at run
 * time; of its headers only types and inline functions are used, which go through tables of
 * functions that the library fills.
 */
#ifndef KV_PROBE_BENCH_OFI_H
#define KV_PROBE_BENCH_OFI_H

#include <rdma/fabric.h>
#include <rdma/fi_cm.h>
#include <rdma/fi_domain.h>
#include <rdma/fi_endpoint.h>
#include <rdma/fi_eq.h>
#include <rdma/fi_errno.h>
#include <rdma/fi_rma.h>

#include "probe/bench/stripe.h"

#define OFI_MAX_RAILS 32
#define OFI_MAX_NAME  256 /* bytes of an endpoint's address */
#define OFI_MSGS      16  /* receives that are always posted, for messages of OFI_MSG bytes */
#define OFI_MSG       64

/* What is taken from the library by name. */
struct ofi_lib {
	int (*getinfo)(uint32_t, const char *, const char *, uint64_t, const struct fi_info *,
		       struct fi_info **);
	void (*freeinfo)(struct fi_info *);
	struct fi_info *(*dupinfo)(const struct fi_info *);
	int (*fabric)(struct fi_fabric_attr *, struct fid_fabric **, void *);
	const char *(*strerror)(int);
	uint32_t (*version)(void);
};

/* One domain, and one endpoint in it. */
struct ofi_rail {
	struct fi_info *info; /* in the list of the library */
	struct fid_fabric *fabric;
	struct fid_domain *domain;
	struct fid_cq *cq;
	struct fid_av *av;
	struct fid_ep *ep;
	struct fid_mr *mr, *msg_mr;
	void *desc;
	uint8_t *msgs;
	uint64_t depth, out; /* operations that may be, and are, under way */
	bool greeted;

	fi_addr_t peer;
	uint64_t peer_base, peer_key;
};

struct ofi {
	struct ofi_lib lib;
	struct fi_info *infos;
	struct ofi_rail rail[OFI_MAX_RAILS];
	unsigned n_rails;
	bool delivery, cq_data; /* what the provider offers */
	uint64_t max_msg;

	/* The transfer under way, of the initiator. */
	struct stripe stripe;
	const struct bench_test *striped; /* the test that it is for */
	struct stripe_cursor at;
	uint64_t done, expected;
	bool told;
	/* What came from the other side. */
	uint64_t msgs, data;
	int tx; /* its address marks operations of this side */
};

/* ---- ofi_offer.c ---- */

int ofi_lib_open(struct bench_side *s, struct ofi *x);
/* Says in x which domains are the rails, of all that the provider offers. */
int ofi_rails_choose(struct bench_side *s, struct ofi *x);
/* Says which call failed, in the library's words. Always -1. */
int ofi_fail(struct bench_side *s, const struct ofi *x, const char *call, long err);

/* ---- ofi_rail.c ---- */

/* Opens the library, chooses the rails and opens them. */
int ofi_rails_open(struct bench_side *s, struct ofi *x);
void ofi_rails_close(struct ofi *x);
/* What completed on all rails; counts it in x. */
int ofi_reap(struct bench_side *s, struct ofi *x);

/* ---- ofi_bare.c ---- */

int ofi_bare(struct bench_side *s, uint64_t n);

#endif
