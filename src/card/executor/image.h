/* Images as objects: what they are made from, and their contents while the card is away. */
#ifndef LEAT_CARD_EXECUTOR_IMAGE_H
#define LEAT_CARD_EXECUTOR_IMAGE_H

#include <stdint.h>

#include "card/executor/object.h"

/* Fill in what follows from format and description: the bytes that it takes, or 0 with the driver's
 * code. */
uint64_t image_measure(struct image *image, cl_int *ret_status);

/* An image in `context`, or a view of `viewed` (else NULL). NULL with `*ret_status` set. */
cl_mem image_make(const struct object *object, cl_context context, cl_mem viewed,
                  cl_int *ret_status);
/* All of an image's pixels without gaps, to or from `pixels`, before the call returns. */
enum image_way { IMAGE_OUT, IMAGE_IN };
cl_int image_carry(const struct object *object, cl_command_queue queue, enum image_way way,
                   void *pixels);

#endif
