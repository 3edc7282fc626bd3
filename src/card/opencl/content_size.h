/* cl_pocl_content_size: how much of a buffer is of use is a number in another buffer, and what
 * copies the buffer copies no more. The driver looks at it; PoCL declares the function in its own
 * header. */
#ifndef LEAT_CARD_OPENCL_CONTENT_SIZE_H
#define LEAT_CARD_OPENCL_CONTENT_SIZE_H

#include <CL/cl.h>

#define CONTENT_SIZE_FUNCTION "clSetContentSizeBufferPoCL"

/* Whether the card's platform has it. */
int content_size_is_served(void);
/* The extension's function. The end of either buffer unties them. Any thread. */
cl_int CL_API_CALL content_size_set(cl_mem buffer, cl_mem content_size_buffer);
/* At a buffer's end. */
void content_size_untie(cl_mem memory);

#endif
