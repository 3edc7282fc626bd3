/* Making images. */
#include <errno.h>

#include "base/error.h"
#include "engine/image_impl.h"

int image_build_recipe(struct image *image, struct error *err)
{
    return error_set(err, -EOPNOTSUPP, "not-supported", "not yet");
}

int image_build_import(struct image *image, const char *source, struct error *err)
{
    return error_set(err, -EOPNOTSUPP, "not-supported", "not yet");
}

void image_build_free(struct build *build)
{
}
