/* The functions of the driver's interface that programs of the tests call. */
#ifndef LEAT_FAKE_CUDA_API_H
#define LEAT_FAKE_CUDA_API_H

#include "card/cuda/types.h"

CUresult cuInit(unsigned flags);
CUresult cuCtxCreate_v2(CUcontext *context, unsigned flags, CUdevice device);
CUresult cuCtxDestroy_v2(CUcontext context);
CUresult cuCtxSynchronize(void);
CUresult cuMemGetInfo_v2(size_t *left, size_t *whole);
CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice device);
CUresult cuMemAlloc_v2(CUdeviceptr *pointer, size_t bytes);
CUresult cuMemAllocManaged(CUdeviceptr *pointer, size_t bytes, unsigned flags);
CUresult cuMemAllocPitch_v2(CUdeviceptr *p, size_t *pitch, size_t width, size_t height, unsigned e);
CUresult cuMemFree_v2(CUdeviceptr pointer);
CUresult cuMemAllocAsync(CUdeviceptr *pointer, size_t bytes, CUstream stream);
CUresult cuMemFreeAsync(CUdeviceptr pointer, CUstream stream);
CUresult cuMemPoolCreate(CUmemPool *pool, const void *properties);
CUresult cuMemPoolDestroy(CUmemPool pool);
CUresult cuMemAllocFromPoolAsync(CUdeviceptr *p, size_t bytes, CUmemPool pool, CUstream stream);
CUresult cuDeviceGetDefaultMemPool(CUmemPool *pool, CUdevice device);
CUresult cuMemPoolTrimTo(CUmemPool pool, size_t keep);
CUresult cuMemCreate(CUmemHandle *h, size_t bytes, const struct cuda_memory_kind *k,
                     unsigned long long f);
CUresult cuMemRelease(CUmemHandle handle);
CUresult cuMemAddressReserve(CUdeviceptr *p, size_t b, size_t a, CUdeviceptr w,
                             unsigned long long f);
CUresult cuMemAddressFree(CUdeviceptr pointer, size_t bytes);
CUresult cuMemMap(CUdeviceptr p, size_t b, size_t offset, CUmemHandle h, unsigned long long flags);
CUresult cuMemUnmap(CUdeviceptr pointer, size_t bytes);
CUresult cuMemRetainAllocationHandle(CUmemHandle *handle, void *address);
CUresult cuArrayCreate_v2(CUarray *array, const struct cuda_array_shape *shape);
CUresult cuArray3DCreate_v2(CUarray *array, const struct cuda_array3d_shape *shape);
CUresult cuArrayDestroy(CUarray array);
CUresult cuMipmappedArrayCreate(CUmipmappedArray *a, const struct cuda_array3d_shape *s,
                                unsigned levels);
CUresult cuMipmappedArrayDestroy(CUmipmappedArray array);
CUresult cuMemcpyHtoD_v2(CUdeviceptr to, const void *from, size_t bytes);
CUresult cuMemcpyDtoH_v2(void *to, CUdeviceptr from, size_t bytes);
CUresult cuModuleLoadData(void **module, const void *image);
CUresult cuModuleGetFunction(CUfunction *function, void *module, const char *name);
CUresult cuLaunchKernel(CUfunction f, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
                        unsigned, CUstream stream, void **params, void **extra);
CUresult cuLaunchKernel_ptsz(CUfunction f, unsigned, unsigned, unsigned, unsigned, unsigned,
                             unsigned, unsigned, CUstream stream, void **params, void **extra);
CUresult cuLaunchCooperativeKernel(CUfunction f, unsigned, unsigned, unsigned, unsigned, unsigned,
                                   unsigned, unsigned, CUstream stream, void **params);
CUresult cuLaunchKernelEx(const struct cuda_launch *l, CUfunction f, void **params, void **extra);
CUresult cuStreamCreate(CUstream *stream, unsigned flags);
CUresult cuStreamBeginCapture_v2(CUstream stream, int mode);
CUresult cuStreamEndCapture(CUstream stream, CUgraph *graph);
CUresult cuGraphInstantiateWithFlags(CUgraphExec *exec, CUgraph graph, unsigned long long flags);
CUresult cuGraphLaunch(CUgraphExec graph, CUstream stream);
CUresult cuLaunchCooperativeKernelMultiDevice(void *list, unsigned devices, unsigned flags);
CUresult cuGraphCreate(CUgraph *graph, unsigned flags);
CUresult cuGraphDestroy(CUgraph graph);
CUresult cuGraphAddMemAllocNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *after,
                                size_t n, struct cuda_allocation *allocation);
CUresult cuGraphAddMemFreeNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *after, size_t n,
                               CUdeviceptr pointer);
CUresult cuGraphAddChildGraphNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *after,
                                  size_t n, CUgraph child);
CUresult cuGraphInstantiateWithParams(CUgraphExec *exec, CUgraph graph,
                                      struct cuda_instantiation *params);
CUresult cuGraphUpload(CUgraphExec graph, CUstream stream);
CUresult cuGraphExecDestroy(CUgraphExec graph);
CUresult cuDeviceGraphMemTrim(CUdevice device);
CUresult cuGetProcAddress_v2(const char *s, void **f, int version, cuuint64_t flags, int *status);
CUresult cuGetExportTable(const void **table, const void *id);
CUresult cuTexRefSetMipmapLevelBias(void *reference, float bias);

#endif
