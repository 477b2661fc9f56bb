/* The commands: one file each. Options are parsed by one table; results go to stdout, all else to
 * stderr. */
#ifndef KV_CMD_CMD_H
#define KV_CMD_CMD_H

#include "inspect/recording.h"
#include "report/report.h"

enum kv_status {
	KV_STATUS_OK = 0,      /* on-fabric, ready, done */
	KV_STATUS_OFF = 1,     /* off-fabric, a proof failed, a repair is not possible */
	KV_STATUS_USAGE = 2,   /* wrong usage or bad input */
	KV_STATUS_UNKNOWN = 3, /* cannot tell */
};

struct kv_mount_opt {
	const char *host, *guest;
};

struct kv_opts {
	struct kv_arena *arena;
	const struct kv_command *command;
	KV_VEC(struct kv_mount_opt) mounts;
	kv_strv fabrics;
	struct kv_env env; /* --env */
	const char *backend, *how, *process, *provider, *render_for, *sysroot, *record, *output,
		*prometheus;
	bool vram, mem_given, backend_given, json, sarif, quiet, strict, dry_run, verbose, image,
		force, print, fix, diff;
	bool anyway, as_is;                  /* of run */
	bool starts_untold;                  /* of hook: what can not be told is no failure */
	bool no_container, no_check, repair; /* of launch, as is root */
	const char *root;
	const char *dtype, *layout, *model;         /* of a KV cache */
	const char *before, *after, *op, *progress; /* of bench, as the next ones */
	const char *listen, *connect, *token_file;
	kv_strv engines, shapes;
	uint64_t iters;
	kv_strv results;
	uint64_t bytes, tokens, page, tp;
	unsigned deadline_s;
	bool deadline_given;
	double interval_s;
	uint64_t count;                                  /* 0: without end */
	uint64_t rounds, pairs, plan, nodes, await, efa; /* of sweep, as the next ones */
	bool merge, no_pairs;
	const char *hosts, *ssh, *program, *state, *resume, *container;
	char *const *argv; /* as given, behind the command's name */
	KV_VEC(pid_t) pids;
	struct kv_style style;
	kv_strv force_files;
	kv_strv args; /* positional */
};

/* What a command may do with the rights of its process. */
enum kv_rights {
	KV_RIGHTS_READ,   /* read the target; write files that its options name */
	KV_RIGHTS_CHANGE, /* change the target's files */
	KV_RIGHTS_LOOK,   /* look at processes and their sockets */
	KV_RIGHTS_RUN,    /* run what the target holds */
};

struct kv_command {
	const char *name, *usage, *summary;
	enum kv_rights rights;
	const char *options;          /* names that it takes, separated by spaces */
	const char *help;             /* paragraphs below the options, filled when printed */
	void (*help_more)(FILE *out); /* above those, what a table says; or NULL */
	const char *examples;         /* lines by turns: what for, and the command line */
	int (*run)(struct kv_opts *o);
};

/* An option: a name means the same wherever it is taken. */
struct kv_option {
	const char *name, *arg, *help;
	enum {
		KV_OPT_FLAG,   /* bool */
		KV_OPT_TEXT,   /* const char * */
		KV_OPT_LIST,   /* kv_strv */
		KV_OPT_NUMBER, /* uint64_t, from 1 to most */
		KV_OPT_BY,     /* take() does it */
	} kind;
	size_t at; /* in struct kv_opts */
	uint64_t most;
	bool (*is)(const char *value);
	/* KV_STATUS_OK, KV_OPT_BAD, or what kv_opts_parse() gives back. */
	int (*take)(struct kv_opts *o, const char *value);
};
#define KV_OPT_BAD (-2) /* the value is not one of the option */

/* Ended by a NULL name. */
extern const struct kv_option kv_options[];
bool kv_command_takes(const struct kv_command *c, const char *option);

extern const struct kv_command kv_cmd_check, kv_cmd_why, kv_cmd_fix, kv_cmd_undo, kv_cmd_prove,
	kv_cmd_explain, kv_cmd_run, kv_cmd_render, kv_cmd_log, kv_cmd_bake, kv_cmd_size,
	kv_cmd_report, kv_cmd_watch, kv_cmd_lint, kv_cmd_hook, kv_cmd_bench, kv_cmd_launch,
	kv_cmd_sweep;

/* NULL-terminated, in the order of --help. */
extern const struct kv_command *const kv_commands[];

/* What the help texts and the man pages say of more than one command. */
struct kv_about {
	const char *name, *commands, *text; /* commands: their names, or "*" for all */
};
extern const struct kv_about kv_about_status[], kv_about_env[], kv_about_files[];
extern const char kv_about_program[], kv_about_target[];
bool kv_about_applies(const struct kv_about *a, const struct kv_command *c);

/* Parses argv after the command's name. KV_STATUS_OK to go on, -1 where help was printed, else a
 * status. */
int kv_opts_parse(const struct kv_command *c, int argc, char **argv, struct kv_opts *ret);
/* The help of a command; of the program where c is NULL. */
void kv_help(FILE *out, const struct kv_command *c);

/* Gives up for good whatever the rights do not cover. may_write: files outside the target too. */
void kv_confine(enum kv_rights rights, bool may_write);

/* Prints "kvpath: ..." to stderr and returns the status. */
int kv_fail(enum kv_status status, const char *fmt, ...) KV_PRINTF(2, 3);
/* Prints and drops the document. KV_STATUS_OK, or the status of having said that it could not. */
int kv_print_json(json_t *doc);
/* Says on stderr which of the job's own variables are wrong, which stay as they are. */
void kv_tell_variables(const struct kv_facts *f);

/* Where AWS' installer puts libfabric: the host's source unless --fabric names others. */
#define KV_HOST_EFA "/opt/amazon/efa"

/* A target that is open, with its mounts and environment. */
struct kv_target {
	const char *path;
	struct kv_root *root;
	struct kv_sysroot *sysroot; /* the host that it is on; NULL where none is examined */
	struct kv_env env;
	kv_source_dirs sources; /* fabric sources on the host */
	struct kv_scan scan;
	const char *cwd;     /* in which the job starts; NULL where that is not known */
	const kv_strv *argv; /* the command that it is looked at for; NULL */
	const char *backend; /* the options in effect, a recording's unless they were given */
	bool vram, image;
	unsigned cpu_level;
	struct kv_notes *notes;         /* what it answers, where that is recorded; NULL */
	struct kv_recording *recording; /* that it is replayed from; NULL */
	struct kv_root *files;          /* of that recording */
};

/* Opens `path` ("/" where NULL) with the options' mounts. KV_STATUS_OK or the status to exit with.
 */
int kv_target_open(const struct kv_opts *o, const char *path, struct kv_target *ret);
/* The same for the one target that the arguments may name. */
int kv_target_open_arg(const struct kv_opts *o, struct kv_target *ret);
/* KV_STATUS_OK, or says in one line that `command` cannot work on an image. */
int kv_target_needs_dir(const struct kv_target *t, const char *command);
/*
 * KV_STATUS_OK, or says in one line what is damaged of the target, so that nothing that was found
 * out about it counts. To be asked before a result is printed.
 */
int kv_target_intact(const struct kv_target *t);
/* Gives back only what does not go with the process: for a command that ends now. */
void kv_target_leave(struct kv_target *t);
void kv_target_close(struct kv_target *t);
#define _target_      __attribute__((cleanup(kv_target_close)))
#define _last_target_ __attribute__((cleanup(kv_target_leave)))
/* Walks the target and collects its facts. */
struct kv_facts *kv_target_facts(struct kv_target *t);
/* The same, of no more than whether the wanted plugin loads. */
struct kv_facts *kv_target_brief(struct kv_target *t);
/*
 * Lets processes that do not import torch have what the plugin takes of it, by the environment, as
 * a framework's process has it, and says so: else they would prove of another process.
 */
void kv_target_lend(const struct kv_opts *o, struct kv_target *t, const struct kv_nixl *n);

/*
 * Repairs the target that the arguments name. starting: it is the root of a container that is being
 * started, which is none of ours without a NIXL, and never this machine's own.
 */
int kv_fix(struct kv_opts *o, bool starting);

struct kv_plan;

/* What a plan does, step by step; why there is none; what it leaves for people. */
void kv_plan_print_ops(const struct kv_opts *o, const struct kv_plan *p);
void kv_plan_print_reason(const struct kv_opts *o, const struct kv_plan *p);
void kv_plan_print_left(const struct kv_opts *o, const struct kv_plan *p);
/* The document of a plan that was carried out, or not, as `done` says. */
json_t *kv_plan_json(const struct kv_opts *o, const struct kv_target *t, const struct kv_plan *p,
		     const char *schema, const char *done);
enum kv_status kv_plan_status(const struct kv_opts *o, const struct kv_plan *p);

struct kv_bench_request;

/*
 * The libraries of bench's raw engines: those that NIXL's plugins get, or of --fabric.
 * KV_STATUS_OK or the status of having said what is wrong.
 */
int kv_bench_libs(const struct kv_opts *o, const struct kv_facts *f, const struct kv_nixl *n,
		  struct kv_bench_request *req);

/* The file of this program, absolute where the kernel tells. */
const char *kv_self_path(struct kv_arena *a);
/* Where kvpath-probe lies: $KVPATH_PROBE, else libexec/kvpath beside the bin of this kvpath. */
const char *kv_probe_path(struct kv_arena *a);

#endif
