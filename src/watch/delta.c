/*
 * What two samples say of the time between them. A counter may vanish, appear, wrap, or begin
 * anew; then its delta is not known, and no sum counts it as nothing.
 */
#include "watch/limits.h"
#include "watch/watch.h"

const uint64_t kv_watch_limit[_KV_LIMIT_COUNT] = {
#define KV_WATCH_LIMIT(name, value) [KV_LIMIT_##name] = (value),
#include "watch/thresholds.def"
#undef KV_WATCH_LIMIT
};

const char *const kv_watch_state_name[_KV_WATCH_STATE_COUNT] = { "ok", "new", "gone", "reset" };

/*
 * Counters are 64 bits wide and may wrap, so the difference is taken modulo 2^64. One that fell
 * because it was reset gives a huge difference, which no device carries.
 */
static bool step_of(uint64_t before, uint64_t now, double seconds, uint64_t *ret)
{
	uint64_t delta = now - before;

	if ((double)delta > (double)kv_watch_limit[KV_LIMIT_STEP_MAX] * seconds)
		return false;
	*ret = delta;
	return true;
}

static const struct kv_watch_counter *counter_of(const struct kv_watch_device *d, const char *name)
{
	const struct kv_watch_counter *c;

	kv_vec_each (c, &d->counters)
		if (kv_streq(c->name, name))
			return c;
	return NULL;
}

static const struct kv_watch_device *device_of(const struct kv_watch_sample *s, const char *name)
{
	const struct kv_watch_device *d;

	kv_vec_each (d, &s->devices)
		if (kv_streq(d->name, name))
			return d;
	return NULL;
}

static const struct kv_watch_counter *counter_at(const struct kv_watch_device *d, const char *name,
						 size_t at)
{
	/* The same device mostly has the same counters in the same order. */
	if (at < d->counters.n && kv_streq(d->counters.v[at].name, name))
		return &d->counters.v[at];
	return counter_of(d, name);
}

static bool value_of(const struct kv_watch_device_delta *d, const char *name, uint64_t *ret)
{
	const struct kv_watch_step *s;

	kv_vec_each (s, &d->steps)
		if (s->known && kv_streq(s->name, name)) {
			*ret = s->delta;
			return true;
		}
	return false;
}

/* now: NULL where it is gone. */
static void compare_device(struct kv_arena *a, const struct kv_watch_device *before,
			   const struct kv_watch_device *now, struct kv_watch_delta *ret)
{
	struct kv_watch_device_delta *d = kv_vec_add(a, &ret->devices);
	const struct kv_watch_counter *c, *was;
	bool same = before && now && before->id == now->id, fell = false;

	d->name = kv_strdup(a, now ? now->name : before->name);
	d->state = !now ? KV_WATCH_GONE : !before ? KV_WATCH_NEW : KV_WATCH_OK;
	if (!now)
		return;
	kv_vec_each (c, &now->counters) {
		struct kv_watch_step *s = kv_vec_add(a, &d->steps);

		s->name = c->name;
		s->value = c->value;
		was = before ? counter_at(before, c->name, (size_t)(c - now->counters.v)) : NULL;
		s->known = was && same && step_of(was->value, c->value, ret->seconds, &s->delta);
		fell |= was && same && !s->known;
	}
	if (before && (fell || !same)) {
		/* All of a device's counters begin anew together; one that seems to go on does not.
		 */
		d->state = KV_WATCH_RESET;
		for (size_t i = 0; i < d->steps.n; i++)
			d->steps.v[i].known = false;
	}
	d->known = value_of(d, "tx_bytes", &d->tx) && value_of(d, "rx_bytes", &d->rx);
	if (!d->known)
		return;
	ret->n_known++;
	ret->tx += d->tx;
	ret->rx += d->rx;
}

static const struct kv_watch_socket *socket_of(const struct kv_watch_net *n, uint32_t inode)
{
	size_t lo = 0, hi = n->sockets.n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (n->sockets.v[mid].inode == inode)
			return &n->sockets.v[mid];
		if (n->sockets.v[mid].inode < inode)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

/* A socket that was not there before was made since: all that it carried is new. */
static bool socket_step(const struct kv_watch_net *before, const struct kv_watch_socket *s,
			double seconds, uint64_t *ret_sent, uint64_t *ret_received)
{
	const struct kv_watch_socket *was = socket_of(before, s->inode);
	bool same = was && was->cookie == s->cookie;

	return step_of(same ? was->sent : 0, s->sent, seconds, ret_sent) &&
	       step_of(same ? was->received : 0, s->received, seconds, ret_received);
}

/* Several processes can have one socket: it counts for the first of them. */
static bool seen_before(const struct kv_watch_delta *d, const struct kv_watch_process *p,
			uint32_t inode)
{
	const struct kv_watch_process_delta *o;

	kv_vec_each (o, &d->processes) {
		size_t lo = 0, hi = o->process->inodes.n;

		if (o->process == p || o->process->ns != p->ns)
			continue;
		while (lo < hi) {
			size_t mid = lo + (hi - lo) / 2;

			if (o->process->inodes.v[mid] == inode)
				return true;
			if (o->process->inodes.v[mid] < inode)
				lo = mid + 1;
			else
				hi = mid;
		}
	}
	return false;
}

static const char *tcp_unknown(const struct kv_watch_net *before, const struct kv_watch_net *now,
			       const struct kv_watch_process *p, struct kv_arena *a)
{
	if (p->fds_error)
		return kv_strf(a, "its descriptors cannot be read: %s", strerror(-p->fds_error));
	if (!p->ns || !now)
		return "its network namespace cannot be read";
	if (now->error)
		return kv_strf(a, "the sockets of its network namespace cannot be read: %s",
			       strerror(-now->error));
	if (!before || before->error)
		return "it is new here";
	return NULL;
}

static void compare_process(const struct kv_watch_sample *before, struct kv_watch_sample *after,
			    struct kv_watch_process *p, struct kv_watch_delta *ret)
{
	const struct kv_watch_net *was = kv_watch_net_of(before, p->ns);
	const struct kv_watch_net *now = kv_watch_net_of(after, p->ns);
	struct kv_watch_process_delta *d = kv_vec_add(after->arena, &ret->processes);

	d->process = p;
	d->unknown = tcp_unknown(was, now, p, after->arena);
	d->known = !d->unknown;
	for (size_t i = 0; d->known && i < p->inodes.n; i++) {
		const struct kv_watch_socket *s = i && p->inodes.v[i] == p->inodes.v[i - 1]
							  ? NULL
							  : socket_of(now, p->inodes.v[i]);
		uint64_t sent, received;

		if (!s || seen_before(ret, p, s->inode))
			continue;
		d->sockets++;
		if (!socket_step(was, s, ret->seconds, &sent, &received))
			continue;
		d->sent += sent;
		d->received += received;
		if (s->loopback)
			d->local += sent > received ? sent : received;
	}
	if (!d->known)
		return;
	p->sent_total += d->sent;
	p->received_total += d->received;
	ret->n_tcp_known++;
	ret->sent += d->sent;
	ret->received += d->received;
}

void kv_watch_compare(const struct kv_watch_sample *before, struct kv_watch_sample *after,
		      struct kv_watch_delta *ret)
{
	const struct kv_watch_device *d;
	struct kv_watch_process *p;

	*ret = (struct kv_watch_delta){ .now = after };
	ret->seconds = (double)(after->at_ns - before->at_ns) / 1e9;
	kv_vec_each (d, &after->devices)
		compare_device(after->arena, device_of(before, d->name), d, ret);
	kv_vec_each (d, &before->devices)
		if (!device_of(after, d->name))
			compare_device(after->arena, d, NULL, ret);
	kv_vec_each (p, &after->processes)
		if (kv_watch_serves(p))
			compare_process(before, after, p, ret);
}
