/* Rules of a document as a whole: KV705, KV709. */
#include "launch/lint.h"

/* ---- KV705 ---- */

/* The variable as one more entry of a block map, in its indentation, with its line ending. */
static const char *as_entry(struct kv_job *j, const struct kv_yaml *last, const char *name,
			    size_t *ret_at)
{
	struct kv_span t = j->lints->text;
	size_t begin = last->at, end, indent;
	const char *eol;
	const uint8_t *nl;

	while (begin && t.p[begin - 1] != '\n')
		begin--;
	for (indent = begin; indent < t.n && t.p[indent] == ' ';)
		indent++;
	/* A key in quotes begins one before. Anything else in front of it: not the plain form. */
	if (last->at - indent > 1 || (last->at - indent == 1 && !strchr("'\"", t.p[indent])))
		return NULL;
	end = last->end > last->at ? last->end : last->at;
	if (end > t.n)
		return NULL;
	while (end > last->at && strchr(" \t\r\n", t.p[end - 1]))
		end--;
	/* A value of several lines: where it ends is not looked for. */
	if (memchr(t.p + last->at, '\n', end - last->at))
		return NULL;
	nl = memchr(t.p + end, '\n', t.n - end);
	eol = memchr(t.p, '\r', t.n) ? "\r\n" : "\n";
	*ret_at = nl ? (size_t)(nl - t.p) + 1 : t.n;
	return kv_strf(j->arena, "%s%.*s%s: LIBFABRIC%s", nl ? "" : eol, (int)(indent - begin),
		       t.p + begin, name, nl ? eol : "");
}

static struct kv_edit set_variable(struct kv_job *j, const char *name)
{
	const struct kv_yaml *last = j->env ? j->env->first : NULL;
	struct kv_edit e = { 0 };
	size_t end;

	while (last && last->next)
		last = last->next;
	if (!last || last->kind != KV_YAML_SCALAR || !*last->key)
		return e;
	if (!j->env->flow) {
		e.text = as_entry(j, last, name, &e.start);
		e.end = e.start;
		return e;
	}
	end = j->env->end;
	if (!end || end > j->lints->text.n || j->lints->text.p[end - 1] != '}' || !last->value_line)
		return e;
	for (end--; end > last->end && strchr(" \t", j->lints->text.p[end - 1]);)
		end--;
	/* Only behind a plain or quoted last value on the same line. */
	if (end - last->end > 1 ||
	    (end - last->end == 1 && !strchr("'\"", j->lints->text.p[last->end])))
		return e;
	e.start = e.end = end;
	e.text = kv_strf(j->arena, ", %s: LIBFABRIC", name);
	return e;
}

static void lint_knob(struct kv_job *j)
{
	struct kv_lint *l;

	if (!j->efa_line || !j->framework.name || j->has_knob)
		return;
	l = kv_lint_add(
		j, "KV705", KV_WARNING, j->framework.line, j->framework.column,
		kv_strf(j->arena,
			"%s transfers through NIXL and the recipe brings EFA (line %u), but "
			"nothing names a backend: NIXL's default is UCX",
			j->framework.name, j->efa_line),
		j->framework.mend);
	if (j->framework.variable)
		l->edit = set_variable(j, j->framework.variable);
}

/* ---- KV709 ---- */

static const struct kv_job_var *asks_for_efa(struct kv_job *j)
{
	for (size_t i = 0; i < j->vars.n; i++) {
		const struct kv_job_var *v = &j->vars.v[i];

		if (kv_streq(v->name, "FI_PROVIDER") && v->value && kv_streq(v->value, "efa") &&
		    kv_lint_reaches(j, v))
			return v;
	}
	return NULL;
}

static void lint_device(struct kv_job *j)
{
	const struct kv_job_var *v;

	/* Under Slurm all of /dev is in the container. */
	if (!j->dialect->asks_for_devices || j->has_device)
		return;
	v = asks_for_efa(j);
	if (!v)
		return;
	kv_lint_add(j, "KV709", KV_WARNING, v->line, v->column,
		    "FI_PROVIDER asks for efa, and nothing here gives a pod an EFA device",
		    "ask for vpc.amazonaws.com/efa under resources.limits of the container");
}

void kv_lint_whole(struct kv_job *j)
{
	if (j->part && !j->part->serves)
		return;
	lint_knob(j);
	lint_device(j);
}
