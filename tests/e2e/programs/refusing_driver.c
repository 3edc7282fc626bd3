/* PoCL as a driver that refuses what no check before it can foresee: launches of kernels named
 * REFUSED_KERNEL, and buffers of REFUSED_BYTES. Its functions stay PoCL's, but for two places in
 * the table through which its objects are called. */
#include <CL/cl_icd.h>
#include <dlfcn.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "refusing.h"

#define DRIVER "libpocl.so.2"
#define EXPORT __attribute__((visibility("default")))

static struct _cl_icd_dispatch driver; /* as it was */

/* What the dispatch table of an object is found by. */
struct _cl_platform_id {
    struct _cl_icd_dispatch *dispatch;
};

static cl_int CL_API_CALL enqueue_kernel(cl_command_queue queue, cl_kernel kernel, cl_uint dims,
                                         const size_t *offset, const size_t *global,
                                         const size_t *local, cl_uint wait_count,
                                         const cl_event *waits, cl_event *event)
{
    char name[64] = "";
    (void)driver.clGetKernelInfo(kernel, CL_KERNEL_FUNCTION_NAME, sizeof(name), name, NULL);
    if (strcmp(name, REFUSED_KERNEL) == 0)
        return CL_OUT_OF_RESOURCES;
    return driver.clEnqueueNDRangeKernel(queue, kernel, dims, offset, global, local, wait_count,
                                         waits, event);
}

static cl_mem CL_API_CALL create_buffer(cl_context context, cl_mem_flags flags, size_t bytes,
                                        void *host, cl_int *ret_code)
{
    if (bytes != REFUSED_BYTES)
        return driver.clCreateBuffer(context, flags, bytes, host, ret_code);
    if (ret_code)
        *ret_code = CL_MEM_OBJECT_ALLOCATION_FAILURE;
    return NULL;
}

static int make_writable(void *table)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    const uintptr_t start = (uintptr_t)table / page * page;
    return mprotect((void *)start, (uintptr_t)table + sizeof(driver) - start,
                    PROT_READ | PROT_WRITE);
}

static void *driver_function(const char *name)
{
    void *library = dlopen(DRIVER, RTLD_NOW);
    void *(*get)(const char *) =
        library ? (void *(*)(const char *))dlsym(library, "clGetExtensionFunctionAddress") : NULL;
    return get ? get(name) : NULL;
}

static cl_int CL_API_CALL get_platforms(cl_uint count, cl_platform_id *platforms,
                                        cl_uint *ret_count)
{
    clIcdGetPlatformIDsKHR_fn get =
        (clIcdGetPlatformIDsKHR_fn)driver_function("clIcdGetPlatformIDsKHR");
    cl_int code = get ? get(count, platforms, ret_count) : CL_PLATFORM_NOT_FOUND_KHR;
    if (code != CL_SUCCESS || !platforms)
        return code;
    struct _cl_icd_dispatch *table = platforms[0]->dispatch;
    if (table->clCreateBuffer == create_buffer)
        return CL_SUCCESS;
    if (make_writable(table) < 0)
        return CL_PLATFORM_NOT_FOUND_KHR;
    driver = *table;
    table->clEnqueueNDRangeKernel = enqueue_kernel;
    table->clCreateBuffer = create_buffer;
    return CL_SUCCESS;
}

EXPORT void *clGetExtensionFunctionAddress(const char *name)
{
    return strcmp(name, "clIcdGetPlatformIDsKHR") == 0 ? (void *)get_platforms
                                                       : driver_function(name);
}

EXPORT cl_int clGetPlatformInfo(cl_platform_id platform, cl_platform_info name, size_t bytes,
                                void *value, size_t *ret_bytes)
{
    return driver.clGetPlatformInfo(platform, name, bytes, value, ret_bytes);
}
