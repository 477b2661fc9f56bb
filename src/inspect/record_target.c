/*
 * The part of a recording that is of the target and of the fabric sources: what they answered, the
 * bytes that were read of files, and how the target was looked at.
 */
#include "inspect/record.h"
#include "inspect/recording.h"
#include "root/notes.h"
#include "root/tar_write.h"

/*
 * Of the container's environment the index has what counts. In NIXL's configuration values of names
 * that say that they are secret become as many x, so that lines and places stay as they are.
 */
static void mask_line(char *line, size_t n)
{
	char *eq = memchr(line, '=', n);
	char name[128];
	size_t length = eq ? (size_t)(eq - line) : 0;

	if (!eq || length >= sizeof(name))
		return;
	memcpy(name, line, length);
	name[length] = '\0';
	if (!kv_is_secret(name))
		return;
	for (char *p = eq + 1; p < line + n; p++)
		if (!strchr(" \t\r\"'", *p))
			*p = 'x';
}

static void mask_file(struct kv_root *r, struct kv_notes *notes, const char *path)
{
	const char *real;
	struct kv_note *note =
		kv_root_real(r, path, 0, &real) < 0 ? NULL : kv_notes_find(notes, real);

	for (size_t i = 0; note && i < note->parts.n; i++) {
		char *p = (char *)note->parts.v[i].bytes, *end = p + note->parts.v[i].n;

		while (p < end) {
			char *newline = memchr(p, '\n', (size_t)(end - p));

			newline = newline ? newline : end;
			mask_line(p, (size_t)(newline - p));
			p = newline + 1;
		}
	}
}

static void drop_file(struct kv_root *r, struct kv_notes *notes, const char *path)
{
	const char *real;
	struct kv_note *note =
		kv_root_real(r, path, 0, &real) < 0 ? NULL : kv_notes_find(notes, real);

	if (!note)
		return;
	note->parts.n = 0;
	note->asked[KV_NOTE_OPEN] = note->asked[KV_NOTE_READ] = false;
}

void kv_recording_text(struct kv_buf *tar, const char *name, const char *text)
{
	kv_tar_add(tar, name, S_IFREG, (struct kv_span){ (const uint8_t *)text, strlen(text) });
}

static void add_word(struct kv_buf *to, const char *word, const char *value)
{
	if (!value)
		return;
	kv_buf_str(to, word);
	kv_note_word(to, value);
	kv_buf_str(to, "\n");
}

static void add_strings(struct kv_root *r, const kv_strv *paths)
{
	struct kv_stat st;

	for (size_t i = 0; i < paths->n; i++)
		(void)kv_root_stat(r, paths->v[i], 0, &st);
}

static void add_target(const struct kv_record *rec, struct kv_buf *ret)
{
	const struct kv_facts *f = rec->facts;
	_buf_ struct kv_buf lines = { 0 }, members = { 0 };

	kv_buf_str(&lines, KV_RECORDED_TARGET " 1\n");
	add_word(&lines, "made-by ", KVPATH_VERSION);
	kv_buf_str(&lines, kv_root_is_live(f->root) ? "live\n" : "");
	kv_buf_str(&lines, rec->image ? "image\n" : "");
	add_word(&lines, "format ", kv_root_format(f->root));
	add_word(&lines, "backend ", f->backend);
	add_word(&lines, "mem ", f->vram ? "vram" : "dram");
	kv_buf_fmt(&lines, "cpu %u\n", rec->cpu_level);
	add_word(&lines, "cwd ", f->cwd);
	add_word(&lines, "stopped ", f->scan->stopped);
	add_word(&lines, "stopped-at ", f->scan->stopped_at);
	for (size_t i = 0; i < rec->sources->n; i++)
		if (rec->sources->v[i].notes)
			add_word(&lines, rec->sources->v[i].is_system ? "system " : "source ",
				 rec->sources->v[i].host);
	/* What the walk found is told by the names alone. */
	add_strings(f->root, &f->scan->sites);
	add_strings(f->root, &f->scan->packages);
	add_strings(f->root, &f->scan->libnixls);
	add_strings(f->root, &f->scan->libfabrics);
	add_strings(f->root, &f->scan->plugins);
	drop_file(f->root, rec->notes, "/etc/environment");
	if (f->config.path)
		mask_file(f->root, rec->notes, f->config.path);
	kv_notes_write(rec->notes, "target", &lines, &members);
	kv_recording_text(ret, KV_RECORDED_TARGET, lines.text);
	kv_buf_add(ret, members.text, members.n);
}

static void add_sources(const struct kv_record *rec, struct kv_buf *ret)
{
	struct kv_arena *a = rec->facts->arena;
	size_t number = 0;

	for (size_t i = 0; i < rec->sources->n; i++) {
		_buf_ struct kv_buf lines = { 0 }, members = { 0 };
		const char *below;

		if (!rec->sources->v[i].notes)
			continue;
		below = kv_strf(a, "source-%zu", ++number);
		kv_buf_str(&lines, "# ");
		add_word(&lines, "", rec->sources->v[i].host);
		kv_notes_write(rec->sources->v[i].notes, below, &lines, &members);
		kv_recording_text(ret, kv_strf(a, KV_RECORDED_SOURCE "-%zu", number), lines.text);
		kv_buf_add(ret, members.text, members.n);
	}
}

void kv_recording_target(const struct kv_record *rec, struct kv_buf *ret)
{
	add_target(rec, ret);
	add_sources(rec, ret);
}
