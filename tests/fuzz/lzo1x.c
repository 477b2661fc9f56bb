/* An LZO1X block of any bytes, with room for as much as the first two bytes say. */
#include "root/lzo1x.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kv_span in = { data, size };
	size_t cap, n = 0;
	uint16_t room;
	uint8_t *out;

	if (!kv_span_u16(in, 0, false, &room) || !kv_span_sub(in, 2, size - 2, &in))
		return 0;
	cap = room;
	out = malloc(cap + !cap);
	if (!out)
		return 0;
	if (kv_lzo1x_decode(in, out, cap, &n) == 0)
		KV_PROMISE(n <= cap);
	free(out);
	return 0;
}
