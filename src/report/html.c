/* Writing: escaped by construction. */
#include "report/html.h"

static const char *entity(char c)
{
	return c == '&'    ? "&amp;"
	       : c == '<'  ? "&lt;"
	       : c == '>'  ? "&gt;"
	       : c == '"'  ? "&quot;"
	       : c == '\'' ? "&#39;"
			   : NULL;
}

const char *kv_html_escape(struct kv_arena *a, const char *s)
{
	_buf_ struct kv_buf b = { 0 };

	for (s = kv_printable_text(a, s); *s; s++) {
		const char *e = entity(*s);

		if (e)
			kv_buf_str(&b, e);
		else
			kv_buf_add(&b, s, 1);
	}
	return kv_strdup(a, b.text ? b.text : "");
}

void kv_html_raw(struct kv_html *h, const char *markup)
{
	kv_buf_str(&h->out, markup);
}

/* The conversion that fmt begins with; returns how long it is. */
static size_t put_arg(struct kv_html *h, const char *fmt, va_list *ap)
{
	int digits = 6;
	size_t n = 1;

	if (fmt[n] == '.' && fmt[n + 1] == '*')
		digits = va_arg(*ap, int);
	else if (fmt[n] == '.')
		digits = fmt[n + 1] - '0';
	n += fmt[n] == '.' ? 2 : 0;
	if (fmt[n] == 's')
		kv_html_raw(h, kv_html_escape(h->arena, va_arg(*ap, const char *)));
	else if (fmt[n] == 'f')
		kv_buf_fmt(&h->out, "%.*f", digits, va_arg(*ap, double));
	else if (fmt[n] == 'z')
		kv_buf_fmt(&h->out, "%zu", va_arg(*ap, size_t));
	else if (fmt[n] == 'u')
		kv_buf_fmt(&h->out, "%u", va_arg(*ap, unsigned));
	else if (fmt[n] == 'd')
		kv_buf_fmt(&h->out, "%d", va_arg(*ap, int));
	else
		kv_html_raw(h, "%"); /* "%%" */
	return n + (fmt[n] == 'z' ? 2 : 1);
}

void kv_html(struct kv_html *h, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	while (*fmt) {
		size_t n = strcspn(fmt, "%");

		kv_buf_add(&h->out, fmt, n);
		fmt += n;
		fmt += *fmt ? put_arg(h, fmt, &ap) : 0;
	}
	va_end(ap);
}
