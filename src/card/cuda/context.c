/* The end of contexts: what is measured in them ends first. */
#include "card/cuda/launch.h"
#include "cuda_api.h"

CUresult api_cuDevicePrimaryCtxRelease(CUdevice device)
{
    launch_drain();
    return driver_cuDevicePrimaryCtxRelease(device);
}

CUresult api_cuDevicePrimaryCtxRelease_v2(CUdevice device)
{
    launch_drain();
    return driver_cuDevicePrimaryCtxRelease_v2(device);
}

CUresult api_cuDevicePrimaryCtxReset(CUdevice device)
{
    launch_drain();
    return driver_cuDevicePrimaryCtxReset(device);
}

CUresult api_cuDevicePrimaryCtxReset_v2(CUdevice device)
{
    launch_drain();
    return driver_cuDevicePrimaryCtxReset_v2(device);
}

CUresult api_cuCtxDestroy(CUcontext context)
{
    launch_drain();
    return driver_cuCtxDestroy(context);
}

CUresult api_cuCtxDestroy_v2(CUcontext context)
{
    launch_drain();
    return driver_cuCtxDestroy_v2(context);
}
