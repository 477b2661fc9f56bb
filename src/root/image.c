/* The table of image formats. */
#include "root/oci.h"
#include "root/squash.h"

static const struct kv_image_format *const formats[] = {
	&kv_squash_format,      &kv_oci_layout_format,
	&kv_recording_format, /* before other tars */
	&kv_oci_archive_format, NULL,
};

const struct kv_image_format *kv_image_probe(int fd, const struct stat *st)
{
	for (size_t i = 0; formats[i]; i++)
		if (formats[i]->is(fd, st))
			return formats[i];
	return NULL;
}

const char *kv_image_names(struct kv_arena *a)
{
	const char *names = "";

	for (size_t i = 0; formats[i]; i++)
		if (formats[i] != &kv_recording_format)
			names = kv_strf(a, "%s%s%s", names, i ? ", " : "", formats[i]->name);
	return names;
}
