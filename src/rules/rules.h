/*
 * The catalogue: one table of rules over the facts. A rule is one entry in rules.def, one function
 * in the file of its family, and one page in pages/. It fires by cause and emits findings; it
 * changes nothing.
 */
#ifndef KV_RULES_RULES_H
#define KV_RULES_RULES_H

#include "inspect/facts.h"

enum kv_severity { KV_ERROR, KV_WARNING, KV_INFO, _KV_SEVERITY_COUNT };
extern const char *const kv_severity_name[_KV_SEVERITY_COUNT];

struct kv_evidence {
	const char *path, *text;
};

struct kv_finding {
	const char *id, *title;
	enum kv_severity severity;
	bool cannot_tell; /* the fact behind it could not be read: no verdict of "ready" rests on it
			   */
	bool of_host;     /* a fault of the machine, which no change to the target mends */
	const char *detail;
	KV_VEC(struct kv_evidence) evidence;
	bool automatic; /* kvpath fix repairs it */
	const char *repair;
	const char *
		because; /* id of the finding, further up in the list, that it follows from; NULL */
	size_t place;    /* in which it was found */
};

enum kv_verdict { KV_ON_FABRIC, KV_READY, KV_OFF_FABRIC, KV_VERDICT_UNKNOWN, _KV_VERDICT_COUNT };
extern const char *const kv_verdict_name[_KV_VERDICT_COUNT];

struct kv_findings {
	struct kv_arena *arena;
	const char *id, *title; /* of the rule that runs */
	KV_VEC(struct kv_finding) list;
	enum kv_verdict verdict;
};

/* Runs all rules. Findings come in the order of repair. Memory from the facts' arena. */
void kv_rules_run(const struct kv_facts *f, struct kv_findings *ret);

/* The order of repair: errors first, each followed by what follows from it (order.def). */
void kv_findings_sort(struct kv_findings *out);

/* The chain that bytes go through, and what it is called. */
enum kv_link { KV_AT_NIXL, KV_AT_PLUGIN, KV_AT_FABRIC, KV_AT_PROVIDER, KV_AT_DEVICE, _KV_AT_COUNT };
extern const char *const kv_link_name[_KV_AT_COUNT];

/* The link that the rule is about; _KV_AT_COUNT for an id that there is none of. */
enum kv_link kv_rule_link(const char *id);
/* The rule's title or its page (Markdown); NULL for an id that there is none of. */
const char *kv_rule_title(const char *id);
const char *kv_rule_page(const char *id);
/* Id number i of the catalogue, NULL past the last. */
const char *kv_rule_id(size_t i);

/* A line for each variable of the environment that is an error whatever else there is; of brief
 * facts too. Memory from a. */
kv_strv kv_environ_errors(struct kv_arena *a, const struct kv_facts *f);

/* What is wrong with a variable, of which the value alone tells. */
struct kv_variable_fault {
	const char *id, *says, *mend;
	enum kv_severity severity;
	const char *backend; /* with which alone it counts; NULL for all */
};

/* Of a job that wants LIBFABRIC for GPU memory, on a host that is not seen; false where nothing is.
 */
bool kv_variable_fault(const char *name, const char *value, struct kv_variable_fault *ret);

/* ---- for the rules ---- */

typedef void kv_rule_fn(const struct kv_facts *f, struct kv_findings *out);

#define KV_RULE(id, link, fn, rests, title) kv_rule_fn fn;
#define KV_PROVED(id, link, title)
#define KV_LOGGED(id, link, weight, title, repair)
#include "rules/rules.def"
#undef KV_RULE
#undef KV_PROVED
#undef KV_LOGGED

/* A new finding of the rule that runs. The detail is printf-like. */
struct kv_finding *kv_find(struct kv_findings *out, enum kv_severity severity, const char *fmt, ...)
	KV_PRINTF(3, 4);
void kv_show(struct kv_findings *out, struct kv_finding *fi, const char *path, const char *fmt, ...)
	KV_PRINTF(4, 5);
void kv_mend(struct kv_findings *out, struct kv_finding *fi, bool automatic, const char *fmt, ...)
	KV_PRINTF(4, 5);

/* Why a plugin does not load, by cause. */
enum kv_cause {
	KV_CAUSE_NONE,       /* it loads */
	KV_CAUSE_FABRIC_ABI, /* libfabric lacks a FABRIC_ version */
	KV_CAUSE_NO_FABRIC,  /* no libfabric */
	KV_CAUSE_NO_HWLOC,
	KV_CAUSE_NO_CUDART,
	KV_CAUSE_NO_DRIVER,   /* libcuda.so.1 missing or a stub */
	KV_CAUSE_OUT_OF_TREE, /* a library of NIXL's own tree */
	KV_CAUSE_GLIBC,
	KV_CAUSE_NIXL_ABI,     /* a C++ symbol of another NIXL */
	KV_CAUSE_RDMA_VERSION, /* EFA_ or IBVERBS_ */
	KV_CAUSE_TWO_NUMAS,    /* the constructor of one copy of libnuma calls another one */
	KV_CAUSE_NO_RDMA,      /* libefa, libibverbs and what libfabric needs below */
	KV_CAUSE_OTHER,
};

/* For every NIXL whose wanted plugin is there and fails to load for this cause; or loads. */
#define kv_each_failed(n, f, cause)                                                                \
	for (const struct kv_nixl *n = (f)->nixls.v; n && n < (f)->nixls.v + (f)->nixls.n; n++)    \
		if (n->wanted && kv_cause_of((f), n, &n->wanted->load) == (cause))
#define kv_each_loaded(n, f)                                                                       \
	for (const struct kv_nixl *n = (f)->nixls.v; n && n < (f)->nixls.v + (f)->nixls.n; n++)    \
		if (n->stack.known)

enum kv_cause kv_cause_of(const struct kv_facts *f, const struct kv_nixl *n,
			  const struct kv_load *l);
/* Whether it is libfabric, or what that brought, that the load fails by. */
bool kv_fails_below_fabric(const struct kv_load *l);
/* The places where the loader looked for what is missing, as evidence. */
void kv_show_tried(struct kv_findings *out, struct kv_finding *fi, const struct kv_load *l);
/* Warns of each source's libfabric that this target can not take for the lack of that. */
void kv_warn_blocked(const struct kv_facts *f, struct kv_findings *out, enum kv_lack lack,
		     const char *what, const char *mend);
/* ERROR for the copy that a process imports, WARNING for one beside it. */
enum kv_severity kv_severity_of(const struct kv_nixl *n);
/* "NIXL 1.5.0 (nixl-cu13)" */
const char *kv_nixl_label(const struct kv_facts *f, const struct kv_nixl *n);
/* Whether this NIXL release has the fault of bugs.def with that id. */
bool kv_release_has(const char *id, const char *version);
/* Whether libfabric reads a variable's value as false: one of some words. */
bool kv_fi_false(const char *value);
/* Whether it is one of the words, of which NULL is behind the last, without regard to case. */
bool kv_is_one_of(const char *value, const char *const *words);
/* The release of the libfabric that the active NIXL's plugin gets; NULL where it is not known. */
const char *kv_used_release(const struct kv_facts *f);
/* The NIXL beside this one that is built for another CUDA, and finds it; NULL. */
const struct kv_nixl *kv_other_cuda(const struct kv_facts *f, const struct kv_nixl *n);
/* The source or other copy of libfabric that could serve this plugin; NULL. */
const struct kv_fabric *kv_server_for(const struct kv_facts *f, const struct kv_plugin *p);
/* Whether this NIXL would lose efa, or the CUDA that the job needs, by that libfabric. */
bool kv_fabric_serves_less(const struct kv_facts *f, const struct kv_fabric *fab,
			   const struct kv_nixl *n);
/* Says how fix repairs it with a libfabric that is there or was offered; false where none serves:
 * of a plugin that loads, where none has more than the one that it gets. */
bool kv_mend_by_fabric(const struct kv_facts *f, struct kv_findings *out, struct kv_finding *fi,
		       const struct kv_nixl *n);
/* What provides FABRIC_x, in words: "libfabric 2.7.0 or newer (EFA installer 1.51.0)". */
const char *kv_what_serves(const struct kv_facts *f, const char *abi);

#endif
