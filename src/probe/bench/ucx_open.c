/* libucp: opening it, the worker, the registered buffer, the endpoint. */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "probe/bench/ucx.h"

#define SPINS_PER_LOOK 1024

static const struct {
	const char *name;
	size_t offset;
} functions[] = {
#define X(name) { #name, offsetof(struct ucx, name) },
	UCX_FUNCTIONS(X)
#undef X
};

struct hello {
	uint64_t address_len, rkey_len;
};

int ucx_fail(struct bench_side *s, const struct ucx *x, const char *call, ucs_status_t st)
{
	bench_doing(s, call);
	return bench_fail(s, PROBE_CAUSE_LIBRARY, "%s: %s (%d)", call, x->ucs_status_string(st),
			  st);
}

#define UCX(s, x, fn, ...) (bench_doing((s), #fn), ucx_check((s), (x), #fn, (x)->fn(__VA_ARGS__)))

static int ucx_check(struct bench_side *s, const struct ucx *x, const char *call, ucs_status_t st)
{
	return st < 0 ? ucx_fail(s, x, call, st) : 0;
}

static int lib_open(struct bench_side *s, struct ucx *x)
{
	void *lib;

	bench_doing(s, "dlopen of libucp");
	lib = dlopen(s->libs.ucp ? s->libs.ucp : "libucp.so.0", RTLD_NOW | RTLD_LOCAL);
	if (!lib)
		return bench_fail(s, PROBE_CAUSE_ENVIRONMENT,
				  "%s: it comes with NIXL's wheel, or as a package (libucx0)",
				  dlerror());
	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
		void *sym = dlsym(lib, functions[i].name);

		if (!sym)
			return bench_fail(s, PROBE_CAUSE_ENVIRONMENT,
					  "%s: this libucp is too old (1.13 is needed)", dlerror());
		memcpy((char *)x + functions[i].offset, &sym, sizeof(sym));
	}
	s->rep->loads = true;
	return 0;
}

static int context_open(struct bench_side *s, struct ucx *x)
{
	const ucp_params_t params = {
		.field_mask = UCP_PARAM_FIELD_FEATURES,
		.features = UCP_FEATURE_RMA | UCP_FEATURE_AM,
	};
	const ucp_worker_params_t wp = {
		.field_mask = UCP_WORKER_PARAM_FIELD_THREAD_MODE,
		.thread_mode = UCS_THREAD_MODE_SINGLE,
	};
	ucp_config_t *config = NULL;
	int r;

	if (UCX(s, x, ucp_config_read, NULL, NULL, &config) < 0)
		return -1;
	r = UCX(s, x, ucp_init_version, UCP_API_MAJOR, UCP_API_MINOR, &params, config, &x->context);
	x->ucp_config_release(config);
	if (r < 0)
		return -1;
	s->rep->instantiates = true;
	return UCX(s, x, ucp_worker_create, x->context, &wp, &x->worker);
}

static int map(struct bench_side *s, struct ucx *x)
{
	const ucp_mem_map_params_t params = {
		.field_mask = UCP_MEM_MAP_PARAM_FIELD_ADDRESS | UCP_MEM_MAP_PARAM_FIELD_LENGTH |
			      UCP_MEM_MAP_PARAM_FIELD_MEMORY_TYPE,
		.address = (void *)(uintptr_t)s->addr,
		.length = s->spec.buffer,
		.memory_type = s->spec.vram ? UCS_MEMORY_TYPE_CUDA : UCS_MEMORY_TYPE_HOST,
	};

	return UCX(s, x, ucp_mem_map, x->context, &params, &x->mem);
}

static ucs_status_t message_came(void *arg, const void *header, size_t header_length, void *data,
				 size_t length, const ucp_am_recv_param_t *param)
{
	(void)header, (void)header_length, (void)data, (void)length, (void)param;
	((struct ucx *)arg)->msgs++;
	return UCS_OK;
}

static int listen_for_messages(struct bench_side *s, struct ucx *x)
{
	const ucp_am_handler_param_t param = {
		.field_mask = UCP_AM_HANDLER_PARAM_FIELD_ID | UCP_AM_HANDLER_PARAM_FIELD_CB |
			      UCP_AM_HANDLER_PARAM_FIELD_ARG,
		.id = 0,
		.cb = message_came,
		.arg = x,
	};

	return UCX(s, x, ucp_worker_set_am_recv_handler, x->worker, &param);
}

static void completed(void *request, ucs_status_t status, void *arg)
{
	struct ucx *x = arg;

	x->pending--;
	if (status < 0 && x->failed == UCS_OK)
		x->failed = status;
	x->ucp_request_free(request);
}

int ucx_begun(struct bench_side *s, struct ucx *x, const char *call, ucs_status_ptr_t req)
{
	if (UCS_PTR_IS_ERR(req))
		return ucx_fail(s, x, call, UCS_PTR_STATUS(req));
	x->pending += req != NULL;
	return 0;
}

int ucx_open(struct bench_side *s)
{
	struct ucx *x = calloc(1, sizeof(*x));

	if (!x)
		return bench_fail(s, PROBE_CAUSE_ENVIRONMENT, "out of memory");
	s->state = x;
	s->rails = 1;
	s->notified = s->remote ? "counted" : "timed";
	x->plain = (ucp_request_param_t){
		.op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA,
		.cb.send = completed,
		.user_data = x,
	};
	if (lib_open(s, x) < 0) {
		/* Not one function of it is to be called. */
		free(x);
		s->state = NULL;
		return -1;
	}
	if (context_open(s, x) < 0 || map(s, x) < 0 || listen_for_messages(s, x) < 0)
		return -1;
	x->move = x->plain;
	x->move.op_attr_mask |= UCP_OP_ATTR_FIELD_MEMH;
	x->move.memh = x->mem;
	return 0;
}

int ucx_hello(struct bench_side *s, void **ret, size_t *ret_n)
{
	struct ucx *x = s->state;
	struct hello h = { 0 };
	void *rkey = NULL;
	size_t rkey_len = 0;
	uint8_t *blob;

	if (UCX(s, x, ucp_worker_get_address, x->worker, &x->address, &x->address_len) < 0 ||
	    UCX(s, x, ucp_rkey_pack, x->context, x->mem, &rkey, &rkey_len) < 0)
		return -1;
	h = (struct hello){ x->address_len, rkey_len };
	blob = malloc(sizeof(h) + x->address_len + rkey_len);
	if (blob) {
		memcpy(blob, &h, sizeof(h));
		memcpy(blob + sizeof(h), x->address, x->address_len);
		memcpy(blob + sizeof(h) + x->address_len, rkey, rkey_len);
	}
	x->ucp_rkey_buffer_release(rkey);
	if (!blob)
		return bench_fail(s, PROBE_CAUSE_ENVIRONMENT, "out of memory");
	*ret = blob;
	*ret_n = sizeof(h) + x->address_len + rkey_len;
	return 0;
}

int ucx_meet(struct bench_side *s, const void *blob, size_t n)
{
	const uint8_t *p = (const uint8_t *)blob + sizeof(struct hello);
	struct ucx *x = s->state;
	ucp_ep_params_t params = {
		.field_mask =
			UCP_EP_PARAM_FIELD_REMOTE_ADDRESS | UCP_EP_PARAM_FIELD_ERR_HANDLING_MODE,
		/* What NIXL asks for unless it is told otherwise; transports depend on it. */
		.err_mode = UCP_ERR_HANDLING_MODE_PEER,
	};
	struct hello h;

	if (n < sizeof(h))
		return bench_fail(s, PROBE_CAUSE_PEER, "no address came");
	memcpy(&h, blob, sizeof(h));
	n -= sizeof(h);
	if (!h.address_len || h.address_len > n || h.rkey_len != n - h.address_len)
		return bench_fail(s, PROBE_CAUSE_PEER, "an address of %zu bytes came", n);
	params.address = (const ucp_address_t *)(const void *)p;
	if (UCX(s, x, ucp_ep_create, x->worker, &params, &x->ep) < 0)
		return -1;
	return UCX(s, x, ucp_ep_rkey_unpack, x->ep, p + h.address_len, &x->rkey);
}

/* "5:tcp/lo.0" of "#   lane[0]:  5:tcp/lo.0 md[1] ..." is added as "tcp/lo". */
static void add_lane(struct bench_side *s, const char *line)
{
	const char *at = strstr(line, "lane["), *name, *colon;
	size_t n = strlen(s->rail_names), len;
	char one[64];

	at = at ? strchr(at, ':') : NULL;
	colon = at ? strchr(at + 1, ':') : NULL;
	if (!colon)
		return;
	name = colon + 1;
	len = strcspn(name, ". \t\n");
	snprintf(one, sizeof(one), "%.*s", (int)len, name);
	if (!len || strstr(s->rail_names, one) || n + len + 2 >= sizeof(s->rail_names))
		return;
	snprintf(s->rail_names + n, sizeof(s->rail_names) - n, "%s%s", n ? "," : "", one);
	s->rails++;
}

void ucx_name_transports(struct bench_side *s)
{
	struct ucx *x = s->state;
	char *text = NULL, *save = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	if (!f)
		return;
	x->ucp_ep_print_info(x->ep, f);
	fclose(f);
	*s->rail_names = '\0';
	s->rails = 0;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		add_lane(s, line);
	free(text);
	snprintf(s->provider, sizeof(s->provider), "%.63s", s->rail_names);
	snprintf(s->detail, sizeof(s->detail),
		 "libucp %s; the target is told by an active message%s",
		 x->ucp_get_version_string(), s->spec.vram ? "; CUDA memory" : "");
}

/* Bounded: a peer that is gone does not answer. */
static void ep_close(struct bench_side *s, struct ucx *x)
{
	ucp_request_param_t param = x->plain;
	ucs_status_ptr_t req;

	param.op_attr_mask |= UCP_OP_ATTR_FIELD_FLAGS;
	param.flags = UCP_EP_CLOSE_FLAG_FORCE;
	req = x->ucp_ep_close_nbx(x->ep, &param);
	if (UCS_PTR_IS_ERR(req))
		return;
	x->pending += req != NULL;
	for (unsigned i = 1; x->pending && (i % SPINS_PER_LOOK || probe_left_ms(&s->plan, 1)); i++)
		x->ucp_worker_progress(x->worker);
}

void ucx_close(struct bench_side *s)
{
	struct ucx *x = s->state;

	if (x->rkey)
		x->ucp_rkey_destroy(x->rkey);
	if (x->ep)
		ep_close(s, x);
	if (x->address)
		x->ucp_worker_release_address(x->worker, x->address);
	if (x->mem)
		x->ucp_mem_unmap(x->context, x->mem);
	if (x->worker)
		x->ucp_worker_destroy(x->worker);
	if (x->context)
		x->ucp_cleanup(x->context);
	free(x);
}
