/* Buffers and parts of them: see memory.h. */
#include "card/opencl/memory.h"

#include "card/opencl/arena.h"
#include "card/opencl/content_size.h"
#include "card/opencl/context.h"
#include "card/opencl/direct.h"
#include "card/opencl/event.h"
#include "card/opencl/image.h"
#include "card/opencl/info.h"
#include "card/opencl/process.h"
#include "card/opencl/queue.h"
#include "card/opencl/subdevice.h"
#include "card/opencl/transfer.h"
#include "opencl_api.h"

struct memory_farewell {
    struct memory_farewell *next;
    void(CL_CALLBACK *notify)(cl_mem memobj, void *user_data);
    void *user_data;
};

#define KERNEL_ACCESS (CL_MEM_READ_WRITE | CL_MEM_WRITE_ONLY | CL_MEM_READ_ONLY)
#define HOST_POINTER (CL_MEM_USE_HOST_PTR | CL_MEM_ALLOC_HOST_PTR | CL_MEM_COPY_HOST_PTR)
#define HOST_ACCESS (CL_MEM_HOST_WRITE_ONLY | CL_MEM_HOST_READ_ONLY | CL_MEM_HOST_NO_ACCESS)

static cl_int send_memory(struct object *object, uint32_t id)
{
    cl_mem memory = (cl_mem)object;
    cl_mem_flags flags = memory->flags & ~(cl_mem_flags)HOST_POINTER;
    if (memory->image)
        return image_send(memory, id);
    if (memory->svm_alignment)
        return svm_send(memory, id);
    if (memory->parent) {
        struct wire_subbuffer_create *record = record_begin(sizeof(*record));
        if (!record)
            return CL_DEVICE_NOT_AVAILABLE;
        record->id = id;
        record->parent_id = memory->parent->object.id;
        record->flags = flags;
        record->origin_bytes = memory->origin;
        record->size_bytes = memory->size;
        record_post(record, WIRE_SUBBUFFER_CREATE, sizeof(*record));
        return CL_SUCCESS;
    }
    struct wire_buffer_create *record = record_begin(sizeof(*record));
    if (!record)
        return CL_DEVICE_NOT_AVAILABLE;
    record->id = id;
    record->context_id = memory->context->object.id;
    record->flags = flags | (memory->is_shared ? WIRE_BUFFER_SHARED : 0);
    record->size_bytes = memory->size;
    int inside = arena_enter();
    memory->range = inside ? arena_take(memory->size) : NULL;
    record->arena_offset = memory->range ? memory->range->offset : 0;
    record->range = memory->range ? memory->range->number : 0;
    record_post(record, WIRE_BUFFER_CREATE, sizeof(*record));
    if (inside)
        arena_leave();
    return CL_SUCCESS;
}

static struct object *memory_parent(struct object *object)
{
    cl_mem memory = (cl_mem)object;
    return memory->parent ? &memory->parent->object : &memory->context->object;
}

/* Farewells of memory that commands may still use: said when those have ended. */
struct parting {
    cl_mem memory; /* as the program knew it; it may be gone */
    struct memory_farewell *farewells;
    size_t count;
    struct slot_leaving targets[];
};

static void say_farewells(cl_mem memory, struct memory_farewell *farewells)
{
    while (farewells) {
        struct memory_farewell *farewell = farewells;
        farewells = farewell->next;
        farewell->notify(memory, farewell->user_data);
        free(farewell);
    }
}

static int has_parted(const void *arg)
{
    const struct parting *parting = arg;
    for (size_t i = 0; i < parting->count && process_alive(); i++)
        if (!queue_slot_ended(parting->targets[i].slot, parting->targets[i].posted))
            return 0;
    return 1;
}

static void part(void *arg)
{
    struct parting *parting = arg;
    say_farewells(parting->memory, parting->farewells);
    free(parting);
}

/* 1 when the farewells will be said later. */
static int part_later(cl_mem memory)
{
    size_t most, count = context_unended(memory->context, NULL, 0);
    struct parting *parting = NULL;
    do { /* other threads go on to post */
        most = count;
        void *larger =
            most ? realloc(parting, sizeof(*parting) + most * sizeof(parting->targets[0])) : NULL;
        if (!larger) {
            free(parting);
            return 0;
        }
        parting = larger;
        count = context_unended(memory->context, parting->targets, most);
    } while (count > most);
    parting->memory = memory;
    parting->farewells = memory->farewells;
    parting->count = count;
    if (callback_when(has_parted, part, parting) == CL_SUCCESS)
        return 1;
    free(parting);
    return 0;
}

static void leave_memory(struct object *object)
{
    cl_mem memory = (cl_mem)object;
    if (memory->farewells && !part_later(memory))
        say_farewells(memory, memory->farewells);
}

static void destroy_memory(struct object *object)
{
    cl_mem memory = (cl_mem)object;
    struct object *parent = memory_parent(object);
    /* What the executor never saw it cannot free either. */
    if (memory->charged && object->id == 0)
        cards_unclaim(memory->context->cards, memory->charged);
    else if (memory->charged)
        (void)__atomic_add_fetch(&process.frees_sent, 1, __ATOMIC_RELAXED);
    memory_maps_finish(memory);
    content_size_untie(memory);
    image_finish(memory);
    arena_give(memory->range);
    free(memory->properties);
    object_free(object);
    object_release(parent);
}

const struct object_kind memory_kind = {send_memory, memory_parent, leave_memory, destroy_memory};

static int is_one_bit_at_most(cl_mem_flags flags)
{
    return (flags & (flags - 1)) == 0;
}

cl_int memory_check_flags(cl_mem_flags flags)
{
    const cl_mem_flags known = KERNEL_ACCESS | HOST_POINTER | HOST_ACCESS;
    if ((flags & ~known) || !is_one_bit_at_most(flags & KERNEL_ACCESS) ||
        !is_one_bit_at_most(flags & HOST_ACCESS))
        return CL_INVALID_VALUE;
    if ((flags & CL_MEM_USE_HOST_PTR) && (flags & (CL_MEM_ALLOC_HOST_PTR | CL_MEM_COPY_HOST_PTR)))
        return CL_INVALID_VALUE;
    return CL_SUCCESS;
}

static cl_int check_buffer(const struct _cl_context *context, cl_mem_flags flags, size_t size,
                           const void *host_ptr)
{
    cl_int result = memory_check_flags(flags);
    if (result != CL_SUCCESS)
        return result;
    uint64_t most = 0; /* of the device that takes most */
    for (cl_uint i = 0; i < context->device_count; i++) {
        uint64_t of_device = device_number(context->devices[i], CL_DEVICE_MAX_MEM_ALLOC_SIZE);
        most = of_device > most ? of_device : most;
    }
    if (size > most)
        cards_note_refusal(context->cards, size);
    if (size == 0 || size > most)
        return CL_INVALID_BUFFER_SIZE;
    if (!host_ptr != !(flags & (CL_MEM_USE_HOST_PTR | CL_MEM_COPY_HOST_PTR)))
        return CL_INVALID_HOST_PTR;
    return CL_SUCCESS;
}

/* On the context's hidden queue, whose commands the executor ends before it begins others, or at
 * once where that can be. */
cl_int memory_write(cl_mem memory, const struct region *content)
{
    cl_int result = object_ensure(&memory->object);
    if (result == CL_SUCCESS && memory->range && arena_enter()) {
        direct_copy(content, DIRECT_WRITE);
        arena_leave();
        return CL_SUCCESS;
    }
    cl_command_queue queue =
        result == CL_SUCCESS ? context_hidden_queue(memory->context, &result) : NULL;
    if (!queue)
        return result;
    const struct command_waits none = {0};
    struct command command;
    result = command_open(&command, queue, CL_COMMAND_WRITE_BUFFER, &none);
    return result == CL_SUCCESS ? transfer_write(&command, content, TRANSFER_POSTED) : result;
}

cl_mem_flags memory_flags(cl_mem_flags flags)
{
    return flags ? flags : CL_MEM_READ_WRITE;
}

cl_mem memory_create(cl_context context, size_t bytes, cl_int *ret_code)
{
    *ret_code = cards_claim(context->cards, bytes);
    if (*ret_code != CL_SUCCESS)
        return NULL;
    cl_mem memory = object_create(OBJECT_MEMORY, sizeof(*memory));
    if (!memory) {
        cards_unclaim(context->cards, bytes);
        *ret_code = CL_OUT_OF_HOST_MEMORY;
        return NULL;
    }
    memory->context = context;
    memory->charged = bytes;
    object_retain(&context->object);
    return memory;
}

cl_mem memory_create_part(cl_mem parent, cl_int *ret_code)
{
    cl_mem memory = object_create(OBJECT_MEMORY, sizeof(*memory));
    *ret_code = memory ? CL_SUCCESS : CL_OUT_OF_HOST_MEMORY;
    if (!memory)
        return NULL;
    memory->context = parent->context;
    memory->parent = parent;
    object_retain(&parent->object);
    return memory;
}

static cl_mem create_root(cl_context context, cl_mem_flags flags, size_t size, void *host_ptr,
                          cl_int *ret_code)
{
    cl_mem memory = memory_create(context, size, ret_code);
    if (!memory)
        return NULL;
    memory->size = size;
    memory->type = CL_MEM_OBJECT_BUFFER;
    memory->flags = memory_flags(flags);
    memory->host_ptr = flags & CL_MEM_USE_HOST_PTR ? host_ptr : NULL;
    struct region content;
    region_linear(&content, memory, 0, size, host_ptr);
    if (host_ptr)
        *ret_code = memory_write(memory, &content);
    if (*ret_code == CL_SUCCESS)
        return memory;
    object_release(&memory->object);
    return NULL;
}

cl_mem api_clCreateBuffer(cl_context context, cl_mem_flags flags, size_t size, void *host_ptr,
                          cl_int *errcode_ret)
{
    *errcode_ret = check_buffer(context, flags, size, host_ptr);
    return *errcode_ret == CL_SUCCESS ? create_root(context, flags, size, host_ptr, errcode_ret)
                                      : NULL;
}

void memory_keep_no_properties(cl_mem memory)
{
    memory->properties = calloc(1, sizeof(*memory->properties));
    memory->properties_bytes = memory->properties ? sizeof(*memory->properties) : 0;
}

cl_mem api_clCreateBufferWithProperties(cl_context context, const cl_mem_properties *properties,
                                        cl_mem_flags flags, size_t size, void *host_ptr,
                                        cl_int *errcode_ret)
{
    if (properties && properties[0] != 0) {
        *errcode_ret = CL_INVALID_PROPERTY; /* OpenCL 3.0 defines none */
        return NULL;
    }
    cl_mem memory = api_clCreateBuffer(context, flags, size, host_ptr, errcode_ret);
    if (memory && properties)
        memory_keep_no_properties(memory);
    return memory;
}

cl_int memory_merge_flags(cl_mem_flags parent, cl_mem_flags *flags)
{
    cl_int result = memory_check_flags(*flags);
    if (result != CL_SUCCESS || (*flags & HOST_POINTER))
        return CL_INVALID_VALUE;
    cl_mem_flags reads = CL_MEM_READ_ONLY, writes = CL_MEM_WRITE_ONLY, both = CL_MEM_READ_WRITE;
    if (((parent & writes) && (*flags & (both | reads))) ||
        ((parent & reads) && (*flags & (both | writes))) ||
        ((parent & CL_MEM_HOST_WRITE_ONLY) && (*flags & CL_MEM_HOST_READ_ONLY)) ||
        ((parent & CL_MEM_HOST_READ_ONLY) && (*flags & CL_MEM_HOST_WRITE_ONLY)) ||
        ((parent & CL_MEM_HOST_NO_ACCESS) &&
         (*flags & (CL_MEM_HOST_READ_ONLY | CL_MEM_HOST_WRITE_ONLY))))
        return CL_INVALID_VALUE;
    if (!(*flags & KERNEL_ACCESS))
        *flags |= parent & KERNEL_ACCESS;
    if (!(*flags & HOST_ACCESS))
        *flags |= parent & HOST_ACCESS;
    *flags |= parent & HOST_POINTER;
    return CL_SUCCESS;
}

static cl_int check_region(const struct _cl_mem *parent, const cl_buffer_region *region)
{
    uint64_t align_bits =
        snapshot_number(&process.snapshot, WIRE_INFO_DEVICE, CL_DEVICE_MEM_BASE_ADDR_ALIGN);
    uint64_t align = align_bits >= 8 ? align_bits / 8 : 1;
    if (region->origin + region->size > parent->size) /* as PoCL: a sum that wraps comes later */
        return CL_INVALID_VALUE;
    if (region->origin % align != 0)
        return CL_MISALIGNED_SUB_BUFFER_OFFSET;
    return memory_holds(parent, region->origin, region->size) ? CL_SUCCESS : CL_INVALID_VALUE;
}

cl_mem api_clCreateSubBuffer(cl_mem buffer, cl_mem_flags flags,
                             cl_buffer_create_type buffer_create_type,
                             const void *buffer_create_info, cl_int *errcode_ret)
{
    cl_int result = CL_SUCCESS;
    if (buffer->parent || buffer->image)
        result = CL_INVALID_MEM_OBJECT;
    else if (buffer_create_type != CL_BUFFER_CREATE_TYPE_REGION || !buffer_create_info)
        result = CL_INVALID_VALUE;
    else if (((const cl_buffer_region *)buffer_create_info)->size == 0)
        result = CL_INVALID_BUFFER_SIZE;
    if (result == CL_SUCCESS)
        result = memory_merge_flags(buffer->flags, &flags);
    if (result == CL_SUCCESS)
        result = check_region(buffer, buffer_create_info);
    cl_mem memory = result == CL_SUCCESS ? memory_create_part(buffer, &result) : NULL;
    *errcode_ret = result;
    if (!memory)
        return NULL;
    const cl_buffer_region *region = buffer_create_info;
    memory->origin = region->origin;
    memory->size = region->size;
    memory->type = CL_MEM_OBJECT_BUFFER;
    memory->flags = flags;
    memory->host_ptr = buffer->host_ptr ? (char *)buffer->host_ptr + region->origin : NULL;
    return memory;
}

cl_int memory_ensure(cl_mem memory)
{
    return object_ensure(&memory->object);
}

cl_int api_clRetainMemObject(cl_mem memobj)
{
    object_retain(&memobj->object);
    return CL_SUCCESS;
}

cl_int api_clReleaseMemObject(cl_mem memobj)
{
    object_release(&memobj->object);
    return CL_SUCCESS;
}

cl_int api_clSetMemObjectDestructorCallback(
    cl_mem memobj, void(CL_CALLBACK *pfn_notify)(cl_mem memobj, void *user_data), void *user_data)
{
    if (!pfn_notify)
        return CL_INVALID_VALUE;
    struct memory_farewell *farewell = malloc(sizeof(*farewell));
    if (!farewell)
        return CL_OUT_OF_HOST_MEMORY;
    lock_take(&memobj->lock);
    *farewell = (struct memory_farewell){memobj->farewells, pfn_notify, user_data};
    memobj->farewells = farewell;
    lock_give(&memobj->lock);
    return CL_SUCCESS;
}

cl_int api_clGetMemObjectInfo(cl_mem memobj, cl_mem_info param_name, size_t param_value_size,
                              void *param_value, size_t *param_value_size_ret)
{
    static const struct info_field fields[] = {
        INFO_VALUE(CL_MEM_TYPE, struct _cl_mem, type),
        INFO_VALUE(CL_MEM_FLAGS, struct _cl_mem, flags),
        INFO_VALUE(CL_MEM_SIZE, struct _cl_mem, size),
        INFO_VALUE(CL_MEM_HOST_PTR, struct _cl_mem, host_ptr),
        INFO_VALUE(CL_MEM_MAP_COUNT, struct _cl_mem, map_count),
        INFO_VALUE(CL_MEM_REFERENCE_COUNT, struct _cl_mem, object.references),
        INFO_VALUE(CL_MEM_CONTEXT, struct _cl_mem, context),
        INFO_VALUE(CL_MEM_ASSOCIATED_MEMOBJECT, struct _cl_mem, parent),
        INFO_VALUE(CL_MEM_OFFSET, struct _cl_mem, origin),
    };
    struct info_out out = {param_value_size, param_value, param_value_size_ret};
    const cl_bool is_shared = memobj->host_ptr && svm_find(memobj->host_ptr, NULL);
    if (param_name == CL_MEM_USES_SVM_POINTER)
        return info_put(&out, &is_shared, sizeof(is_shared));
    if (param_name == CL_MEM_PROPERTIES)
        return info_put(&out, memobj->properties, memobj->properties_bytes);
    return info_answer(&out, fields, sizeof(fields) / sizeof(fields[0]), memobj, param_name);
}
