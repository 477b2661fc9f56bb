/*
 * Worker logs as facts: which lines of NIXL, libfabric, UCX and the frameworks above them are
 * there, how often, where, and from which process. Nothing is judged here (rules/log.c does).
 *
 * The way of a byte: a file's blocks (file.c) -> the words that some pattern has (words.c) -> the
 * patterns at that place (match.c) -> who wrote the line and when (head.c) -> counts (store.c).
 * Only lines with such a word are ever parsed.
 */
#ifndef KV_LOG_LOG_H
#define KV_LOG_LOG_H

#include "base/base.h"

/* ---- what is looked for (patterns.def) ---- */

/* What a line shows. */
enum kv_log_kind {
	KV_LOG_VERSION,      /* NIXL's version */
	KV_LOG_ASKED,        /* a backend was asked for */
	KV_LOG_MADE,         /* a backend was instantiated */
	KV_LOG_REFUSED,      /* a backend could not be instantiated */
	KV_LOG_NOT_LOADED,   /* a plugin's file did not load, and why */
	KV_LOG_NO_PLUGIN,    /* no backend at all: NIXL found no plugin, or made no agent */
	KV_LOG_SELECTED,     /* a transfer takes this backend */
	KV_LOG_UCX_TAKEN,    /* UCX was configured, or fallen back to */
	KV_LOG_SIMPLIFIED,   /* the provider, by NIXL's topology; the weakest of four */
	KV_LOG_DISCOVERED,   /* the provider's devices */
	KV_LOG_RAIL,         /* the provider of one rail */
	KV_LOG_RAILS,        /* the provider of all rails; the strongest */
	KV_LOG_HMEM,         /* FI_HMEM is there for a rail */
	KV_LOG_NO_HMEM,      /* it is not */
	KV_LOG_NO_VRAM,      /* GPU memory was refused */
	KV_LOG_AGENT,        /* NIXL speaks, but tells nothing of the path */
	KV_LOG_FABRIC,       /* libfabric or UCX speak, of the path, not of NIXL's use of it */
	KV_LOG_WARNING,      /* a warning of the fabric */
	KV_LOG_ERROR,        /* a transfer or a registration failed */
	KV_LOG_MISMATCH,     /* the two sides do not fit together */
	KV_LOG_WAITING,      /* SGLang's WaitingForInput is named */
	KV_LOG_TRANSFER_REQ, /* gauges of SGLang's queues */
	KV_LOG_INFLIGHT_REQ,
	KV_LOG_TRANSFERS, /* vLLM's figures of an interval: belongs to no process of NIXL's */
	_KV_LOG_KIND_COUNT
};
extern const char *const kv_log_kind_name[_KV_LOG_KIND_COUNT];

/* Who writes such a line, which its text before the message shows. */
enum kv_log_emitter {
	KV_LOG_ANY,       /* nothing is required */
	KV_LOG_NIXL,      /* "file.cpp:12] ", the file's name starts with `from` */
	KV_LOG_LIBFABRIC, /* "libfabric:123:...func():45" */
	KV_LOG_UCX,       /* nothing either; "[host:123:0]" names the process */
};

struct kv_log_pattern {
	const char *name;
	enum kv_log_kind kind;
	enum kv_log_emitter emitter;
	const char *from; /* source file's name starts so; NULL for any */
	const char *id;   /* the finding that such a line is evidence of; NULL */
	/*
	 * The message: plain text, %w a name, %n a number, %f a file's name up to the next text,
	 * %r the rest of the line. The last %w or %r is the subject.
	 */
	const char *text;
};
/* Ends with a NULL name. */
extern const struct kv_log_pattern kv_log_patterns[];

/* The finding that a loader's reason is evidence of; NULL. */
const char *kv_log_load_cause(const char *reason);

/* The provider of libfabric that a line prints; NULL where there is none of that name. */
const char *kv_log_provider(const char *printed);

/* ---- a line ---- */

#define KV_LOG_TEXT_MAX 480 /* of a message or a subject that is kept */

struct kv_log_hit {
	const struct kv_log_pattern *pattern;
	struct kv_span file;          /* %f of the pattern */
	struct kv_span subject;       /* %w or %r */
	uint64_t number;              /* %n */
	struct kv_span line, message; /* both to the line's end */
	const uint8_t *record;        /* where what its writer put before the message starts */
	uint32_t writer;              /* process or thread that the message names; 0 */
	bool is_pid;                  /* it is a process */
};

/* The pattern whose message has word number `word` at `at` of the line; false where there is none,
 * and *ret is then of no use. */
bool kv_log_match(struct kv_span line, size_t at, unsigned word, struct kv_log_hit *ret);

/* Whether the line, from its start on, only speaks of such a message: in a prompt, in a sentence.
 */
bool kv_log_is_quoted(struct kv_span line, const struct kv_log_hit *hit);

/* What stands before the message of a line: the layers that a record went through. */
struct kv_log_head {
	char label[256]; /* pod, rank, service: told apart by whoever collected the log; "" */
	size_t label_n;
	struct kv_span rank; /* "DP0 TP3" of SGLang */
	struct kv_span tag;  /* "EngineCore_DP0" of vLLM, an actor of Ray */
	uint32_t pid;        /* of the tag; 0 */
	int64_t time;        /* seconds since 1970 as the clock was printed; -1 */
	char severity;       /* I, W, E, F of a line of NIXL's C++; 0 */
	size_t end;          /* where the layers end */
	size_t json;         /* behind the brace of a record of JSON; 0 */
};

/* year and month: of the file, for lines that print none. */
struct kv_log_date {
	int year, month;
};

void kv_log_head_parse(struct kv_span line, struct kv_log_date date, struct kv_log_head *ret);
/* "2026-11-22 18:41:40" */
char *kv_log_time_text(struct kv_arena *a, int64_t time);

/* ---- words that the patterns have (words.c) ---- */

#define KV_LOG_WORD_LEN 3

#define KV_LOG_WORDS 32 /* at most; they are in patterns.def */

/* The first place at or after `from` that has one of the words, text.n where none has. */
size_t kv_log_word_find(struct kv_span text, size_t from, unsigned *ret_word);
/* Word number i; NULL past the last. */
const char *kv_log_word(unsigned i);
/* Number of newlines. */
uint64_t kv_log_count_lines(const uint8_t *p, size_t n);
/* The portable way, which the tests compare with: what the machine has not is done so. */
extern bool kv_log_portable;

/* ---- what was seen ---- */

struct kv_log_place {
	unsigned file;
	uint64_t line;
	int64_t time;
};

struct kv_log_event {
	const struct kv_log_pattern *pattern;
	const char *file, *subject; /* "" where the pattern has none */
	uint64_t count;
	struct kv_log_place first, last;
	const char *text; /* the first message, as it stands in the log */
};

typedef KV_VEC(struct kv_log_event) kv_log_events;

struct kv_log_process {
	unsigned file;
	const char *label, *tag; /* "" where its lines have none */
	uint32_t id;             /* process or thread, as its lines name it; 0 */
	bool by_tag;             /* id is that of the tag */
	bool merged;             /* lines of several processes that can not be told apart */
	KV_VEC(uint32_t) pids;   /* that its lines name */
	kv_strv ranks;           /* of SGLang */
	kv_log_events events;    /* by the place of their first line, once all is read */
};

struct kv_log_bin {
	int64_t time;
	uint64_t waiting;
	uint64_t transfer_req, inflight_req; /* the most that was seen */
};

#define KV_LOG_BINS 240

struct kv_log_timeline {
	int64_t width; /* seconds of each bin */
	size_t n;
	uint64_t waiting, untimed; /* lines that name WaitingForInput; those without a time */
	struct kv_log_bin bins[KV_LOG_BINS]; /* those that something fell into, by time */
};

/* Of all intervals that vLLM speaks of. */
struct kv_log_transfers {
	uint64_t lines, n, failed;
	double ms, mib;    /* sums over the n transfers; they overlap */
	double slowest_ms; /* the mean of one interval */
	struct kv_log_place slowest;
};

struct kv_log_file {
	const char *path;
	const char *format; /* "plain", "gzip", "zstd" */
	uint64_t bytes, lines;
	bool has_transfers; /* vLLM's figures are in it */
	const char *error;  /* NULL, or why it was not read to its end */
};

struct kv_log {
	struct kv_arena *arena;
	KV_VEC(struct kv_log_file) files;
	KV_VEC(struct kv_log_process) processes;
	struct kv_log_timeline timeline;
	struct kv_log_transfers transfers;
	size_t latest; /* process of the line before */
};

void kv_log_init(struct kv_log *l, struct kv_arena *a);
/* Reads a file, "-" for stdin, to its end. 0, or -errno with the file's error set. */
int kv_log_read(struct kv_log *l, const char *path);
/* After the last file: joins what belongs to one process. */
void kv_log_finish(struct kv_log *l);

/* ---- parts of reading ---- */

/* A stream that comes in pieces of any length; what is found does not depend on them. */
struct kv_log_stream {
	struct kv_log *log;
	unsigned file;
	struct kv_log_date date;
	uint8_t *buf;
	size_t n;      /* bytes in buf */
	size_t done;   /* of these, already searched: the end of a line longer than the buffer */
	uint64_t line; /* number of the line that starts or goes on at buf */
	uint8_t start[512];
	size_t start_n; /* of the long line's start, which is not in buf any more */
};

/* *ret has no file yet: its path is the caller's, as is the date. */
void kv_log_stream_open(struct kv_log *l, const char *path, struct kv_log_date date,
			struct kv_log_stream *ret);
/* Where the next bytes go, and how many may. */
uint8_t *kv_log_stream_room(struct kv_log_stream *s, size_t *ret_room);
void kv_log_stream_took(struct kv_log_stream *s, size_t n);
void kv_log_stream_close(struct kv_log_stream *s);

void kv_log_store(struct kv_log *l, struct kv_log_place place, const struct kv_log_head *head,
		  const struct kv_log_hit *hit);
void kv_log_transfers_add(struct kv_log_transfers *t, struct kv_log_place place,
			  const struct kv_log_hit *hit);
void kv_log_timeline_add(struct kv_log_timeline *t, int64_t time, const struct kv_log_hit *hit);

#endif
