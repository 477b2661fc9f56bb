/* Writing tars: few and small files, into memory. Owners, times and modes are the same for all. */
#ifndef KV_ROOT_TAR_WRITE_H
#define KV_ROOT_TAR_WRITE_H

#include <sys/stat.h>

#include "base/base.h"

/* A member: name without a leading '/'; type S_IFREG, S_IFDIR or S_IFLNK; bytes: content or link.
 */
void kv_tar_add(struct kv_buf *tar, const char *name, mode_t type, struct kv_span bytes);
/* The two empty blocks at the end. */
void kv_tar_end(struct kv_buf *tar);

#endif
