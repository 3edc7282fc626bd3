/* An ICD in front of another one, PoCL, whose device has memory of its own: shared virtual memory
 * is given by an allocator of its own addresses, and a kernel dies of what it reaches and was not
 * told of. With APART_NEVER_AGAIN=1 no address is given twice. A launch is carried out at once. */
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "icd_front.h"

#define BASE 0x300000000000u
#define PIECES_MAX 4096
#define ARGS_MAX 4096
#define PAGE 4096u

struct piece {
    char *start;
    size_t bytes; /* whole pages; 0: given back */
    int reached;
};

/* What a kernel was told of: by an argument, or else in a list. */
struct told {
    cl_kernel kernel;
    cl_uint index;
    uintptr_t pointer;
};

static struct piece pieces[PIECES_MAX]; /* by address */
static unsigned piece_count;
static struct told told[ARGS_MAX];
static unsigned told_count;

static const cl_uint in_list = UINT32_MAX;

static char *start_after(unsigned index, uintptr_t align)
{
    const struct piece *before = index > 0 ? &pieces[index - 1] : NULL;
    uintptr_t end = before ? (uintptr_t)before->start + before->bytes : BASE;
    return (char *)((end + align - 1) / align * align); // NOLINT
}

/* First fit; what never comes again stays in the table without bytes. */
static void *CL_API_CALL svm_alloc(cl_context context, cl_svm_mem_flags flags, size_t size,
                                   cl_uint alignment)
{
    const size_t bytes = (size + PAGE - 1) / PAGE * PAGE;
    unsigned i = getenv("APART_NEVER_AGAIN") ? piece_count : 0;
    while (i < piece_count && start_after(i, PAGE) + bytes > pieces[i].start)
        i++;
    char *start = start_after(i, PAGE);
    if (size == 0 || (alignment & (alignment - 1)) || piece_count == PIECES_MAX ||
        mmap(start, bytes, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != start)
        return NULL;
    memmove(&pieces[i + 1], &pieces[i], (piece_count++ - i) * sizeof(pieces[0]));
    pieces[i] = (struct piece){start, bytes, 0};
    return start;
}

static void CL_API_CALL svm_free(cl_context context, void *pointer)
{
    unsigned i = 0;
    while (i < piece_count && pieces[i].start != pointer)
        i++;
    if (i == piece_count)
        return;
    (void)munmap(pieces[i].start, pieces[i].bytes);
    if (!getenv("APART_NEVER_AGAIN"))
        memmove(&pieces[i], &pieces[i + 1], (--piece_count - i) * sizeof(pieces[0]));
}

static void tell(cl_kernel kernel, cl_uint index, uintptr_t pointer)
{
    if (told_count < ARGS_MAX)
        told[told_count++] = (struct told){kernel, index, pointer};
}

static void forget(cl_kernel kernel, cl_uint index, int all)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < told_count; i++)
        if (told[i].kernel != kernel || (!all && told[i].index != index))
            told[kept++] = told[i];
    told_count = kept;
}

static cl_int CL_API_CALL set_pointer(cl_kernel kernel, cl_uint index, const void *pointer)
{
    forget(kernel, index, 0);
    tell(kernel, index, (uintptr_t)pointer);
    return driver.clSetKernelArgSVMPointer(kernel, index, pointer);
}

static cl_int CL_API_CALL set_argument(cl_kernel kernel, cl_uint index, size_t size,
                                       const void *value)
{
    forget(kernel, index, 0);
    return driver.clSetKernelArg(kernel, index, size, value);
}

static cl_int CL_API_CALL exec_info(cl_kernel kernel, cl_kernel_exec_info name, size_t size,
                                    const void *value)
{
    const uintptr_t *pointers = value;
    if (name == CL_KERNEL_EXEC_INFO_SVM_PTRS && value && size % sizeof(*pointers) == 0) {
        forget(kernel, in_list, 0);
        for (size_t i = 0; i < size / sizeof(*pointers); i++)
            tell(kernel, in_list, pointers[i]);
    }
    return driver.clSetKernelExecInfo(kernel, name, size, value);
}

static cl_int CL_API_CALL release_kernel(cl_kernel kernel)
{
    cl_uint references = 0;
    if (driver.clGetKernelInfo(kernel, CL_KERNEL_REFERENCE_COUNT, sizeof(references), &references,
                               NULL) == CL_SUCCESS &&
        references == 1)
        forget(kernel, 0, 1);
    return driver.clReleaseKernel(kernel);
}

static void reach(cl_kernel kernel)
{
    for (unsigned p = 0; p < piece_count; p++) {
        pieces[p].reached = 0;
        for (unsigned i = 0; i < told_count && !pieces[p].reached; i++)
            pieces[p].reached = told[i].kernel == kernel &&
                                told[i].pointer - (uintptr_t)pieces[p].start < pieces[p].bytes;
    }
}

static void protect(int protection)
{
    for (unsigned p = 0; p < piece_count; p++)
        if (!pieces[p].reached) /* fails where an address was given back: nothing is there */
            (void)mprotect(pieces[p].start, pieces[p].bytes, protection);
}

static cl_int CL_API_CALL launch(cl_command_queue queue, cl_kernel kernel, cl_uint dims,
                                 const size_t *offset, const size_t *global, const size_t *local,
                                 cl_uint count, const cl_event *list, cl_event *event)
{
    cl_int result = driver.clFinish(queue);
    reach(kernel);
    protect(PROT_NONE);
    if (result == CL_SUCCESS)
        result = driver.clEnqueueNDRangeKernel(queue, kernel, dims, offset, global, local, count,
                                               list, event);
    if (result == CL_SUCCESS)
        result = driver.clFinish(queue);
    protect(PROT_READ | PROT_WRITE);
    return result;
}

static cl_int CL_API_CALL device_info(cl_device_id device, cl_device_info what, size_t room,
                                      void *value, size_t *length)
{
    cl_int result = driver.clGetDeviceInfo(device, what, room, value, length);
    if (what == CL_DEVICE_HOST_UNIFIED_MEMORY && result == CL_SUCCESS && value)
        *(cl_bool *)value = CL_FALSE;
    return result;
}

static void intercept(struct _cl_icd_dispatch *table)
{
    table->clSVMAlloc = svm_alloc;
    table->clSVMFree = svm_free;
    table->clSetKernelArg = set_argument;
    table->clSetKernelArgSVMPointer = set_pointer;
    table->clSetKernelExecInfo = exec_info;
    table->clReleaseKernel = release_kernel;
    table->clEnqueueNDRangeKernel = launch;
    table->clGetDeviceInfo = device_info;
}
