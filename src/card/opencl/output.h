/* What kernels print comes out of the user's process, at the calls through which it can learn that
 * a command ended. */
#ifndef LEAT_CARD_OPENCL_OUTPUT_H
#define LEAT_CARD_OPENCL_OUTPUT_H

#include <stddef.h>

/* A program (its source, or its binary) was made: may its kernels print? */
void output_expect(const void *program, size_t length);
/* Write what was printed since the last call to standard output. Free unless a program may
 * print. */
void output_forward(void);

#endif
