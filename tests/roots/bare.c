/*
 * bare FILE...: dlopen(FILE, RTLD_NOW | RTLD_LOCAL) from a program that links libc alone, each in a
 * child of its own. One line a file: "yes", "no TEXT" with dlerror's text, or "abort".
 */
#include <dlfcn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		int status = 0;
		pid_t child;

		fflush(stdout);
		child = fork();
		if (child == 0) {
			alarm(60);
			if (dlopen(argv[i], RTLD_NOW | RTLD_LOCAL))
				printf("yes\n");
			else
				printf("no %s\n", dlerror());
			fflush(stdout);
			_exit(0);
		}
		if (child < 0 || waitpid(child, &status, 0) != child)
			return 2;
		if (status != 0)
			printf("abort\n");
	}
	return 0;
}
