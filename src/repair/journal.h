/*
 * Carries out a plan so that it can be taken back to the byte, and takes it back.
 *
 * State lives in the target at KV_STATE_DIR, one numbered directory per applied plan, newest last:
 * the journal (one record a line: CRC32C in hex, a space, a JSON object) and the backups.
 * A plan without COMMIT is rolled back by the next call that changes something (recovery); an undo
 * that has begun is finished by it. undo takes back all committed plans, newest first, and leaves
 * no trace: directories that kvpath made are removed, files come back as the very inode they were
 * (mode, owner, times, xattrs, links), and the times of every directory that was touched are put
 * back.
 *
 * A file that is replaced is never written to: it keeps its inode under a second name, so its other
 * hard links do not notice.
 */
#ifndef KV_REPAIR_JOURNAL_H
#define KV_REPAIR_JOURNAL_H

#include "repair/plan.h"

#define KV_STATE_DIR "/var/lib/kvpath"

/*
 * root_fd: O_PATH or readable fd of the target's root directory. All calls return 0, or -errno with
 * err filled (naming the file); after success err is empty. They take the target's lock and wait
 * for it at most 30 s (-EBUSY). -EBADMSG: a journal is damaged where no crash can have damaged it;
 * nothing is changed then.
 */

/*
 * Called when a call begins to wait for another kvpath that works on the target, after a second;
 * who: the holder's name where it is known. NULL at first.
 */
extern void (*kv_journal_waits)(const char *who);

/* What kvpath has done to a target up to now; nobody does more to it while the view is open. */
struct kv_journal_view {
	int fd;
	bool pending; /* an interrupted apply or undo is to be recovered from */
	char stamp[KV_SHA256_HEX];
};

/* Waits while another kvpath changes the target. Changes nothing. */
int kv_journal_look(int root_fd, struct kv_journal_view *ret, struct kv_err *err);
void kv_journal_look_close(struct kv_journal_view *view);

/*
 * Carries out ops in order. All or nothing: after an error the target is as before. Later
 * operations see what earlier ones made, but a path that was removed cannot be used again in the
 * same plan (-EINVAL). A source that changes while it is copied: -ESTALE.
 * stamp: of what kv_journal_look() has seen when the plan was made; NULL: whatever is there. Where
 * another kvpath has done something since, or a path is not what it was: -EAGAIN.
 */
int kv_journal_apply(int root_fd, const kv_ops *ops, const char *stamp, struct kv_err *err);

/*
 * Takes back every applied plan. ret_undone: number of operations taken back (0: nothing to undo).
 * A path that is no longer what kvpath left there stops the undo with -ESTALE, a foreign file in a
 * directory that kvpath made with -ENOTEMPTY, naming it, before anything is changed.
 * What is at one of the paths in `forced` (NULL: none) now need not be what kvpath left there,
 * and is lost. -EINVAL for a path that kvpath has not changed.
 */
int kv_journal_undo(int root_fd, const kv_strv *forced, size_t *ret_undone, struct kv_err *err);

/* Rolls back an interrupted apply, or finishes an interrupted undo. ret_recovered tells whether
 * there was any. The other calls do this first. */
int kv_journal_recover(int root_fd, bool *ret_recovered, struct kv_err *err);

#endif
