/* Reports for people: the verdict last, where the eye is; every fact with the file that it was read
 * from. */
#include "report/parts.h"
#include "report/places.h"

static const char *const codes[] = { "1", "31", "32", "33", "2", "0" };

void kv_put(FILE *out, struct kv_style st, enum kv_tone tone, const char *s)
{
	if (st.color && tone != KV_PLAIN)
		fprintf(out, "\033[%sm%s\033[0m", codes[tone], s);
	else
		fputs(s, out);
}

enum kv_tone kv_tone_of_verdict(const char *verdict)
{
	if (kv_streq(verdict, "off-fabric"))
		return KV_RED;
	return kv_streq(verdict, "unknown") ? KV_YELLOW : KV_GREEN;
}

static enum kv_tone tone_of_loads(enum kv_loads loads)
{
	return loads == KV_LOADS_YES ? KV_GREEN : loads == KV_LOADS_UNKNOWN ? KV_YELLOW : KV_RED;
}

static const char *join(struct kv_arena *a, const kv_strv *list, const char *none)
{
	size_t n = 1;
	char *text, *at;

	for (size_t i = 0; i < list->n; i++)
		n += strlen(list->v[i]) + 2;
	at = text = kv_alloc_raw(a, n);
	for (size_t i = 0; i < list->n; i++)
		at = stpcpy(stpcpy(at, i ? ", " : ""), list->v[i]);
	*at = '\0';
	return *text ? kv_printable(a, text) : none;
}

static void put_nixl(FILE *out, struct kv_arena *a, const struct kv_nixl *n, const char *backend,
		     struct kv_style st)
{
	kv_put(out, st, KV_BOLD,
	       kv_strf(a, "NIXL %s", *n->version ? kv_printable(a, n->version) : "?"));
	fprintf(out, " %s%s\n", kv_printable(a, *n->dist ? n->dist : "(bare tree)"),
		n->active ? "" : ", not imported by default");
	fprintf(out, "  path      %s\n", kv_printable(a, n->path));
	if (n->site)
		fprintf(out, "  python    %s, %s\n", n->python ? n->python : "?",
			n->python_exe ? kv_printable(a, n->python_exe) : "no interpreter found");
	if (n->api_py)
		fprintf(out, "  default   %s\n", join(a, &n->default_backends, "not recognised"));
	if (n->plugin_dir)
		fprintf(out, "  plugins   %s\n", kv_printable(a, n->plugin_dir));
	for (size_t i = 0; i < n->plugins.n; i++) {
		const struct kv_plugin *p = &n->plugins.v[i];

		fprintf(out, "    %-12s ", kv_printable(a, p->name));
		kv_put(out, st, kv_streq(p->name, backend) ? tone_of_loads(p->load.loads) : KV_DIM,
		       kv_loads_name[p->load.loads]);
		if (p->load.error)
			fprintf(out, "%*s%s", (int)(9 - strlen(kv_loads_name[p->load.loads])), "",
				kv_printable(a, p->load.error));
		fputc('\n', out);
	}
}

static void put_fabrics(FILE *out, const struct kv_facts *f, struct kv_style st)
{
	if (!f->fabrics.n)
		return;
	kv_put(out, st, KV_BOLD, "libfabric\n");
	for (size_t i = 0; i < f->fabrics.n; i++) {
		const struct kv_fabric *fab = &f->fabrics.v[i];

		fprintf(out, "  %-8s %s\n           %s, %s, providers %s%s\n",
			kv_source_name[fab->source], kv_printable(f->arena, fab->path),
			fab->release ? kv_printable(f->arena, fab->release) : "release unknown",
			kv_printable(f->arena, fab->abi), join(f->arena, &fab->providers, "none"),
			fab->cuda ? ", CUDA" : ", no CUDA");
		if (fab->blocked)
			fprintf(out, "           refused: %s\n",
				kv_printable(f->arena, fab->blocked));
	}
}

void kv_text_finding(FILE *out, struct kv_arena *a, const struct kv_finding *fi, struct kv_style st)
{
	enum kv_tone tone = fi->severity == KV_ERROR     ? KV_RED
			    : fi->severity == KV_WARNING ? KV_YELLOW
							 : KV_DIM;

	if (fi->because) {
		fputs("  follows: ", out);
		kv_put(out, st, tone, kv_strf(a, "%s %s", fi->id, kv_severity_name[fi->severity]));
		fprintf(out, ": %s\n", kv_printable(a, fi->detail));
		return;
	}
	kv_put(out, st, tone, kv_strf(a, "%s %s", fi->id, kv_severity_name[fi->severity]));
	fprintf(out, ": %s\n  %s\n", fi->title, kv_printable(a, fi->detail));
	for (size_t i = 0; i < fi->evidence.n; i++)
		fprintf(out, "    %s: %s\n", kv_printable(a, fi->evidence.v[i].path),
			kv_printable(a, fi->evidence.v[i].text));
	if (*fi->repair)
		fprintf(out, "  %s %s\n",
			fi->automatic ? "repair:" : "by hand:", kv_printable(a, fi->repair));
}

void kv_put_verdict(FILE *out, struct kv_arena *a, const struct kv_findings *fi, struct kv_style st)
{
	const char *ids = "";

	for (size_t i = 0; i < fi->list.n; i++)
		if (fi->list.v[i].severity == KV_ERROR && !strstr(ids, fi->list.v[i].id))
			ids = kv_strf(a, "%s%s%s", ids, *ids ? ", " : ": ", fi->list.v[i].id);
	kv_put(out, st, kv_tone_of_verdict(kv_verdict_name[fi->verdict]),
	       kv_verdict_name[fi->verdict]);
	fprintf(out, "%s\n", ids);
}

void kv_text_check(FILE *out, const struct kv_facts *f, const struct kv_findings *fi,
		   struct kv_style st)
{
	if (st.quiet) {
		kv_put_verdict(out, f->arena, fi, st);
		return;
	}
	kv_put(out, st, KV_BOLD, kv_printable(f->arena, f->path));
	fprintf(out, " (%s, %s, %s, %s)\n", kv_target_kind(f), f->arch,
		kv_printable(f->arena, f->os), f->libc);
	for (size_t i = 0; i < f->nixls.n; i++)
		put_nixl(out, f->arena, &f->nixls.v[i], f->backend, st);
	put_fabrics(out, f, st);
	kv_text_host(out, f->arena, f->host);
	fputc('\n', out);
	for (size_t i = 0; i < fi->list.n; i++)
		kv_text_finding(out, f->arena, &fi->list.v[i], st);
	kv_put_verdict(out, f->arena, fi, st);
}

static void put_tried(FILE *out, struct kv_arena *a, const kv_trieds *tried, const char *indent)
{
	for (size_t i = 0; i < tried->n; i++)
		fprintf(out, "%snot %s (%s: %s)\n", indent, kv_printable(a, tried->v[i].path),
			kv_rule_name[tried->v[i].rule], kv_printable(a, tried->v[i].why));
}

/* The tree of who asked first: each object stands below it, once. */
struct tree {
	FILE *out;
	struct kv_arena *arena;
	struct kv_style style;
	const kv_objects *objects;
	size_t *child, *sibling; /* by place in objects, plus one; [0] is the process itself */
};

static void plant(struct tree *t)
{
	size_t n = t->objects->n;
	struct kv_places places = kv_places_of(t->arena, t->objects);
	size_t *last = kv_alloc_n(t->arena, n + 1, sizeof(size_t));

	t->child = kv_alloc_n(t->arena, n + 1, sizeof(size_t));
	t->sibling = kv_alloc_n(t->arena, n + 1, sizeof(size_t));
	for (size_t i = 0; i < n; i++) {
		size_t at = kv_place(&places, t->objects->v[i]->requested_by);

		*(last[at] ? &t->sibling[last[at]] : &t->child[at]) = i + 1;
		last[at] = i + 1;
	}
}

static void put_indent(const struct tree *t, int n)
{
	static const char spaces[] = "                                        "
				     "                                        ";

	fwrite_unlocked(spaces, 1, (size_t)n < sizeof(spaces) ? (size_t)n : sizeof(spaces) - 1,
			t->out);
}

/* What put_object() needs often, without printf's cost. */
static void put_texts(const struct tree *t, int indent, const char *const *texts)
{
	put_indent(t, indent);
	for (; *texts; texts++)
		fputs_unlocked(*texts, t->out);
	fputc_unlocked('\n', t->out);
}

/* A line for each file that versions are needed of: theirs stand together in the list. */
static void put_versions(const struct tree *t, const struct kv_object *o, int indent)
{
	const struct kv_elf_version *v = o->elf ? o->elf->verneeds.v : NULL;

	for (size_t i = 0, end; o->elf && i < o->elf->verneeds.n; i = end) {
		put_indent(t, indent);
		fputs_unlocked("needs ", t->out);
		fputs_unlocked(kv_printable(t->arena, v[i].file), t->out);
		for (end = i; end < o->elf->verneeds.n && v[end].file == v[i].file; end++) {
			fputs_unlocked(end > i ? ", " : " with ", t->out);
			fputs_unlocked(kv_printable(t->arena, v[end].name), t->out);
		}
		fputc_unlocked('\n', t->out);
	}
}

static void put_object(const struct tree *t, const struct kv_object *o, int indent)
{
	struct kv_arena *a = t->arena;

	put_texts(t, indent, (const char *const[]){ kv_printable(a, o->name), NULL });
	put_texts(t, indent + 4,
		  (const char *const[]){ "by ", kv_rule_name[o->rule], " for ",
					 kv_printable(a, o->request), NULL });
	for (size_t i = 0; i < o->tried.n; i++) {
		const struct kv_tried *d = &o->tried.v[i];

		put_texts(t, indent + 6,
			  (const char *const[]){ "not ", kv_printable(a, d->path), " (",
						 kv_rule_name[d->rule], ": ",
						 kv_printable(a, d->why), ")", NULL });
	}
	put_versions(t, o, indent + 4);
}

/* Deeper ones than this are not set in further. */
#define MAX_INDENT 60

static void put_below(const struct tree *t, size_t at, int indent)
{
	for (size_t i = t->child[at]; i; i = t->sibling[i]) {
		put_object(t, t->objects->v[i - 1], indent);
		put_below(t, i, indent < MAX_INDENT ? indent + 2 : indent);
	}
}

/* Where the load failed: what was defined, and where the loader looked. */
static void put_failure(FILE *out, struct kv_arena *a, const struct kv_load *l)
{
	if (l->provider && l->provider->elf) {
		kv_strv have = { 0 };

		for (size_t i = 0; i < l->provider->elf->verdefs.n; i++)
			if (!l->provider->elf->verdefs.v[i].base)
				kv_vec_push(a, &have,
					    kv_strdup(a, l->provider->elf->verdefs.v[i].name));
		fprintf(out, "  %s defines %s\n", kv_printable(a, l->provider->name),
			join(a, &have, "no version"));
	}
	if (l->missing) {
		fprintf(out, "  %s was found nowhere:\n", kv_printable(a, l->missing));
		put_tried(out, a, &l->tried, "    ");
	}
	if (l->error)
		fprintf(out, "%s\n", kv_printable_text(a, l->error));
}

static void put_optionals(FILE *out, struct kv_arena *a, const struct kv_load *l)
{
	for (size_t i = 0; i < l->optionals.n; i++) {
		const struct kv_optional *o = &l->optionals.v[i];
		const char *sep = "";

		fprintf(out, "  %s may open ", kv_printable(a, o->object->name));
		for (size_t j = 0; j < o->note.sonames.n; j++, sep = " or ")
			fprintf(out, "%s%s", sep, kv_printable(a, o->note.sonames.v[j]));
		fprintf(out, " (%s%s%s): ", kv_printable(a, o->note.priority),
			o->note.feature ? ", for " : "",
			o->note.feature ? kv_printable(a, o->note.feature) : "");
		fprintf(out, "%s\n",
			kv_printable_text(a, o->path    ? o->path
					     : o->error ? o->error
							: kv_loads_name[o->loads]));
	}
}

void kv_text_why(FILE *out, struct kv_arena *a, const char *file, const char *process,
		 const struct kv_load *l, struct kv_style st)
{
	struct tree t = { .out = out, .arena = a, .style = st, .objects = &l->fresh };

	kv_put(out, st, KV_BOLD, kv_printable(a, file));
	fprintf(out, " in a %s process: ", process);
	kv_put(out, st, tone_of_loads(l->loads), kv_loads_name[l->loads]);
	fputc('\n', out);
	if (st.quiet) {
		if (l->error)
			fprintf(out, "%s\n", kv_printable_text(a, l->error));
		return;
	}
	plant(&t);
	put_below(&t, 0, 2);
	put_optionals(out, a, l);
	put_failure(out, a, l);
}

static void put_proof(FILE *out, struct kv_arena *a, const struct kv_prove_result *r,
		      const char *backend, const char *mem)
{
	if (r->bytes)
		fprintf(out,
			"moved %llu bytes of %s in %.1f ms through %s, %s (driven through %s)\n",
			(unsigned long long)r->bytes, mem, (double)r->elapsed_us / 1000.0, backend,
			r->intact ? "every byte as sent" : "NOT as sent", r->via ? r->via : "?");
	if (r->provider)
		fprintf(out, "provider  %s (%s)\n", kv_printable(a, r->provider),
			kv_printable(a, r->provider_source ? r->provider_source : ""));
	else
		fprintf(out, "provider  not named by anything that was seen\n");
	for (size_t i = 0; i < r->counters.n; i++)
		fprintf(out, "counter   %s %s %+lld\n", kv_printable(a, r->counters.v[i].device),
			kv_printable(a, r->counters.v[i].counter),
			(long long)r->counters.v[i].delta);
	fprintf(out, "proven    %s\n", join(a, &r->proven, "nothing"));
	fprintf(out, "not       %s\n", join(a, &r->not_proven, "-"));
	if (r->error)
		fprintf(out, "error     %s\n", kv_printable(a, r->error));
}

void kv_text_prove(FILE *out, struct kv_arena *a, const struct kv_prove_result *r,
		   const char *backend, const char *mem, struct kv_style st)
{
	if (!st.quiet)
		put_proof(out, a, r, backend, mem);
	kv_put(out, st, kv_tone_of_verdict(r->verdict), r->verdict);
	fputc('\n', out);
}
