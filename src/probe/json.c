/* The one thing that writing JSON by hand gets wrong: strings that others wrote. */
#include <string.h>

#include "probe/probe.h"

/* Length of the well-formed UTF-8 sequence at s, 0 where there is none (RFC 3629). */
static size_t utf8_len(const unsigned char *s)
{
	unsigned char lo = 0x80, hi = 0xbf;
	size_t n;

	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		n = 2;
	else if ((s[0] & 0xf0) == 0xe0)
		n = 3;
	else if (s[0] >= 0xf0 && s[0] <= 0xf4)
		n = 4;
	else
		return 0;
	if (s[0] == 0xe0)
		lo = 0xa0; /* overlong */
	if (s[0] == 0xed)
		hi = 0x9f; /* surrogates */
	if (s[0] == 0xf0)
		lo = 0x90;
	if (s[0] == 0xf4)
		hi = 0x8f;
	if (s[1] < lo || s[1] > hi)
		return 0;
	for (size_t i = 2; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

void probe_json_str(FILE *out, const char *str)
{
	const unsigned char *s = (const unsigned char *)str;

	if (!s) {
		fputs("null", out);
		return;
	}
	fputc('"', out);
	while (*s) {
		size_t n = *s >= 0x80 ? utf8_len(s) : 1;

		if (!n || *s < 0x20 || *s == 0x7f) {
			fprintf(out, "\\u%04x", *s++);
			continue;
		}
		if (*s == '"' || *s == '\\')
			fputc('\\', out);
		fwrite(s, 1, n, out);
		s += n;
	}
	fputc('"', out);
}
