/* kvpath: which path do your KV caches take? Finds the command and hands over. */
#include <signal.h>
#include <sys/resource.h>

#include "cmd/cmd.h"

static const struct kv_command *const commands[] = {
	&kv_cmd_check, &kv_cmd_why,    &kv_cmd_fix,    &kv_cmd_undo,
	&kv_cmd_bake,  &kv_cmd_prove,  &kv_cmd_bench,  &kv_cmd_log,
	&kv_cmd_watch, &kv_cmd_run,    &kv_cmd_render, &kv_cmd_hook,
	&kv_cmd_size,  &kv_cmd_report, &kv_cmd_lint,   &kv_cmd_explain,
};

static void print_help(FILE *out)
{
	fputs("kvpath: which path do your KV caches take? Find it, fix it, prove it.\n\n"
	      "Usage: kvpath COMMAND [OPTIONS] [TARGET]\n\n"
	      "TARGET is a container's root directory, or / (the default), where kvpath runs, or "
	      "an image, which is\nonly read: squashfs (.sqsh), an OCI layout, a docker or OCI "
	      "archive. Nothing of it is executed, but by prove and run.\n\nCommands:\n",
	      out);
	for (size_t i = 0; i < KV_ARRAY_SIZE(commands); i++)
		fprintf(out, "  %-9s %s\n", commands[i]->name, commands[i]->summary);
	fputs("\nExit status: 0 on-fabric, ready or done; 1 off-fabric; 2 wrong usage or input; 3 "
	      "cannot tell.\n"
	      "kvpath COMMAND --help says more.\n",
	      out);
}

/* The resolver keeps directories open; the usual soft limit of 1024 is meant for select(2). */
static void raise_fd_limit(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) == 0 && lim.rlim_cur < 4096 &&
	    lim.rlim_cur < lim.rlim_max) {
		lim.rlim_cur = lim.rlim_max < 4096 ? lim.rlim_max : 4096;
		(void)setrlimit(RLIMIT_NOFILE, &lim);
	}
}

/* A file of the target was cut short while it was looked at: nothing that was concluded holds. */
static void on_sigbus(int sig)
{
	static const char msg[] = "kvpath: a file of the target was cut short, or could not be "
				  "read, while it was examined: "
				  "cannot tell\n";

	(void)sig;
	(void)!write(STDERR_FILENO, msg, sizeof(msg) - 1);
	_exit(KV_STATUS_UNKNOWN);
}

#define OUTPUT ((size_t)64 << 10)

int main(int argc, char **argv)
{
	static struct kv_opts o;
	int r;

	if (argc < 2) {
		print_help(stderr);
		return KV_STATUS_USAGE;
	}
	if (kv_streq(argv[1], "--help") || kv_streq(argv[1], "-h") || kv_streq(argv[1], "help")) {
		print_help(stdout);
		return KV_STATUS_OK;
	}
	if (kv_streq(argv[1], "--version")) {
		puts("kvpath " KVPATH_VERSION);
		return KV_STATUS_OK;
	}
	for (size_t i = 0; i < KV_ARRAY_SIZE(commands); i++) {
		if (!kv_streq(argv[1], commands[i]->name))
			continue;
		raise_fd_limit();
		signal(SIGBUS, on_sigbus);
		o.arena = kv_arena_new();
		setvbuf(stdout, kv_alloc_raw(o.arena, OUTPUT), _IOFBF, OUTPUT);
		r = kv_opts_parse(commands[i], argc - 1, argv + 1, &o);
		if (r == KV_STATUS_OK)
			kv_confine(commands[i]->rights, o.record || o.output);
		if (r == KV_STATUS_OK)
			r = commands[i]->run(&o);
		if (fflush(stdout) == EOF || ferror(stdout))
			return kv_fail(KV_STATUS_UNKNOWN, "the result could not be written: %s",
				       strerror(errno));
		/* The arena goes with the process. */
		return r < 0 ? KV_STATUS_OK : r;
	}
	return kv_fail(KV_STATUS_USAGE, "%s: no such command (see kvpath --help)", argv[1]);
}
