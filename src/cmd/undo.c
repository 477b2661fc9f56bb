/* kvpath undo: takes back every repair, to the byte. */
#include "cmd/cmd.h"
#include "repair/journal.h"

static enum kv_status status_of(int r)
{
	if (r == -EINVAL)
		return KV_STATUS_USAGE;
	return r == -ESTALE || r == -ENOTEMPTY ? KV_STATUS_OFF : KV_STATUS_UNKNOWN;
}

static int run(struct kv_opts *o)
{
	_target_ struct kv_target t = { 0 };
	struct kv_err err = { 0 };
	size_t undone = 0;
	int r;

	r = kv_target_open_arg(o, &t);
	if (r == KV_STATUS_OK)
		r = kv_target_needs_dir(&t, "undo");
	if (r != KV_STATUS_OK)
		return r;
	/* Also where there is no state directory: its making may have been interrupted. */
	r = kv_journal_undo(kv_root_fd(t.root), &o->force_files, &undone, &err);
	if (r < 0)
		return kv_fail(status_of(r), "%s", err.msg);
	if (o->json)
		return kv_print_json(json_pack("{s:s, s:s, s:I}", "schema", "kvpath.undo/1",
					       "target", kv_printable(o->arena, t.path), "undone",
					       (json_int_t)undone));
	if (undone)
		printf("%zu operations taken back\n", undone);
	else
		puts("nothing to undo");
	return KV_STATUS_OK;
}

const struct kv_command kv_cmd_undo = {
	.name = "undo",
	.usage = "[OPTIONS] [TARGET]",
	.summary = "put every byte, mode, owner and time back as before kvpath fix",
	.options = "force-file json quiet color",
	.help = "A file that was changed since by someone else stops the undo before anything is "
		"touched, and is named.\n"
		"--force-file PATH takes that one back all the same. Nothing of the target is "
		"executed.",
	.rights = KV_RIGHTS_CHANGE,
	.examples = "Take the repair back\n"
		    "kvpath undo ./container",
	.run = run,
};
