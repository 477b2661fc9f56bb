/* Which subcommand. The usage is for developers: `kvpath prove` is what people run. */
#include <errno.h>
#include <string.h>

#include "probe/probe.h"

static const struct {
	const char *name;
	int (*run)(int argc, char **argv, FILE *out);
} subcommands[] = {
	{ "xfer", probe_xfer },
	{ "bench", probe_bench },
	{ "resolve", probe_resolve },
};

int main(int argc, char **argv)
{
	int r;

	for (size_t i = 0; argc > 1 && i < sizeof(subcommands) / sizeof(subcommands[0]); i++) {
		if (strcmp(argv[1], subcommands[i].name) != 0)
			continue;
		r = subcommands[i].run(argc - 1, argv + 1, stdout);
		if (fflush(stdout) != 0) {
			fprintf(stderr, "kvpath-probe: write to stdout: %s\n", strerror(errno));
			return PROBE_EXIT_FAILED;
		}
		return r;
	}
	fputs("usage: kvpath-probe xfer --capi PATH --backend NAME ...\n"
	      "       kvpath-probe bench --engine E --shape COUNTxBYTES ...\n"
	      "       kvpath-probe resolve NAME\n"
	      "The machine interface of `kvpath prove` and `kvpath bench`: JSON on stdout.\n",
	      stderr);
	return PROBE_EXIT_USAGE;
}
