/* Which libfabric and libucp bench's raw engines open: those that NIXL's own plugins would get. */
#include "cmd/cmd.h"
#include "prove/bench.h"

#define BORROWED "/run/kvpath/fabric"

static const char *mapped(const struct kv_nixl *n, const char *plugin, const char *prefix)
{
	for (size_t i = 0; n && i < n->plugins.n; i++) {
		const struct kv_plugin *p = &n->plugins.v[i];

		if (!kv_streq(p->name, plugin))
			continue;
		for (size_t k = 0; k < p->load.list.n; k++)
			if (kv_starts(kv_basename(p->load.list.v[k]->name), prefix))
				return p->load.list.v[k]->name;
	}
	return NULL;
}

static void add_mount(struct kv_arena *a, struct kv_prove_request *r, const char *host,
		      const char *guest)
{
	struct kv_prove_mount *m = kv_alloc_n(a, r->n_mounts + 1, sizeof(*m));

	for (size_t i = 0; i < r->n_mounts; i++)
		m[i] = r->mounts[i];
	m[r->n_mounts++] = (struct kv_prove_mount){ host, guest };
	r->mounts = m;
}

/* The one of --fabric; a container gets its directory mounted. */
static const char *borrowed(const struct kv_opts *o, const struct kv_facts *f,
			    struct kv_bench_request *req)
{
	for (size_t i = 0; i < f->fabrics.n; i++) {
		const struct kv_fabric *fab = &f->fabrics.v[i];

		if (fab->source != KV_SOURCE_FABRIC)
			continue;
		if (!kv_streq(req->where.target, "/")) {
			add_mount(o->arena, &req->where, kv_dirname(o->arena, fab->path), BORROWED);
			return kv_join(o->arena, BORROWED, kv_basename(fab->path));
		}
		return fab->path;
	}
	return NULL;
}

int kv_bench_libs(const struct kv_opts *o, const struct kv_facts *f, const struct kv_nixl *n,
		  struct kv_bench_request *req)
{
	req->ucp = mapped(n, "UCX", "libucp");
	if (o->fabrics.n) {
		req->fabric = borrowed(o, f, req);
		if (req->fabric)
			return KV_STATUS_OK;
		return kv_fail(KV_STATUS_USAGE, "--fabric %s: no libfabric in it", o->fabrics.v[0]);
	}
	req->fabric = n && n->stack.known ? n->stack.fabric_path : NULL;
	return KV_STATUS_OK;
}
