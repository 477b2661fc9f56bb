/*
 * host NAME...: dlopen(NAME, RTLD_NOW | RTLD_LOCAL) from a program that links libc alone (and libdl
 * where dlopen is still there), each in a child of its own. Prints the link map before ("B path"),
 * then for each name "Q number", "Y" and the link map after it ("L path") or "N text" with
 * dlerror()'s text, and "S status" as wait() gives it.
 */
#include <dlfcn.h>
#include <link.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern ElfW(Dyn) _DYNAMIC[];

static void say(const char *tag, const char *text)
{
	static char line[16384];
	size_t n = strlen(tag), m = strlen(text);

	if (n + m + 2 > sizeof(line))
		m = sizeof(line) - n - 2;
	memcpy(line, tag, n);
	memcpy(line + n, text, m);
	line[n + m] = '\n';
	if (write(1, line, n + m + 1) < 0)
		_exit(9);
}

static void say_number(const char *tag, unsigned n)
{
	char text[16], *p = text + sizeof(text);

	*--p = 0;
	do
		*--p = (char)('0' + n % 10);
	while (n /= 10);
	say(tag, p);
}

static void say_maps(const char *tag)
{
	const struct link_map *m = NULL;

	for (const ElfW(Dyn) *d = _DYNAMIC; d->d_tag != DT_NULL; d++)
		if (d->d_tag == DT_DEBUG && d->d_un.d_ptr)
			m = ((const struct r_debug *)d->d_un.d_ptr)->r_map;
	for (; m; m = m->l_next)
		say(tag, m->l_name);
}

static int run(int argc, char **argv, char **env)
{
	(void)env;
	say_maps("B ");
	for (int i = 1; i < argc; i++) {
		int status = 0;
		pid_t child;

		say_number("Q ", (unsigned)i - 1);
		child = fork();
		if (child == 0) {
			/* ld.so's last words belong to the answer. */
			dup2(1, 2);
			alarm(20);
			if (dlopen(argv[i], RTLD_NOW | RTLD_LOCAL)) {
				say("Y", "");
				say_maps("L ");
			} else {
				say("N ", dlerror());
			}
			_exit(0);
		}
		if (child < 0 || waitpid(child, &status, 0) != child)
			_exit(9);
		say_number("S ", (unsigned)status);
	}
	_exit(0);
}

/* Started without crt1.o, whose newest symbol would tie the program to one glibc. */
int __libc_start_main(int (*main)(int, char **, char **), int argc, char **argv, void (*init)(void),
		      void (*fini)(void), void (*rtld_fini)(void), void *stack_end);
__attribute__((noreturn, used)) void start_c(long *stack, void (*rtld_fini)(void));

void start_c(long *stack, void (*rtld_fini)(void))
{
	__libc_start_main(run, (int)stack[0], (char **)(stack + 1), NULL, NULL, rtld_fini, stack);
	__builtin_unreachable();
}

__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tmov %rdx, %rsi\n"
	"\tand $-16, %rsp\n\tcall start_c\n\thlt\n");
