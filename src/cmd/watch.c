/* kvpath watch: which way bytes go now. Reads sysfs, procfs and sock_diag, and changes nothing. */
#include <fcntl.h>
#include <sys/stat.h>

#include "base/newfile.h"
#include "cmd/cmd.h"
#include "cmd/screen.h"
#include "report/watch.h"
#include "root/root.h"

#define SECOND 1000000000.0

struct watching {
	const struct kv_opts *o;
	struct kv_watch watch;
	bool terminal;
	char *text; /* as it was drawn last */
	enum kv_watch_path path;
};

/* ---- what is written ---- */

/* Written aside and renamed, as node_exporter may read it at any time. */
static int write_prometheus(const struct kv_opts *o, const struct kv_watch_delta *d,
			    const struct kv_watch_verdict *v)
{
	struct kv_arena *a = d->now->arena;
	const char *dir = kv_dirname(a, o->prometheus);
	const char *temp = kv_strf(a, "%s/.%s.%d", dir, kv_basename(o->prometheus), (int)getpid());
	int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666);
	FILE *out = fd < 0 ? NULL : fdopen(fd, "w");
	int e;

	if (!out) {
		e = errno;
		kv_closep(&fd);
		return kv_fail(KV_STATUS_USAGE, "--prometheus %s: cannot write in %s: %s",
			       o->prometheus, dir, strerror(e));
	}
	kv_prometheus_watch(out, d, v);
	e = fflush(out) == EOF || ferror(out) ? errno : 0;
	fclose(out);
	if (!e && rename(temp, o->prometheus) < 0)
		e = errno;
	if (!e)
		return KV_STATUS_OK;
	(void)unlink(temp);
	return kv_fail(KV_STATUS_USAGE, "--prometheus %s: %s", o->prometheus, strerror(e));
}

static int print_text(struct watching *w, const struct kv_watch_delta *d,
		      const struct kv_watch_verdict *v)
{
	size_t n;
	FILE *out;

	free(w->text);
	w->text = NULL;
	out = open_memstream(&w->text, &n);
	if (!out)
		return kv_fail(KV_STATUS_UNKNOWN, "out of memory");
	kv_text_watch(out, d, v, w->o->quiet);
	fclose(out);
	if (w->terminal)
		kv_screen_draw(w->text, w->o->style.color);
	else
		printf("%s%s", w->text, w->o->quiet ? "" : "\n");
	return KV_STATUS_OK;
}

static int put(struct watching *w, const struct kv_watch_delta *d)
{
	struct kv_watch_verdict v;
	int r = KV_STATUS_OK;

	kv_watch_judge(d, &v);
	w->path = v.path;
	if (w->o->prometheus)
		r = write_prometheus(w->o, d, &v);
	if (r != KV_STATUS_OK)
		return r;
	if (w->o->json) {
		_buf_ struct kv_buf line = { 0 };

		kv_json_watch(&line, d, &v);
		r = puts(line.text) != EOF ? KV_STATUS_OK : KV_STATUS_UNKNOWN;
	} else {
		r = print_text(w, d, &v);
	}
	/* main() tells of what could not be written. */
	return fflush(stdout) == EOF ? KV_STATUS_UNKNOWN : r;
}

/* ---- the loop ---- */

static enum kv_wake wait_for(const struct watching *w, uint64_t until_ns)
{
	enum kv_wake wake;

	while ((wake = kv_screen_wait(until_ns)) == KV_WAKE_REDRAW)
		if (w->text)
			kv_screen_draw(w->text, w->o->style.color);
	return wake;
}

static int loop(struct watching *w)
{
	uint64_t interval = (uint64_t)(w->o->interval_s * SECOND);
	struct kv_watch_sample *before = kv_watch_take(&w->watch, NULL), *now;
	uint64_t due = before->at_ns + interval;
	int r = KV_STATUS_OK;

	for (uint64_t i = 0; r == KV_STATUS_OK && (!w->o->count || i < w->o->count); i++) {
		struct kv_watch_delta d;

		if (wait_for(w, due) == KV_WAKE_END) {
			w->path = _KV_WATCH_PATH_COUNT;
			break;
		}
		now = kv_watch_take(&w->watch, before);
		kv_watch_compare(before, now, &d);
		r = put(w, &d);
		kv_watch_free(&w->watch, before);
		before = now;
		/* After a stop, or where the machine slept, what was missed is not made up for. */
		due += interval;
		if (due < now->at_ns)
			due = now->at_ns + interval;
	}
	kv_watch_free(&w->watch, before);
	return r;
}

static int status_of(const struct watching *w)
{
	if (!w->o->count || w->path == _KV_WATCH_PATH_COUNT || w->path == KV_WATCH_EFA)
		return KV_STATUS_OK;
	return w->path == KV_WATCH_TCP || w->path == KV_WATCH_BOTH ? KV_STATUS_OFF
								   : KV_STATUS_UNKNOWN;
}

/* Said once at the start; a process that ends later just leaves the table. */
static int check_pids(const struct kv_opts *o)
{
	for (size_t i = 0; i < o->pids.n; i++)
		if (access(kv_strf(o->arena, "/proc/%d", (int)o->pids.v[i]), F_OK) < 0)
			return kv_fail(KV_STATUS_USAGE, "--pid %d: there is no such process",
				       (int)o->pids.v[i]);
	return KV_STATUS_OK;
}

static int run(struct kv_opts *o)
{
	struct watching w = { .o = o, .path = KV_WATCH_UNKNOWN };
	struct kv_err err = { 0 };
	struct kv_root *root;
	int r;

	if (o->args.n)
		return kv_fail(KV_STATUS_USAGE, "watch: %s: no argument is expected", o->args.v[0]);
	r = check_pids(o);
	if (r == KV_STATUS_OK && o->prometheus && kv_newfile_check(o->prometheus, &err) < 0)
		r = kv_fail(KV_STATUS_USAGE, "--prometheus %s", err.msg);
	if (r != KV_STATUS_OK)
		return r;
	if (kv_root_open(o->arena, o->sysroot ? o->sysroot : "/", &root, &err) < 0)
		return kv_fail(KV_STATUS_USAGE, "--sysroot %s", err.msg);
	w.watch = (struct kv_watch){ .root_fd = kv_root_fd(root),
				     .live = !o->sysroot,
				     .brief = !o->json && !o->prometheus,
				     .pids = o->pids.v,
				     .n_pids = o->pids.n };
	w.terminal = !o->json && isatty(STDOUT_FILENO) && o->count != 1;
	if (w.watch.root_fd < 0)
		r = kv_fail(KV_STATUS_USAGE,
			    "--sysroot %s: watch takes a directory, whose "
			    "counters may change; unpack it",
			    o->sysroot);
	if (r == KV_STATUS_OK) {
		kv_screen_begin(w.terminal);
		r = loop(&w);
		kv_screen_end();
		if (w.terminal && w.text)
			fputs(w.text, stdout);
	}
	free(w.text);
	kv_watch_close(&w.watch);
	kv_root_close(root);
	return r == KV_STATUS_OK ? status_of(&w) : r;
}

const struct kv_command kv_cmd_watch = {
	.name = "watch",
	.usage = "[OPTIONS]",
	.summary = "show live which way bytes go: EFA counters, TCP bytes of serving processes",
	.rights = KV_RIGHTS_LOOK,
	.options = "pid interval count once sysroot prometheus json quiet color",
	.help = "A serving process is one that has NIXL mapped; --pid N names others. The verdict "
		"is "
		"of their bytes: over EFA, over\n"
		"TCP, both, or nothing moves. EFA counters are per device and shared by all jobs; "
		"what cannot be told is said.\n"
		"With --count or --once the exit status is the last interval's: 0 over EFA, 1 over "
		"TCP or both, 3 nothing moves or\n"
		"cannot tell; else, and when a signal ends it, 0. FILE of --prometheus is for "
		"node_exporter's textfile collector\n"
		"and replaced as a whole. --sysroot DIR has the counters; processes and sockets "
		"are always this machine's.",
	.examples = "Until interrupted\n"
		    "kvpath watch\n"
		    "For node_exporter's textfile collector\n"
		    "kvpath watch --interval 15 --prometheus "
		    "/var/lib/prometheus/node-exporter/kvpath.prom",
	.run = run,
};
