/* The addresses of a name, as this host's libc finds them: kvpath itself is static, and so without
 * the modules that a host's nsswitch.conf may name. */
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>

#include "probe/probe.h"

#define MAX_ADDRESSES 64

int probe_resolve(int argc, char **argv, FILE *out)
{
	const struct addrinfo hints = { .ai_family = AF_UNSPEC,
					.ai_socktype = SOCK_STREAM,
					.ai_flags = AI_ADDRCONFIG };
	struct addrinfo *list = NULL;
	char text[NI_MAXHOST];
	int r, n = 0;

	if (argc != 2) {
		fputs("usage: kvpath-probe resolve NAME\n", stderr);
		return PROBE_EXIT_USAGE;
	}
	r = getaddrinfo(argv[1], NULL, &hints, &list);
	/* Where the host has only a loopback, that flag leaves nothing. */
	if (r)
		r = getaddrinfo(argv[1], NULL, &(struct addrinfo){ .ai_socktype = SOCK_STREAM },
				&list);
	if (r) {
		fprintf(stderr, "%s\n", gai_strerror(r));
		return PROBE_EXIT_FAILED;
	}
	for (struct addrinfo *a = list; a && n < MAX_ADDRESSES; a = a->ai_next, n++)
		if (getnameinfo(a->ai_addr, a->ai_addrlen, text, sizeof(text), NULL, 0,
				NI_NUMERICHOST) == 0)
			fprintf(out, "%s\n", text);
	freeaddrinfo(list);
	return PROBE_EXIT_OK;
}
