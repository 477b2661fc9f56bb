/*
 * Reading worker logs. The lines of NIXL, libfabric and UCX are as the real wheels print them (with
 * the devices of EFA, which are not here, named as the sources print them); those of the frameworks
 * are recorded samples, made up from their public sources and issues (log/patterns.def names them).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rules/log.h"

static struct kv_arena *arena;
static const struct kv_log_date date = { 2026, 11 };

static int setup(void **state)
{
	(void)state;
	arena = kv_arena_new();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	kv_arena_free(arena);
	kv_log_portable = false;
	return 0;
}

/* Feeds text in pieces of up to `piece` bytes; 0: as large as they go in. */
static void feed(struct kv_log *l, const char *path, const void *text, size_t n, size_t piece)
{
	struct kv_log_stream s;
	const uint8_t *p = text;

	kv_log_stream_open(l, path, date, &s);
	while (n) {
		size_t room;
		uint8_t *to = kv_log_stream_room(&s, &room);
		size_t take = n < room ? n : room;

		assert_true(room > 0);
		if (piece && take > piece)
			take = 1 + (size_t)rand() % piece;
		memcpy(to, p, take);
		kv_log_stream_took(&s, take);
		p += take;
		n -= take;
	}
	kv_log_stream_close(&s);
}

static void read_text(struct kv_log *l, const char *text)
{
	kv_log_init(l, arena);
	feed(l, "a.log", text, strlen(text), 0);
	kv_log_finish(l);
}

static const char *verdict_of(const char *text, struct kv_log_report *r)
{
	struct kv_log l;

	read_text(&l, text);
	kv_log_judge(&l, "LIBFABRIC", r);
	return kv_verdict_name[r->findings.verdict];
}

/* ---- the table ---- */

static const char *sample_of(const struct kv_log_pattern *p)
{
	static const struct {
		const char *of, *text;
	} fill[] = { { "%w", "LIBFABRIC" }, { "%n", "7" }, { "%f", "/x/y" }, { "%r", " because" } };
	const char *s = "";

	if (p->emitter == KV_LOG_NIXL)
		s = kv_strf(arena, "I1122 19:51:43.084737   16847 %s.cpp:12] ", p->from);
	else if (p->emitter == KV_LOG_LIBFABRIC)
		s = "libfabric:53869:1772632639::efa:mr:efa_mr_reg_impl():893";
	for (const char *t = p->text; *t;) {
		size_t n = strcspn(t, "%");

		s = kv_strf(arena, "%s%.*s", s, (int)n, t);
		t += n;
		for (size_t i = 0; *t && i < KV_ARRAY_SIZE(fill); i++)
			if (kv_starts(t, fill[i].of)) {
				s = kv_strf(arena, "%s%s", s, fill[i].text);
				t += 2;
				break;
			}
	}
	return s;
}

/* Each pattern is found in its own text, and by no other; each finding has its page. */
static void test_patterns(void **state)
{
	(void)state;
	for (const struct kv_log_pattern *p = kv_log_patterns; p->name; p++) {
		const char *line = sample_of(p);
		bool found = false;
		struct kv_log l;

		read_text(&l, line);
		for (size_t i = 0; i < l.processes.n; i++)
			for (size_t j = 0; j < l.processes.v[i].events.n; j++)
				found |= l.processes.v[i].events.v[j].pattern == p;
		found |= p->kind == KV_LOG_TRANSFERS && l.transfers.lines == 1;
		if (!found)
			fail_msg("%s is not found in \"%s\"", p->name, line);
		if (p->emitter == KV_LOG_NIXL || p->emitter == KV_LOG_LIBFABRIC)
			assert_int_equal(l.processes.v[0].events.n, 1);
		if (p->id && (!kv_rule_title(p->id) || !kv_rule_page(p->id)))
			fail_msg("%s: %s is not in the catalogue", p->name, p->id);
		assert_non_null(kv_log_kind_name[p->kind]);
	}
}

static void test_load_causes(void **state)
{
	static const char *const cases[][2] = {
		{ "/lib/libfabric.so.1: version `FABRIC_1.7' not found (required by /x)", "KV101" },
		{ "/lib/libefa.so.1: version `EFA_1.3' not found (required by /x)", "KV312" },
		{ "/lib/libc.so.6: version `GLIBC_2.38' not found (required by /x/libnixl_a.so)",
		  "KV114" },
		{ "libfabric.so.1: cannot open shared object file: No such file or directory",
		  "KV103" },
		{ "libcudart.so.13: cannot open shared object file: No such file or directory",
		  "KV105" },
		{ "/x/libplugin_LIBFABRIC.so: undefined symbol: cuCtxSetCurrent", "KV107" },
		{ "libserdes.so: cannot open shared object file: No such file or directory",
		  "KV108" },
		{ "libibverbs.so.1: cannot open shared object file: No such file or directory",
		  "KV310" },
	};

	(void)state;
	for (size_t i = 0; i < KV_ARRAY_SIZE(cases); i++) {
		assert_string_equal(kv_log_load_cause(cases[i][0]), cases[i][1]);
		assert_non_null(kv_rule_page(cases[i][1]));
	}
	assert_null(kv_log_load_cause("/x: file too short"));
}

/* ---- the search ---- */

/* What the machine's instructions find is what is there. */
static void test_search(void **state)
{
	uint8_t text[400];

	(void)state;
	for (unsigned seed = 0; seed < 3000; seed++) {
		size_t n = (size_t)rand() % sizeof(text), at = 0, other = 0;
		uint64_t lines;

		for (size_t i = 0; i < n; i++)
			text[i] = rand() % 9 ? (uint8_t)rand() : '\n';
		for (unsigned i = 0; n > 8 && i < seed % 5; i++)
			memcpy(text + (size_t)rand() % (n - 3), kv_log_word((unsigned)rand() % 20),
			       3);
		lines = kv_log_count_lines(text, n);
		do {
			struct kv_span s = { text, n };
			unsigned word = 99, other_word = 99;

			kv_log_portable = false;
			at = kv_log_word_find(s, at, &word);
			kv_log_portable = true;
			other = kv_log_word_find(s, other, &other_word);
			assert_int_equal(at, other);
			assert_int_equal(word, other_word);
			if (at < n)
				assert_memory_equal(text + at, kv_log_word(word), 3);
			at++;
			other++;
		} while (at <= n);
		assert_int_equal(lines, kv_log_count_lines(text, n));
		kv_log_portable = false;
	}
}

/* ---- what stands before a message ---- */

static const char *text_of(struct kv_span s)
{
	return s.n ? kv_strndup(arena, (const char *)s.p, s.n) : "";
}

static const struct {
	const char *line, *label, *tag, *time;
	uint32_t pid;
} heads[] = {
	{ "I1122 19:51:43.084737   16847 a.cpp:1] x", "", "", "2026-11-22 19:51:43", 0 },
	{ "I1222 19:51:43.084737   16847 a.cpp:1] x", "", "", "2025-12-22 19:51:43", 0 },
	{ "2026-02-14 02:57:25 NIXL INFO    a.py:1 x", "", "", "2026-02-14 02:57:25", 0 },
	{ "[2026-02-27 15:01:51 DP0 TP8] x", "", "", "2026-02-27 15:01:51", 0 },
	{ "\033[2m2026-04-27T23:03:15.250907Z\033[0m \033[32m INFO\033[0m x", "", "",
	  "2026-04-27 23:03:15", 0 },
	{ "INFO 09-22 13:28:53 [metrics.py:98] x", "", "", "2026-09-22 13:28:53", 0 },
	{ "(APIServer pid=1) (EngineCore_DP0 pid=304) INFO 09-22 13:28:53 [a.py:1] x", "",
	  "EngineCore_DP0", "2026-09-22 13:28:53", 304 },
	{ "(RayWorkerWrapper pid=533576, ip=10.90.67.84) x", "10.90.67.84", "RayWorkerWrapper", "",
	  533576 },
	{ "\033[1;36m(EngineCore_DP0 pid=304)\033[0;0m \033[1;36m(Worker_TP1 pid=401)\033[0;0m "
	  "INFO 09-22 13:28:53 [a.py:1] x",
	  "", "Worker_TP1", "2026-09-22 13:28:53", 401 },
	{ "\033[36m(RayWorkerWrapper pid=7)\033[0m 2026-02-14 02:57:25 NIXL x", "",
	  "RayWorkerWrapper", "2026-02-14 02:57:25", 7 },
	{ "[08/19/2026-14:11:49] [TRT-LLM] [I] x", "", "", "2026-08-19 14:11:49", 0 },
	{ "02-06-2026 09:13:10.123456 [TRT-LLM] [I] x", "", "", "2026-02-06 09:13:10", 0 },
	{ "libfabric:53869:1772632639::efa:mr:f():8<warn> x", "", "", "2026-03-04 13:57:19", 0 },
	{ "[1746690477.974497] [llm206:611  :0] ucp.c:1 UCX  WARN  x", "", "",
	  "2025-05-08 07:47:57", 0 },
	{ "12: [2026-02-27 15:01:51 TP0] x", "12", "", "2026-02-27 15:01:51", 0 },
	{ "  3: I1122 19:51:43.084737   16847 a.cpp:1] x", "3", "", "2026-11-22 19:51:43", 0 },
	{ "[decode 1] 2026-02-14T02:57:25.1Z 3: x", "decode 1 3", "", "2026-02-14 02:57:25", 0 },
	{ "[prefill 0] 2026-02-14 02:57:25 NIXL x", "prefill 0", "", "2026-02-14 02:57:25", 0 },
	{ "[pod/decode-7c9/engine] [2026-02-27 15:01:51 TP0] x", "pod/decode-7c9/engine", "",
	  "2026-02-27 15:01:51", 0 },
	{ "decode-7f9c-x2k4p engine INFO 09-22 13:28:53 [a.py:1] x", "decode-7f9c-x2k4p engine", "",
	  "2026-09-22 13:28:53", 0 },
	{ "decode-7f9c-x2k4p engine 2026-02-14 02:57:25 NIXL x", "decode-7f9c-x2k4p engine", "",
	  "2026-02-14 02:57:25", 0 },
	{ "decode-7f9c-x2k4p engine libfabric:53869:1772632639::efa:mr:f():8<warn> x",
	  "decode-7f9c-x2k4p engine", "", "2026-03-04 13:57:19", 0 },
	{ "Nov 22 18:40:10 node-3 worker[4711]: x", "node-3 worker[4711]", "",
	  "2026-11-22 18:40:10", 0 },
	{ "Nov  2 18:40:10 x", "", "", "2026-11-02 18:40:10", 0 },
	{ "2026-11-22T18:40:10+0000 node-3 worker[4711]: 2026-11-22 18:40:09 NIXL x",
	  "node-3 worker[4711]", "", "2026-11-22 18:40:09", 0 },
	{ "node-3 worker is [4711]: x", "", "", "", 0 },
	{ "[1,12]<stderr>:2026-11-22 18:40:09 NIXL x", "1,12", "", "2026-11-22 18:40:09", 0 },
	{ "[1,12] x", "", "", "", 0 },
	{ "decode-1  | 2026-02-14 02:57:25 NIXL x", "decode-1", "", "2026-02-14 02:57:25", 0 },
	{ "2019-04-30T02:12:41.8443515Z stdout F [2026-02-27 15:01:51] x", "", "",
	  "2026-02-27 15:01:51", 0 },
	{ "2025-11-05T00:40:00.149897031+07:00 x", "", "", "2025-11-05 00:40:00", 0 },
	{ "{\"log\":\"2026-02-14 02:57:25 NIXL x\\n\"}", "", "", "2026-02-14 02:57:25", 0 },
	{ "{\"time\":\"2025-09-02T15:53:31.943377Z\",\"level\":\"INFO\"}", "", "",
	  "2025-09-02 15:53:31", 0 },
	{ "2026-01-02 03:04:05,678 - sflow.task.decode - INFO - 4: x", "decode 4", "",
	  "2026-01-02 03:04:05", 0 },
	{ "2026-13-02 03:04:05 x", "", "", "", 0 },
	{ "Decode batch, #running-req: 1", "", "", "", 0 },
	{ "", "", "", "", 0 },
};

static void test_heads(void **state)
{
	(void)state;
	for (size_t i = 0; i < KV_ARRAY_SIZE(heads); i++) {
		struct kv_span line = { (const uint8_t *)heads[i].line, strlen(heads[i].line) };
		struct kv_log_head h;
		const char *label;

		kv_log_head_parse(line, date, &h);
		label = kv_strndup(arena, h.label, h.label_n);
		if (!kv_streq(label, heads[i].label) || !kv_streq(text_of(h.tag), heads[i].tag) ||
		    h.pid != heads[i].pid ||
		    !kv_streq(kv_log_time_text(arena, h.time), heads[i].time))
			fail_msg("\"%s\": label \"%s\", tag \"%s\", pid %u, time \"%s\"",
				 heads[i].line, label, text_of(h.tag), h.pid,
				 kv_log_time_text(arena, h.time));
	}
}

/* ---- verdicts ---- */

#define CPP     "I1122 17:10:31.004411    9747 "
#define PYTHON  "2026-11-22 17:10:32 NIXL INFO    _api.py:390 "
#define VERSION CPP "nixl_log.cpp:79] NIXL version: 1.4.1 (git: 7379e112)\n"
#define EFA     CPP "libfabric_rail_manager.cpp:232] Created 16 rails using provider=efa\n"
#define TCP     CPP "libfabric_rail_manager.cpp:232] Created 1 rails using provider=tcp\n"
#define MADE    PYTHON "Backend LIBFABRIC was instantiated\n"
#define UCX     PYTHON "Backend UCX was instantiated\n"
#define RAIL    "E1122 17:10:31.004411    9747 libfabric_rail.cpp:9] "
#define REFUSED                                                                                    \
	"E1122 17:10:31.004411    9747 nixl_agent.cpp:334] createBackend: unsupported backend "    \
	"'LIBFABRIC'\n"
#define NO_LOAD                                                                                    \
	CPP "nixl_plugin_manager.cpp:352] Failed to load plugin from "                             \
	    "/x/plugins/libplugin_LIBFABRIC.so: /lib/libfabric.so.1: version `FABRIC_1.7' not "    \
	    "found (required by /x)\n"

static const struct verdict_case {
	const char *text, *verdict, *ids;
} verdicts[] = {
	{ EFA MADE, "on-fabric", "" },
	{ VERSION EFA MADE "\r\n", "on-fabric", "" },
	{ CPP "libfabric_topology.cpp:124] Discovered 4 EFA devices\n" MADE, "on-fabric", "" },
	{ CPP "libfabric_topology.cpp:124] Discovered 4 EFA-Direct devices\n" MADE, "on-fabric",
	  "" },
	{ EFA "[2026-11-22 17:10:32 TP0] NIXL KVManager initialized with backend: LIBFABRIC\n",
	  "on-fabric", "" },
	/* A storage backend beside it carries nothing to another node. */
	{ EFA MADE PYTHON "Backend POSIX was instantiated\n", "on-fabric", "" },
	/* Not enough. */
	{ MADE, "unknown", "" },
	{ EFA, "unknown", "" },
	{ "", "unknown", "" },
	{ "nothing of interest\n", "unknown", "" },
	{ EFA MADE MADE, "unknown", "" },
	{ "Created 16 rails using provider=efa\n" MADE, "unknown", "" },
	{ CPP "other.cpp:1] Created 16 rails using provider=efa\n" MADE, "unknown", "" },
	{ CPP "libfabric_rail_manager.cpp:232] Created 16 rails using provider=ef\n" MADE,
	  "unknown", "" },
	/* libfabric may have been opened by another library, NCCL's plugin for one. */
	{ "libfabric:9747:1795367431::core:core:fi_fabric_():1503<info> Opened fabric: efa\n" MADE,
	  "unknown", "" },
	/* Contradicted. */
	{ EFA MADE UCX, "unknown", "KV213" },
	{ EFA MADE TCP, "off-fabric", "KV301" },
	{ TCP EFA MADE, "off-fabric", "KV301" },
	{ EFA MADE CPP
	  "libfabric_rail.cpp:459] Using provider without FI_HMEM support for rail 0\n",
	  "unknown", "KV401" },
	{ EFA MADE
	  "E1122 17:10:31.004411    9747 libfabric_rail.cpp:1362] fi_mr_reg failed on rail "
	  "0: Bad address\n",
	  "unknown", "KV407" },
	{ EFA MADE "E1122 17:10:31.004411    9747 nixl_agent.cpp:497] registerMem: no available "
		   "backends for mem type 'VRAM_SEG'\n",
	  "off-fabric", "KV302" },
	{ UCX "E1122 17:10:31.004411    9747 nixl_agent.cpp:497] registerMem: no available "
	      "backends for "
	      "mem type 'VRAM_SEG'\n",
	  "off-fabric", "KV201" },
	{ EFA MADE
	  "E1122 17:10:31.004411    9747 libfabric_backend.cpp:9] Memory type FILE_SEG is not "
	  "supported by libfabric backend.\n",
	  "on-fabric", "" },
	{ EFA MADE UCX CPP "nixl_agent.cpp:931] Selected backend: UCX\n", "off-fabric", "KV213" },
	/* Proven to be off. */
	{ UCX, "off-fabric", "KV201" },
	{ "Backend UCX was instantiated\n", "off-fabric", "KV201" },
	{ TCP MADE, "off-fabric", "KV301" },
	{ TCP MADE "E1122 17:10:31.004411    9747 libfabric_rail.cpp:9] CQ read failed on rail 0 "
		   "with error: "
		   "Permission denied prov_errno: 13 len: 0\n",
	  "off-fabric", "KV301" },
	{ EFA MADE "E1122 17:10:31.004411    9747 libfabric_rail.cpp:9] CQ read failed on rail 0 "
		   "with error: "
		   "Input/output error prov_errno: 15 len: 0\n",
	  "on-fabric", "KV601" },
	{ CPP "libfabric_topology.cpp:113] Using simplified topology for tcp devices (no topology "
	      "mapping needed)\n",
	  "off-fabric", "KV301" },
	{ NO_LOAD, "off-fabric", "KV101" },
	{ NO_LOAD REFUSED, "off-fabric", "KV101" },
	{ REFUSED, "off-fabric", "KV204" },
	{ "E... nixl_agent.cpp:334] createBackend: unsupported backend 'LIBFABRIC'\n", "off-fabric",
	  "KV204" },
	{ "2026-11-22 17:10:32 NIXL WARNING _api.py:223 Skipping backend registration LIBFABRIC "
	  "due "
	  "to the missing plugin.\n",
	  "off-fabric", "KV203" },
	{ NO_LOAD UCX, "off-fabric", "KV101 KV201" },
	{ "W1122 17:20:46.377001     304 nixl_agent.cpp:347] 16 Amazon EFA(s) were detected, but "
	  "the "
	  "UCX backend was configured. For best performance, it's recommended to use the LIBFABRIC "
	  "backend instead.\n",
	  "off-fabric", "KV201" },
	/* Another plugin's failure, another backend's. */
	{ CPP "nixl_plugin_manager.cpp:352] Failed to load plugin from /x/libplugin_GDS.so: "
	      "libcufile.so.0: cannot open shared object file\n" EFA MADE,
	  "on-fabric", "" },
	{ "E1122 17:10:31.004411    9747 nixl_agent.cpp:334] createBackend: unsupported backend "
	  "'GDS'\n" EFA MADE,
	  "on-fabric", "" },
	/* A start that failed and one that did not. */
	{ NO_LOAD REFUSED EFA MADE, "unknown", "KV101" },
	{ EFA MADE NO_LOAD REFUSED, "off-fabric", "KV101" },
	/* A fault of NIXL 1.3.0, on the fabric all the same. */
	{ CPP "nixl_log.cpp:79] NIXL version: 1.3.0 (git: 1)\n" EFA MADE, "on-fabric", "KV606" },
	/* On the fabric, and not well. */
	{ EFA MADE RAIL
	  "CQ read failed on rail 0 with error: Invalid argument prov_errno: 9 len: 0\n",
	  "on-fabric", "KV602" },
	{ EFA MADE RAIL
	  "CQ read failed on rail 0 with error: Invalid argument prov_errno: 90 len: 0\n",
	  "on-fabric", "" },
	{ EFA MADE "Libfabric EFA provider has encountered an internal error:\nEFA internal error: "
		   "(4111) RMA address verification failed\n",
	  "on-fabric", "KV603" },
	{ EFA MADE "EFA internal error: (15) Unreachable remote\n", "on-fabric", "KV601" },
	{ TCP MADE "EFA internal error: (4111) RMA address verification failed\n", "off-fabric",
	  "KV301" },
	{ EFA MADE RAIL "peer 'x': agent index 256 exceeds 8-bit wire limit (255)\n", "on-fabric",
	  "KV605" },
	{ EFA MADE RAIL "Could not verify speed of NIC at PCIe address 0000:4f:00.0\n", "on-fabric",
	  "KV504" },
	{ "libfabric:9747:1795367431::efa:ep_ctrl:efa_shm():45<warn> SHM transfer will be disabled "
	  "because of ptrace protection.\n" EFA MADE,
	  "on-fabric", "KV507" },
	{ EFA MADE
	  "E1122 17:10:31.004411    9747 nixl_agent.cpp:9] loadRemoteMD: remote agent name "
	  "same as local agent, no need to load metadata\n",
	  "on-fabric", "KV212" },
	/* Memory that is refused, by its reason. */
	{ EFA MADE RAIL "fi_mr_reg failed on rail 0: Cannot allocate memory\n", "unknown",
	  "KV319" },
	{ EFA MADE RAIL "fi_mr_reg failed on rail 0: Operation not supported\n", "unknown",
	  "KV413" },
	{ EFA MADE UCX RAIL "fi_mr_reg failed on rail 0: Bad address\n", "unknown",
	  "KV407 KV213 KV215" },
	{ RAIL "fi_enable failed for rail 4: Cannot allocate memory\n" REFUSED, "off-fabric",
	  "KV204 KV317" },
	{ RAIL "fi_enable failed for rail 4: Connection refused\n" REFUSED, "off-fabric", "KV204" },
	{ CPP "nixl_plugin_manager.cpp:352] Failed to load plugin from "
	      "/x/plugins/libplugin_LIBFABRIC.so: undefined symbol: _ZN12nixlDescListE\n" REFUSED,
	  "off-fabric", "KV109" },
	{ CPP "nixl_plugin_manager.cpp:352] Failed to load plugin from "
	      "/nixl/plugins/libplugin_LIBFABRIC.so: undefined symbol: _ZN4absl3fooE\n" REFUSED,
	  "off-fabric", "KV150" },
	{ "[08/19/2026-14:11:49] [TRT-LLM] [I] NixlTransferAgent::NixlTransferAgent using NIXL "
	  "backend: UCX\n",
	  "off-fabric", "KV201" },
	{ "[08/19/2026-14:11:49] [TRT-LLM] [W] Unsupported NIXL backend: LIBFABRC, fallback to "
	  "UCX\n",
	  "off-fabric", "KV201" },
	{ "E1122 17:10:31.004411    9747 nixl_agent.cpp:77] loadRemoteMD: no common backend "
	  "found\n",
	  "off-fabric", "KV211" },
};

static void test_verdicts(void **state)
{
	(void)state;
	for (size_t i = 0; i < KV_ARRAY_SIZE(verdicts); i++) {
		struct kv_log_report r;
		const char *verdict = verdict_of(verdicts[i].text, &r), *ids = "";

		for (size_t j = 0; j < r.findings.list.n; j++)
			ids = kv_strf(arena, "%s%s%s", ids, j ? " " : "", r.findings.list.v[j].id);
		if (!kv_streq(verdict, verdicts[i].verdict) || !kv_streq(ids, verdicts[i].ids))
			fail_msg("%s%s: %s (%s)", verdicts[i].text, verdicts[i].verdict, verdict,
				 ids);
		/* An error is what proves off-fabric, and only that. */
		if (kv_streq(verdict, "off-fabric") !=
		    (r.findings.list.n && r.findings.list.v[0].severity == KV_ERROR))
			fail_msg("%s%s: no error", verdicts[i].text, verdict);
		/* Of memory that was refused more logging tells no more; of two backends it does.
		 */
		assert_int_equal(r.setting != NULL,
				 kv_streq(verdict, "unknown") &&
					 (strstr(ids, "KV213") ||
					  !(strstr(ids, "KV4") || strstr(ids, "KV319"))));
	}
}

/* ---- processes ---- */

static const char *names_of(const struct kv_log *l)
{
	const char *s = "";

	for (size_t i = 0; i < l->processes.n; i++)
		s = kv_strf(arena, "%s%s%s", s, i ? ", " : "",
			    kv_log_process_name(l, &l->processes.v[i]));
	return s;
}

static void test_processes(void **state)
{
	struct kv_log_report r;
	struct kv_log l;

	(void)state;
	/* The rank that srun puts before each line tells them apart. */
	read_text(&l, "0: " EFA "1: " TCP "0: " MADE "1: " MADE);
	kv_log_judge(&l, "LIBFABRIC", &r);
	assert_string_equal(names_of(&l), "a.log [0], a.log [1]");
	assert_int_equal(r.paths[0].verdict, KV_ON_FABRIC);
	assert_int_equal(r.paths[1].verdict, KV_OFF_FABRIC);
	assert_int_equal(r.findings.verdict, KV_OFF_FABRIC);
	/* A raw line of the main thread belongs to the process of that pid. */
	read_text(&l, "(EngineCore_DP0 pid=9747) " MADE "(EngineCore_DP1 pid=9800) " UCX EFA);
	kv_log_judge(&l, "LIBFABRIC", &r);
	assert_string_equal(names_of(&l),
			    "a.log EngineCore_DP0 pid 9747, a.log EngineCore_DP1 pid 9800");
	assert_int_equal(r.paths[0].verdict, KV_ON_FABRIC);
	assert_int_equal(r.paths[1].verdict, KV_OFF_FABRIC);
	/* That of another thread belongs to nobody: one process, judged together. */
	read_text(&l, "(EngineCore_DP0 pid=304) " MADE "(EngineCore_DP1 pid=305) " MADE EFA);
	kv_log_judge(&l, "LIBFABRIC", &r);
	assert_string_equal(names_of(&l), "a.log");
	assert_true(l.processes.v[0].merged);
	assert_int_equal(r.findings.verdict, KV_VERDICT_UNKNOWN);
	/* Files are processes of their own; one of them is enough to be off. */
	kv_log_init(&l, arena);
	feed(&l, "prefill.log", EFA MADE, strlen(EFA MADE), 0);
	feed(&l, "decode.log", UCX, strlen(UCX), 0);
	feed(&l, "router.log", "nothing\n", 8, 0);
	kv_log_finish(&l);
	kv_log_judge(&l, "LIBFABRIC", &r);
	assert_string_equal(names_of(&l), "prefill.log, decode.log");
	assert_int_equal(r.findings.verdict, KV_OFF_FABRIC);
}

static void test_timeline(void **state)
{
	struct kv_buf b _buf_ = { 0 };
	struct kv_log l;

	(void)state;
	kv_buf_str(&b,
		   "[2026-11-22 18:40:10 TP0] Decode batch, #transfer-req: 9, #retracted-req: 0\n"
		   "[2026-11-22 18:40:50 TP0] Decode batch, #transfer-req: 28, #retracted-req: 0\n"
		   "[2026-11-22 18:40:55 TP0] Prefill batch, #inflight-req: 0, x\n"
		   "Request 1 timed out after 300.2s in KVPoll.WaitingForInput\n");
	for (unsigned i = 0; i < 100000; i++)
		kv_buf_fmt(
			&b,
			"[2026-%02u-%02u %02u:%02u:00 TP0] timed out in KVPoll.WaitingForInput\n",
			1 + i / 100 % 12, 1 + i % 28, i % 24, i % 60);
	kv_log_init(&l, arena);
	feed(&l, "a.log", b.text, b.n, 0);
	kv_log_finish(&l);
	assert_int_equal(l.timeline.waiting, 100001);
	assert_int_equal(l.timeline.untimed, 1);
	assert_true(l.timeline.n <= KV_LOG_BINS && l.timeline.width % 60 == 0);
	for (size_t i = 0; i < l.timeline.n; i++) {
		assert_true(!i || l.timeline.bins[i - 1].time < l.timeline.bins[i].time);
		l.timeline.waiting -= l.timeline.bins[i].waiting;
	}
	assert_int_equal(l.timeline.waiting, 1);
	read_text(&l,
		  "[2026-11-22 18:40:10 TP0] Decode batch, #transfer-req: 9, #retracted-req: 0\n"
		  "[2026-11-22 18:40:50 TP0] Decode batch, #transfer-req: 28, #retracted-req: 0\n"
		  "[2026-11-22 18:41:50 TP0] Prefill batch, #inflight-req: 3, x\n");
	assert_int_equal(l.timeline.n, 2);
	assert_int_equal(l.timeline.bins[0].transfer_req, 28);
	assert_int_equal(l.timeline.bins[1].inflight_req, 3);
}

/* ---- damage ---- */

static const char *dump(const struct kv_log *l)
{
	struct kv_buf b _buf_ = { 0 };

	kv_buf_fmt(&b, "%llu lines, %llu bytes\n", (unsigned long long)l->files.v[0].lines,
		   (unsigned long long)l->files.v[0].bytes);
	for (size_t i = 0; i < l->processes.n; i++) {
		const struct kv_log_process *p = &l->processes.v[i];

		kv_buf_fmt(&b, "%s\n", kv_log_process_name(l, p));
		for (size_t j = 0; j < p->events.n; j++) {
			const struct kv_log_event *e = &p->events.v[j];

			kv_buf_fmt(&b, "%s|%s|%s|%llu|%llu|%llu|%lld|%s\n", e->pattern->name,
				   e->file, e->subject, (unsigned long long)e->count,
				   (unsigned long long)e->first.line,
				   (unsigned long long)e->last.line, (long long)e->first.time,
				   e->text);
		}
	}
	return kv_strdup(arena, b.text);
}

static const char *dump_of(const struct kv_buf *b, size_t piece)
{
	struct kv_log l;

	kv_log_init(&l, arena);
	feed(&l, "a.log", b->text, b->n, piece);
	kv_log_finish(&l);
	return dump(&l);
}

static void add_garbage(struct kv_buf *b, size_t n)
{
	while (n--) {
		char c = (char)rand();

		kv_buf_add(b, c == '\n' ? " " : &c, 1);
	}
}

/* However the pieces fall, and however long the lines are. */
static void test_pieces(void **state)
{
	static const size_t lengths[] = {
		10, 300, 5000, 70000, 320 << 10, (320 << 10) - 1, 700000
	};
	struct kv_buf b _buf_ = { 0 };
	const char *whole;

	(void)state;
	for (size_t i = 0; i < KV_ARRAY_SIZE(lengths); i++) {
		kv_buf_str(&b, VERSION EFA "0: " NO_LOAD);
		kv_buf_str(&b, "[2026-11-22 18:45:12 TP3] ");
		add_garbage(&b, lengths[i] / 2);
		kv_buf_str(&b, " timed out in KVPoll.WaitingForInput ");
		add_garbage(&b, lengths[i] / 2);
		kv_buf_str(&b, "\r\n" MADE "libfabric:1:1795367431::efa:mr:f():893<warn> Unable to "
			       "register MR of 9 bytes: Bad address\n" UCX);
	}
	kv_buf_str(&b, "[2026-11-22 18:45:12] the last line ends here: KVPoll.WaitingForInput");
	whole = dump_of(&b, 0);
	assert_non_null(strstr(whole, "sglang-waiting"));
	assert_non_null(strstr(whole, "backend-instantiated||UCX|7|"));
	assert_string_equal(dump_of(&b, 1 << 20), whole);
	assert_string_equal(dump_of(&b, 4096), whole);
	assert_string_equal(dump_of(&b, 37), whole);
	kv_log_portable = true;
	assert_string_equal(dump_of(&b, 100000), whole);
}

/* Cut anywhere, a log is never better than the whole. */
static void test_truncations(void **state)
{
	static const char text[] = VERSION EFA MADE;
	size_t proof = strlen(VERSION EFA) - 1, made = strlen(text) - 1;

	(void)state;
	for (size_t n = 0; n < sizeof(text); n++) {
		struct kv_log_report r;
		struct kv_log l;

		kv_log_init(&l, arena);
		feed(&l, "a.log", text, n, 0);
		kv_log_finish(&l);
		kv_log_judge(&l, "LIBFABRIC", &r);
		assert_int_equal(r.findings.verdict,
				 n >= made && n >= proof ? KV_ON_FABRIC : KV_VERDICT_UNKNOWN);
	}
}

/* A record of one process written into the middle of another's: what is whole still counts. */
static void test_torn(void **state)
{
	static const char *const into[] = { EFA, MADE, VERSION,
					    "[2026-11-22 18:45:12 TP3] Decode batch\n" };
	static const char *const record[] = { TCP, UCX, NO_LOAD, REFUSED };

	(void)state;
	for (size_t i = 0; i < KV_ARRAY_SIZE(into); i++)
		for (size_t j = 0; j < KV_ARRAY_SIZE(record); j++)
			for (size_t at = 0; at < strlen(into[i]); at++) {
				struct kv_log_report r;

				(void)verdict_of(kv_strf(arena, "%.*s%s%s", (int)at, into[i],
							 record[j], into[i] + at),
						 &r);
				/* What failed before it was made may have been started anew. */
				if (kv_streq(into[i], MADE) && !kv_streq(record[j], TCP))
					assert_int_not_equal(r.findings.verdict, KV_ON_FABRIC);
				else
					assert_int_equal(r.findings.verdict, KV_OFF_FABRIC);
			}
}

static unsigned count(const char *text, const char *line)
{
	unsigned n = 0;

	for (; (text = strstr(text, line)); text++)
		n++;
	return n;
}

/*
 * Two processes on one pipe, torn at random: never called on the fabric while one is on tcp, unless
 * no line that shows it is whole.
 */
static void test_interleaved(void **state)
{
	static const char *const texts[] = { VERSION EFA MADE, VERSION TCP MADE };

	(void)state;
	for (unsigned seed = 0; seed < 2000; seed++) {
		const char *p[] = { texts[0], texts[1] };
		struct kv_buf b _buf_ = { 0 };
		struct kv_log_report r;

		while (*p[0] || *p[1]) {
			unsigned w = (unsigned)rand() % 2;
			/* Most records are whole. */
			size_t line = strcspn(p[w], "\n") + (*p[w] != '\0');
			size_t n = rand() % 4 || line < 2 ? line : 1 + (size_t)rand() % line;

			kv_buf_add(&b, p[w], n);
			p[w] += n;
		}
		(void)verdict_of(b.text, &r);
		if (strstr(b.text, TCP))
			assert_int_equal(r.findings.verdict, KV_OFF_FABRIC);
		else if (count(b.text, MADE) == 2)
			assert_int_not_equal(r.findings.verdict, KV_ON_FABRIC);
	}
}

/* Any bytes: no crash, in bounds, and never a word of praise. */
static void test_garbage(void **state)
{
	(void)state;
	for (unsigned seed = 0; seed < 2000; seed++) {
		struct kv_buf b _buf_ = { 0 };
		struct kv_log_report r;
		struct kv_log l;

		for (unsigned i = 0; i < 30; i++) {
			const struct kv_log_pattern *p = &kv_log_patterns[(unsigned)rand() % 60];
			const char *s = sample_of(p);

			kv_buf_add(&b, s, 1 + (size_t)rand() % strlen(s));
			if (rand() % 3)
				add_garbage(&b, (size_t)rand() % 20);
			else
				kv_buf_str(&b, "\n");
		}
		for (unsigned i = 0; i < 20; i++)
			b.text[(size_t)rand() % b.n] ^= (char)(1 << rand() % 8);
		kv_log_init(&l, arena);
		feed(&l, "a.log", b.text, b.n, 1 + (size_t)rand() % 200);
		kv_log_finish(&l);
		kv_log_judge(&l, "LIBFABRIC", &r);
		assert_int_not_equal(r.findings.verdict, KV_ON_FABRIC);
	}
}

/* What is kept does not grow with the log. */
static void test_bounded(void **state)
{
	struct kv_buf b _buf_ = { 0 };
	struct kv_log l;

	(void)state;
	for (unsigned i = 0; i < 50000; i++)
		kv_buf_fmt(&b, "%u: Backend X%u was instantiated\n", i % 5000, i);
	kv_log_init(&l, arena);
	feed(&l, "a.log", b.text, b.n, 0);
	kv_log_finish(&l);
	assert_true(l.processes.n <= 2049);
	b.n = 0;
	for (unsigned i = 0; i < 50000; i++)
		kv_buf_fmt(&b, "Backend X%u was instantiated\n", i);
	read_text(&l, b.text);
	assert_int_equal(l.processes.n, 1);
	assert_true(l.processes.v[0].events.n <= 24);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_patterns),    T(test_load_causes), T(test_search),      T(test_heads),
		T(test_verdicts),    T(test_processes),   T(test_timeline),    T(test_pieces),
		T(test_truncations), T(test_torn),        T(test_interleaved), T(test_garbage),
		T(test_bounded),
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
