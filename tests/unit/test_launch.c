/* Recipes as jobs, and jobs as arguments of srun. bash itself reads the words that are made for it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <sys/wait.h>

#include "launch/plan.h"
#include "launch/render.h"
#include "launch/steps.h"

#include <cmocka.h>

static const char recipe[] = "name: x y\n"
			     "backend_type: sglang\n"
			     "common:\n"
			     "  dynamo_container_image: /i.sqsh\n"
			     "  model_path: \"/m it's\"\n"
			     "  gpus_per_node: 4\n"
			     "  workers:\n"
			     "    prefill: {count: 3, gpus: 2, environment: {A: '1'}}\n"
			     "    decode: {count: 2, gpus: 8}\n"
			     "backend: {shared_config: {page_size: 64, trust: '', off: false}}\n"
			     "environment: {HF_TOKEN: hf_0123456789, P: '/a:${P}', Q: '$(x)'}\n"
			     "container_mounts: {/a: /b}\n"
			     "benchmark: {command: 'c --url {nginx_url} {{x}}'}\n"
			     "other: 1\n";

/* Backends whose commands follow from more than their flags. */
#define SRTCTL                                                                                     \
	"name: s\nmodel: {path: /m, container: /i, precision: fp4}\n"                              \
	"resources: {gpu_type: gb200, gpus_per_node: 4, prefill_nodes: 1, decode_nodes: 2, "       \
	"decode_workers: 1}\n"
static const char *const backends[] = {
	SRTCTL "backend:\n"
	       "  type: trtllm\n"
	       "  trtllm_config:\n"
	       "    prefill:\n"
	       "      a: {b: \"c\"}\n"
	       "      d: |\n"
	       "        e\n"
	       "      f: 'g' # h\n"
	       "    decode: {a: 1}\n",
	SRTCTL "backend: {type: vllm, connector: nixl, vllm_config: {prefill: {x: [1, 2]}, "
	       "decode: {data-parallel-size: 8}}}\n",
	SRTCTL "backend: {type: kvpath-bench, config: {prefill: {engine: tcp, tokens: 3}}}\n",
};

/* A file of this text; its name. */
static const char *write_temp(struct kv_arena *a, const char *text, size_t n)
{
	char *path = kv_strdup(a, "/tmp/kvpath-launch-unit.XXXXXX");
	_close_ int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(kv_write_all(fd, text, n), 0);
	return path;
}

static int read_text(struct kv_arena *a, const char *text, size_t n, struct kv_job *ret,
		     struct kv_err *err)
{
	const char *path = write_temp(a, text, n);
	int r = kv_job_read(a, path, ret, err);

	unlink(path);
	return r;
}

static struct kv_launch plan_of(struct kv_arena *a, struct kv_job *job, enum kv_place place)
{
	struct kv_launch_how how = { .place = place,
				     .root = "/r",
				     .program = "/k/bin/kvpath",
				     .repair = true,
				     .check = true };
	struct kv_err err = { 0 };
	struct kv_launch l;

	kv_wanted_options(a, "LIBFABRIC", /* vram= */ false, &how.options);
	how.check_options = how.options;
	assert_int_equal(read_text(a, recipe, strlen(recipe), job, &err), 0);
	assert_int_equal(kv_launch_plan(job, &how, &l, &err), 0);
	return l;
}

static const struct kv_step *step(const struct kv_launch *l, const char *name)
{
	for (size_t i = 0; i < l->steps.n; i++)
		if (kv_streq(l->steps.v[i].name, name))
			return &l->steps.v[i];
	fail_msg("no step %s", name);
	return NULL;
}

static void assert_has(const struct kv_step *s, const char *arg)
{
	if (!kv_strv_has(&s->argv, arg))
		fail_msg("%s has no %s", s->name, arg);
}

static void test_nodes_and_gpus(void **state)
{
	struct kv_arena *a = kv_arena_new();
	struct kv_job job;
	struct kv_launch l = plan_of(a, &job, KV_PLACE_PYXIS);
	kv_strv nodes = { 0 };

	(void)state;
	/* Three workers of two GPUs on two nodes, two of eight on two nodes each. */
	assert_int_equal(l.nodes, 6);
	assert_int_equal(step(&l, "prefill_1")->first, 0);
	assert_string_equal(kv_env_get(&step(&l, "prefill_1")->env, "CUDA_VISIBLE_DEVICES"), "2,3");
	assert_int_equal(step(&l, "prefill_2")->first, 1);
	assert_int_equal(step(&l, "decode_1")->first, 4);
	assert_int_equal(step(&l, "decode_1")->nodes, 2);
	assert_has(step(&l, "decode_1"), KV_NODES_MARK "4+2");
	for (int i = 0; i < 6; i++)
		kv_vec_push(a, &nodes, kv_strf(a, "n%d", i));
	assert_string_equal(kv_launch_arg(a, KV_NODES_MARK "4+2", "/l", &nodes),
			    "--nodelist=n4,n5");
	assert_string_equal(kv_launch_arg(a, KV_NODES_MARK "5+2", "/l", &nodes), "--nodelist=n5");
	assert_string_equal(kv_launch_arg(a, "a" KV_LOGS_MARK "b\x02", "/l", &nodes), "a/lb\x02");
	assert_has(step(&l, "decode_1"), "--ntasks=2");
	assert_has(step(&l, "decode_1"), "--container-image=/i.sqsh");
	assert_int_equal(l.checks.n, 2);
	assert_has(&l.checks.v[1], "--nodes=4");
	assert_int_equal(step(&l, "client")->first, 0);
	assert_ptr_equal(&l.steps.v[l.steps.n - 1], step(&l, "client"));
	kv_arena_free(a);
}

static void test_secrets_are_no_arguments(void **state)
{
	static const enum kv_place places[] = { KV_PLACE_PYXIS, KV_PLACE_ROOT, KV_PLACE_HOST };
	kv_strv self = { 0 };

	(void)state;
	unsetenv("HF_TOKEN");
	for (size_t p = 0; p < KV_ARRAY_SIZE(places); p++) {
		struct kv_arena *a = kv_arena_new();
		struct kv_job job;
		struct kv_launch l = plan_of(a, &job, places[p]);
		char *text = NULL;
		size_t n;
		FILE *f = open_memstream(&text, &n);

		kv_launch_print(f, &l, &self);
		fclose(f);
		assert_null(strstr(text, "hf_0123456789"));
		free(text);
		for (size_t i = 0; i < l.steps.n; i++) {
			for (size_t k = 0; k < l.steps.v[i].argv.n; k++)
				assert_null(strstr(l.steps.v[i].argv.v[k], "hf_0123456789"));
			assert_string_equal(kv_env_get(&l.steps.v[i].env, "HF_TOKEN"),
					    "hf_0123456789");
		}
		kv_arena_free(a);
	}
}

static void test_what_is_left_is_named(void **state)
{
	struct kv_arena *a = kv_arena_new();
	struct kv_job job;

	(void)state;
	(void)plan_of(a, &job, KV_PLACE_HOST);
	assert_int_equal(job.left.n, 2);
	assert_non_null(strstr(job.left.v[0], ":14: other: "));
	assert_non_null(strstr(job.left.v[1], "mount /a:/b: "));
	kv_arena_free(a);
}

static void test_names_of_secrets(void **state)
{
	static const char *const secret[] = { "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "wandb_api_key",
					      "X_PASSWORD" };
	static const char *const open[] = { "MAX_TOKENS", "SGLANG_PER_TOKEN_GROUP", "KEY_PATH",
					    "TOKENIZERS_PARALLELISM" };

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		assert_true(kv_is_secret_name(secret[i]));
		assert_false(kv_is_secret_name(open[i]));
	}
}

/* What bash makes of words, each ended by a NUL. */
static size_t ask_bash(const char *words, char *ret, size_t max)
{
	struct kv_arena *a = kv_arena_new();
	const char *script = kv_strf(a,
				     "export P=p KVPATH_PREFILL_0=\"it's 1\"\n"
				     "printf '%%s\\0' %s\n",
				     words);
	const char *path = write_temp(a, script, strlen(script));
	FILE *f = popen(kv_strf(a, "env -i LC_ALL=C bash %s", path), "r");
	size_t n;

	assert_non_null(f);
	n = fread(ret, 1, max, f);
	assert_int_equal(pclose(f), 0);
	unlink(path);
	kv_arena_free(a);
	return n;
}

static void test_bash_reads_the_words_back(void **state)
{
	static const char *const fixed[][2] = {
		{ "", "" },
		{ "{prefill_0}:1", "it's 1:1" },
		{ "/a:${P}", "/a:p" },
		{ "${P}$P\"`\\{prefill_9}", "p$P\"`\\{prefill_9}" },
		{ "$(echo no)${P}", "$(echo no)p" },
		{ "a\nb${P}\n", "a\nbp\n" },
		{ "a\x01${P}", "a\x01${P}" }, /* of odd bytes nothing is looked up */
		{ "{nope}", "{nope}" },
	};
	struct kv_arena *a = kv_arena_new();
	static char out[1 << 20];
	const char *words = "";
	kv_strv want = { 0 };
	struct kv_job job;
	size_t n, at = 0;

	(void)state;
	(void)plan_of(a, &job, KV_PLACE_HOST);
	for (size_t i = 0; i < KV_ARRAY_SIZE(fixed); i++) {
		words = kv_strf(a, "%s %s", words, kv_job_word(&job, fixed[i][0]));
		kv_vec_push(a, &want, kv_strdup(a, fixed[i][1]));
	}
	srandom(7);
	for (size_t i = 0; i < 400; i++) {
		char s[24] = "x";

		for (size_t k = 1; k < 1 + (size_t)random() % 20; k++)
			s[k] = (char)(random() % 3 ? " '\"$\\`!{}~*#\n"[random() % 13]
						   : 1 + random() % 255);
		/* "${a}" could come about, and is another matter. */
		if (strstr(s, "${"))
			continue;
		words = kv_strf(a, "%s %s", words, kv_job_word(&job, s));
		kv_vec_push(a, &want, kv_strdup(a, s));
	}
	n = ask_bash(words, out, sizeof(out));
	for (size_t i = 0; i < want.n; i++) {
		assert_true(at < n);
		/* Behind odd bytes, which are written by a command, newlines at the end are lost.
		 */
		if (!kv_ends(want.v[i], "\n") ||
		    kv_streq(kv_printable_text(a, want.v[i]), want.v[i]))
			assert_string_equal(out + at, want.v[i]);
		at += strlen(out + at) + 1;
	}
	assert_int_equal(at, n);
	kv_arena_free(a);
}

/* Reads it, plans it and prints it, as far as it goes; what it says where it does not. */
static void go_through(const char *text, size_t n)
{
	const struct kv_launch_how how = { .place = KV_PLACE_HOST,
					   .program = "/k/bin/kvpath",
					   .check = true };
	struct kv_arena *a = kv_arena_new();
	kv_strv self = { 0 };
	struct kv_err err = { 0 };
	struct kv_launch l;
	struct kv_job job;
	int r = read_text(a, text, n, &job, &err);

	if (r == 0)
		r = kv_launch_plan(&job, &how, &l, &err);
	assert_true(r == 0 || (r < 0 && *err.msg));
	if (r == 0) {
		char *out = NULL;
		size_t out_n;
		FILE *f = open_memstream(&out, &out_n);

		kv_launch_print(f, &l, &self);
		fclose(f);
		free(out);
	}
	kv_arena_free(a);
}

static void test_every_cut_of_a_recipe(void **state)
{
	(void)state;
	for (size_t n = 0; n < strlen(recipe); n++)
		go_through(recipe, n);
	for (size_t i = 0; i < KV_ARRAY_SIZE(backends); i++)
		for (size_t n = strlen(SRTCTL); n <= strlen(backends[i]); n++)
			go_through(backends[i], n);
}

/* The engine's file is what the recipe has, to the last key. */
static void test_engine_of_trtllm(void **state)
{
	struct kv_arena *a = kv_arena_new();
	struct kv_err err = { 0 };
	struct kv_job job;

	(void)state;
	assert_int_equal(read_text(a, backends[0], strlen(backends[0]), &job, &err), 0);
	assert_non_null(strstr(job.roles.v[0].setup, "      a: {b: \"c\"}\n"
						     "      d: |\n"
						     "        e\n"
						     "      f: '\\''g'\\'' # h' >"));
	assert_non_null(strstr(job.roles.v[1].setup, "'{a: 1}' >"));
	assert_int_equal(job.roles.v[1].tasks, 4);
	kv_arena_free(a);
}

static void test_addresses(void **state)
{
	static const char *const lines[][2] = {
		{ "NodeName=n0 Arch=x86_64 NodeAddr=10.0.0.7 NodeHostName=h", "10.0.0.7" },
		{ "NodeName=n0 NodeAddr=h7.example", "h7.example" },
		{ "NodeName=n0 NodeAddr=fd00::7 NodeHostName=h", "n0" },
		{ "NodeName=n0 NodeAddr= NodeHostName=h:", "n0" },
		{ "NodeName=n0 Arch=x86_64", "n0" },
	};
	struct kv_arena *a = kv_arena_new();

	(void)state;
	for (size_t i = 0; i < KV_ARRAY_SIZE(lines); i++)
		assert_string_equal(kv_node_address(a, lines[i][0], "n0"), lines[i][1]);
	kv_arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nodes_and_gpus),
		cmocka_unit_test(test_secrets_are_no_arguments),
		cmocka_unit_test(test_what_is_left_is_named),
		cmocka_unit_test(test_names_of_secrets),
		cmocka_unit_test(test_bash_reads_the_words_back),
		cmocka_unit_test(test_every_cut_of_a_recipe),
		cmocka_unit_test(test_engine_of_trtllm),
		cmocka_unit_test(test_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
