/* The table of dialects, and what they share: a job's options, quoting. */
#include <jansson.h>

#include "launch/render.h"

extern const struct kv_writer kv_writer_preamble, kv_writer_env, kv_writer_srtctl, kv_writer_sbatch,
	kv_writer_enroot, kv_writer_cdi, kv_writer_oci_hook, kv_writer_k8s, kv_writer_dockerfile;

const struct kv_writer *const kv_writers[] = {
	&kv_writer_preamble,   &kv_writer_env, &kv_writer_srtctl,   &kv_writer_sbatch,
	&kv_writer_enroot,     &kv_writer_cdi, &kv_writer_oci_hook, &kv_writer_k8s,
	&kv_writer_dockerfile, NULL,
};

void kv_wanted_options(struct kv_arena *a, const char *backend, bool vram, kv_strv *ret)
{
	kv_vec_push(a, ret, kv_strdup(a, "--backend"));
	kv_vec_push(a, ret, kv_strdup(a, backend));
	if (vram)
		return;
	kv_vec_push(a, ret, kv_strdup(a, "--mem"));
	kv_vec_push(a, ret, kv_strdup(a, "dram"));
}

static bool is_plain_word(const char *s)
{
	return *s && !s[strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
				  "_-+./:=@%")];
}

/* What a terminal would obey goes in octal, as a shell's printf knows it. */
const char *kv_shell_word(struct kv_arena *a, const char *s)
{
	bool harmless = kv_streq(kv_printable(a, s), s);
	_buf_ struct kv_buf b = { 0 };

	if (is_plain_word(s))
		return s;
	kv_buf_str(&b, harmless ? "'" : "\"$(printf '%b' '");
	for (; *s; s++) {
		uint8_t c = (uint8_t)*s;

		if (c == '\'')
			kv_buf_str(&b, "'\\''");
		else if (!harmless && (c < 0x20 || c >= 0x7f || c == '\\'))
			kv_buf_fmt(&b, "\\0%03o", c);
		else
			kv_buf_add(&b, s, 1);
	}
	kv_buf_str(&b, harmless ? "'" : "')\"");
	return kv_strdup(a, b.text);
}

const char *kv_shell_words(struct kv_arena *a, const kv_strv *words)
{
	const char *text = "";

	for (size_t i = 0; i < words->n; i++)
		text = kv_strf(a, "%s%s%s", text, i ? " " : "", kv_shell_word(a, words->v[i]));
	return text;
}

/* json_dumps() refuses what is no UTF-8; a path that is none has no spelling in these dialects. */
const char *kv_json_word(struct kv_arena *a, const char *s)
{
	json_t *v = json_string(s);
	_free_ char *text = v ? json_dumps(v, JSON_ENCODE_ANY) : NULL;

	json_decref(v);
	return text ? kv_strdup(a, text) : kv_json_word(a, kv_printable(a, s));
}

const char *kv_pair_name(struct kv_arena *a, const char *pair)
{
	return kv_strndup(a, pair, strcspn(pair, "="));
}

const char *kv_pair_value(const char *pair)
{
	return pair + strcspn(pair, "=") + 1;
}

void kv_print_left(FILE *out, const struct kv_render *r, const char *who)
{
	if (!r->bring.left.n)
		return;
	fprintf(out, "# %s makes what can not be mounted:\n", who);
	for (size_t i = 0; i < r->bring.left.n; i++)
		fprintf(out, "#   %s\n", kv_printable(r->arena, r->bring.left.v[i]));
}
