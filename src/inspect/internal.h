/* What the files of inspect share. Not for other rooms. */
#ifndef KV_INSPECT_INTERNAL_H
#define KV_INSPECT_INTERNAL_H

#include "inspect/facts.h"

void kv_find_nixls(struct kv_facts *f);
void kv_find_fabrics(struct kv_facts *f);
void kv_find_sources(struct kv_facts *f, const kv_source_dirs *dirs);
void kv_find_orphans(struct kv_facts *f);
void kv_find_frameworks(struct kv_facts *f);
void kv_find_config(struct kv_facts *f);

/* Facts of the libfabric at path of root r; false where the file is none. */
bool kv_fabric_read(struct kv_arena *a, struct kv_root *r, const char *path, const struct kv_elf *e,
		    struct kv_fabric *ret);
/* Fills n->stack from the process in which the plugin is loaded. */
void kv_stack_read(struct kv_facts *f, struct kv_process *p, const struct kv_load *plugin,
		   struct kv_stack *ret);

/* The backend that a plugin's file, libplugin_NAME.so, is for. */
const char *kv_plugin_backend(struct kv_facts *f, const char *file);

/* Compiled python that is run whatever its source says, and whether it was made of this source. */
/* Whether the environment has the import hook of kvpath run in front. */
bool kv_has_hook(struct kv_facts *f);
bool kv_pyc_is_unchecked(struct kv_span pyc);
bool kv_pyc_is_of(struct kv_span pyc, struct kv_span source);

/* What `import torch` maps, where torch is in the site directory. */
void kv_import_torch(struct kv_facts *f, struct kv_process *proc, const char *site);

#endif
