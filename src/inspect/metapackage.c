/*
 * What `import nixl` takes where the metapackage of that name is installed: up to 1.4 the package
 * of the highest CUDA, whatever there is of CUDA. Since 1.5.0 it asks for the version that torch
 * was built for, which it reads from torch/version.py, and takes the package for that or none;
 * without a torch, or with one that knows no CUDA, the highest again (nixl/__init__.py
 * _load_cuda_backend(), nixl_meta_utils.py detect_cuda_major()).
 */
#include <ctype.h>

#include "inspect/internal.h"

#define MAX_TEXT ((size_t)64 << 10)

/* The major of `cuda = '12.8'`, with or without a type before the '='; 0: None. False where the
 * file says it in another way. */
static bool read_cuda(const char *text, unsigned *ret)
{
	static const char name[] = "cuda", none[] = "None";

	*ret = 0;
	for (const char *line = text; *line; line += *line == '\n') {
		const char *value = line + strlen(name);

		if (kv_starts(line, name) && strchr(" \t:=", *value)) {
			value += strcspn(value, "=\n");
			value += *value == '=';
			value += strspn(value, " \t");
			if (kv_starts(value, none))
				return true;
			if ((*value == '\'' || *value == '"') && isdigit((unsigned char)value[1]))
				*ret = (unsigned)strtoul(value + 1, NULL, 10);
			return *ret > 0;
		}
		line += strcspn(line, "\n");
	}
	return true;
}

enum kv_meta kv_meta_asks(struct kv_facts *f, const struct kv_nixl *n, unsigned *ret_cuda)
{
	const char *dir;
	struct kv_span s;

	*ret_cuda = 0;
	if (!n->meta)
		return KV_META_UNTOLD;
	if (kv_version_cmp(n->meta, "1.5.0") < 0)
		return KV_META_HIGHEST;
	dir = kv_package_place(f, n->site, "torch");
	if (!dir && !kv_path_is_plain(f, "torch"))
		return KV_META_UNTOLD;
	/* Without the file, torch.version can not be imported either. */
	if (!dir ||
	    kv_root_slurp(f->root, kv_join(f->arena, dir, "torch/version.py"), MAX_TEXT, &s) < 0)
		return KV_META_HIGHEST;
	if (!read_cuda((const char *)s.p, ret_cuda))
		return KV_META_UNTOLD;
	return *ret_cuda ? KV_META_CUDA : KV_META_HIGHEST;
}

const char *kv_meta_fault(struct kv_facts *f, const struct kv_nixl *n, bool *ret_sure)
{
	unsigned cuda;

	if (!kv_starts(n->module, "nixl_") || kv_meta_asks(f, n, &cuda) != KV_META_CUDA ||
	    kv_package_place(f, n->site, kv_strf(f->arena, "nixl_cu%u", cuda)))
		return NULL;
	*ret_sure = kv_path_is_plain(f, kv_strf(f->arena, "nixl_cu%u", cuda));
	return kv_strf(
		f->arena,
		"python can not import nixl: torch is for CUDA %u, and the metapackage nixl %s "
		"then takes nixl-cu%u, which is not installed",
		cuda, n->meta, cuda);
}
