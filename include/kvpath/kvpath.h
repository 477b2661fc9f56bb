/*
 * libkvpath: kvpath check from a program of your own.
 *
 * A call starts the program kvpath by posix_spawn() and reads the document that it prints. So
 * nothing of it happens in your process: it forks no copy of your memory, changes no signal
 * handler, limit or directory, gives up no right, prints nothing and never ends you, whatever lies
 * in the target.
 *
 * Threads: any number may call at the same time. An options or a result handle may be read by many
 * threads, and changed or freed by one while no other uses it.
 * Memory: handles are yours to free. Strings of a result live as long as it does, others as is
 * said. Errors: 0, or a negative errno. Outputs are written on success only.
 */
#ifndef KVPATH_KVPATH_H
#define KVPATH_KVPATH_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kvpath_options kvpath_options;
typedef struct kvpath_result kvpath_result;

enum kvpath_verdict {
	KVPATH_ON_FABRIC = 0,  /* KV transfers take the fabric */
	KVPATH_READY = 1,      /* nothing in the target keeps them off it */
	KVPATH_OFF_FABRIC = 2, /* the findings do */
	KVPATH_UNKNOWN = 3,    /* that cannot be told */
};

enum kvpath_severity { KVPATH_ERROR = 0, KVPATH_WARNING = 1, KVPATH_INFO = 2 };

/* The library's release; static. */
const char *kvpath_version(void);

/* Options of kvpath check. NULL where memory ran out. */
kvpath_options *kvpath_options_new(void);
void kvpath_options_free(kvpath_options *o); /* NULL is fine */
/* An option as the command line has it, without dashes: ("mount", "HOST:GUEST"), ("image", NULL).
 */
int kvpath_options_add(kvpath_options *o, const char *name, const char *value);
/* The program kvpath to start. Else $KVPATH_PROGRAM, else the one that was installed with the
 * library. */
int kvpath_options_program(kvpath_options *o, const char *path);
/* The longest time for a check, in seconds, after which it is killed: -ETIMEDOUT. 300 at first. */
int kvpath_options_deadline(kvpath_options *o, unsigned seconds);

/*
 * Checks a target: "/", a root directory, or an image. o may be NULL. On failure *error, where
 * error is not NULL, becomes a line that says why, to be given to free(), or NULL where memory ran
 * out.
 */
int kvpath_check(const char *target, const kvpath_options *o, kvpath_result **ret, char **error);
void kvpath_result_free(kvpath_result *r); /* NULL is fine */

enum kvpath_verdict kvpath_result_verdict(const kvpath_result *r);
/* Findings, in the order of repair. For an i that is too large the strings are NULL. */
size_t kvpath_result_findings(const kvpath_result *r);
const char *kvpath_finding_id(const kvpath_result *r, size_t i); /* "KV101" */
enum kvpath_severity kvpath_finding_severity(const kvpath_result *r, size_t i);
const char *kvpath_finding_title(const kvpath_result *r, size_t i);
const char *kvpath_finding_detail(const kvpath_result *r, size_t i);
const char *kvpath_finding_repair(const kvpath_result *r, size_t i); /* NULL where there is none */
/* The whole document, schema kvpath.check/1. */
const char *kvpath_result_json(const kvpath_result *r);

#ifdef __cplusplus
}
#endif

#endif
