/*
 * The library and what it offers: which provider, and which of its domains are taken. Network
 * interfaces are no rails of themselves: of the providers that run over sockets one is taken, the
 * loopback on one host, unless domains are named.
 */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "probe/bench/ofi.h"

/* The API that the headers of libfabric 1.17 speak; newer libraries answer in it. The layout of
 * struct fi_info in it is that of the symbols' version FABRIC_1.3. */
#define API    FI_VERSION(1, 17)
#define LAYOUT "FABRIC_1.3"

static const struct {
	const char *name, *version;
	size_t offset;
} symbols[] = {
	{ "fi_getinfo", LAYOUT, offsetof(struct ofi_lib, getinfo) },
	{ "fi_freeinfo", LAYOUT, offsetof(struct ofi_lib, freeinfo) },
	{ "fi_dupinfo", LAYOUT, offsetof(struct ofi_lib, dupinfo) },
	{ "fi_fabric", "FABRIC_1.1", offsetof(struct ofi_lib, fabric) },
	{ "fi_strerror", "FABRIC_1.0", offsetof(struct ofi_lib, strerror) },
	{ "fi_version", "FABRIC_1.0", offsetof(struct ofi_lib, version) },
};

int ofi_fail(struct bench_side *s, const struct ofi *x, const char *call, long err)
{
	int e = (int)(err < 0 ? -err : err);

	bench_doing(s, call);
	return bench_fail(s, PROBE_CAUSE_LIBRARY, "%s: %s (%d)", call, x->lib.strerror(e), -e);
}

int ofi_lib_open(struct bench_side *s, struct ofi *x)
{
	const char *path = s->libs.fabric ? s->libs.fabric : "libfabric.so.1";
	void *lib;

	/* On one host efa would take the shared memory, and no device would stir. */
	setenv("FI_EFA_ENABLE_SHM_TRANSFER", "0", 0);
	bench_doing(s, "dlopen of libfabric.so.1");
	lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!lib)
		return bench_fail(s, PROBE_CAUSE_ENVIRONMENT, "%s: --fabric DIR names another one",
				  dlerror());
	for (size_t i = 0; i < sizeof(symbols) / sizeof(symbols[0]); i++) {
		void *sym = dlvsym(lib, symbols[i].name, symbols[i].version);

		if (!sym)
			return bench_fail(s, PROBE_CAUSE_ENVIRONMENT,
					  "%s: --fabric DIR names another one", dlerror());
		memcpy((char *)&x->lib + symbols[i].offset, &sym, sizeof(sym));
	}
	s->rep->loads = true;
	return 0;
}

/* ---- what the library offers ---- */

static void fill_hints(const struct bench_side *s, struct fi_info *h, bool delivery)
{
	h->caps = FI_MSG | FI_RMA;
	h->ep_attr->type = FI_EP_RDM;
	h->domain_attr->mr_mode = FI_MR_LOCAL | FI_MR_VIRT_ADDR | FI_MR_ALLOCATED | FI_MR_PROV_KEY;
	h->domain_attr->threading = FI_THREAD_DOMAIN;
	if (delivery)
		h->tx_attr->op_flags = FI_DELIVERY_COMPLETE;
	if (!s->spec.vram)
		return;
	h->caps |= FI_HMEM;
	h->domain_attr->mr_mode |= FI_MR_HMEM;
}

static int ask(struct bench_side *s, struct ofi *x, const char *provider, bool delivery)
{
	uint32_t has = x->lib.version(), api = FI_VERSION_LT(has, API) ? has : API;
	struct fi_info *hints = x->lib.dupinfo(NULL);
	int r;

	if (!hints)
		return bench_fail(s, PROBE_CAUSE_ENVIRONMENT, "out of memory");
	fill_hints(s, hints, delivery);
	hints->fabric_attr->prov_name = strdup(provider);
	bench_doing(s, "fi_getinfo");
	r = x->lib.getinfo(api, NULL, NULL, 0, hints, &x->infos);
	x->lib.freeinfo(hints);
	return r;
}

/* What to do about a provider that the library does not offer. */
static int absent(struct bench_side *s, const struct ofi *x, const char *provider, int err)
{
	uint32_t v = x->lib.version();

	bench_doing(s, "fi_getinfo");
	return bench_fail(s, PROBE_CAUSE_ENVIRONMENT,
			  "fi_getinfo: %s (%d): libfabric %u.%u (%s) offers no %s for RMA%s here; "
			  "`fi_info -l` "
			  "says which providers it has, FI_LOG_LEVEL=warn why one gives nothing",
			  x->lib.strerror(-err), err, FI_MAJOR(v), FI_MINOR(v),
			  s->libs.fabric ? s->libs.fabric : "libfabric.so.1", provider,
			  s->spec.vram ? " to GPU memory (FI_HMEM)" : "");
}

static int offers(struct bench_side *s, struct ofi *x, const char *provider)
{
	int r;

	x->delivery = true;
	r = ask(s, x, provider, true);
	if (r == -FI_ENODATA) {
		x->delivery = false;
		r = ask(s, x, provider, false);
	}
	if (r == -FI_ENODATA || r == -FI_ENOSYS)
		return absent(s, x, provider, r);
	return r < 0 ? r == -1 && s->rep->cause ? -1 : ofi_fail(s, x, "fi_getinfo", r) : 0;
}

/* ---- which of them ---- */

/* The provider itself, whatever is layered on it. */
static bool is_core(const struct fi_info *i, const char *name)
{
	const char *p = i->fabric_attr->prov_name;

	return strncmp(p, name, strlen(name)) == 0 && strchr(";", p[strlen(name)]);
}

static bool by_interface(const struct fi_info *i)
{
	return is_core(i, "tcp") || is_core(i, "sockets") || is_core(i, "udp") || is_core(i, "net");
}

static bool is_loopback(const struct fi_info *i)
{
	const struct sockaddr_in *a = i->src_addr;

	return i->addr_format == FI_SOCKADDR_IN && a && ntohl(a->sin_addr.s_addr) >> 24 == 127;
}

/* 0: not to be taken; the highest first. */
static unsigned worth(const struct bench_side *s, const struct fi_info *i)
{
	if (!by_interface(i))
		return 2;
	if (i->addr_format != FI_SOCKADDR_IN)
		return 0;
	return is_loopback(i) != s->remote ? 2 : 1;
}

/* "lo" of "lo+eth0". */
static bool is_named(const char *names, const char *domain)
{
	size_t n = strlen(domain);

	for (const char *p = names;; p += strcspn(p, "+") + 1) {
		if (strcspn(p, "+") == n && strncmp(p, domain, n) == 0)
			return true;
		if (!p[strcspn(p, "+")])
			return false;
	}
}

static bool is_taken(const struct ofi *x, const struct fi_info *i)
{
	for (unsigned k = 0; k < x->n_rails; k++)
		if (strcmp(x->rail[k].info->domain_attr->name, i->domain_attr->name) == 0)
			return true;
	return false;
}

static void take(struct ofi *x, struct fi_info *i)
{
	x->rail[x->n_rails++].info = i;
}

/* In the library's order, each domain once; of interfaces the best one. names: NULL for all. */
static void choose(const struct bench_side *s, struct ofi *x, const char *names)
{
	const char *provider = NULL;

	for (unsigned want = 2; want > 0; want--)
		for (struct fi_info *i = x->infos; i; i = i->next) {
			if (worth(s, i) != want || is_taken(x, i) || x->n_rails == OFI_MAX_RAILS)
				continue;
			if (provider && strcmp(provider, i->fabric_attr->prov_name) != 0)
				continue;
			if (names ? !is_named(names, i->domain_attr->name)
				  : x->n_rails && by_interface(i))
				continue;
			provider = i->fabric_attr->prov_name;
			take(x, i);
		}
}

static int no_domain(struct bench_side *s, const struct ofi *x, const char *names)
{
	char have[256] = "";
	size_t n = 0;

	for (const struct fi_info *i = x->infos; i && n + 1 < sizeof(have); i = i->next)
		if (worth(s, i))
			n += (size_t)snprintf(have + n, sizeof(have) - n, "%s%s", n ? ", " : "",
					      i->domain_attr->name);
	return bench_fail(s, PROBE_CAUSE_ENVIRONMENT, "fi_getinfo: no domain %s; there are: %s",
			  names ? names : "with an IPv4 address", *have ? have : "none");
}

static size_t count_names(const char *names)
{
	size_t n = 1;

	for (; *names; names++)
		n += *names == '+';
	return n;
}

int ofi_rails_choose(struct bench_side *s, struct ofi *x)
{
	char provider[sizeof(s->spec.engine)];
	const char *names = strchr(s->arg, '/');
	size_t n = 0;
	int r;

	snprintf(provider, sizeof(provider), "%.*s", (int)strcspn(s->arg, "/"), s->arg);
	names = names ? names + 1 : NULL;
	r = offers(s, x, provider);
	if (r < 0)
		return r;
	choose(s, x, names);
	if (!x->n_rails || (names && x->n_rails < count_names(names)))
		return no_domain(s, x, names);
	snprintf(s->provider, sizeof(s->provider), "%s", x->rail[0].info->fabric_attr->prov_name);
	for (unsigned i = 0; i < x->n_rails && n < sizeof(s->rail_names); i++)
		n += (size_t)snprintf(s->rail_names + n, sizeof(s->rail_names) - n, "%s%s",
				      i ? "," : "", x->rail[i].info->domain_attr->name);
	s->rails = x->n_rails;
	return 0;
}
