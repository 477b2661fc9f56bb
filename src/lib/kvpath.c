/* The public library: options become a command line, the document that kvpath prints a result. */
#include <dlfcn.h>
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kvpath/kvpath.h"
#include "lib/program.h"

#define MAX_OPTIONS 4096
#define PUBLIC      __attribute__((visibility("default")))

struct kvpath_options {
	char **words;
	size_t n;
	char *program;
	unsigned deadline_s;
};

struct kvpath_result {
	json_t *doc;
	char *text;
};

PUBLIC const char *kvpath_version(void)
{
	return KVPATH_VERSION;
}

PUBLIC kvpath_options *kvpath_options_new(void)
{
	kvpath_options *o = calloc(1, sizeof(*o));

	if (o)
		o->deadline_s = 300;
	return o;
}

PUBLIC void kvpath_options_free(kvpath_options *o)
{
	if (!o)
		return;
	for (size_t i = 0; i < o->n; i++)
		free(o->words[i]);
	free(o->words);
	free(o->program);
	free(o);
}

PUBLIC int kvpath_options_add(kvpath_options *o, const char *name, const char *value)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz-";
	char **words, *word;

	/* Those that say what is printed, or write files, are the library's. */
	if (!name[0] || name[0] == '-' || name[strspn(name, letters)] ||
	    strcmp(name, "help") == 0 || strcmp(name, "json") == 0 || strcmp(name, "sarif") == 0 ||
	    strcmp(name, "quiet") == 0)
		return -EINVAL;
	if (o->n >= MAX_OPTIONS)
		return -E2BIG;
	words = realloc(o->words, (o->n + 1) * sizeof(*words));
	if (!words)
		return -ENOMEM;
	o->words = words;
	if (asprintf(&word, "--%s%s%s", name, value ? "=" : "", value ? value : "") < 0)
		return -ENOMEM;
	o->words[o->n++] = word;
	return 0;
}

PUBLIC int kvpath_options_program(kvpath_options *o, const char *path)
{
	char *copy = strdup(path);

	if (!copy)
		return -ENOMEM;
	free(o->program);
	o->program = copy;
	return 0;
}

PUBLIC int kvpath_options_deadline(kvpath_options *o, unsigned seconds)
{
	if (seconds == 0 || seconds > 86400)
		return -EINVAL;
	o->deadline_s = seconds;
	return 0;
}

/* bin/kvpath of the prefix in whose lib, or a directory in that, this library lies; malloc's. */
static char *beside_library(void)
{
	char *real, *at, *path;
	Dl_info info;

	if (!dladdr((void *)(uintptr_t)kvpath_version, &info) || !info.dli_fname)
		return NULL;
	real = realpath(info.dli_fname, NULL);
	for (int up = 0; real && up < 3; up++) {
		at = strrchr(real, '/');
		if (!at || asprintf(&path, "%.*s/bin/kvpath", (int)(at - real), real) < 0)
			break;
		if (access(path, X_OK) == 0) {
			free(real);
			return path;
		}
		free(path);
		*at = '\0';
	}
	free(real);
	return NULL;
}

static char *find_program(const kvpath_options *o)
{
	const char *env = secure_getenv("KVPATH_PROGRAM");
	char *path = o && o->program ? strdup(o->program) : env && *env ? strdup(env) : NULL;

	if (!path)
		path = beside_library();
	return path ? path : strdup(KVPATH_BINDIR "/kvpath");
}

/* The line that kvpath said; else what is known. Nothing to lose where memory ran out. */
static int failed(int code, const char *program, struct kv_run *run, char **error)
{
	if (!error)
		return code;
	*error = NULL;
	if (run->err.n)
		run->err.text[strcspn(run->err.text, "\n")] = '\0';
	if (run->err.n ? asprintf(error, "%s", run->err.text) < 0
		       : asprintf(error, "%s: %s", program, strerror(-code)) < 0)
		*error = NULL;
	return code;
}

/* A document of the schema that this library knows, whatever the status was. */
static int take(struct kv_run *run, kvpath_result **ret)
{
	kvpath_result *r;
	json_t *doc;
	const char *schema;

	if (!run->out.n)
		return run->status == 2 ? -EINVAL : -EIO;
	doc = json_loadb(run->out.text, run->out.n, 0, NULL);
	schema = json_string_value(json_object_get(doc, "schema"));
	if (!schema || strcmp(schema, "kvpath.check/1") != 0 ||
	    (run->status > 3 || run->status == 2)) {
		json_decref(doc);
		return -EBADMSG;
	}
	r = calloc(1, sizeof(*r));
	if (!r) {
		json_decref(doc);
		return -ENOMEM;
	}
	*r = (kvpath_result){ .doc = doc, .text = run->out.text };
	run->out.text = NULL;
	*ret = r;
	return 0;
}

PUBLIC int kvpath_check(const char *target, const kvpath_options *o, kvpath_result **ret,
			char **error)
{
	size_t n = o ? o->n : 0, argc = 0;
	char *program = find_program(o);
	const char **argv = calloc(n + 6, sizeof(*argv));
	struct kv_run run = { 0 };
	int r = -ENOMEM;

	if (program && argv) {
		argv[argc++] = program;
		argv[argc++] = "check";
		argv[argc++] = "--json";
		for (size_t i = 0; i < n; i++)
			argv[argc++] = o->words[i];
		argv[argc++] = "--";
		argv[argc] = target ? target : "/";
		r = kv_program_run((char **)(uintptr_t)argv, o ? o->deadline_s : 300, &run);
		r = r < 0 ? r : take(&run, ret);
	}
	if (r < 0)
		failed(r, program ? program : "kvpath", &run, error);
	free(run.out.text);
	free(run.err.text);
	free(argv);
	free(program);
	return r;
}

PUBLIC void kvpath_result_free(kvpath_result *r)
{
	if (!r)
		return;
	json_decref(r->doc);
	free(r->text);
	free(r);
}

PUBLIC enum kvpath_verdict kvpath_result_verdict(const kvpath_result *r)
{
	static const char *const names[] = { "on-fabric", "ready", "off-fabric" };
	const char *verdict = json_string_value(json_object_get(r->doc, "verdict"));

	for (int i = 0; verdict && i < 3; i++)
		if (strcmp(verdict, names[i]) == 0)
			return (enum kvpath_verdict)i;
	return KVPATH_UNKNOWN;
}

PUBLIC size_t kvpath_result_findings(const kvpath_result *r)
{
	return json_array_size(json_object_get(r->doc, "findings"));
}

static const json_t *finding(const kvpath_result *r, size_t i)
{
	return json_array_get(json_object_get(r->doc, "findings"), i);
}

static const char *text_of(const kvpath_result *r, size_t i, const char *key)
{
	return json_string_value(json_object_get(finding(r, i), key));
}

PUBLIC const char *kvpath_finding_id(const kvpath_result *r, size_t i)
{
	return text_of(r, i, "id");
}

PUBLIC enum kvpath_severity kvpath_finding_severity(const kvpath_result *r, size_t i)
{
	const char *severity = text_of(r, i, "severity");

	if (severity && strcmp(severity, "error") == 0)
		return KVPATH_ERROR;
	return severity && strcmp(severity, "warning") == 0 ? KVPATH_WARNING : KVPATH_INFO;
}

PUBLIC const char *kvpath_finding_title(const kvpath_result *r, size_t i)
{
	return text_of(r, i, "title");
}

PUBLIC const char *kvpath_finding_detail(const kvpath_result *r, size_t i)
{
	return text_of(r, i, "detail");
}

PUBLIC const char *kvpath_finding_repair(const kvpath_result *r, size_t i)
{
	return json_string_value(json_object_get(json_object_get(finding(r, i), "repair"), "text"));
}

PUBLIC const char *kvpath_result_json(const kvpath_result *r)
{
	return r->text;
}
