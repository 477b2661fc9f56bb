/* The findings of a check as SARIF: which of their places are files, and inside of what. */
#include "report/sarif.h"

static const struct kv_fabric *offered_at(const struct kv_facts *f, const char *path)
{
	for (size_t i = 0; i < f->fabrics.n; i++)
		if (f->fabrics.v[i].source == KV_SOURCE_FABRIC && f->fabrics.v[i].path == path)
			return &f->fabrics.v[i];
	return NULL;
}

/* "line 171: ..." names a line; 0 for anything else. */
static unsigned line_in(const char *text)
{
	unsigned line = 0;

	return sscanf(text, "line %9u", &line) == 1 ? line : 0;
}

static bool is_of_host(const char *path)
{
	return kv_starts(path, "/sys/") || kv_starts(path, "/proc/") || kv_starts(path, "/dev/");
}

/*
 * A URI takes ".." by its letters, files by where links lead: so there is none in it. NULL where
 * it leads nowhere.
 */
static const char *without_dots(const struct kv_facts *f, const char *path)
{
	const char *real, *name = kv_basename(path);

	if (!strstr(path, "/.."))
		return path;
	if (kv_root_real(f->root, path, 0, &real) == 0 && kv_streq(name, ".."))
		return real;
	if (kv_root_real(f->root, kv_dirname(f->arena, path), 0, &real) < 0)
		return NULL;
	return kv_join(f->arena, real, name);
}

/* host: NULL where the host is the target's, or none was examined. */
static struct kv_sarif_place place_of(const struct kv_facts *f, const struct kv_evidence *e,
				      const struct kv_sarif_base *target,
				      const struct kv_sarif_base *host)
{
	struct kv_sarif_place p = { .path = e->path, .base = target, .text = e->text };

	/* By identity, as another path may have the same letters: inside of the target. */
	if (!e->path || e->path == f->path) {
		p.path = "/";
		return p;
	}
	if (offered_at(f, e->path)) {
		_free_ char *real = realpath(e->path, NULL);

		p.path = real ? kv_strdup(f->arena, real) : e->path;
		p.base = NULL;
		return p;
	}
	if (e->path[0] != '/')
		return (struct kv_sarif_place){ .name = e->path, .text = e->text };
	p.line = line_in(e->text);
	if (host && is_of_host(e->path))
		p.base = host;
	else
		p.path = without_dots(f, e->path);
	if (!p.path)
		p.name = e->path;
	return p;
}

json_t *kv_sarif_check(const struct kv_facts *f, const struct kv_findings *fi, const char *sysroot,
		       int status)
{
	const struct kv_sarif_base target = { "TARGET", f->path }, host = { "HOST", sysroot };
	struct kv_sarif run = { .arena = f->arena,
				.status = status,
				.is_known = fi->verdict != KV_VERDICT_UNKNOWN,
				.verdict = kv_verdict_name[fi->verdict] };

	kv_vec_push(f->arena, &run.bases, &target);
	if (sysroot)
		kv_vec_push(f->arena, &run.bases, &host);
	for (size_t i = 0; i < fi->list.n; i++) {
		const struct kv_finding *x = &fi->list.v[i];
		struct kv_sarif_result *r = kv_vec_add(f->arena, &run.results);

		*r = (struct kv_sarif_result){ .id = x->id,
					       .level = x->severity,
					       .message = x->detail,
					       .help = x->repair,
					       .automatic = x->automatic };
		for (size_t k = 0; k < x->evidence.n; k++)
			kv_vec_push(
				f->arena, &r->places,
				place_of(f, &x->evidence.v[k], &target, sysroot ? &host : NULL));
		/* What is not in the target has no place in it but the whole. */
		if (!r->places.n)
			kv_vec_push(f->arena, &r->places,
				    ((struct kv_sarif_place){ .path = "/", .base = &target }));
	}
	return kv_sarif_doc(&run);
}
