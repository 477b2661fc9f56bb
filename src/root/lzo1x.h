/* LZO1X blocks, the compression that enroot gives its images unless told otherwise. */
#ifndef KV_ROOT_LZO1X_H
#define KV_ROOT_LZO1X_H

#include "base/base.h"

/*
 * Decodes one whole block into out, which has room for cap bytes. The block must end with its end
 * marker and with nothing behind it. 0, -EBADMSG where it is no such block, -ENOSPC where it holds
 * more than cap bytes; out's content is undefined then.
 */
int kv_lzo1x_decode(struct kv_span in, uint8_t *out, size_t cap, size_t *ret_n);

/*
 * Encodes a block of less than 4 GiB. 0, or -ENOSPC where it does not fit into cap bytes; out's
 * content is undefined then.
 */
int kv_lzo1x_encode(struct kv_span in, uint8_t *out, size_t cap, size_t *ret_n);

#endif
