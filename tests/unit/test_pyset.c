/* Whether python's code sets a variable of the environment, or only looks at it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include "inspect/internal.h"

#include <cmocka.h>

static bool sets(const char *source)
{
	return kv_python_sets((struct kv_span){ (const uint8_t *)source, strlen(source) }, "X");
}

static void test_what_sets_it(void **state)
{
	static const char *const sources[] = {
		"os.environ[\"X\"] = \"/opt\"",
		"os.environ['X']='/opt'",
		"import os; os.environ.setdefault('X', '/opt')",
		"os.putenv(\"X\", path)",
		"os.environ.update({'X': 1})",
		"os.environ.pop('X', None)",
		"NAME = 'X'",
		"if True:\n    os.environ[\n        'X'  # the place\n    ] = a\n",
		"print(os.environ['X'])\nenviron['X'] = 1\n",
		"os.environ['X'] = f'{",
		"x = 'X\n", /* no python: it may be anything */
	};

	(void)state;
	for (size_t i = 0; i < KV_ARRAY_SIZE(sources); i++)
		if (!sets(sources[i]))
			fail_msg("does not: %s", sources[i]);
}

static void test_what_looks_at_it(void **state)
{
	static const char *const sources[] = {
		"",
		"os.environ[\"Y\"] = \"X/a\"",
		"# os.environ['X'] = 1",
		"'''os.environ[\"X\"] = 1'''",
		"x = os.environ.get('X', '/opt')",
		"x = os.getenv('X')",
		"if 'X' in os.environ: pass",
		"if \"X\" not in os.environ: pass",
		"print(os.environ['X'])",
		"if os.environ['X'] == 'a': pass",
		"if name == 'X' or 'X' == name: pass",
		"b = b'X2'",
	};

	(void)state;
	for (size_t i = 0; i < KV_ARRAY_SIZE(sources); i++)
		if (sets(sources[i]))
			fail_msg("does: %s", sources[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_sets_it),
		cmocka_unit_test(test_what_looks_at_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
