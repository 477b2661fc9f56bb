/* Where a root notes what it answers, once it was told to (kv_root_note). */
#ifndef KV_ROOT_TAP_H
#define KV_ROOT_TAP_H

#include "root/internal.h"
#include "root/notes.h"

/* Each takes an answer about a resolved path, and does nothing where nothing is noted. */
void kv_tap_stat(struct kv_root *r, const char *real, int error, const struct kv_stat *st);
void kv_tap_link(struct kv_root *r, const char *real, int error, const char *text);
void kv_tap_list(struct kv_root *r, const char *real, bool walk, int error, const kv_dirents *list);
/* A directory that was met before was asked for once more. */
void kv_tap_again(struct kv_root *r, const char *real);
void kv_tap_search(struct kv_root *r, const char *real, int error);
/* A file that was opened is wrapped, so that what is read of it is noted. */
int kv_tap_open(struct kv_root *r, const char *real, int error, struct kv_file **f);

#endif
