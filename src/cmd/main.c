/* kvpath: which path do your KV caches take? Finds the command and hands over. */
#include <signal.h>
#include <sys/resource.h>

#include "cmd/cmd.h"

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

static const struct kv_command *command_of(const char *name)
{
	for (const struct kv_command *const *c = kv_commands; *c; c++)
		if (kv_streq(name, (*c)->name))
			return *c;
	return NULL;
}

static int no_command(const char *name)
{
	return kv_fail(KV_STATUS_USAGE, "%s: no such command (see kvpath --help)", name);
}

/* Of the program where name is NULL. */
static int help_of(const char *name)
{
	const struct kv_command *c = name ? command_of(name) : NULL;

	if (name && !c)
		return no_command(name);
	kv_help(stdout, c);
	return KV_STATUS_OK;
}

/* The last of all: what nobody could read is no result. */
static int end(int r)
{
	if (fflush(stdout) == EOF || ferror(stdout))
		return kv_fail(KV_STATUS_UNKNOWN, "the result could not be written: %s",
			       strerror(errno));
	return r < 0 ? KV_STATUS_OK : r;
}

#define OUTPUT ((size_t)64 << 10)

int main(int argc, char **argv)
{
	const struct kv_command *c;
	static struct kv_opts o;
	int r;

	if (argc < 2) {
		kv_help(stderr, NULL);
		return KV_STATUS_USAGE;
	}
	if (kv_streq(argv[1], "--help") || kv_streq(argv[1], "-h") || kv_streq(argv[1], "help"))
		return end(help_of(argv[2]));
	if (kv_streq(argv[1], "--version")) {
		puts("kvpath " KVPATH_VERSION);
		return end(KV_STATUS_OK);
	}
	c = command_of(argv[1]);
	if (!c)
		return no_command(argv[1]);
	raise_fd_limit();
	signal(SIGBUS, on_sigbus);
	o.arena = kv_arena_new();
	setvbuf(stdout, kv_alloc_raw(o.arena, OUTPUT), _IOFBF, OUTPUT);
	r = kv_opts_parse(c, argc - 1, argv + 1, &o);
	if (r == KV_STATUS_OK)
		kv_confine(o.fix && !o.diff ? KV_RIGHTS_CHANGE : c->rights, o.record || o.output);
	if (r == KV_STATUS_OK)
		r = c->run(&o);
	/* The arena goes with the process. */
	return end(r);
}
