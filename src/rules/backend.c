/* Family B, which plugin and which backend: KV201 to KV213. Variables are in environ.c, KV219 in
 * framework.c. */
#include "rules/rules.h"

/* A framework in the target that names the wanted backend itself. */
static bool a_framework_asks(const struct kv_facts *f)
{
	for (size_t i = 0; i < f->frameworks.n; i++)
		if (f->frameworks.v[i].value && kv_streq(f->frameworks.v[i].value, f->backend))
			return true;
	return false;
}

static const char *join_names(const struct kv_facts *f, const kv_strv *names)
{
	const char *s = "";

	for (size_t i = 0; i < names->n; i++)
		s = kv_strf(f->arena, "%s%s%s", s, i ? ", " : "", names->v[i]);
	return *s ? s : "none";
}

/* What python runs is of another source than the one that lies there. */
static void report_pyc(const struct kv_facts *f, struct kv_findings *out, const struct kv_nixl *n)
{
	struct kv_finding *fi = kv_find(
		out, n->pyc_names_backend ? KV_WARNING : kv_severity_of(n),
		"%s: python runs compiled code that was made of another source%s",
		kv_nixl_label(f, n),
		n->pyc_names_backend ? ": the default backend can not be told"
				     : kv_strf(f->arena, ", which does not name %s", f->backend));

	fi->cannot_tell = n->active && n->pyc_names_backend;
	kv_show(out, fi, n->unchecked_pyc, "not made of %s, and run without looking at it",
		n->api_py);
	kv_mend(out, fi, n->def.kind != KV_PYDEFAULT_UNKNOWN,
		n->def.kind != KV_PYDEFAULT_UNKNOWN
			? "kvpath fix takes it out, and makes the source's default "
			  "NIXL_BACKEND from the environment, else %s"
			: "remove it, so that python compiles the source again (wanted: %s)",
		f->backend);
}

static void check_default(const struct kv_facts *f, struct kv_findings *out,
			  const struct kv_nixl *n)
{
	struct kv_finding *fi;

	if (n->api_py && n->other_pyc) {
		report_pyc(f, out, n);
		return;
	}
	if (!n->api_py ||
	    (n->def.kind != KV_PYDEFAULT_UNKNOWN && kv_strv_has(&n->default_backends, f->backend)))
		return;
	if (n->def.kind == KV_PYDEFAULT_UNKNOWN) {
		fi = kv_find(out, KV_WARNING,
			     "%s: its default backend can not be told from the source",
			     kv_nixl_label(f, n));
		fi->cannot_tell = n->active;
		kv_show(out, fi, n->api_py, "%s",
			n->def.why ? n->def.why : "not of a shape that kvpath knows");
		kv_mend(out, fi, false,
			"pass nixl_agent_config(backends=[\"%s\"]) where the agent is made",
			f->backend);
		return;
	}
	fi = kv_find(out, a_framework_asks(f) ? KV_WARNING : kv_severity_of(n),
		     "%s: an agent made without naming backends uses %s, not %s",
		     kv_nixl_label(f, n), join_names(f, &n->default_backends), f->backend);
	kv_show(out, fi, n->api_py, "line %u: backends defaults to %s", n->def.line,
		join_names(f, &n->default_backends));
	if (n->def.env && kv_env_get(f->env, n->def.env))
		kv_mend(out, fi, false, "unset %s or set it to %s", n->def.env, f->backend);
	else if (n->unchecked_pyc)
		kv_mend(out, fi, true,
			"kvpath fix makes the default NIXL_BACKEND from the environment, else %s, "
			"and "
			"takes out %s, which python runs without looking at the source",
			f->backend, n->unchecked_pyc);
	else
		kv_mend(out, fi, true,
			"kvpath fix makes the default %s from the environment, else %s",
			n->def.env ? n->def.env : "NIXL_BACKEND", f->backend);
}

static bool is_on(const char *v)
{
	return v && kv_is_one_of(v, (const char *const[]){ "true", "1", "yes", "on", NULL });
}

/* Dynamo's block manager has a variable for each backend. */
static void check_kvbm(const struct kv_facts *f, struct kv_findings *out)
{
	const char *name = kv_strf(f->arena, "DYN_KVBM_NIXL_BACKEND_%s", f->backend);
	struct kv_finding *fi;

	if (kv_streq(f->backend, "UCX") || is_on(kv_env_get(f->env, name)) ||
	    !is_on(kv_env_get(f->env, "DYN_KVBM_NIXL_BACKEND_UCX")))
		return;
	fi = kv_find(out, KV_WARNING,
		     "Dynamo's block manager is told to use UCX, and not to use %s", f->backend);
	kv_show(out, fi, "DYN_KVBM_NIXL_BACKEND_UCX", "%s",
		kv_env_get(f->env, "DYN_KVBM_NIXL_BACKEND_UCX"));
	kv_mend(out, fi, false, "set %s=true and DYN_KVBM_NIXL_BACKEND_UCX=false", name);
}

/* What it was told, or whether it sends anything, is not in the target. */
static void report_idle(struct kv_findings *out, const struct kv_framework *w)
{
	struct kv_finding *fi =
		kv_find(out, KV_INFO,
			"%s, where it sends by NIXL, takes the backend from its configuration%s%s, "
			"and UCX where %s: kvpath does not see it",
			w->name, w->knob ? " or " : "", w->knob ? w->knob : "",
			w->knob ? "neither names one" : "that names none");

	kv_mend(out, fi, false,
		w->knob ? "set %s in the job (kvpath run does)" : "name it there: %s", w->set);
}

static void report_always(struct kv_findings *out, const struct kv_framework *w)
{
	struct kv_finding *fi = kv_find(
		out, KV_INFO,
		"%s takes UCX alone: where it is used, it ends with KeyError: 'UCX' if NIXL's "
		"default is another",
		w->name);

	kv_mend(out, fi, false, "set NIXL_BACKEND=UCX for the processes that use it");
}

static bool takes(const kv_strv *taken, const char *backend)
{
	return taken->n == 1 && kv_strv_has(taken, backend);
}

/* Its command line decides, and else its own code. */
static void report_argument(const struct kv_facts *f, struct kv_findings *out,
			    const struct kv_framework *w)
{
	const struct kv_named_default *d, *wrong = NULL;
	const char *variable = NULL;
	bool automatic = true;
	struct kv_finding *fi;

	kv_vec_each (d, &w->defaults) {
		if (takes(&d->taken, f->backend))
			continue;
		wrong = wrong ? wrong : d;
		if (takes(&d->def.backends, f->backend))
			variable = d->def.env;
		automatic &= d->path != NULL;
	}
	if (!wrong)
		return;
	fi = kv_find(out, KV_INFO,
		     "%s takes the backend from its command line, which kvpath does not see, and "
		     "%s where that names none: without that argument it ends with KeyError where "
		     "NIXL's default is another",
		     w->name,
		     wrong->taken.n ? join_names(f, &wrong->taken)
				    : "what it does not tell either");
	if (wrong->path)
		kv_show(out, fi, wrong->path, "line %u: %s", wrong->def.line,
			join_names(f, &wrong->taken));
	if (variable) {
		kv_mend(out, fi, false, "unset %s or set it to %s", variable, f->backend);
		return;
	}
	kv_mend(out, fi, automatic, "%sstart it with %s, or by kvpath run",
		automatic
			? "kvpath fix makes what it takes then NIXL_BACKEND from the environment, "
			  "else the backend that is wanted; or "
			: "",
		w->set);
}

/* What its variable comes to: as set, else what its code says, else UCX, as of all of them. */
static const char *value_of(const struct kv_framework *w)
{
	if (w->value)
		return w->value;
	return w->knob && w->defaults.n ? w->defaults.v[0].taken.v[0] : "UCX";
}

static void report_knob(const struct kv_facts *f, struct kv_findings *out,
			const struct kv_framework *w)
{
	const struct kv_named_default *d = w->value || !w->defaults.n ? NULL : &w->defaults.v[0];
	struct kv_finding *fi = kv_find(
		out, KV_ERROR,
		"%s names the backend itself: %s is %s%s, and NIXL's default does not reach it",
		w->name, w->knob, w->value ? "" : "unset, which means ", value_of(w));

	kv_show(out, fi, d && d->path ? d->path : w->path, "%s", w->knob);
	if (d && d->def.kind == KV_PYDEFAULT_KVPATH && kv_streq(d->def.backends.v[0], f->backend))
		kv_mend(out, fi, false, "unset NIXL_BACKEND or set it to %s", f->backend);
	else
		kv_mend(out, fi, d && d->path,
			"%sset %s in the job (kvpath run does); tell kvpath with --env %s",
			d && d->path ? "kvpath fix makes what it is then NIXL_BACKEND from the "
				       "environment, else the backend that is wanted; or "
				     : "",
			w->set, w->set);
}

void kv_rule_default_backend(const struct kv_facts *f, struct kv_findings *out)
{
	for (size_t i = 0; i < f->nixls.n; i++)
		check_default(f, out, &f->nixls.v[i]);
	for (size_t i = 0; i < f->frameworks.n; i++) {
		const struct kv_framework *w = &f->frameworks.v[i];

		if (!w->chooses)
			continue;
		if (!w->knob && w->set && !w->may_idle) {
			report_argument(f, out, w);
			continue;
		}
		if (kv_streq(value_of(w), f->backend))
			continue;
		if (w->may_idle && !w->value)
			report_idle(out, w);
		else if (!w->knob)
			report_always(out, w);
		else
			report_knob(f, out, w);
	}
	check_kvbm(f, out);
}

/* ---- KV213: two of them ---- */

static bool carries_kv(const char *backend)
{
	return kv_streq(backend, "UCX") || kv_streq(backend, "UCX_MO") ||
	       kv_streq(backend, "LIBFABRIC") || kv_streq(backend, "Mooncake");
}

void kv_rule_two_backends(const struct kv_facts *f, struct kv_findings *out)
{
	for (size_t i = 0; i < f->nixls.n; i++) {
		const struct kv_nixl *n = &f->nixls.v[i];
		const char *other = NULL;
		struct kv_finding *fi;

		for (size_t j = 0; j < n->default_backends.n; j++)
			if (!kv_streq(n->default_backends.v[j], f->backend) &&
			    carries_kv(n->default_backends.v[j]))
				other = n->default_backends.v[j];
		if (!n->active || !other || !kv_strv_has(&n->default_backends, f->backend))
			continue;
		fi = kv_find(
			out, KV_WARNING,
			"%s: an agent made without naming backends has %s, and a transfer takes "
			"either %s or %s",
			kv_nixl_label(f, n), join_names(f, &n->default_backends), f->backend,
			other);
		kv_show(out, fi, n->api_py, "line %u: backends defaults to %s", n->def.line,
			join_names(f, &n->default_backends));
		kv_mend(out, fi, false, "name %s alone", f->backend);
	}
}

void kv_rule_ucx_on_efa(const struct kv_facts *f, struct kv_findings *out)
{
	const char *tls = kv_env_get(f->env, "UCX_TLS");
	struct kv_finding *fi;

	if (!f->host || !f->vram || !kv_streq(f->backend, "UCX") || !kv_host_usable_efas(f->host))
		return;
	fi = kv_find(out, KV_WARNING,
		     "UCX reaches no GPU memory over EFA: on this host, with %zu EFA devices, it "
		     "stages the bytes in host memory or sends them by TCP",
		     kv_host_usable_efas(f->host));
	if (tls)
		kv_show(out, fi, "UCX_TLS", "%s", tls);
	kv_mend(out, fi, false, "use the LIBFABRIC backend, on both sides");
}

/* Those where python's packages lie first. */
static void show_unreadable(const struct kv_facts *f, struct kv_findings *out,
			    struct kv_finding *fi)
{
	const kv_strv *list = &f->scan->unreadable;

	for (unsigned pass = 0; pass < 2; pass++)
		for (size_t i = 0; i < list->n && fi->evidence.n < 8; i++)
			if (!!strstr(list->v[i], "python") == !pass)
				kv_show(out, fi, list->v[i], "could not be read");
}

/* Whether KV205 or KV207 say why the plugin is not found: NIXL_PLUGIN_DIR or the configuration file
 * lead to another directory. */
static bool is_led_away(const struct kv_nixl *n)
{
	return n->plugin_dir_file || n->plugin_dir_untold ||
	       (n->plugin_dir_from_env && !n->plugins.n);
}

void kv_rule_no_plugin(const struct kv_facts *f, struct kv_findings *out)
{
	struct kv_finding *fi;

	if (!f->nixls.n) {
		fi = kv_find(out, KV_ERROR,
			     "no NIXL in this target: no package with its python binding, no "
			     "libnixl.so");
		fi->cannot_tell = f->scan->stopped || f->scan->unreadable.n;
		if (f->scan->stopped)
			kv_show(out, fi, f->scan->stopped_at, "the search is incomplete: %s",
				f->scan->stopped);
		show_unreadable(f, out, fi);
		kv_mend(out, fi, false,
			"install it (pip install 'nixl[cu12]' or 'nixl[cu13]'), or name the "
			"container or root directory that has it: kvpath check DIR");
		return;
	}
	for (size_t i = 0; i < f->nixls.n; i++) {
		const struct kv_nixl *n = &f->nixls.v[i];

		if (n->wanted || is_led_away(n) || (!n->active && !n->plugins.n))
			continue;
		fi = kv_find(out, kv_severity_of(n), "%s has no libplugin_%s.so",
			     kv_nixl_label(f, n), f->backend);
		kv_show(out, fi, n->plugin_dir ? n->plugin_dir : n->path,
			"%zu plugins, none of them %s", n->plugins.n, f->backend);
		kv_mend(out, fi, false,
			"install a NIXL wheel that carries it (0.6.1 or newer) or put the plugin "
			"back");
	}
}

static void report_relative(const struct kv_facts *f, struct kv_findings *out,
			    const struct kv_nixl *n)
{
	struct kv_finding *fi =
		kv_find(out, KV_WARNING,
			"NIXL_PLUGIN_DIR=%s is a relative path: which plugins %s has depends on "
			"the directory in which the job starts",
			n->plugin_dir, kv_nixl_label(f, n));

	fi->cannot_tell = n->active;
	kv_show(out, fi, "NIXL_PLUGIN_DIR", "%s", n->plugin_dir);
	kv_mend(out, fi, false, "unset NIXL_PLUGIN_DIR, or set it to an absolute path");
}

static void report_code(const struct kv_facts *f, struct kv_findings *out, const struct kv_nixl *n)
{
	struct kv_finding *fi = kv_find(out, KV_WARNING,
					"code that python runs before there is an agent sets "
					"NIXL_PLUGIN_DIR: which plugins "
					"%s has depends on it",
					kv_nixl_label(f, n));

	fi->cannot_tell = n->active;
	kv_show(out, fi, n->plugin_dir_code, "NIXL_PLUGIN_DIR");
	kv_mend(out, fi, false,
		"take it out of the code, and set it in the job where it is needed");
}

void kv_rule_plugin_dir(const struct kv_facts *f, struct kv_findings *out)
{
	for (size_t i = 0; i < f->nixls.n; i++) {
		const struct kv_nixl *n = &f->nixls.v[i];
		struct kv_finding *fi;

		if (n->plugin_dir_code && n->plugin_dir_untold) {
			report_code(f, out, n);
			return;
		}
		if (!n->plugin_dir_from_env || n->plugins.n)
			continue;
		if (n->plugin_dir_untold) {
			report_relative(f, out, n);
			return;
		}
		fi = kv_find(out, kv_severity_of(n),
			     "NIXL_PLUGIN_DIR=%s replaces NIXL's own plugin directory and holds "
			     "no plugin",
			     n->plugin_dir);
		kv_show(out, fi, *n->plugin_dir ? n->plugin_dir : "NIXL_PLUGIN_DIR", "%s",
			!*n->plugin_dir                          ? "set to nothing"
			: kv_root_is_dir(f->root, n->plugin_dir) ? "no libplugin_*.so in it"
								 : "no such directory");
		kv_mend(out, fi, false, "unset NIXL_PLUGIN_DIR%s%s",
			n->lib_dir ? ", or set it to " : "",
			n->lib_dir ? kv_join(f->arena, n->lib_dir, "plugins") : "");
		return;
	}
}

/* ---- KV207: the configuration file ---- */

static void check_config(const struct kv_facts *f, struct kv_findings *out, const struct kv_nixl *n)
{
	const struct kv_config *c = &f->config;
	struct kv_finding *fi;

	if (c->untold || n->plugin_dir_untold)
		fi = kv_find(out, KV_WARNING,
			     "%s: %s is a relative path: which plugins it has depends on the "
			     "directory in which the job starts",
			     kv_nixl_label(f, n),
			     c->untold ? "NIXL_CONFIG_FILE"
				       : kv_strf(f->arena, "%s, which %s names,", n->plugin_dir,
						 c->path));
	else if (c->unfollowed)
		fi = kv_find(
			out, KV_WARNING,
			"%s: its configuration file %s has more of TOML than is followed here: "
			"which plugin directory it names can not be told",
			kv_nixl_label(f, n), c->path);
	else if (c->error)
		fi = kv_find(out, KV_ERROR,
			     "%s: its configuration file %s: %s; it makes no agent then",
			     kv_nixl_label(f, n), *c->path ? c->path : "(no name)", c->error);
	else
		fi = kv_find(
			out, KV_ERROR,
			"%s: its configuration file %s names the plugin directory %s, which has "
			"no libplugin_%s.so",
			kv_nixl_label(f, n), c->path, *n->plugin_dir ? n->plugin_dir : "\"\"",
			f->backend);
	fi->cannot_tell = c->unfollowed || c->untold || n->plugin_dir_untold;
	kv_show(out, fi, c->path, "%s%s", c->line ? kv_strf(f->arena, "line %u", c->line) : "taken",
		*c->from ? kv_strf(f->arena, ", found by %s", c->from) : "");
	kv_mend(out, fi, false, "correct the file, or unset what leads to it");
}

void kv_rule_config(const struct kv_facts *f, struct kv_findings *out)
{
	for (size_t i = 0; i < f->nixls.n; i++) {
		const struct kv_nixl *n = &f->nixls.v[i];

		if (n->active && n->reads_config &&
		    (f->config.error || f->config.untold ||
		     (f->config.unfollowed && !n->plugin_dir_from_env) ||
		     (n->plugin_dir_file && !n->wanted)))
			check_config(f, out, n);
	}
}

/* ---- KV210: the plugin is in another place ---- */

static const char *plugin_elsewhere(const struct kv_facts *f, const struct kv_nixl *n)
{
	for (size_t i = 0; i < f->nixls.n; i++)
		if (&f->nixls.v[i] != n && f->nixls.v[i].wanted)
			return f->nixls.v[i].wanted->path;
	for (size_t i = 0; i < f->orphans.n; i++)
		if (kv_streq(f->orphans.v[i].name, f->backend) && !f->orphans.v[i].home)
			return f->orphans.v[i].path;
	return NULL;
}

void kv_rule_plugin_elsewhere(const struct kv_facts *f, struct kv_findings *out)
{
	for (size_t i = 0; i < f->nixls.n; i++) {
		const struct kv_nixl *n = &f->nixls.v[i];
		const char *path = n->active && !n->wanted ? plugin_elsewhere(f, n) : NULL;
		struct kv_finding *fi;

		if (!path || is_led_away(n))
			continue;
		fi = kv_find(out, KV_WARNING, "%s does not look where this target has the plugin",
			     kv_nixl_label(f, n));
		kv_show(out, fi, path, "the plugin");
		kv_show(out, fi, n->plugin_dir ? n->plugin_dir : n->path, "where it looks");
		kv_mend(out, fi, false,
			"use the NIXL that the plugin was built with; set NIXL_PLUGIN_DIR=%s only "
			"where both are of one release",
			kv_dirname(f->arena, path));
	}
}
