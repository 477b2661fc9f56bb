/* KV geometry: known models against hand-made sums, what can not be told, rates from a result. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "prove/geometry.h"
#include "prove/rates.h"

static char path[] = "/tmp/kvpath-geometry.XXXXXX";

static const char *file_of(const char *text)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(kv_write_all(fd, text, strlen(text)), 0);
	close(fd);
	return path;
}

static int read_text(struct kv_arena *a, const char *text, struct kv_geometry *g,
		     struct kv_err *err)
{
	*err = (struct kv_err){ 0 };
	return kv_geometry_read(a, file_of(text), g, err);
}

static const struct {
	const char *model;
	struct kv_shape_request req;
	uint64_t token, rank, copies, count, bytes;
} shapes[] = {
	/* 2 * 92 * 8 * 128 = 188416 elements */
	{ "glm-4.7", { 30000, 16, 1, "fp8", false }, 188416, 5652480000, 1, 345000, 16384 },
	{ "GLM-4.7", { 30000, 16, 4, NULL, false }, 376832, 2826240000, 1, 345000, 8192 },
	{ "glm-4.7", { 1, 64, 8, "fp8", true }, 188416, 1507328, 1, 1, 1507328 },
	/* heads are replicated beyond their number */
	{ "glm-4.7", { 16, 16, 16, "fp8", false }, 188416, 376832, 2, 184, 2048 },
	/* 61 * (512 + 64) elements, on every rank */
	{ "deepseek-v3", { 64, 64, 8, "bf16", false }, 70272, 4497408, 8, 61, 73728 },
	{ "deepseek-v3", { 64, 64, 1, "fp8_ds_mla", false }, 61 * 656, 2561024, 1, 61, 41984 },
	/* head_dim from hidden size and heads */
	{ "llama-3.3-70b", { 100, 16, 8, "auto", false }, 327680, 4587520, 1, 1120, 4096 },
	/* head_dim is not hidden size over heads: 4096 / 64 */
	{ "qwen3-235b", { 32, 16, 4, "bf16", false }, 192512, 1540096, 1, 376, 4096 },
};

static void known_models(void **state)
{
	(void)state;
	for (size_t i = 0; i < KV_ARRAY_SIZE(shapes); i++) {
		struct kv_arena *a = kv_arena_new();
		struct kv_err err = { 0 };
		struct kv_geometry g;
		struct kv_shape s;

		assert_int_equal(kv_geometry_read(a, shapes[i].model, &g, &err), 0);
		assert_true(g.source.n > 0);
		assert_int_equal(g.notes.n, 0);
		assert_int_equal(kv_geometry_shape(&g, &shapes[i].req, &s, &err), 0);
		assert_int_equal(s.bytes_per_token, shapes[i].token);
		assert_int_equal(s.bytes_per_rank, shapes[i].rank);
		assert_int_equal(s.copies, shapes[i].copies);
		assert_int_equal(s.n_descs, 1);
		assert_int_equal(s.descs[0].count, shapes[i].count);
		assert_int_equal(s.descs[0].bytes, shapes[i].bytes);
		assert_int_equal(s.descs[0].count * s.descs[0].bytes, s.bytes_per_rank);
		kv_arena_free(a);
	}
}

static void scales_are_counted(void **state)
{
	const struct kv_shape_request req = { 32, 16, 4, "fp4", false };
	struct kv_arena *a = kv_arena_new();
	struct kv_err err = { 0 };
	struct kv_geometry g;
	struct kv_shape s;

	(void)state;
	assert_int_equal(kv_geometry_read(a, "glm-4.7", &g, &err), 0);
	assert_int_equal(kv_geometry_shape(&g, &req, &s, &err), 0);
	assert_int_equal(s.n_descs, 2);
	assert_int_equal(s.descs[0].bytes, 16 * 2 * 128 / 2);
	assert_int_equal(s.descs[1].bytes, 16 * 2 * 128 / 16);
	assert_int_equal(s.bytes_per_token, 188416 / 2 + 188416 / 16);
	assert_int_equal(s.descs[0].count * (s.descs[0].bytes + s.descs[1].bytes),
			 s.bytes_per_rank);
	kv_arena_free(a);
}

#define PLAIN                                                                                      \
	"\"model_type\":\"llama\",\"num_hidden_layers\":4,\"num_attention_heads\":8,"              \
	"\"hidden_size\":64,\"torch_dtype\":\"float16\""

static const struct {
	const char *text;
	int r;
	const char *says;
} configs[] = {
	{ "{" PLAIN "}", 0, NULL },
	{ "{" PLAIN ",\"num_key_value_heads\":null,\"sliding_window\":null}", 0, NULL },
	{ "{" PLAIN ",\"layer_types\":[\"full_attention\"],\"index_topk\":0}", 0, NULL },
	{ "{" PLAIN ",\"sliding_window\":64,\"use_sliding_window\":false}", 0, NULL },
	{ "{\"text_config\":{" PLAIN "}}", 0, NULL },
	{ "{" PLAIN ",\"index_topk\":2048}", -ENOTSUP, "index" },
	{ "{" PLAIN ",\"layer_types\":[\"linear_attention\"]}", -ENOTSUP, "linear_attention" },
	{ "{" PLAIN ",\"layer_types\":[\"sliding_attention\"]}", -ENOTSUP, "sliding_attention" },
	{ "{" PLAIN ",\"hybrid_override_pattern\":\"M*\"}", -ENOTSUP, "several kinds" },
	{ "{" PLAIN ",\"num_key_value_heads\":[8,4]}", -ENOTSUP, "differs" },
	{ "{" PLAIN ",\"v_head_dim\":4}", -ENOTSUP, "different size" },
	{ "{" PLAIN ",\"kv_lora_rank\":512}", -EINVAL, "qk_rope_head_dim" },
	{ "{" PLAIN ",\"num_key_value_heads\":-1}", -EINVAL, "num_key_value_heads" },
	{ "{" PLAIN ",\"num_key_value_heads\":\"8\"}", -EINVAL, "num_key_value_heads" },
	{ "{\"num_hidden_layers\":4}", -EINVAL, "attention heads" },
	{ "{\"hidden_size\":4}", -EINVAL, "num_hidden_layers" },
	{ "[]", -EINVAL, "not an object" },
	{ "{\"num_hidden_layers\":4", -EINVAL, "no JSON" },
	{ "", -EINVAL, "no JSON" },
};

static void configs_are_read_or_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < KV_ARRAY_SIZE(configs); i++) {
		struct kv_arena *a = kv_arena_new();
		struct kv_geometry g;
		struct kv_err err;
		int r = read_text(a, configs[i].text, &g, &err);

		if (r != configs[i].r || (r && !strstr(err.msg, configs[i].says)))
			fail_msg("%s: %d %s", configs[i].text, r, err.msg);
		if (r == 0) {
			assert_int_equal(g.kv_heads, 8);
			assert_int_equal(g.head_dim, 8);
			assert_string_equal(g.dtype, "fp16");
		}
		kv_arena_free(a);
	}
}

/* A window matters only for requests that are longer. */
static void windows(void **state)
{
	struct kv_shape_request req = { 64, 16, 1, NULL, false };
	struct kv_arena *a = kv_arena_new();
	struct kv_geometry g;
	struct kv_shape s;
	struct kv_err err;

	(void)state;
	assert_int_equal(read_text(a,
				   "{" PLAIN ",\"sliding_window\":64,\"layer_types\":"
				   "[\"sliding_attention\",\"full_attention\"]}",
				   &g, &err),
			 0);
	assert_int_equal(kv_geometry_shape(&g, &req, &s, &err), 0);
	req.tokens++;
	assert_int_equal(kv_geometry_shape(&g, &req, &s, &err), -ENOTSUP);
	kv_arena_free(a);
}

static void requests_that_do_not_fit(void **state)
{
	static const struct kv_shape_request bad[] = {
		{ 0, 16, 1, NULL, false },
		{ 1, 0, 1, NULL, false },
		{ 1, 16, 0, NULL, false },
		{ 1, 16, 3, NULL, false },
		{ 1, 16, 12, NULL, false },
		{ 1, 16, 1, "fp7", false },
		{ 1, 16, 1, "fp8_ds_mla", false },
		{ UINT64_MAX, 1, 1, NULL, false },
		{ 1, UINT64_MAX / 2, 1, NULL, true },
	};
	struct kv_arena *a = kv_arena_new();
	struct kv_err err = { 0 };
	struct kv_geometry g;
	struct kv_shape s;

	(void)state;
	assert_int_equal(kv_geometry_read(a, "glm-4.7", &g, &err), 0);
	for (size_t i = 0; i < KV_ARRAY_SIZE(bad); i++)
		assert_int_equal(kv_geometry_shape(&g, &bad[i], &s, &err), -EINVAL);
	assert_int_equal(kv_geometry_read(a, "no-such-model", &g, &err), -ENOENT);
	assert_non_null(strstr(err.msg, "deepseek-v3"));
	kv_arena_free(a);
}

static void what_is_assumed_is_said(void **state)
{
	struct kv_arena *a = kv_arena_new();
	struct kv_geometry g;
	struct kv_err err;

	(void)state;
	assert_int_equal(read_text(a,
				   "{\"model_type\":\"new\",\"num_hidden_layers\":2,"
				   "\"num_attention_heads\":2,\"head_dim\":8}",
				   &g, &err),
			 0);
	assert_int_equal(g.notes.n, 2);
	assert_string_equal(g.dtype, "bf16");
	assert_int_equal(read_text(a,
				   "{" PLAIN ",\"quantization_config\":{\"kv_cache_scheme\":"
				   "{\"type\":\"float\",\"num_bits\":8}}}",
				   &g, &err),
			 0);
	assert_string_equal(g.dtype, "fp8");
	kv_arena_free(a);
}

#define RUN(engine, size, rate, intact)                                                            \
	"{\"engine\":\"" engine "\",\"provider\":\"tcp\",\"op\":\"write\",\"mem\":\"dram\","       \
	"\"size\":" size ",\"bytes_per_s\":" rate ",\"intact\":" intact "}"

static void rates(void **state)
{
	struct kv_arena *a = kv_arena_new();
	struct kv_err err = { 0 };
	kv_rates found = { 0 };

	(void)state;
	file_of("{\"schema\":\"kvpath.bench/1\",\"runs\":[" RUN(
		"tcp", "4096", "1e9",
		"true") "," RUN("tcp", "65536", "2e9",
				"true") "," RUN("tcp", "1048576", "4e9",
						"true") "," RUN("tcp", "8192", "9e9",
								"false") "," RUN("ucx", "4096", "5",
										 "true") ",3,{}]}");
	assert_int_equal(kv_rates_read(a, path, 5000, &found, &err), 0);
	assert_int_equal(found.n, 3);
	assert_string_equal(found.v[0].name, "tcp write dram");
	assert_int_equal(found.v[0].size, 4096);
	assert_int_equal(found.v[1].size, 1048576);
	assert_string_equal(found.v[2].name, "ucx tcp write dram");
	file_of("{\"schema\":\"kvpath.bench/2\",\"runs\":[]}");
	assert_int_equal(kv_rates_read(a, path, 1, &found, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "kvpath.bench/1"));
	file_of("{\"schema\":\"kvpath.bench/1\",\"runs\":[" RUN("tcp", "1", "0", "true") "]}");
	assert_int_equal(kv_rates_read(a, path, 1, &found, &err), -EINVAL);
	kv_arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_models),
		cmocka_unit_test(scales_are_counted),
		cmocka_unit_test(configs_are_read_or_refused),
		cmocka_unit_test(windows),
		cmocka_unit_test(requests_that_do_not_fit),
		cmocka_unit_test(what_is_assumed_is_said),
		cmocka_unit_test(rates),
	};
	int fd = mkstemp(path), r;

	if (fd < 0)
		return 1;
	close(fd);
	r = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(path);
	return r;
}
