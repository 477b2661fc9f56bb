/*
 * Drives a fuzz target without an engine: `fuzz_X FILE|DIR...` runs each file (of a directory, each
 * in it) once and says how many there were and which took longest. Built with AFL++'s compiler it
 * is AFL++'s persistent loop where no file is given.
 */
#include <dirent.h>
#include <sys/stat.h>
#include <time.h>

#include "fuzz.h"

#ifdef __AFL_FUZZ_TESTCASE_BUF
__AFL_FUZZ_INIT();
#endif

static struct {
	unsigned n;
	double slowest;
	char name[512];
} seen;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool run_file(const char *path)
{
	FILE *f = fopen(path, "rbe");
	_free_ uint8_t *bytes = NULL;
	double start;
	long n;

	if (!f || fseek(f, 0, SEEK_END) < 0 || (n = ftell(f)) < 0) {
		perror(path);
		if (f)
			fclose(f);
		return false;
	}
	rewind(f);
	/* Exactly as long as the input, so that a sanitizer sees a read past it. */
	bytes = malloc(n ? (size_t)n : 1);
	if (!bytes || fread(bytes, 1, (size_t)n, f) != (size_t)n) {
		perror(path);
		fclose(f);
		return false;
	}
	fclose(f);
	start = now();
	LLVMFuzzerTestOneInput(bytes, (size_t)n);
	start = now() - start;
	seen.n++;
	if (start >= seen.slowest) {
		seen.slowest = start;
		snprintf(seen.name, sizeof(seen.name), "%s", path);
	}
	return true;
}

static bool run_dir(const char *path, DIR *d)
{
	struct dirent *e;
	char file[4096];
	bool ok = true;

	while ((e = readdir(d))) {
		if (*e->d_name == '.')
			continue;
		snprintf(file, sizeof(file), "%s/%s", path, e->d_name);
		ok &= run_file(file);
	}
	return ok;
}

int main(int argc, char **argv)
{
	bool ok = true;

#ifdef __AFL_FUZZ_TESTCASE_BUF
	if (argc < 2) {
		uint8_t *bytes = __AFL_FUZZ_TESTCASE_BUF;

		while (__AFL_LOOP(10000)) {
			size_t n = (size_t)__AFL_FUZZ_TESTCASE_LEN;
			_free_ uint8_t *copy = malloc(n ? n : 1);

			memcpy(copy, bytes, n);
			LLVMFuzzerTestOneInput(copy, n);
		}
		return 0;
	}
#endif
	for (int i = 1; i < argc; i++) {
		DIR *d = opendir(argv[i]);

		ok &= d ? run_dir(argv[i], d) : run_file(argv[i]);
		if (d)
			closedir(d);
	}
	printf("%u inputs, slowest %.1f ms: %s\n", seen.n, 1e3 * seen.slowest, seen.name);
	return ok && seen.n ? 0 : 1;
}
