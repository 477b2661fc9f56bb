/* Indexes, manifests and configurations: JSON to a list of images, and the one that is meant. */
#include "base/json.h"
#include "root/oci.h"

#define MAX_IMAGES 256
#define MAX_LAYERS 1024
#define MAX_ENV    4096
#define MAX_NESTED 4

struct listing {
	struct kv_arena *arena;
	struct kv_oci_source *source;
	kv_oci_images *ret;
	struct kv_err *err;
};

static const char *str(const json_t *j, const char *key)
{
	return json_string_value(json_object_get(j, key));
}

static int bad(struct listing *l, const char *name, const char *what)
{
	return kv_err(l->err, -EBADMSG, "%.256s: %s", kv_printable(l->arena, name), what);
}

static int parse(struct listing *l, const char *name, struct kv_span s, json_t **ret)
{
	json_error_t why;

	*ret = json_loadb((const char *)s.p, s.n, JSON_REJECT_DUPLICATES, &why);
	return *ret ? 0 : bad(l, name, kv_strf(l->arena, "no valid JSON: %s", why.text));
}

static int load(struct listing *l, const char *name, struct kv_span *ret_bytes, json_t **ret)
{
	struct kv_span s;
	int e = kv_oci_source_slurp(l->source, name, &s);

	if (e < 0)
		return kv_err(l->err, e, "%.256s: %s", kv_printable(l->arena, name),
			      e == -EFBIG ? "larger than 4 MiB" : strerror(-e));
	if (ret_bytes)
		*ret_bytes = s;
	return parse(l, name, s, ret);
}

/* "sha256:..." to the path of its blob; NULL for what is none. */
static const char *blob_path(struct kv_arena *a, const char *digest)
{
	if (!digest || !kv_starts(digest, "sha256:") || strlen(digest) != 7 + 64 ||
	    strspn(digest + 7, "0123456789abcdef") != 64)
		return NULL;
	return kv_strf(a, "blobs/sha256/%s", digest + 7);
}

/* A small blob by its digest, which is checked. */
static int load_digest(struct listing *l, const char *digest, json_t **ret)
{
	const char *path = blob_path(l->arena, digest);
	char hash[KV_SHA256_HEX];
	struct kv_span s;
	int e;

	if (!path)
		return bad(l, digest ? digest : "digest", "no sha256 digest");
	e = kv_oci_source_slurp(l->source, path, &s);
	if (e < 0)
		return bad(l, digest, e == -EFBIG ? "larger than 4 MiB" : strerror(-e));
	kv_sha256_mem(s.p, s.n, hash);
	if (!kv_streq(hash, digest + 7))
		return bad(l, digest, "its content has another digest");
	return parse(l, digest, s, ret);
}

/* ---- configurations ---- */

static int read_config(struct listing *l, const json_t *config, struct kv_oci_image *im)
{
	const json_t *env = json_object_get(json_object_get(config, "config"), "Env");
	const char *cwd = str(json_object_get(config, "config"), "WorkingDir");
	size_t n = json_array_size(env);

	if (n > MAX_ENV)
		return bad(l, im->ref, "too many variables");
	for (size_t i = 0; i < n; i++) {
		const char *pair = json_string_value(json_array_get(env, i));

		if (pair && strchr(pair, '='))
			kv_vec_push(l->arena, &im->env, kv_strdup(l->arena, pair));
	}
	/* None is the root (moby, podman and containerd alike). */
	if (!cwd || !*cwd || *cwd == '/')
		im->cwd = cwd && *cwd ? kv_strdup(l->arena, cwd) : "/";
	if (str(config, "architecture"))
		im->arch = kv_strdup(l->arena, str(config, "architecture"));
	if (str(config, "os"))
		im->os = kv_strdup(l->arena, str(config, "os"));
	return 0;
}

/* ---- OCI ---- */

static int add_layer(struct listing *l, const json_t *desc, struct kv_oci_image *im)
{
	const char *type = str(desc, "mediaType"), *digest = str(desc, "digest");
	const char *path = blob_path(l->arena, digest);
	const json_t *size = json_object_get(desc, "size");

	if (!path)
		return bad(l, im->ref, "a layer without a sha256 digest");
	if (type && strstr(type, "encrypted"))
		return kv_err(l->err, -ENOTSUP,
			      "%s: encrypted: kvpath has no keys; decrypt the "
			      "image first (skopeo copy --decryption-key)",
			      digest);
	if (type && !strstr(type, ".tar"))
		return kv_err(l->err, -ENOTSUP,
			      "%s: a layer of the type %.128s: kvpath reads tar "
			      "layers, plain or compressed with gzip or zstd",
			      digest, kv_printable(l->arena, type));
	if (type && (strstr(type, "nondistributable") || strstr(type, "foreign")) &&
	    !kv_oci_source_has(l->source, path))
		return kv_err(l->err, -ENOTSUP, "%s: a foreign layer that the image does not hold",
			      digest);
	kv_vec_push(l->arena, &im->layers, ((struct kv_stack_layer){ .name = path }));
	kv_vec_push(l->arena, &im->sizes,
		    json_is_integer(size) ? (uint64_t)json_integer_value(size) : UINT64_MAX);
	return 0;
}

static int add_manifest(struct listing *l, const json_t *desc, const json_t *manifest)
{
	const json_t *config_desc = json_object_get(manifest, "config");
	const json_t *layers = json_object_get(manifest, "layers");
	const char *ref =
		str(json_object_get(desc, "annotations"), "org.opencontainers.image.ref.name");
	const char *digest = str(desc, "digest");
	struct kv_oci_image im = { .ref = kv_strdup(l->arena, ref ? ref : digest),
				   .id = kv_strdup(l->arena, digest) };
	_json_ json_t *config = NULL;
	int e;

	if (!json_is_array(layers) || json_array_size(layers) > MAX_LAYERS)
		return bad(l, digest, "no list of layers, or more than 1024");
	e = load_digest(l, str(config_desc, "digest"), &config);
	if (e == 0)
		e = read_config(l, config, &im);
	for (size_t i = 0; e == 0 && i < json_array_size(layers); i++)
		e = add_layer(l, json_array_get(layers, i), &im);
	if (e == 0)
		kv_vec_push(l->arena, l->ret, im);
	return e;
}

/* Build attestations hang beside the images that they are about (platform "unknown"). */
static bool is_no_image(const json_t *desc)
{
	const char *arch = str(json_object_get(desc, "platform"), "architecture");

	return (arch && kv_streq(arch, "unknown")) ||
	       str(json_object_get(desc, "annotations"), "vnd.docker.reference.type");
}

static int add_index(struct listing *l, const json_t *index, unsigned depth)
{
	const json_t *list = json_object_get(index, "manifests");
	int e = 0;

	if (!json_is_array(list) || depth > MAX_NESTED)
		return bad(l, "index.json", "no index of images");
	for (size_t i = 0; e == 0 && i < json_array_size(list); i++) {
		const json_t *desc = json_array_get(list, i);
		const char *path = blob_path(l->arena, str(desc, "digest"));
		_json_ json_t *at = NULL;

		if (is_no_image(desc))
			continue;
		if (l->ret->n >= MAX_IMAGES)
			return bad(l, "index.json", "more than 256 images");
		/* Tools copy one platform's image out of many, and leave the index as it was. */
		if (path && json_array_size(list) > 1 && !kv_oci_source_has(l->source, path))
			continue;
		e = load_digest(l, str(desc, "digest"), &at);
		if (e == 0)
			e = json_object_get(at, "manifests") ? add_index(l, at, depth + 1)
							     : add_manifest(l, desc, at);
	}
	return e;
}

int kv_oci_list_layout(struct kv_arena *a, struct kv_oci_source *s, kv_oci_images *ret,
		       struct kv_err *err)
{
	struct listing l = { a, s, ret, err };
	_json_ json_t *index = NULL;
	int e = load(&l, "index.json", NULL, &index);

	return e < 0 ? e : add_index(&l, index, 0);
}

/* ---- docker ---- */

static int add_docker(struct listing *l, const json_t *item)
{
	const json_t *layers = json_object_get(item, "Layers");
	const char *name = str(item, "Config");
	const char *tag = json_string_value(json_array_get(json_object_get(item, "RepoTags"), 0));
	struct kv_oci_image im = { 0 };
	_json_ json_t *config = NULL;
	struct kv_span bytes = { 0 };
	char hash[KV_SHA256_HEX];
	int e;

	if (!name || !json_is_array(layers) || json_array_size(layers) > MAX_LAYERS)
		return bad(l, "manifest.json", "an image without a configuration or layers");
	im.id = kv_strdup(l->arena, name);
	im.ref = kv_strdup(l->arena, tag ? tag : name);
	e = load(l, name, &bytes, &config);
	if (e < 0)
		return e;
	/* The configuration is named by its hash: HEX.json, or blobs/sha256/HEX. */
	kv_sha256_mem(bytes.p, bytes.n, hash);
	if (strspn(kv_basename(name), "0123456789abcdef") == 64 &&
	    strncmp(kv_basename(name), hash, 64) != 0)
		return bad(l, name, "its content has another digest");
	e = read_config(l, config, &im);
	for (size_t i = 0; e == 0 && i < json_array_size(layers); i++) {
		const char *layer = json_string_value(json_array_get(layers, i));

		if (!layer)
			return bad(l, "manifest.json", "a layer that is no name");
		kv_vec_push(l->arena, &im.layers,
			    ((struct kv_stack_layer){ .name = kv_strdup(l->arena, layer) }));
		kv_vec_push(l->arena, &im.sizes, UINT64_MAX);
	}
	if (e == 0)
		kv_vec_push(l->arena, l->ret, im);
	return e;
}

int kv_oci_list_docker(struct kv_arena *a, struct kv_oci_source *s, kv_oci_images *ret,
		       struct kv_err *err)
{
	struct listing l = { a, s, ret, err };
	_json_ json_t *list = NULL;
	int e = load(&l, "manifest.json", NULL, &list);

	if (e == 0 && (!json_is_array(list) || json_array_size(list) > MAX_IMAGES))
		return bad(&l, "manifest.json", "no list of images, or more than 256");
	for (size_t i = 0; e == 0 && i < json_array_size(list); i++)
		e = add_docker(&l, json_array_get(list, i));
	return e;
}

/* ---- the choice ---- */

static const char *describe(struct kv_arena *a, const kv_oci_images *list)
{
	const char *text = "";

	for (size_t i = 0; i < list->n && i < 16; i++)
		text = kv_strf(a, "%s%s%.100s (%.16s/%.16s)", text, i ? ", " : "",
			       kv_printable(a, list->v[i].ref),
			       kv_printable(a, list->v[i].os ? list->v[i].os : "?"),
			       kv_printable(a, list->v[i].arch ? list->v[i].arch : "?"));
	return list->n > 16 ? kv_strf(a, "%s, ...", text) : text;
}

int kv_oci_choose(struct kv_arena *a, const kv_oci_images *list, const char *arch,
		  const struct kv_oci_image **ret, struct kv_err *err)
{
	const struct kv_oci_image *im, *found = NULL;
	size_t n = 0;

	if (!list->n)
		return kv_err(err, -ENOENT, "it holds no image");
	kv_vec_each (im, list) {
		bool fits = (!im->os || kv_streq(im->os, "linux")) && im->arch &&
			    kv_streq(im->arch, arch);

		if (!fits || (found && kv_streq(found->id, im->id)))
			continue;
		found = found ? found : im;
		n++;
	}
	if (!n && list->n == 1) {
		found = &list->v[0];
		n = 1;
	}
	if (n > 1)
		return kv_err(err, -ENOTSUP,
			      "it holds more than one image for %s: %s; save the one that is meant "
			      "by itself",
			      arch, describe(a, list));
	if (!n)
		return kv_err(err, -ENOTSUP,
			      "it holds no image for %s, but %s; save the one that "
			      "is meant by itself",
			      arch, describe(a, list));
	*ret = found;
	return 0;
}
