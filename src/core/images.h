/* Images as the rest of core sees them. */
#ifndef LEAT_CORE_IMAGES_H
#define LEAT_CORE_IMAGES_H

#include <stdbool.h>

struct engine_image;

void images_on_change(void *context, const struct engine_image *image);
bool images_ready(void *context, const char *image);

#endif
