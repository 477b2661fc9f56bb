/* Rates from /sys/class/infiniband and /sys/class/net. Names come from inside the target. */
#include <ctype.h>
#include <unistd.h>

#include "prove/links.h"

#define GBIT (1e9 / 8)
#define MBIT (1e6 / 8)

static bool is_plain(const char *s)
{
	for (const char *p = s; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("_-.", *p))
			return false;
	return *s && *s != '.';
}

/* The number that the file begins with; 0 where there is none. */
static double number_of(struct kv_arena *a, const char *path)
{
	struct kv_span text = { 0 };
	double n;

	if (kv_read_file(a, path, 256, &text, NULL) < 0 || !text.n)
		return 0;
	n = strtod(kv_strndup(a, (const char *)text.p, text.n), NULL);
	return n > 0 && n < 1e9 ? n : 0;
}

/* Without what libfabric and UCX put around a device's name. */
static const char *device_of(struct kv_arena *a, const char *rail)
{
	const char *slash = strrchr(rail, '/'), *name = slash ? slash + 1 : rail;
	size_t n = strcspn(name, ":");

	for (size_t i = 0; i < 2; i++) {
		const char *end = i ? "-dgrm" : "-rdm";
		size_t len = strlen(end);

		if (n > len && strncmp(name + n - len, end, len) == 0)
			return kv_strndup(a, name, n - len);
	}
	return kv_strndup(a, name, n);
}

double kv_link_rate(struct kv_arena *a, const char *sysfs, const char *rail)
{
	const char *name = device_of(a, rail);
	double rate;

	if (!is_plain(name))
		return 0;
	/* "100 Gb/sec (4X EDR)" */
	rate = number_of(a, kv_strf(a, "%s/class/infiniband/%s/ports/1/rate", sysfs, name)) * GBIT;
	if (rate > 0)
		return rate;
	/* What has no device behind it, as a veth, names a rate and has no such limit. */
	if (access(kv_strf(a, "%s/class/net/%s/device", sysfs, name), F_OK) < 0)
		return 0;
	return number_of(a, kv_strf(a, "%s/class/net/%s/speed", sysfs, name)) * MBIT;
}

double kv_links_rate(struct kv_arena *a, const char *sysfs, const json_t *rails)
{
	double sum = 0;
	const json_t *rail;
	size_t i;

	json_array_foreach(rails, i, rail)
	{
		const char *name = json_string_value(rail);
		double rate = name ? kv_link_rate(a, sysfs, name) : 0;

		if (!(rate > 0))
			return 0;
		sum += rate;
	}
	return sum;
}
