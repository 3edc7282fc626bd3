/* What PoCL's tests take from the header in its source. */
#include <CL/cl.h>

typedef cl_int(CL_API_CALL *clSetContentSizeBufferPoCL_fn)(cl_mem buffer,
                                                           cl_mem content_size_buffer);
