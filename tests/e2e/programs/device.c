/* Everything that platform and device tell of themselves, by number, also numbers that mean nothing
 * to most; which formats images have and which functions of extensions there are. Prints it, so
 * that a run on a card can be compared with one on the device. */
#undef CL_TARGET_OPENCL_VERSION
#define CL_TARGET_OPENCL_VERSION 300
#include <CL/cl_ext.h>
#include <string.h>

#include "program.h"

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static cl_platform_id platform;
static cl_device_id device;
static cl_context context;

static cl_int ask_platform(cl_uint name, size_t size, void *value, size_t *ret_size)
{
    return clGetPlatformInfo(platform, name, size, value, ret_size);
}

static cl_int ask_device(cl_uint name, size_t size, void *value, size_t *ret_size)
{
    return clGetDeviceInfo(device, name, size, value, ret_size);
}

/* The answer, short ones as a number, and that a place too small is refused. */
static void tell(const char *who, cl_uint first, cl_uint last,
                 cl_int (*ask)(cl_uint, size_t, void *, size_t *))
{
    for (cl_uint name = first; name <= last; name++) {
        unsigned char value[65536] = {0};
        size_t length = 7777;
        const cl_int code = ask(name, sizeof(value), value, &length);
        if (code == CL_INVALID_VALUE)
            continue;
        cl_ulong number = 0;
        (void)memcpy(&number, value, sizeof(number));
        (void)printf("%s %#x: %d, %zu bytes, ", who, name, (int)code, length);
        if (length <= sizeof(number))
            (void)printf("%#llx", (unsigned long long)number);
        else
            (void)printf("%016llx", (unsigned long long)hash(value, length));
        (void)printf(", short %d\n", length ? (int)ask(name, length - 1, value, NULL) : 0);
    }
}

static void formats(void)
{
    static const cl_mem_flags flags[] = {CL_MEM_READ_WRITE, CL_MEM_READ_ONLY, CL_MEM_WRITE_ONLY,
                                         CL_MEM_KERNEL_READ_AND_WRITE};
    for (cl_mem_object_type type = CL_MEM_OBJECT_IMAGE2D; type <= CL_MEM_OBJECT_IMAGE1D_BUFFER;
         type++)
        for (size_t i = 0; i < COUNT(flags); i++) {
            cl_image_format list[256];
            cl_uint count = 0, some = 0;
            cl_int code =
                clGetSupportedImageFormats(context, flags[i], type, COUNT(list), list, &count);
            (void)printf("formats %#x %#x: %d, %u ", type, (unsigned)flags[i], (int)code, count);
            show("", list, count * sizeof(list[0]));
            code = clGetSupportedImageFormats(context, flags[i], type, 2, list, &some);
            (void)printf("two of them: %d, %u ", (int)code, some);
            show("", list, (some < 2 ? some : 2) * sizeof(list[0]));
        }
}

static void functions(void)
{
    static const char *const names[] = {"clIcdGetPlatformIDsKHR",
                                        "clGetPlatformInfo",
                                        "clCreateBuffer",
                                        "clCreateContext",
                                        "clGetKernelSubGroupInfoKHR",
                                        "clCreateCommandQueueWithPropertiesKHR",
                                        "clCreateProgramWithILKHR",
                                        "clTerminateContextKHR",
                                        "clGetKernelSuggestedLocalWorkSizeKHR",
                                        "clSetContentSizeBufferPoCL",
                                        "clCreateSubDevicesEXT",
                                        "clRetainDeviceEXT",
                                        "clReleaseDeviceEXT",
                                        "clCreateSemaphoreWithPropertiesKHR",
                                        "clEnqueueWaitSemaphoresKHR",
                                        "clEnqueueSignalSemaphoresKHR",
                                        "clEnqueueAcquireExternalMemObjectsKHR",
                                        "clCreateFromGLBuffer",
                                        "clGetGLContextInfoKHR",
                                        "clEnqueueMemcpyINTEL",
                                        "clHostMemAllocINTEL",
                                        "clDeviceMemAllocINTEL",
                                        "clSharedMemAllocINTEL",
                                        "clMemFreeINTEL",
                                        "clSetKernelArgMemPointerINTEL",
                                        "clGetDeviceGlobalVariablePointerINTEL",
                                        "clEnqueueReadGlobalVariableINTEL",
                                        "clSVMAllocARM",
                                        "clSetKernelExecInfoARM",
                                        "clImportMemoryARM",
                                        "clGetImageRequirementsInfoEXT",
                                        "clSetPerfHintQCOM",
                                        "clCreateEventFromEGLSyncKHR",
                                        "clCreateCommandBufferKHR",
                                        "clCommandNDRangeKernelKHR",
                                        "clNothingKHR",
                                        ""};
    for (size_t i = 0; i < COUNT(names); i++)
        (void)printf("function %s: %d\n", names[i],
                     clGetExtensionFunctionAddressForPlatform(platform, names[i]) != NULL);
}

int main(void)
{
    (void)setvbuf(stdout, NULL, _IONBF, 0);
    MUST(clGetPlatformIDs(1, &platform, NULL));
    context = open_device(&device);
    tell("platform", 0x0800, 0x09ff, ask_platform);
    tell("device", 0x1000, 0x12ff, ask_device);
    tell("device", 0x2000, 0x20ff, ask_device);
    tell("device", 0x4000, 0x42ff, ask_device);
    formats();
    functions();
    return 0;
}
