/*
 * The secret of a step, by munge's and Slurm's own programs: kvpath is static and opens no library.
 * The target makes it and hands the credential to whoever calls; so nothing that a stranger sends
 * is ever given to munge, and only one that is this user on this cluster can use it.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "prove/parts.h"
#include "prove/ranks.h"

#define TOOL_S     8
#define SECRET_HEX 64
#define CONF_MAX   (1 << 20)

static const char *find_program(struct kv_arena *a, const char *name)
{
	const char *path = getenv("PATH");
	char *dirs = kv_strf(a, "%s:/usr/bin:/usr/local/bin:/opt/slurm/bin:/opt/munge/bin",
			     path ? path : "");
	char *save = NULL;

	for (char *d = strtok_r(dirs, ":", &save); d; d = strtok_r(NULL, ":", &save)) {
		const char *file = kv_join(a, d, name);

		if (*d == '/' && access(file, X_OK) == 0)
			return file;
	}
	return NULL;
}

/* Runs a program with `input` to read, and gives what it wrote. */
static int run_tool(struct kv_arena *a, const kv_strv *args, const char *input, char **ret,
		    struct kv_err *err)
{
	const struct kv_prove_request here = { .target = "/" };
	_close_ int in = memfd_create("kvpath", MFD_CLOEXEC);
	struct kv_env env = { 0 };
	struct kv_prove_run run = { .req = &here, .exec_fd = -EBADF, .deadline_s = TOOL_S };
	struct kv_prove_ran ran;
	const char *log;
	int r;

	for (char **e = environ; *e; e++)
		kv_env_put(a, &env, *e);
	if (in < 0 || kv_write_all(in, input, strlen(input)) < 0 || lseek(in, 0, SEEK_SET) < 0)
		return kv_err(err, -errno, "memfd_create: %s", strerror(errno));
	run.exec_path = args->v[0];
	run.argv = args->v;
	run.envp = kv_prove_environ(a, &env);
	run.input = in;
	r = kv_prove_spawn(&run, &ran, err);
	if (r < 0)
		return r;
	*ret = kv_prove_text_get(a, &ran.out);
	log = kv_prove_text_get(a, &ran.log);
	kv_prove_text_clear(&ran.out);
	kv_prove_text_clear(&ran.log);
	if (ran.timed_out || ran.status != 0)
		return kv_err(err, -EACCES, "%s: %.*s", args->v[0],
			      ran.timed_out ? 12 : (int)strcspn(log, "\n"),
			      ran.timed_out ? "does not end" : log);
	return 0;
}

static void add(struct kv_arena *a, kv_strv *args, const char *s)
{
	kv_vec_push(a, args, s ? kv_strdup(a, s) : NULL);
}

/* AuthInfo=socket=PATH of slurm.conf, where a site's munge has another socket than the usual one.
 */
static const char *munge_socket(struct kv_arena *a)
{
	const char *conf = getenv("SLURM_CONF"), *at;
	struct kv_span text;

	if (kv_read_file(a, conf ? conf : "/etc/slurm/slurm.conf", CONF_MAX, &text, NULL) < 0)
		return NULL;
	at = kv_strndup(a, (const char *)text.p, text.n);
	for (; at && *at; at = strchr(at, '\n'), at = at ? at + 1 : NULL) {
		size_t n = strcspn(at, "\n");
		const char *line = kv_strndup(a, at, n), *sock;

		if (strncasecmp(line, "AuthInfo=", 9) != 0)
			continue;
		sock = strstr(line, "socket=");
		return sock ? kv_strndup(a, sock + 7, strcspn(sock + 7, ", \t\r")) : NULL;
	}
	return NULL;
}

static int munge_args(struct kv_arena *a, const char *program, kv_strv *ret, struct kv_err *err)
{
	const char *file = find_program(a, program), *sock = munge_socket(a);

	if (!file)
		return kv_err(err, -ENOENT,
			      "tasks of a step need munge to agree on a secret, and there is no %s "
			      "here; or a secret that they all have: export KVPATH_TOKEN=$(head -c "
			      "32 /dev/urandom | base64) before srun",
			      program);
	add(a, ret, file);
	if (sock) {
		add(a, ret, "-S");
		add(a, ret, sock);
	}
	return 0;
}

int kv_ranks_seal(struct kv_arena *a, const struct kv_ranks *r, unsigned valid_s,
		  struct kv_peer_auth *ret, struct kv_err *err)
{
	uint8_t secret[SECRET_HEX / 2];
	char hex[SECRET_HEX + 1], *cred = NULL;
	kv_strv args = { 0 };
	int e = munge_args(a, "munge", &args, err);

	if (e < 0)
		return e;
	if (getrandom(secret, sizeof(secret), 0) != sizeof(secret))
		return kv_err(err, -errno, "getrandom: %s", strerror(errno));
	for (size_t i = 0; i < sizeof(secret); i++)
		snprintf(hex + 2 * i, 3, "%02x", secret[i]);
	add(a, &args, "-u");
	add(a, &args, kv_strf(a, "%u", geteuid()));
	add(a, &args, "-t");
	add(a, &args, kv_strf(a, "%u", valid_s));
	add(a, &args, NULL);
	/* By its standard input: arguments are everybody's to see. */
	e = run_tool(a, &args, kv_strf(a, "kvpath bench %s %s", r->step, hex), &cred, err);
	if (e < 0)
		return e;
	cred[strcspn(cred, "\n")] = '\0';
	if (!*cred || strlen(cred) > KV_PEER_CRED_MAX)
		return kv_err(err, -EPROTO, "munge: a credential of %zu bytes", strlen(cred));
	ret->keyed = true;
	ret->cred = cred;
	kv_peer_key_make(hex, SECRET_HEX, &ret->key);
	return 0;
}

/* "UID: 0" among the lines before the payload. */
static bool is_mine(struct kv_arena *a, const char *text)
{
	const char *own = kv_strf(a, "%u", geteuid()), *at = strstr(text, "UID:");
	const char *end = strstr(text, "\n\n");

	if (!at || !end || at > end)
		return false;
	at += strlen("UID:");
	at += strspn(at, " ");
	return strcspn(at, "\n") == strlen(own) && strncmp(at, own, strlen(own)) == 0;
}

int kv_ranks_open(void *opener, const char *cred, struct kv_peer_key *ret, struct kv_err *err)
{
	struct kv_ranks_opener *o = opener;
	struct kv_arena *a = o->arena;
	const char *want, *payload;
	char *text = NULL;
	kv_strv args = { 0 };
	int r;

	if (o->cred && kv_streq(o->cred, cred)) {
		*ret = o->key;
		return 0;
	}
	if (strncmp(cred, "MUNGE:", 6) != 0)
		return kv_err(err, -EACCES, "what listens there is no task of this step");
	r = munge_args(a, "unmunge", &args, err);
	if (r < 0)
		return r;
	add(a, &args, "-N");
	add(a, &args, "-k");
	add(a, &args, "UID");
	add(a, &args, NULL);
	r = run_tool(a, &args, cred, &text, err);
	if (r < 0)
		return r;
	want = kv_strf(a, "kvpath bench %s ", o->ranks->step);
	payload = strstr(text, "\n\n");
	if (!is_mine(a, text) || !kv_starts(payload + 2, want) ||
	    strlen(payload + 2 + strlen(want)) < SECRET_HEX)
		return kv_err(err, -EACCES, "what listens there is no task of this step");
	kv_peer_key_make(payload + 2 + strlen(want), SECRET_HEX, &o->key);
	o->cred = kv_strdup(a, cred);
	*ret = o->key;
	return 0;
}

const char *kv_ranks_address(struct kv_arena *a, const char *node)
{
	const char *file = find_program(a, "scontrol"), *at;
	kv_strv args = { 0 };
	struct kv_err err;
	char *text = NULL;

	if (!file)
		return node;
	add(a, &args, file);
	add(a, &args, "show");
	add(a, &args, "node");
	add(a, &args, node);
	add(a, &args, "-o");
	add(a, &args, NULL);
	if (run_tool(a, &args, "", &text, &err) < 0)
		return node;
	at = strstr(text, " NodeAddr=");
	return at ? kv_strndup(a, at + 10, strcspn(at + 10, " \n")) : node;
}
