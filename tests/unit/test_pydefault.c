/*
 * Snippets in the shapes that a NIXL wheel's _api.py may take. A source that is not understood must
 * stay UNKNOWN: a wrong hit would rewrite somebody's code.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "repair/pydefault.h"

#define HEAD "class nixl_agent_config:\n    \"\"\"Settings.\"\"\"\n\n    def __init__("
#define TAIL "):\n        self.backends = backends\n"
#define OWN(names)                                                                                 \
	"(__import__(\"os\").environ.get(\"NIXL_BACKEND\") or \"" names "\").split(\",\")"

static struct kv_span span(const char *source)
{
	return (struct kv_span){ (const uint8_t *)source, strlen(source) };
}

static struct kv_pydefault find(struct kv_arena *a, const char *source)
{
	struct kv_pydefault ret;

	kv_pydefault_find(a, span(source), &ret);
	return ret;
}

/* names: comma-separated */
static void expect(struct kv_arena *a, const char *source, enum kv_pydefault_kind kind,
		   const char *names)
{
	struct kv_pydefault found = find(a, source);
	_buf_ struct kv_buf got = { 0 };

	for (size_t i = 0; i < found.backends.n; i++)
		kv_buf_fmt(&got, "%s%s", i ? "," : "", found.backends.v[i]);
	if (found.kind != kind)
		print_error("kind %d, why: %s\n%s\n", found.kind, found.why ? found.why : "-",
			    source);
	assert_int_equal(found.kind, kind);
	assert_string_equal(got.text ? got.text : "", names);
}

static void expect_unknown(struct kv_arena *a, const char *source, const char *why)
{
	struct kv_pydefault found = find(a, source);

	if (found.kind != KV_PYDEFAULT_UNKNOWN || !strstr(found.why, why))
		print_error("kind %d, why: %s\n%s\n", found.kind, found.why ? found.why : "-",
			    source);
	assert_int_equal(found.kind, KV_PYDEFAULT_UNKNOWN);
	assert_non_null(strstr(found.why, why));
	assert_null(strchr(found.why, '\n'));
	assert_int_equal(found.backends.n, 0);
	assert_null(kv_pydefault_patch(a, span(source), &found, "LIBFABRIC").p);
}

static void test_ways_of_writing_it(void **state)
{
	static const struct {
		const char *parameters, *names;
	} cases[] = {
		{ "self, backends: list[str] = [\"UCX\"]", "UCX" },
		{ "self, a: int = 1, backends: List[str] = ['UCX'], b=None", "UCX" },
		{ "self, backends: Optional[list[str]] = (\"UCX\",)", "UCX" },
		{ "self, backends=[ \"UCX\", \"LIBFABRIC\", ]", "UCX,LIBFABRIC" },
		{ "self, *, backends=('UCX', 'GDS_MT')", "UCX,GDS_MT" },
		{ "self, backends = ['UCX'], /, x=2", "UCX" },
		{ "self,\n\tbackends: 'list[str]' = [  # default\n\t\t'UCX',  # ] \"\n\n\t],\n",
		  "UCX" },
		{ "self, backends=[r'UCX', R\"POSIX\", u'OBJ']", "UCX,POSIX,OBJ" },
		{ "self, backends=['''UCX''', \"\"\"GDS\"\"\"]", "UCX,GDS" },
		{ "self, backends=['LIB' \"FABRIC\"]", "LIBFABRIC" },
		{ "self, backends=['LIB' \\\n 'FABRIC', 'UCX']", "LIBFABRIC,UCX" },
		{ "self, backends=(['UCX'])", "UCX" },
		{ "self, backends=((('UCX',)))", "UCX" },
		{ "self, backends=[]", "" },
		{ "self, backends\\\n=\\\n['UCX']", "UCX" },
		{ "self, backends: Literal['a=[', ')'] = ['UCX']", "UCX" },
		{ "self, f=lambda backends=['NO'], *c: {1: 2}, backends=['UCX']", "UCX" },
		{ "self, d={'backends': ['NO']}, s=\"backends=['NO']\", backends=['UCX']", "UCX" },
		{ "self, k=f(backends=['NO']), c=x == 1 or y <= 2, backends=['UCX']", "UCX" },
	};
	struct kv_arena *a = kv_arena_new();

	(void)state;
	for (size_t i = 0; i < KV_ARRAY_SIZE(cases); i++)
		expect(a, kv_strf(a, HEAD "%s" TAIL, cases[i].parameters), KV_PYDEFAULT_LITERAL,
		       cases[i].names);
	kv_arena_free(a);
}

static void test_not_plainly_a_list(void **state)
{
	static const struct {
		const char *value, *why;
	} cases[] = {
		{ "None", "None" },
		{ "(\"UCX\")", "not a tuple" },
		{ "\"UCX\"", "not a literal list" },
		{ "{\"UCX\"}", "not a literal list" },
		{ "[b\"UCX\"]", "bytes" },
		{ "[f\"{x}\"]", "formatted" },
		{ "[\"U\" f\"CX\"]", "formatted" },
		{ "[\"U\\x43X\"]", "not a backend's name" },
		{ "[\"UCX \"]", "not a backend's name" },
		{ "[\"\"]", "not a backend's name" },
		{ "[NAME]", "more than plain strings" },
		{ "[\"UCX\", *MORE]", "more than plain strings" },
		{ "[\"UCX\"] + [\"GDS\"]", "more than plain strings" },
		{ "[\"UCX\"][0:1]", "more than plain strings" },
		{ "((\"UCX\",), (\"GDS\",))", "more than plain strings" },
		{ "[\"UCX\"] if x else [\"GDS\"]", "more than plain strings" },
		{ "list((\"UCX\",))", "not a literal list" },
		{ "DEFAULT_BACKENDS", "DEFAULT_BACKENDS: it is not a literal list" },
		{ "field(default_factory=lambda: [\"UCX\"])", "not a literal list" },
		{ "[os.environ.get(\"N\", \"UCX\")]", "more than" }, /* which os? */
		{ "[__import__(\"io\").environ.get(\"N\", \"UCX\")]", "more than" },
		{ "[__import__(\"os\").environ.get(NAME, \"UCX\")]", "more than" },
		{ "[__import__(\"os\").environ.get(\"A B\", \"UCX\")]", "more than" },
		{ "[__import__(\"os\").environ.get(\"N\", UCX)]", "more than" },
		{ "[__import__(\"os\").environ.get(\"N\", \"UCX,GDS\")]", "more than" },
		{ "[__import__(\"os\").environ.get(\"N\", \"U\" \"CX\")]", "more than" },
		{ "[__import__(\"os\").environ.get(\"N\", \"UCX\"), \"GDS\"]", "more than" },
		{ "__import__(\"os\").getenv(\"N\", \"UCX\")", "not a literal list" },
		{ "__import__(\"os\").getenv(\"N\", \"UCX\").split()", "not a literal list" },
		{ "__import__(\"os\").getenv(\"N\", \"UCX\").split(\":\")", "not a literal list" },
		{ "__import__(\"os\").getenv(\"N\") or \"UCX\".split(\",\")",
		  "not a literal list" },
		{ OWN(""), "more than" },
		{ OWN("UCX,"), "more than" },
		{ OWN("a b"), "more than" },
	};
	struct kv_arena *a = kv_arena_new();

	(void)state;
	for (size_t i = 0; i < KV_ARRAY_SIZE(cases); i++)
		expect_unknown(a, kv_strf(a, HEAD "self, backends=%s" TAIL, cases[i].value),
			       cases[i].why);
	kv_arena_free(a);
}

static void test_no_place_to_look(void **state)
{
	struct kv_arena *a = kv_arena_new();

	(void)state;
	expect_unknown(a, "", "no class");
	expect_unknown(a, "# " HEAD "self, backends=['UCX']" TAIL, "no class");
	expect_unknown(a, HEAD "self" TAIL, "no parameter backends");
	expect_unknown(a, HEAD "self, backend=['UCX']" TAIL, "no parameter backends");
	expect_unknown(a, HEAD "self, *backends" TAIL, "no parameter backends");
	expect_unknown(a, HEAD "self, **backends" TAIL, "no parameter backends");
	expect_unknown(a, HEAD "self, backends" TAIL, "no default");
	expect_unknown(a, HEAD "self, backends: list[str]" TAIL, "no default");
	expect_unknown(a, HEAD "self, backends=['A']" TAIL HEAD "self, backends=['B']" TAIL,
		       "defined more than once");
	expect_unknown(a,
		       HEAD "self, backends=['A']" TAIL
			    "    def __init__(self, backends=['B']): pass\n",
		       "more than one __init__");
	expect_unknown(a,
		       "@dataclass\nclass nixl_agent_config:\n"
		       "    backends: list[str] = field(default_factory=lambda: ['UCX'])\n",
		       "is a field");
	expect_unknown(a, "class nixl_agent_config: pass\n", "has no __init__");
	expect_unknown(a, "class nixl_agent_config:\n    def __init__\n", "no parameter list");
	kv_arena_free(a);
}

static void test_not_fooled_by_look_alikes(void **state)
{
	static const char *const before[] = {
		"'''\nclass nixl_agent_config:\n    def __init__(self, backends=['NO']): "
		"pass\n'''\n",
		"r\"\"\"\\\"\"\"\"\nx = \"class nixl_agent_config:\" # '\n",
		"class other:\n    def __init__(self, backends: list[str] = ['NO']): pass\n",
		"class other:\n    class nixl_agent_config:\n"
		"        def __init__(self, backends=['NO']): pass\n",
		"def make():\n    class nixl_agent_config:\n"
		"        def __init__(self, backends=['NO']): pass\n    return nixl_agent_config\n",
		"def register(self, r, backends: list[str] = []):\n    "
		"\"\"\"backends=['NO']\"\"\"\n",
		"x = [\nclass_, \"nixl_agent_config\", # class nixl_agent_config:\n]\n",
		"x = 1 + \\\n    nixl_agent_config\n",
		"t = f\"{d[\"k\"]!r:>{w}} {{ class nixl_agent_config: {'}'}\"\n", /* Python 3.12 */
		"class nixl_agent_config_t:\n    def __init__(self, backends=['NO']): pass\n",
		"nixl_agent_config = None\nif x: pass\n",
		"if 1:\n\tdef f():\n\t  if 2:\n\t\tpass\n\t  return\n",
		"t = 'it\\'s' \"\\\\\" rb'\\'' b\"\" '' '''''' \"\"\"\"a\"\"\"\n",
	};
	static const char after[] = "    def register_memory(self, backends: list[str] = []):\n"
				    "        def __init__(self, backends=['NO']): pass\n"
				    "    class inner:\n"
				    "        def __init__(self, backends=['NO']): pass\n"
				    "class nixl_agent:\n"
				    "    def __init__(self, backends=['NO']): pass\n";
	struct kv_arena *a = kv_arena_new();

	(void)state;
	for (size_t i = 0; i < KV_ARRAY_SIZE(before); i++)
		expect(a,
		       kv_strf(a, "%s" HEAD "self, backends=['UCX']" TAIL "%s", before[i], after),
		       KV_PYDEFAULT_LITERAL, "UCX");
	expect(a,
	       "if x:\n  class nixl_agent_config(object):\n   if y:\n"
	       "      @dec\n      def __init__[T](self, backends: T = ['UCX']): pass\n",
	       KV_PYDEFAULT_LITERAL, "UCX");
	kv_arena_free(a);
}

static void test_broken_sources(void **state)
{
	struct kv_arena *a = kv_arena_new();
	struct kv_pydefault found;

	(void)state;
	expect_unknown(a, HEAD "self, backends=['UCX']", "a bracket is not closed");
	expect_unknown(a, HEAD "self, backends=['UCX'}" TAIL, "line 4: a bracket closes");
	expect_unknown(a, HEAD "self, backends=['UCX\n']" TAIL, "line 4: a string does not end");
	expect_unknown(a, HEAD "self, backends=['UCX']" TAIL "'''", "does not end");
	expect_unknown(a, HEAD "self, backends=['UCX']" TAIL "f'{x", "does not end");
	expect_unknown(a, HEAD "self, backends=['UCX']" TAIL "x = \\", "no Python source");
	kv_pydefault_find(a, (struct kv_span){ (const uint8_t *)"x = 1\0", 6 }, &found);
	assert_string_equal(found.why, "line 1: the source holds a null byte");
	kv_pydefault_find(a, (struct kv_span){ 0 }, &found);
	assert_int_equal(found.kind, KV_PYDEFAULT_UNKNOWN);
	kv_arena_free(a);
}

static void test_nesting_is_bounded(void **state)
{
	struct kv_arena *a = kv_arena_new();
	_buf_ struct kv_buf b = { 0 };

	(void)state;
	for (int i = 0; i < 300; i++)
		kv_buf_str(&b, "[");
	expect_unknown(a, b.text, "nested too deeply");
	kv_buf_clear(&b);
	for (int i = 0; i < 200000; i++)
		kv_buf_str(&b, "f'{");
	expect_unknown(a, b.text, "nested too deeply");
	kv_buf_clear(&b);
	for (int i = 0; i < 300; i++)
		kv_buf_fmt(&b, "%*sclass c:\n", i, "");
	expect_unknown(a, b.text, "nested too deeply");
	kv_buf_clear(&b);
	kv_buf_str(&b, HEAD "self, backends=[");
	for (int i = 0; i < 300; i++)
		kv_buf_str(&b, "'UCX',");
	kv_buf_str(&b, "]" TAIL);
	expect_unknown(a, b.text, "too long");
	kv_arena_free(a);
}

static void test_range_and_line(void **state)
{
	static const char source[] = "\xef\xbb\xbf# a\r\nx = '''\r\n\r\n'''\r" HEAD
				     "self,\r\n backends = [\r\n  'UCX'\r\n ] , y=1" TAIL;
	struct kv_arena *a = kv_arena_new();
	struct kv_pydefault found = find(a, source);

	(void)state;
	assert_int_equal(found.kind, KV_PYDEFAULT_LITERAL);
	assert_int_equal(found.line, 9);
	assert_int_equal(source[found.start], '[');
	assert_int_equal(source[found.end - 1], ']');
	assert_memory_equal(source + found.end, " , y=1", 6);
	kv_arena_free(a);
}

static void test_a_variable_of_ones_own(void **state)
{
	static const struct {
		const char *value, *names, *patched;
		bool is_split, skips_empty;
	} cases[] = {
		{ "[os.environ.get('NIXL_BACKEND', 'UCX')]", "UCX",
		  "[os.environ.get('NIXL_BACKEND', \"LIBFABRIC\")]", false, false },
		{ "[ os . getenv( \"NIXL_BACKEND\" ) or\n 'UCX' ]", "UCX",
		  "[ os . getenv( \"NIXL_BACKEND\" ) or\n \"LIBFABRIC\" ]", false, true },
		{ "os.getenv(\"NIXL_BACKEND\", \"UCX,GDS\").split(\",\")", "UCX,GDS",
		  "os.getenv(\"NIXL_BACKEND\", \"LIBFABRIC\").split(\",\")", true, false },
		{ "(os.environ.get(\"NIXL_BACKEND\", \"UCX\")).split(',')", "UCX",
		  "(os.environ.get(\"NIXL_BACKEND\", \"LIBFABRIC\")).split(',')", true, false },
		{ "(__import__('os').getenv('NIXL_BACKEND') or 'UCX').split(',')", "UCX",
		  "(__import__('os').getenv('NIXL_BACKEND') or \"LIBFABRIC\").split(',')", true,
		  true },
	};
	struct kv_arena *a = kv_arena_new();

	(void)state;
	for (size_t i = 0; i < KV_ARRAY_SIZE(cases); i++) {
		const char *source =
			kv_strf(a, "import os\n" HEAD "self, backends=%s" TAIL, cases[i].value);
		struct kv_pydefault found = find(a, source);
		struct kv_span text;

		expect(a, source, KV_PYDEFAULT_ENV, cases[i].names);
		assert_string_equal(found.env, "NIXL_BACKEND");
		assert_int_equal(found.is_split, cases[i].is_split);
		assert_int_equal(found.skips_empty, cases[i].skips_empty);
		text = kv_pydefault_patch(a, span(source), &found, "LIBFABRIC");
		assert_string_equal(
			(const char *)text.p,
			kv_strf(a, "import os\n" HEAD "self, backends=%s" TAIL, cases[i].patched));
		expect(a, (const char *)text.p, KV_PYDEFAULT_ENV, "LIBFABRIC");
	}
	expect(a,
	       HEAD "self, backends=(__import__(\"os\").environ.get(\"OTHER\") or "
		    "\"UCX\").split(\",\")" TAIL,
	       KV_PYDEFAULT_ENV, "UCX");
	kv_arena_free(a);
}

static void test_patch(void **state)
{
	struct kv_arena *a = kv_arena_new();
	const char *source =
		HEAD "\r\n\tself, backends: list[str] = [\"UCX\"],\r\n" TAIL "# \xc3\xa9";
	struct kv_pydefault found = find(a, source);
	struct kv_span once = kv_pydefault_patch(a, span(source), &found, "LIBFABRIC"), twice;

	(void)state;
	assert_string_equal((const char *)once.p, HEAD "\r\n\tself, backends: list[str] = " OWN(
							  "LIBFABRIC") ",\r\n" TAIL "# \xc3\xa9");
	expect(a, (const char *)once.p, KV_PYDEFAULT_KVPATH, "LIBFABRIC");
	found = find(a, (const char *)once.p);
	twice = kv_pydefault_patch(a, once, &found, "LIBFABRIC");
	assert_int_equal(twice.n, once.n);
	assert_memory_equal(twice.p, once.p, once.n);
	/* Another backend later; a name that would break out of the string never. */
	twice = kv_pydefault_patch(a, once, &found, "Mooncake_2");
	expect(a, (const char *)twice.p, KV_PYDEFAULT_KVPATH, "Mooncake_2");
	assert_null(kv_pydefault_patch(a, once, &found, "A\"+x()+\"").p);
	assert_null(kv_pydefault_patch(a, once, &found, "").p);
	kv_arena_free(a);
}

static void test_own_expression(void **state)
{
	struct kv_arena *a = kv_arena_new();

	(void)state;
	expect(a, HEAD "self, backends=" OWN("UCX,LIBFABRIC") TAIL, KV_PYDEFAULT_KVPATH,
	       "UCX,LIBFABRIC");
	/* As a formatter might leave it. */
	expect(a,
	       HEAD "self, backends=(\n  __import__('os').environ.get('NIXL_BACKEND')\n"
		    "  or 'LIBFABRIC'\n).split(',')" TAIL,
	       KV_PYDEFAULT_KVPATH, "LIBFABRIC");
	kv_arena_free(a);
}

/* Every prefix and every single changed byte of a source: no overrun (under ASan), always an
 * answer. */
static void test_mutations(void **state)
{
	static const char source[] = "x = f\"{a[\"b\"]:>{w}}\" '''\n''' \\\n  # c\n" HEAD
				     "self, *, backends: list[str] = ['UC' r'X', \"GDS\",]" TAIL;
	static const char bytes[] = "\"'\\()[]{}\n\r\t #=,f:\xff\x01";
	size_t n = strlen(source);

	(void)state;
	for (size_t i = 0; i <= n; i++) {
		struct kv_arena *a = kv_arena_new();
		_free_ uint8_t *copy = malloc(n + 1);
		struct kv_pydefault found;

		assert_non_null(copy);
		memcpy(copy, source, n);
		for (const char *b = bytes; *b && i < n; b++) {
			copy[i] = (uint8_t)*b;
			kv_pydefault_find(a, (struct kv_span){ copy, n }, &found);
			assert_true(found.kind == KV_PYDEFAULT_UNKNOWN
					    ? found.why != NULL
					    : found.start < found.end && found.end <= n);
		}
		copy[i < n ? i : 0] = (uint8_t)source[i < n ? i : 0];
		kv_pydefault_find(a, (struct kv_span){ copy + n - i, i }, &found);
		kv_pydefault_find_call(a, (struct kv_span){ copy, i }, "__init__", "b", &found);
		kv_pydefault_find(a, (struct kv_span){ copy, i }, &found);
		assert_true(found.kind != KV_PYDEFAULT_UNKNOWN || found.why);
		kv_arena_free(a);
	}
}

/* source with the call's argument replaced; "-": it is not understood. */
static void expect_call(const char *source, const char *names, const char *patched)
{
	struct kv_arena *a = kv_arena_new();
	struct kv_pydefault found;
	_buf_ struct kv_buf got = { 0 };
	struct kv_span text;

	kv_pydefault_find_call(a, span(source), "get", "backends", &found);
	for (size_t i = 0; i < found.backends.n; i++)
		kv_buf_fmt(&got, "%s%s", i ? "," : "", found.backends.v[i]);
	if (found.kind == KV_PYDEFAULT_UNKNOWN) {
		assert_string_equal("-", names);
		assert_non_null(found.why);
		kv_arena_free(a);
		return;
	}
	assert_string_equal(got.text ? got.text : "", names);
	text = kv_pydefault_patch(a, span(source), &found, "LIBFABRIC");
	assert_int_equal(text.n, strlen(patched));
	assert_memory_equal(text.p, patched, text.n);
	/* What was written is known again. */
	kv_pydefault_find_call(a, text, "get", "backends", &found);
	assert_int_equal(found.kind, KV_PYDEFAULT_KVPATH);
	kv_arena_free(a);
}

static void test_calls(void **state)
{
	(void)state;
	expect_call("x = c.get(\n    \"backends\", [\"UCX\"]\n)\ny = 1\n", "UCX",
		    "x = c.get(\n    \"backends\", " OWN("LIBFABRIC") "\n)\ny = 1\n");
	expect_call("x = \\\n  c.get(\n 'backends',  # the\n  ('UCX', 'GDS',),\n)\n", "UCX,GDS",
		    "x = \\\n  c.get(\n 'backends',  # the\n  " OWN("LIBFABRIC") ",\n)\n");
	expect_call("f(a, (c.get(\"backends\", [\"UCX\"]) == [\"UCX\"]), b)\n", "UCX",
		    "f(a, (c.get(\"backends\", " OWN("LIBFABRIC") ") == [\"UCX\"]), b)\n");
	expect_call("c.get(\"backends\", [])\n", "", "c.get(\"backends\", " OWN("LIBFABRIC") ")\n");
	expect_call(
		"c.get(\"other\", 3)\nc.get(get(\"backends\", [\"A\"]), [\"B\"])\n", "A",
		"c.get(\"other\", 3)\nc.get(get(\"backends\", " OWN("LIBFABRIC") "), [\"B\"])\n");
	/* Two of them, none, another's, what is no list of names, what breaks off. */
	expect_call("c.get(\"backends\", [\"UCX\"])\nc.get(\"backends\", [\"UCX\"])\n", "-", NULL);
	expect_call("# c.get(\"backends\", [\"UCX\"])\ns = 'get(\"backends\", [1])'\n", "-", NULL);
	expect_call("c.get(\"backends\")\nc.forget(\"backends\", [\"UCX\"])\n", "-", NULL);
	expect_call("def get(self, key, default):\n    return 1\n", "-", NULL);
	expect_call("c.get(b\"backends\", [\"UCX\"])\n", "-", NULL);
	expect_call("c.get(\"backends\", default)\n", "-", NULL);
	expect_call("c.get(\"backends\", [\"UCX\"] + more)\n", "-", NULL);
	expect_call("c.get(\"backends\", )\n", "-", NULL);
	expect_call("c.get(\"backends\", [\"UCX\"]", "-", NULL);
	expect_call("c.get(\"backends\", [\"UCX\"]\nx = 1\n", "-", NULL);
}

/* The same of NAME = F("UCX"). */
static void expect_setting(const char *source, const char *name, const char *patched)
{
	struct kv_arena *a = kv_arena_new();
	struct kv_pydefault found;
	struct kv_span text;

	kv_pydefault_find_setting(a, span(source), "KNOB", &found);
	if (found.kind == KV_PYDEFAULT_UNKNOWN) {
		assert_string_equal("-", name);
		assert_non_null(found.why);
		kv_arena_free(a);
		return;
	}
	assert_int_equal(found.backends.n, 1);
	assert_string_equal(found.backends.v[0], name);
	text = kv_pydefault_patch(a, span(source), &found, "LIBFABRIC");
	assert_int_equal(text.n, strlen(patched));
	assert_memory_equal(text.p, patched, text.n);
	kv_pydefault_find_setting(a, text, "KNOB", &found);
	assert_int_equal(found.kind, KV_PYDEFAULT_KVPATH);
	assert_string_equal(found.backends.v[0], "LIBFABRIC");
	kv_arena_free(a);
}

static void test_settings(void **state)
{
	(void)state;
	expect_setting("class E:\n    KNOB = EnvStr(\"UCX\")\n    KNOB_PARAMS = EnvStr(\"{}\")\n",
		       "UCX",
		       "class E:\n    KNOB = EnvStr(" OWN(
			       "LIBFABRIC") "[0])\n"
					    "    KNOB_PARAMS = EnvStr(\"{}\")\n");
	expect_setting("KNOB = F(\n  'UCX',  # why\n  secret=True)\n", "UCX",
		       "KNOB = F(\n  " OWN("LIBFABRIC") "[0],  # why\n  secret=True)\n");
	expect_setting("KNOB = F(" OWN("UCX") "[ 0 ])\n", "UCX",
		       "KNOB = F(" OWN("LIBFABRIC") "[0])\n");
	/* Two of them, none, in a comment or a string, another name, what is no name of a backend.
	 */
	expect_setting("KNOB = F(\"UCX\")\nKNOB = F(\"UCX\")\n", "-", NULL);
	expect_setting("x = KNOB\n# KNOB = F(\"UCX\")\ns = 'KNOB = F(1)'\n", "-", NULL);
	expect_setting("A.KNOB = F(\"UCX\")\nKNOBS = F(\"UCX\")\n", "-", NULL);
	expect_setting("KNOB = \"UCX\"\n", "-", NULL);
	expect_setting("KNOB == F(\"UCX\")\n", "-", NULL);
	expect_setting("KNOB = F(default)\n", "-", NULL);
	expect_setting("KNOB = F(None)\n", "-", NULL);
	expect_setting("KNOB = F()\n", "-", NULL);
	expect_setting("KNOB = F(f\"{x}\")\n", "-", NULL);
	expect_setting("KNOB = F(\"UCX\" + x)\n", "-", NULL);
	expect_setting("KNOB = F([\"UCX\"])\n", "-", NULL);
	expect_setting("KNOB = F(\"a b\")\n", "-", NULL);
	expect_setting("KNOB = F(" OWN("UCX") ")\n", "-", NULL);
	expect_setting("KNOB = F(" OWN("UCX") "[1])\n", "-", NULL);
	expect_setting("KNOB = F(\"UCX\"", "-", NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ways_of_writing_it),
		cmocka_unit_test(test_not_plainly_a_list),
		cmocka_unit_test(test_no_place_to_look),
		cmocka_unit_test(test_not_fooled_by_look_alikes),
		cmocka_unit_test(test_broken_sources),
		cmocka_unit_test(test_nesting_is_bounded),
		cmocka_unit_test(test_range_and_line),
		cmocka_unit_test(test_a_variable_of_ones_own),
		cmocka_unit_test(test_patch),
		cmocka_unit_test(test_own_expression),
		cmocka_unit_test(test_calls),
		cmocka_unit_test(test_settings),
		cmocka_unit_test(test_mutations),
	};

	return cmocka_run_group_tests_name("pydefault", tests, NULL, NULL);
}
