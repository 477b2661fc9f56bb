/* WaitingForInput over time: bins that grow wider where there are too many. */
#include "log/log.h"

static void widen(struct kv_log_timeline *t)
{
	size_t n = 0;

	t->width *= 2;
	for (size_t i = 0; i < t->n; i++) {
		struct kv_log_bin b = t->bins[i], *to = &t->bins[n];

		b.time -= b.time % t->width;
		if (!n || t->bins[n - 1].time != b.time) {
			*to = b;
			n++;
			continue;
		}
		to--;
		to->waiting += b.waiting;
		if (to->transfer_req < b.transfer_req)
			to->transfer_req = b.transfer_req;
		if (to->inflight_req < b.inflight_req)
			to->inflight_req = b.inflight_req;
	}
	t->n = n;
}

static struct kv_log_bin *bin_of(struct kv_log_timeline *t, int64_t time)
{
	int64_t start = time - time % t->width;
	size_t i = t->n;

	while (i && t->bins[i - 1].time > start)
		i--;
	if (i && t->bins[i - 1].time == start)
		return &t->bins[i - 1];
	if (t->n == KV_LOG_BINS) {
		widen(t);
		return bin_of(t, time);
	}
	memmove(&t->bins[i + 1], &t->bins[i], (t->n - i) * sizeof(t->bins[0]));
	t->n++;
	t->bins[i] = (struct kv_log_bin){ .time = start };
	return &t->bins[i];
}

void kv_log_timeline_add(struct kv_log_timeline *t, int64_t time, const struct kv_log_hit *hit)
{
	enum kv_log_kind kind = hit->pattern->kind;
	struct kv_log_bin *b;

	if (kind == KV_LOG_WAITING) {
		t->waiting++;
		if (time < 0)
			t->untimed++;
	} else if ((kind != KV_LOG_TRANSFER_REQ && kind != KV_LOG_INFLIGHT_REQ) || !hit->number) {
		return;
	}
	if (time < 0)
		return;
	b = bin_of(t, time);
	if (kind == KV_LOG_WAITING)
		b->waiting++;
	else if (kind == KV_LOG_TRANSFER_REQ && b->transfer_req < hit->number)
		b->transfer_req = hit->number;
	else if (kind == KV_LOG_INFLIGHT_REQ && b->inflight_req < hit->number)
		b->inflight_req = hit->number;
}
