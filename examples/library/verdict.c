/*
 * Prints the verdict on a target, and what has to be repaired first.
 *
 *     cc verdict.c $(pkg-config --cflags --libs kvpath) -o verdict
 */
#include <kvpath/kvpath.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
	static const char *const names[] = { "on-fabric", "ready", "off-fabric", "unknown" };
	kvpath_result *result;
	char *error;

	if (kvpath_check(argc > 1 ? argv[1] : "/", NULL, &result, &error) < 0) {
		fprintf(stderr, "verdict: %s\n", error ? error : "no memory");
		free(error);
		return 2;
	}
	printf("%s\n", names[kvpath_result_verdict(result)]);
	for (size_t i = 0; i < kvpath_result_findings(result); i++)
		if (kvpath_finding_severity(result, i) == KVPATH_ERROR)
			printf("%s %s\n", kvpath_finding_id(result, i),
			       kvpath_finding_title(result, i));
	kvpath_result_free(result);
	return 0;
}
