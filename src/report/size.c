/*
 * The size of a request's KV cache, and the least time that links need for it. Times are floors:
 * payload over rate, without any header, start or wait.
 */
#include "report/size.h"
#include "report/parts.h"
#include "report/units.h"

static const struct link {
	const char *name;
	double bytes_per_s;
} links[] = {
	{ "10 Gb/s", 1.25e9 },
	{ "100 Gb/s", 12.5e9 },
	{ "400 Gb/s", 50e9 },
	{ "16 x 100 Gb/s", 200e9 },
};

static const char *attention_text(struct kv_arena *a, const struct kv_geometry *g)
{
	if (g->mla)
		return kv_strf(a, "MLA, %llu + %llu elements", (unsigned long long)g->kv_lora_rank,
			       (unsigned long long)g->rope_dim);
	return kv_strf(a, "%llu KV heads of %llu", (unsigned long long)g->kv_heads,
		       (unsigned long long)g->head_dim);
}

static void row(FILE *out, const char *name, const char *value, const char *more)
{
	fprintf(out, "  %-13s %12s%s%s\n", name, value, *more ? "   " : "", more);
}

static void put_sizes(FILE *out, struct kv_arena *a, const struct kv_size_report *r)
{
	const struct kv_shape_request *q = r->request;
	const struct kv_shape *s = r->shape;

	row(out, "a token", kv_strf(a, "%llu B", (unsigned long long)s->bytes_per_token), "");
	row(out, "a request", kv_bytes_text(a, (double)s->bytes_moved),
	    kv_strf(a, "%llu tokens, %llu pages of %llu", (unsigned long long)q->tokens,
		    (unsigned long long)s->pages, (unsigned long long)q->page));
	row(out, "a rank", kv_bytes_text(a, (double)s->bytes_per_rank),
	    s->copies > 1 ? kv_strf(a, "TP %llu; each byte is on %llu ranks",
				    (unsigned long long)q->tp, (unsigned long long)s->copies)
			  : kv_strf(a, "TP %llu", (unsigned long long)q->tp));
	for (size_t i = 0; i < s->n_descs; i++)
		row(out, i ? "" : "descriptors",
		    kv_strf(a, "%llu", (unsigned long long)s->descs[i].count),
		    kv_strf(a, "of %s a rank%s, layout %s", kv_size_text(a, s->descs[i].bytes),
			    s->n_descs > 1 ? kv_strf(a, " (%s)", s->descs[i].what) : "",
			    q->by_page ? "page" : "layer"));
}

static void put_links(FILE *out, struct kv_arena *a, const struct kv_size_report *r)
{
	double bytes = (double)r->shape->bytes_moved;

	fputs("\nat best, on a link that does nothing else:\n", out);
	for (size_t i = 0; i < KV_ARRAY_SIZE(links); i++)
		row(out, links[i].name, kv_time_text(a, bytes / links[i].bytes_per_s), "");
	if (r->measured.n)
		fputs("\nat the rates that were measured:\n", out);
	for (size_t i = 0; i < r->measured.n; i++) {
		const struct kv_rate *m = &r->measured.v[i];

		fprintf(out, "  %12s   %9s/s   %s, %s%s\n", kv_time_text(a, bytes / m->bytes_per_s),
			kv_bytes_text(a, m->bytes_per_s), kv_printable(a, m->name),
			kv_size_text(a, m->size), m->busy ? "; measured on a busy machine" : "");
	}
}

static void notes_of(struct kv_arena *a, const struct kv_size_report *r, kv_strv *ret)
{
	const struct kv_geometry *g = r->model;
	const struct kv_shape *s = r->shape;

	for (size_t i = 0; i < g->notes.n; i++)
		kv_vec_push(a, ret, g->notes.v[i]);
	if (s->copies > 1)
		kv_vec_push(a, ret,
			    kv_strf(a,
				    "the times are of one copy; where every rank fetches its "
				    "own, %llu times as many bytes cross the network",
				    (unsigned long long)s->copies));
	if (g->mtp_layers)
		kv_vec_push(a, ret,
			    kv_strf(a,
				    "decoding with the model's MTP layer adds %llu bytes a token",
				    (unsigned long long)s->mtp_bytes_per_token));
}

void kv_text_size(FILE *out, struct kv_arena *a, const struct kv_size_report *r, struct kv_style st)
{
	const struct kv_geometry *g = r->model;
	kv_strv notes = { 0 };

	if (st.quiet) {
		fprintf(out, "%llu\n", (unsigned long long)r->shape->bytes_moved);
		return;
	}
	kv_put(out, st, KV_BOLD, kv_printable(a, g->name));
	fprintf(out, ": %llu layers, %s, %s\n", (unsigned long long)g->layers, attention_text(a, g),
		r->shape->dtype->name);
	put_sizes(out, a, r);
	put_links(out, a, r);
	notes_of(a, r, &notes);
	if (notes.n)
		fputc('\n', out);
	for (size_t i = 0; i < notes.n; i++)
		fprintf(out, "%s\n", kv_printable(a, notes.v[i]));
}

/* ---- JSON ---- */

static json_t *model_json(struct kv_arena *a, const struct kv_geometry *g)
{
	return json_pack("{s:o, s:o, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "name",
			 kv_json_text(a, g->name), "model_type", kv_json_text(a, g->model_type),
			 "attention", g->mla ? "mla" : "gqa", "layers", (json_int_t)g->layers,
			 "kv_heads", (json_int_t)g->kv_heads, "head_dim", (json_int_t)g->head_dim,
			 "kv_lora_rank", (json_int_t)g->kv_lora_rank, "rope_head_dim",
			 (json_int_t)g->rope_dim, "mtp_layers", (json_int_t)g->mtp_layers, "source",
			 kv_json_texts(a, &g->source));
}

static json_t *descs_json(const struct kv_shape *s)
{
	json_t *arr = json_array();

	for (size_t i = 0; i < s->n_descs; i++)
		json_array_append_new(arr, json_pack("{s:s, s:I, s:I}", "what", s->descs[i].what,
						     "count", (json_int_t)s->descs[i].count,
						     "bytes", (json_int_t)s->descs[i].bytes));
	return arr;
}

static json_t *links_json(struct kv_arena *a, const struct kv_size_report *r)
{
	double bytes = (double)r->shape->bytes_moved;
	json_t *arr = json_array();

	for (size_t i = 0; i < KV_ARRAY_SIZE(links); i++)
		json_array_append_new(arr, json_pack("{s:s, s:b, s:n, s:f, s:f}", "name",
						     links[i].name, "measured", 0, "size",
						     "bytes_per_s", links[i].bytes_per_s, "seconds",
						     bytes / links[i].bytes_per_s));
	for (size_t i = 0; i < r->measured.n; i++) {
		const struct kv_rate *m = &r->measured.v[i];

		json_array_append_new(arr,
				      json_pack("{s:o, s:b, s:b, s:I, s:f, s:f}", "name",
						kv_json_text(a, m->name), "measured", 1, "busy",
						m->busy, "size", (json_int_t)m->size, "bytes_per_s",
						m->bytes_per_s, "seconds", bytes / m->bytes_per_s));
	}
	return arr;
}

json_t *kv_json_size(struct kv_arena *a, const struct kv_size_report *r)
{
	const struct kv_shape_request *q = r->request;
	const struct kv_shape *s = r->shape;
	kv_strv notes = { 0 };

	notes_of(a, r, &notes);
	return json_pack("{s:s, s:s, s:o, s:s, s:I, s:I, s:I, s:s, s:I, s:I, s:I, s:I, s:I, s:I, "
			 "s:o, s:o, s:o}",
			 "schema", "kvpath.size/1", "version", KVPATH_VERSION, "model",
			 model_json(a, r->model), "dtype", s->dtype->name, "tokens",
			 (json_int_t)q->tokens, "page", (json_int_t)q->page, "tp",
			 (json_int_t)q->tp, "layout", q->by_page ? "page" : "layer", "pages",
			 (json_int_t)s->pages, "bytes_per_token", (json_int_t)s->bytes_per_token,
			 "bytes_per_request", (json_int_t)s->bytes_per_request, "bytes_moved",
			 (json_int_t)s->bytes_moved, "bytes_per_rank",
			 (json_int_t)s->bytes_per_rank, "copies", (json_int_t)s->copies,
			 "descriptors", descs_json(s), "links", links_json(a, r), "notes",
			 kv_json_texts(a, &notes));
}
