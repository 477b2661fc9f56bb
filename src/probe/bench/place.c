/* Where this side is, as the link between the workers has it. */
#include <ifaddrs.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "probe/bench/bench.h"

/* This side's address of the link, with any port; where the link is on one host, the loopback. */
socklen_t bench_own_address(const struct bench_side *s, struct sockaddr_storage *ret)
{
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)ret;
	struct sockaddr_in *four = (struct sockaddr_in *)ret;
	socklen_t n = sizeof(*ret);

	memset(ret, 0, sizeof(*ret));
	if (s->remote && getsockname(s->link, (struct sockaddr *)ret, &n) == 0 &&
	    (ret->ss_family == AF_INET || ret->ss_family == AF_INET6)) {
		*(ret->ss_family == AF_INET ? &four->sin_port : &six->sin6_port) = 0;
		return n;
	}
	memset(ret, 0, sizeof(*ret));
	four->sin_family = AF_INET;
	four->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return sizeof(*four);
}

/* The interface that has the address, as the rail. */
void bench_name_rail(struct bench_side *s, const struct sockaddr_storage *a)
{
	const struct sockaddr_in6 *six = (const void *)a;
	const struct sockaddr_in *four = (const void *)a;
	struct ifaddrs *all = NULL;

	if (getifaddrs(&all) < 0)
		return;
	for (const struct ifaddrs *i = all; i; i = i->ifa_next) {
		const void *here = i->ifa_addr;
		bool same = here && i->ifa_addr->sa_family == a->ss_family;

		if (same && a->ss_family == AF_INET)
			same = ((const struct sockaddr_in *)here)->sin_addr.s_addr ==
			       four->sin_addr.s_addr;
		else if (same)
			same = memcmp(&((const struct sockaddr_in6 *)here)->sin6_addr,
				      &six->sin6_addr, sizeof(six->sin6_addr)) == 0;
		if (same)
			snprintf(s->rail_names, sizeof(s->rail_names), "%s", i->ifa_name);
	}
	freeifaddrs(all);
}
