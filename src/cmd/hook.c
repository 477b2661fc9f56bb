/*
 * kvpath hook: `fix` for a container that is being started. As a createContainer hook of an OCI
 * runtime it is given the container's state on its standard input; enroot names the root instead.
 * The environment of the container's process counts: it says where libraries and plugins are
 * sought.
 */
#include <fcntl.h>
#include <jansson.h>

#include "cmd/cmd.h"

#define MAX_STATE  (1u << 20)
#define MAX_CONFIG (16u << 20)

static json_t *read_json(int fd, size_t max, const char *what)
{
	_free_ char *text = malloc(max + 1);
	json_error_t e;
	json_t *doc;
	size_t n = 0;

	while (text && n <= max) {
		ssize_t r = read(fd, text + n, max + 1 - n);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			break;
		n += (size_t)r;
	}
	if (!text || n > max) {
		kv_fail(KV_STATUS_USAGE, "%s: larger than any that a runtime writes", what);
		return NULL;
	}
	doc = json_loadb(text, n, 0, &e);
	if (!doc)
		kv_fail(KV_STATUS_USAGE, "%s: no JSON document: %s", what, e.text);
	return doc;
}

/* --env wins over what the container sets. */
static void take_env(struct kv_opts *o, const json_t *env)
{
	struct kv_env all = { 0 };
	json_t *pair;
	size_t i;

	json_array_foreach(env, i, pair)
	{
		const char *text = json_string_value(pair);

		if (text && strchr(text, '='))
			kv_env_put(o->arena, &all, kv_strdup(o->arena, text));
	}
	for (i = 0; i < o->env.pairs.n; i++)
		kv_env_put(o->arena, &all, o->env.pairs.v[i]);
	o->env = all;
}

static int read_config(struct kv_opts *o, const char *bundle, const char **ret)
{
	const char *path = kv_join(o->arena, bundle, "config.json");
	_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	const char *root = NULL;
	json_t *doc;

	if (fd < 0)
		return kv_fail(KV_STATUS_USAGE, "%s: %s", path, strerror(errno));
	doc = read_json(fd, MAX_CONFIG, path);
	if (!doc)
		return KV_STATUS_USAGE;
	if (json_unpack(doc, "{s:{s:s}}", "root", "path", &root) == 0)
		*ret = root[0] == '/' ? kv_strdup(o->arena, root) : kv_join(o->arena, bundle, root);
	take_env(o, json_object_get(json_object_get(doc, "process"), "env"));
	json_decref(doc);
	return root ? KV_STATUS_OK : kv_fail(KV_STATUS_USAGE, "%s: root.path is missing", path);
}

static int read_state(struct kv_opts *o, const char **ret)
{
	const char *bundle = NULL;
	json_t *state;
	int r;

	if (isatty(STDIN_FILENO))
		return kv_fail(KV_STATUS_USAGE, "hook: a container's state on standard input, or "
						"its root as an argument, is expected");
	state = read_json(STDIN_FILENO, MAX_STATE, "the container's state");
	if (!state)
		return KV_STATUS_USAGE;
	if (json_unpack(state, "{s:s}", "bundle", &bundle) < 0 || bundle[0] != '/')
		r = kv_fail(KV_STATUS_USAGE, "the container's state names no bundle");
	else
		r = read_config(o, bundle, ret);
	json_decref(state);
	return r;
}

static int run(struct kv_opts *o)
{
	const char *root = o->args.n ? o->args.v[0] : NULL;
	const bool named = root != NULL;
	int r;

	if (o->args.n > 1)
		return kv_fail(KV_STATUS_USAGE, "hook: one root at a time, not also %s",
			       o->args.v[1]);
	r = root ? KV_STATUS_OK : read_state(o, &root);
	if (r != KV_STATUS_OK)
		return r;
	o->args.n = 0;
	kv_vec_push(o->arena, &o->args, kv_strdup(o->arena, root));
	o->quiet = o->style.quiet = o->image = true;
	/* A runtime takes any other status for a failed start. What launches the workers may well
	 * set what the container's own environment does not. enroot's script asks for itself. */
	o->starts_untold = !named;
	return kv_fix(o, true);
}

const struct kv_command kv_cmd_hook = {
	.name = "hook",
	.usage = "[OPTIONS] [ROOT]",
	.summary = "fix a container that is being started: an OCI runtime's or enroot's hook",
	.rights = KV_RIGHTS_CHANGE,
	.options = "fabric env backend mem",
	.help = "Without ROOT the container's state is read from standard input, as runtimes give "
		"it to createContainer hooks.\n"
		"A container without NIXL is left as it is. Where no repair is possible, the "
		"status is not 0 and the start fails; where it can not be told whether one is "
		"needed, a\n"
		"runtime's container starts. kvpath render --for cdi, oci-hook or "
		"enroot writes what calls this.",
	.examples = "enroot's hook calls this of every container that starts\n"
		    "kvpath hook \"$ENROOT_ROOTFS\"",
	.run = run,
};
