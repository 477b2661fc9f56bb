/* When UCX or NIXL do not take a value of UCX_TLS, and what it leaves to UCX. */
#include "rules/environ.h"

/* An empty list is an error of UCX (ucp_context.c), and so is more behind "all" (parser.c); behind
 * another name "all" is a transport that nobody has. Of empty parts releases think differently. */
static bool is_no_ucx_list(const char *v)
{
	v += *v == '^';
	return !*v || (kv_starts(v, "all,") && v[strspn(v + 3, ",") + 3]);
}

/* Whether a NIXL of that release or a newer one makes agents that have UCX: as the backend that is
 * wanted, or beside it. */
static bool has_ucx(const struct kv_facts *f, const char *since)
{
	for (size_t i = 0; i < f->nixls.n; i++) {
		const struct kv_nixl *n = &f->nixls.v[i];

		if (n->active && (!*since || kv_version_cmp(n->version, since) >= 0) &&
		    (kv_streq(f->backend, "UCX") ||
		     (kv_strv_has(&n->default_backends, "UCX") &&
		      kv_strv_has(&n->default_backends, f->backend))))
			return true;
	}
	return false;
}

bool kv_ends_ucx(const struct kv_facts *f, const char *v)
{
	return is_no_ucx_list(v) && (has_ucx(f, "") || kv_streq(f->backend, "UCX"));
}

/* Only transports that reach no memory of a GPU, and the machine has GPUs, as NIXL counts them
 * (src/plugins/ucx/config.cpp, validateTlsCudaSupport; src/utils/common/hw_info.cpp). What a list
 * with others comes to, or one that excludes, is the machine's affair. */
bool kv_leaves_gpus_out(const struct kv_facts *f, const char *v)
{
	static const char *const names[] = { "tcp",   "self", "sm",  "shm",  "mm",
					     "posix", "sysv", "cma", "knem", "xpmem" };

	if (!f->host || !f->host->gpus.n || !*v || !has_ucx(f, "1.5.0"))
		return false;
	for (const char *p = v; *p; p += strcspn(p, ","), p += *p == ',') {
		size_t i = 0, n;

		p += *p == '\\';
		n = strcspn(p, ",");
		while (i < KV_ARRAY_SIZE(names) &&
		       (strlen(names[i]) != n || strncmp(p, names[i], n) != 0))
			i++;
		if (i == KV_ARRAY_SIZE(names))
			return false;
	}
	return true;
}

/* Transports of UCX that are RDMA, by the beginning of their names, and groups of them. */
static bool has_rdma(const char *v)
{
	static const char *const names[] = { "rc", "dc", "ud", "ib", "srd", "gga" };

	for (const char *p = v; *p; p += strcspn(p, ","), p += *p == ',')
		for (size_t i = 0; i < KV_ARRAY_SIZE(names); i++)
			if (!strncmp(p + (*p == '\\'), names[i], strlen(names[i])))
				return true;
	return false;
}

/* UCX tells capitals from small letters; "\\tcp" is the transport alone, without what helps it. */
static bool has_tcp(const char *v)
{
	for (const char *p = v; v[0] != '^' && *p; p += strcspn(p, ","), p += *p == ',') {
		size_t n;

		p += *p == '\\';
		n = strcspn(p, ",");
		if (n == 3 && !strncmp(p, "tcp", n))
			return true;
	}
	return false;
}

bool kv_has_tcp_alone(const struct kv_facts *f, const char *v)
{
	(void)f;
	return !is_no_ucx_list(v) && has_tcp(v) && !has_rdma(v);
}

bool kv_has_tcp_too(const struct kv_facts *f, const char *v)
{
	(void)f;
	return !is_no_ucx_list(v) && has_tcp(v) && has_rdma(v);
}
