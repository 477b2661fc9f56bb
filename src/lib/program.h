/* The program kvpath, started for its output. */
#ifndef KV_LIB_PROGRAM_H
#define KV_LIB_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>

struct kv_output {
	char *text; /* ended by a NUL, malloc's */
	size_t n;
};

struct kv_run {
	struct kv_output out, err;
	int status; /* of the exit; -1 where it is not known, 128 + n after signal n */
};

/*
 * Runs argv[0], a path, until it has closed both outputs and ended. 0 or -errno: -ETIMEDOUT after
 * deadline_s, -EMSGSIZE where it writes without end. ret's texts are to be freed in any case.
 */
int kv_program_run(char *const argv[], unsigned deadline_s, struct kv_run *ret);

#endif
