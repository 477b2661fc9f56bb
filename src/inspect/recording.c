/* Opening the target of a recording, and the fabric sources that were offered to it. */
#include "inspect/recording.h"
#include "inspect/sysroot.h"
#include "root/notes.h"
#include "root/replay.h"

#define MAX_LINES   ((size_t)64 << 20)
#define MAX_SOURCES 64

bool kv_recording_is(struct kv_root *files)
{
	return kv_root_is_file(files, "/" KV_SYSROOT_INDEX) &&
	       kv_root_is_file(files, "/" KV_RECORDED_TARGET);
}

static void take_word(struct kv_arena *a, const char *line, struct kv_recording *ret)
{
	const char *at = strchr(line, ' ');
	const char *text = at ? kv_note_text(a, &(const char *){ at + 1 }) : NULL;

	if (kv_starts(line, "live\n"))
		ret->live = true;
	else if (kv_starts(line, "image\n"))
		ret->image = true;
	else if (!text)
		return;
	else if (kv_starts(line, "made-by "))
		ret->version = text;
	else if (kv_starts(line, "format "))
		ret->format = text;
	else if (kv_starts(line, "backend "))
		ret->backend = text;
	else if (kv_starts(line, "mem "))
		ret->vram = !kv_streq(text, "dram");
	else if (kv_starts(line, "cpu "))
		ret->cpu_level = (unsigned)strtoul(text, NULL, 10);
	else if (kv_starts(line, "cwd "))
		ret->cwd = *text == '/' ? text : NULL;
	else if (kv_starts(line, "stopped ")) {
		ret->stopped = text;
		ret->stopped_at = "/"; /* what older recordings leave out */
	} else if (kv_starts(line, "stopped-at "))
		ret->stopped_at = text;
	else if (kv_starts(line, "source ") && ret->sources.n < MAX_SOURCES)
		kv_vec_push(a, &ret->sources, ((struct kv_source_dir){ .host = text }));
	else if (kv_starts(line, "system ") && ret->sources.n < MAX_SOURCES)
		kv_vec_push(a, &ret->sources,
			    ((struct kv_source_dir){ .host = text, .is_system = true }));
}

static int read_lines(struct kv_root *files, const char *path, const char **ret, struct kv_err *err)
{
	struct kv_span text;
	int e = kv_root_slurp(files, path, MAX_LINES, &text);

	if (e < 0)
		return kv_err(err, e, "%s: %s", path + 1, strerror(-e));
	*ret = (const char *)text.p;
	return 0;
}

/* The answers that stand in the file `lines`, with the bytes of files below `below`. */
static int open_root(struct kv_arena *a, struct kv_root *files, const char *name, const char *lines,
		     const struct kv_recording *r, struct kv_root **ret, struct kv_err *err)
{
	const struct kv_replay from = {
		.files = files,
		/* kvpath-target: /target */
		.below = kv_strf(a, "/%s", name + strlen("kvpath-")),
		.lines = lines,
		.live = r && r->live,
		.format = r ? r->format : NULL,
	};
	struct kv_err why = { 0 };
	int e = kv_replay_open(a, &from, ret, &why);

	return e < 0 ? kv_err(err, e, "%s: %s", name, why.msg) : 0;
}

int kv_recording_open(struct kv_arena *a, struct kv_root *files, struct kv_recording *ret,
		      struct kv_err *err)
{
	const char *lines = "";
	int e = read_lines(files, "/" KV_RECORDED_TARGET, &lines, err);

	*ret = (struct kv_recording){ .version = "", .backend = "LIBFABRIC", .vram = true };
	if (e < 0)
		return e;
	if (!kv_starts(lines, KV_RECORDED_TARGET " 1\n"))
		return kv_err(err, -EPROTO, "%s: of another version than 1", KV_RECORDED_TARGET);
	for (const char *line = lines; *line; line += strcspn(line, "\n"), line += *line == '\n')
		take_word(a, line, ret);
	e = open_root(a, files, KV_RECORDED_TARGET, lines, ret, &ret->root, err);
	for (size_t i = 0; e == 0 && i < ret->sources.n; i++) {
		const char *name = kv_strf(a, KV_RECORDED_SOURCE "-%zu", i + 1);

		e = read_lines(files, kv_strf(a, "/%s", name), &lines, err);
		if (e == 0)
			e = open_root(a, files, name, lines, NULL, &ret->sources.v[i].root, err);
	}
	return e;
}
