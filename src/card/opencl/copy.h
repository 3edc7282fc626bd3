/* Copies and fills between buffers, for calls that have checked them. */
#ifndef LEAT_CARD_OPENCL_COPY_H
#define LEAT_CARD_OPENCL_COPY_H

#include "card/opencl/command.h"

/* A place in a buffer. */
struct copy_end {
    cl_mem memory;
    size_t offset;
};

/* The largest pattern of a fill: the largest OpenCL vector, 16 doubles. */
#define FILL_PATTERN_MAX 128

/* Post one for an open command, which is left to the caller to close. */
cl_int copy_post(struct command *command, struct copy_end source, struct copy_end target,
                 size_t bytes);
cl_int fill_post(struct command *command, struct copy_end target, size_t bytes, const void *pattern,
                 size_t pattern_bytes);

/* Whether OpenCL has patterns of this size, and so many bytes at `offset` are made of whole
 * ones. */
static inline int fill_is_even(size_t pattern_bytes, size_t offset, size_t bytes)
{
    return pattern_bytes > 0 && pattern_bytes <= FILL_PATTERN_MAX &&
           !(pattern_bytes & (pattern_bytes - 1)) && offset % pattern_bytes == 0 &&
           bytes % pattern_bytes == 0;
}

#endif
