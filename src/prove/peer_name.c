/* A host by name: its addresses, by the probe, which has this host's libc. */
#include <fcntl.h>

#include "prove/parts.h"
#include "prove/peer.h"

#define RESOLVE_S 20

static int ask_probe(struct kv_arena *a, const char *probe, const char *name, char **ret,
		     struct kv_err *err)
{
	char *argv[] = { kv_strdup(a, "kvpath-probe"), kv_strdup(a, "resolve"), kv_strdup(a, name),
			 NULL };
	const struct kv_prove_request here = { .target = "/" };
	_close_ int fd = open(probe, O_RDONLY | O_CLOEXEC);
	struct kv_prove_run run = { .req = &here,
				    .exec_fd = fd,
				    .argv = argv,
				    .envp = kv_prove_environ(a, NULL),
				    .deadline_s = RESOLVE_S };
	struct kv_prove_ran ran;
	int r;

	if (fd < 0)
		return kv_err(err, -errno, "open %s: %s", probe, strerror(errno));
	r = kv_prove_spawn(&run, &ran, err);
	if (r < 0)
		return r;
	*ret = kv_prove_text_get(a, &ran.out);
	if (ran.timed_out || ran.status != 0)
		r = kv_err(err, -ENOENT, "%s: no address of that host is found%s (%.*s)", name,
			   ran.timed_out ? " in time" : "",
			   (int)strcspn(kv_prove_text_get(a, &ran.log), "\n"),
			   kv_prove_text_get(a, &ran.log));
	kv_prove_text_clear(&ran.out);
	kv_prove_text_clear(&ran.log);
	return r;
}

int kv_peer_resolve(struct kv_arena *a, const char *probe, const char *name, uint16_t port,
		    kv_peer_places *ret, struct kv_err *err)
{
	struct kv_peer_place place;
	char *text = NULL, *save = NULL;
	int r;

	if (kv_peer_place_parse(name, port, &place)) {
		kv_vec_push(a, ret, place);
		return 0;
	}
	r = ask_probe(a, probe, name, &text, err);
	if (r < 0)
		return r;
	for (char *s = strtok_r(text, "\n", &save); s; s = strtok_r(NULL, "\n", &save))
		if (kv_peer_place_parse(s, port, &place))
			kv_vec_push(a, ret, place);
	return ret->n ? 0 : kv_err(err, -ENOENT, "%s: no address of that host is found", name);
}
