/* Where something stands in the text of a recipe. */
#include "launch/lint.h"

static void find_lines(struct kv_job *j)
{
	struct kv_span t = j->lints->text;

	kv_vec_push(j->arena, &j->lines, 0);
	for (size_t at = 0; at < t.n; at++)
		if (t.p[at] == '\n')
			kv_vec_push(j->arena, &j->lines, at + 1);
}

void kv_lint_place(struct kv_job *j, size_t at, unsigned *ret_line, unsigned *ret_column)
{
	size_t low = 0, high, from;
	unsigned column = 1;

	if (!j->lines.n)
		find_lines(j);
	for (high = j->lines.n; high - low > 1;) {
		size_t mid = low + (high - low) / 2;

		*(j->lines.v[mid] <= at ? &low : &high) = mid;
	}
	from = j->lines.v[low];
	if (j->seen_line == low && j->seen_at >= from && j->seen_at <= at && j->seen_column) {
		from = j->seen_at;
		column = j->seen_column;
	}
	for (; from < at && from < j->lints->text.n; from++)
		column += (j->lints->text.p[from] & 0xc0) != 0x80;
	j->seen_at = at;
	j->seen_line = low;
	j->seen_column = *ret_column = column;
	*ret_line = (unsigned)low + 1;
}

bool kv_lint_exact(const struct kv_job *j, size_t start, const char *text, size_t *ret_end)
{
	struct kv_span t = j->lints->text;
	size_t n = strlen(text);

	if (!n || start > t.n || t.n - start < n || memcmp(t.p + start, text, n) != 0)
		return false;
	*ret_end = start + n;
	return true;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/*
 * Folding changes blanks alone, quotes add a backslash or a second quote in front. What is not
 * understood stands where the last did.
 */
const size_t *kv_lint_map(struct kv_job *j, const struct kv_yaml *y)
{
	size_t n = strlen(y->text), s = y->start, *at = kv_alloc_n(j->arena, n + 1, sizeof(*at));
	struct kv_span t = j->lints->text;

	for (size_t i = 0; i < n; i++) {
		if (is_blank(y->text[i])) {
			at[i] = s;
			continue;
		}
		while (s < y->end && s < t.n && is_blank((char)t.p[s]))
			s++;
		if (s + 1 < y->end && s + 1 < t.n && t.p[s] != (uint8_t)y->text[i] &&
		    (t.p[s] == '\\' || t.p[s] == '\''))
			s += 1 + (t.p[s] == '\\' && t.p[s + 1] != (uint8_t)y->text[i]);
		else if (s + 1 < y->end && s + 1 < t.n && t.p[s] == '\'' && t.p[s + 1] == '\'' &&
			 y->start && t.p[y->start - 1] == '\'')
			s++;
		at[i] = s;
		s += s < y->end && s < t.n && t.p[s] == (uint8_t)y->text[i];
	}
	at[n] = s;
	return at;
}
