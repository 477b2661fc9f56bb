/*
 * rawloop PROVIDER SIZE N [BUFFER]: what `kvpath bench --engine ofi:PROVIDER --shape 1xSIZE` is
 * held against: the same writes by the same libfabric between two processes, through a buffer of
 * the same size (64 MiB), with nothing around them. No data is made or checked, no clock read in
 * the loop, nothing looked after. Prints the mean time of a transfer, us. Any failure ends it.
 */
#include <rdma/fabric.h>
#include <rdma/fi_cm.h>
#include <rdma/fi_domain.h>
#include <rdma/fi_endpoint.h>
#include <rdma/fi_errno.h>
#include <rdma/fi_rma.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct hello {
	uint64_t base, key, len;
	char name[256];
};

struct end {
	struct fid_fabric *fabric;
	struct fid_domain *domain;
	struct fid_cq *cq;
	struct fid_av *av;
	struct fid_ep *ep;
	struct fid_mr *mr;
	fi_addr_t peer;
	struct hello far;
	char *buffer;
	uint64_t sent, came;
};

static _Atomic uint64_t *taken;
static size_t size, buffer = (size_t)64 << 20;

static void need(const char *what, long r)
{
	if (r >= 0)
		return;
	fprintf(stderr, "rawloop: %s: %s\n", what, fi_strerror((int)-r));
	exit(1);
}

/* IPv4's loopback, or what is no address. */
static bool is_wanted(const struct fi_info *i)
{
	const unsigned char *a = i->src_addr;

	return i->addr_format == FI_ADDR_STR ||
	       (i->addr_format == FI_SOCKADDR_IN && a && a[4] == 127);
}

static struct fi_info *offer(const char *provider)
{
	struct fi_info *hints = fi_allocinfo(), *info = NULL;

	hints->caps = FI_MSG | FI_RMA;
	hints->ep_attr->type = FI_EP_RDM;
	hints->domain_attr->mr_mode =
		FI_MR_LOCAL | FI_MR_VIRT_ADDR | FI_MR_ALLOCATED | FI_MR_PROV_KEY;
	hints->domain_attr->threading = FI_THREAD_DOMAIN;
	hints->tx_attr->op_flags = FI_DELIVERY_COMPLETE;
	hints->fabric_attr->prov_name = strdup(provider);
	need("fi_getinfo", fi_getinfo(FI_VERSION(1, 17), NULL, NULL, 0, hints, &info));
	while (info && !is_wanted(info))
		info = info->next;
	need("an offer", info ? 0 : -FI_ENODATA);
	info->tx_attr->op_flags = FI_DELIVERY_COMPLETE;
	return info;
}

static void open_end(struct end *e, struct fi_info *info, int link)
{
	struct fi_cq_attr cq = { .format = FI_CQ_FORMAT_DATA };
	struct fi_av_attr av = { .type = FI_AV_TABLE };
	struct hello h = { 0 };
	size_t len = sizeof(h.name);

	e->buffer = mmap(NULL, buffer, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	cq.size = info->tx_attr->size + info->rx_attr->size;
	need("fi_fabric", fi_fabric(info->fabric_attr, &e->fabric, NULL));
	need("fi_domain", fi_domain(e->fabric, info, &e->domain, NULL));
	need("fi_cq_open", fi_cq_open(e->domain, &cq, &e->cq, NULL));
	need("fi_av_open", fi_av_open(e->domain, &av, &e->av, NULL));
	need("fi_endpoint", fi_endpoint(e->domain, info, &e->ep, NULL));
	need("fi_ep_bind", fi_ep_bind(e->ep, &e->av->fid, 0));
	need("fi_ep_bind", fi_ep_bind(e->ep, &e->cq->fid, FI_TRANSMIT | FI_RECV));
	need("fi_enable", fi_enable(e->ep));
	need("fi_mr_reg", fi_mr_reg(e->domain, e->buffer, buffer,
				    FI_READ | FI_WRITE | FI_REMOTE_READ | FI_REMOTE_WRITE, 0, 1, 0,
				    &e->mr, NULL));
	need("fi_getname", fi_getname(&e->ep->fid, h.name, &len));
	h.base = info->domain_attr->mr_mode & FI_MR_VIRT_ADDR ? (uintptr_t)e->buffer : 0;
	h.key = fi_mr_key(e->mr);
	if (write(link, &h, sizeof(h)) != sizeof(h) ||
	    recv(link, &e->far, sizeof(e->far), MSG_WAITALL) != sizeof(e->far))
		need("the link", -FI_EIO);
	need("fi_av_insert", fi_av_insert(e->av, e->far.name, 1, &e->peer, 0, NULL) - 1);
}

static void reap(struct end *e)
{
	struct fi_cq_data_entry c[64];
	ssize_t n = fi_cq_read(e->cq, c, 64);

	if (n < 0 && n != -FI_EAGAIN)
		need("fi_cq_read", n);
	for (ssize_t i = 0; i < n; i++) {
		if (c[i].op_context == e)
			e->sent++;
		else
			e->came++;
	}
}

static void serve(struct end *e, uint64_t n)
{
	while (e->came < n) {
		uint64_t before = e->came;

		reap(e);
		if (e->came != before)
			atomic_store_explicit(taken, e->came, memory_order_release);
	}
	/* The last answers go out. */
	for (;;)
		reap(e);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void transfers(struct end *e, uint64_t from, uint64_t to)
{
	void *desc = fi_mr_desc(e->mr);

	for (uint64_t i = from; i < to; i++) {
		uint64_t at = i % (buffer / size) * size;
		ssize_t r;

		while ((r = fi_writedata(e->ep, e->buffer + at, size, desc, 1, e->peer,
					 e->far.base + at, e->far.key, e)) == -FI_EAGAIN)
			reap(e);
		need("fi_writedata", r);
		while (e->sent <= i || atomic_load_explicit(taken, memory_order_acquire) <= i)
			reap(e);
	}
}

int main(int argc, char **argv)
{
	uint64_t n = argc > 3 ? strtoull(argv[3], NULL, 10) : 0;
	const uint64_t warm = 10;
	struct end e = { 0 };
	double start;
	int link[2];
	pid_t pid;

	size = argc > 3 ? strtoull(argv[2], NULL, 10) : 0;
	if (argc > 4)
		buffer = strtoull(argv[4], NULL, 10);
	if (!n || !size || buffer < size)
		return fprintf(stderr, "usage: rawloop PROVIDER SIZE N [BUFFER]\n"), 2;
	taken = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (taken == MAP_FAILED || socketpair(AF_UNIX, SOCK_STREAM, 0, link) < 0)
		return 1;
	alarm(60);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		open_end(&e, offer(argv[1]), link[1]);
		serve(&e, n + warm);
	}
	open_end(&e, offer(argv[1]), link[0]);
	transfers(&e, 0, warm);
	start = now();
	transfers(&e, warm, warm + n);
	printf("%.3f\n", (now() - start) / (double)n);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return 0;
}
