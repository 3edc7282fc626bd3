/* cl_pocl_content_size: see content_size.h. */
#include "card/opencl/content_size.h"

#include <errno.h>

#include "card/opencl/context.h"
#include "card/opencl/memory.h"
#include "card/opencl/process.h"
#include "card/wire/lock.h"

#define EXTENSION "cl_pocl_content_size"

int content_size_is_served(void)
{
    size_t length;
    const char *names =
        snapshot_find(&process.snapshot, WIRE_INFO_PLATFORM, CL_PLATFORM_EXTENSIONS, &length);
    return names && strstr(names, EXTENSION) != NULL;
}

/* The size is a number of 8 bytes at the beginning of a buffer. */
static cl_int check(const struct _cl_mem *buffer, const struct _cl_mem *size)
{
    if (buffer->image || size->image)
        return CL_INVALID_MEM_OBJECT;
    if (buffer->context != size->context)
        return CL_INVALID_CONTEXT;
    if (size->size < sizeof(uint64_t))
        return CL_INVALID_BUFFER_SIZE;
    return size->parent || size == buffer ? CL_INVALID_MEM_OBJECT : CL_SUCCESS;
}

/* One is tied to one: PoCL 3.1 ends the program when one of several is released. */
static cl_int tie(cl_mem buffer, cl_mem size)
{
    lock_take(&buffer->context->content_lock);
    const int is_free = (!buffer->content_size || buffer->content_size == size) &&
                        (!size->content_of || size->content_of == buffer) && !buffer->content_of &&
                        !size->content_size;
    if (is_free) {
        buffer->content_size = size;
        size->content_of = buffer;
    }
    lock_give(&buffer->context->content_lock);
    return is_free ? CL_SUCCESS : CL_INVALID_MEM_OBJECT;
}

void content_size_untie(cl_mem memory)
{
    lock_take(&memory->context->content_lock);
    if (memory->content_size)
        memory->content_size->content_of = NULL;
    if (memory->content_of)
        memory->content_of->content_size = NULL;
    lock_give(&memory->context->content_lock);
}

static cl_int set(cl_mem buffer, cl_mem size)
{
    cl_int result = check(buffer, size);
    if (result == CL_SUCCESS)
        result = memory_ensure(buffer);
    if (result == CL_SUCCESS)
        result = memory_ensure(size);
    if (result == CL_SUCCESS)
        result = tie(buffer, size);
    if (result != CL_SUCCESS)
        return result;
    struct wire_content_size *record = record_begin(sizeof(*record));
    if (!record)
        return CL_DEVICE_NOT_AVAILABLE;
    record->id = buffer->object.id;
    record->size_id = size->object.id;
    record_post(record, WIRE_CONTENT_SIZE, sizeof(*record));
    return CL_SUCCESS;
}

cl_int CL_API_CALL content_size_set(cl_mem buffer, cl_mem content_size_buffer)
{
    if (!handle_is(buffer, OBJECT_MEMORY) || !handle_is(content_size_buffer, OBJECT_MEMORY))
        return CL_INVALID_MEM_OBJECT;
    const int saved_errno = errno;
    process_count(CALL_POSTED);
    const cl_int result = set(buffer, content_size_buffer);
    errno = saved_errno;
    return result;
}
