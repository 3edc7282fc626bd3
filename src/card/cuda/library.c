/* The CUDA driver's library behind libcuda.so.1, or what stands in for it. */
#include "card/cuda/driver.h"
#include "card/cuda/remote.h"
#include "card/cuda/types.h"

int driver_refuses(void)
{
    return CUDA_ERROR_NOT_SUPPORTED;
}

static CUresult missing(void)
{
    return CUDA_ERROR_NOT_FOUND;
}

const struct driver_library driver_library = {.variable = "LEAT_CUDA_DRIVER",
                                              .file = "libcuda.so.1",
                                              .missing = (void *)missing,
                                              .stand_in = remote_entry};
