/* The enqueue calls that move bytes: read, write, copy, fill, migrate. */
#include "card/opencl/copy.h"

#include <errno.h>

#include "card/opencl/event.h"
#include "card/opencl/memory.h"
#include "card/opencl/process.h"
#include "card/opencl/queue.h"
#include "card/opencl/sync.h"
#include "card/opencl/transfer.h"
#include "opencl_api.h"

/* A box in a buffer as the API gives it; pitches may be 0. */
struct box {
    size_t origin[3];
    size_t row_pitch, slice_pitch;
};

static cl_int check_access(const struct _cl_command_queue *queue, const struct _cl_mem *memory)
{
    if (memory->image)
        return CL_INVALID_MEM_OBJECT;
    return queue->context == memory->context ? CL_SUCCESS : CL_INVALID_CONTEXT;
}

/* Of a call that is wrong in several ways PoCL tells of a wait list that is none first. */
static cl_int check_both(const struct _cl_command_queue *queue, const struct _cl_mem *source,
                         const struct _cl_mem *target, const struct command_waits *waits)
{
    cl_int result = command_check_list(waits);
    if (result == CL_SUCCESS)
        result = check_access(queue, source);
    return result == CL_SUCCESS ? check_access(queue, target) : result;
}

static cl_int check_host_access(const struct _cl_mem *memory, int is_read)
{
    cl_mem_flags forbidden =
        CL_MEM_HOST_NO_ACCESS | (is_read ? CL_MEM_HOST_WRITE_ONLY : CL_MEM_HOST_READ_ONLY);
    return memory->flags & forbidden ? CL_INVALID_OPERATION : CL_SUCCESS;
}

static cl_int check_host_transfer(cl_command_queue queue, cl_mem memory, const void *ptr,
                                  int is_read)
{
    cl_int result = check_access(queue, memory);
    if (result == CL_SUCCESS && !ptr)
        result = CL_INVALID_VALUE;
    return result == CL_SUCCESS ? check_host_access(memory, is_read) : result;
}

/* Of a rectangle, where PoCL tells of the events sooner. */
static cl_int check_host_rect(cl_command_queue queue, cl_mem memory, const void *ptr, int is_read,
                              const struct command_waits *waits)
{
    cl_int result = check_access(queue, memory);
    if (result == CL_SUCCESS)
        result = command_check_waits(queue, waits);
    return result == CL_SUCCESS ? check_host_transfer(queue, memory, ptr, is_read) : result;
}

static cl_int do_read(cl_command_queue queue, cl_command_type type, const struct region *region,
                      cl_bool blocking, const struct command_waits *waits)
{
    struct command command;
    cl_int result = command_open(&command, queue, type, waits);
    if (result != CL_SUCCESS)
        return result;
    result = transfer_read(&command, region, blocking ? TRANSFER_BLOCKING : TRANSFER_POSTED);
    if (blocking && result == CL_SUCCESS)
        transfers_observe(queue->state, queue_in_order(queue) ? command.target : 0);
    return command_close(&command, result, waits);
}

static cl_int do_write(cl_command_queue queue, cl_command_type type, const struct region *region,
                       cl_bool blocking, const struct command_waits *waits)
{
    struct command command;
    cl_int result = command_open(&command, queue, type, waits);
    if (result != CL_SUCCESS)
        return result;
    result = transfer_write(&command, region, blocking ? TRANSFER_BLOCKING : TRANSFER_POSTED);
    return command_close(&command, result, waits);
}

/* A transfer of no bytes is a command all the same. */
static cl_int do_nothing(cl_command_queue queue, cl_command_type type,
                         const struct command_waits *waits)
{
    struct command command;
    cl_int result = command_open(&command, queue, type, waits);
    if (result != CL_SUCCESS)
        return result;
    return command_close(&command, sync_post(&command, SYNC_NOTHING), waits);
}

cl_int api_clEnqueueReadBuffer(cl_command_queue command_queue, cl_mem buffer, cl_bool blocking_read,
                               size_t offset, size_t cb, void *ptr, cl_uint num_events_in_wait_list,
                               const cl_event *event_wait_list, cl_event *event)
{
    const struct command_waits waits = {num_events_in_wait_list, event_wait_list, event};
    cl_int result = check_host_transfer(command_queue, buffer, ptr, 1);
    if (result != CL_SUCCESS)
        return result;
    if (!memory_holds(buffer, offset, cb))
        return CL_INVALID_VALUE;
    if (cb == 0)
        return do_nothing(command_queue, CL_COMMAND_READ_BUFFER, &waits);
    struct region region;
    region_linear(&region, buffer, offset, cb, ptr);
    return do_read(command_queue, CL_COMMAND_READ_BUFFER, &region, blocking_read, &waits);
}

cl_int api_clEnqueueWriteBuffer(cl_command_queue command_queue, cl_mem buffer,
                                cl_bool blocking_write, size_t offset, size_t cb, const void *ptr,
                                cl_uint num_events_in_wait_list, const cl_event *event_wait_list,
                                cl_event *event)
{
    const struct command_waits waits = {num_events_in_wait_list, event_wait_list, event};
    cl_int result = check_host_transfer(command_queue, buffer, ptr, 0);
    if (result != CL_SUCCESS)
        return result;
    if (!memory_holds(buffer, offset, cb))
        return CL_INVALID_VALUE;
    if (cb == 0)
        return do_nothing(command_queue, CL_COMMAND_WRITE_BUFFER, &waits);
    struct region region;
    region_linear(&region, buffer, offset, cb, (char *)(uintptr_t)ptr);
    return do_write(command_queue, CL_COMMAND_WRITE_BUFFER, &region, blocking_write, &waits);
}

/* One past the last byte of a box, or SIZE_MAX when that is more than a number holds. */
static size_t box_end(const struct box *box, const size_t size[3])
{
    size_t end, rows, slices;
    if (__builtin_add_overflow(box->origin[0], size[0], &end) ||
        __builtin_add_overflow(box->origin[1], size[1] - 1, &rows) ||
        __builtin_add_overflow(box->origin[2], size[2] - 1, &slices) ||
        __builtin_mul_overflow(rows, box->row_pitch, &rows) ||
        __builtin_mul_overflow(slices, box->slice_pitch, &slices) ||
        __builtin_add_overflow(end, rows, &end) || __builtin_add_overflow(end, slices, &end))
        return SIZE_MAX;
    return end;
}

/* Fill in the pitches that were left 0 and check them, and the end of the box against `room`
 * (SIZE_MAX - 1 for the user's memory, whose size nobody knows). */
static cl_int check_box(struct box *box, const size_t size[3], size_t room)
{
    if (size[0] == 0 || size[1] == 0 || size[2] == 0)
        return CL_INVALID_VALUE;
    if (box->row_pitch == 0)
        box->row_pitch = size[0];
    size_t least_slice;
    if (box->row_pitch < size[0] || __builtin_mul_overflow(box->row_pitch, size[1], &least_slice))
        return CL_INVALID_VALUE;
    if (box->slice_pitch == 0)
        box->slice_pitch = least_slice;
    if (box->slice_pitch < least_slice || box->slice_pitch % box->row_pitch != 0)
        return CL_INVALID_VALUE;
    return box_end(box, size) <= room ? CL_SUCCESS : CL_INVALID_VALUE;
}

static void box_init(struct box *box, const size_t *origin, size_t row_pitch, size_t slice_pitch)
{
    *box = (struct box){{origin[0], origin[1], origin[2]}, row_pitch, slice_pitch};
}

/* Both ends of a box transfer; `host` and `size` are the API's arrays. */
static cl_int make_region(struct region *region, cl_mem memory, struct box *buffer,
                          struct box *host, const size_t *size, void *ptr)
{
    cl_int result = check_box(buffer, size, memory->size);
    if (result == CL_SUCCESS)
        result = check_box(host, size, SIZE_MAX - 1);
    if (result != CL_SUCCESS)
        return result;
    *region = (struct region){
        .memory = memory,
        .origin = {buffer->origin[0], buffer->origin[1], buffer->origin[2]},
        .size = {size[0], size[1], size[2]},
        .row_pitch = buffer->row_pitch,
        .slice_pitch = buffer->slice_pitch,
        .host = (char *)ptr + host->origin[2] * host->slice_pitch +
                host->origin[1] * host->row_pitch + host->origin[0],
        .host_row_pitch = host->row_pitch,
        .host_slice_pitch = host->slice_pitch,
    };
    if (region_is_linear(region)) {
        size_t offset = buffer->origin[2] * buffer->slice_pitch +
                        buffer->origin[1] * buffer->row_pitch + buffer->origin[0];
        region_linear(region, memory, offset, size[0], region->host);
    }
    return CL_SUCCESS;
}

cl_int api_clEnqueueReadBufferRect(cl_command_queue command_queue, cl_mem buffer,
                                   cl_bool blocking_read, const size_t *buffer_origin,
                                   const size_t *host_origin, const size_t *region,
                                   size_t buffer_row_pitch, size_t buffer_slice_pitch,
                                   size_t host_row_pitch, size_t host_slice_pitch, void *ptr,
                                   cl_uint num_events_in_wait_list, const cl_event *event_wait_list,
                                   cl_event *event)
{
    const struct command_waits waits = {num_events_in_wait_list, event_wait_list, event};
    cl_int result = check_host_rect(command_queue, buffer, ptr, 1, &waits);
    if (result != CL_SUCCESS)
        return result;
    if (!buffer_origin || !host_origin || !region)
        return CL_INVALID_VALUE;
    struct box there, here;
    struct region ends;
    box_init(&there, buffer_origin, buffer_row_pitch, buffer_slice_pitch);
    box_init(&here, host_origin, host_row_pitch, host_slice_pitch);
    result = make_region(&ends, buffer, &there, &here, region, ptr);
    if (result != CL_SUCCESS)
        return result;
    return do_read(command_queue, CL_COMMAND_READ_BUFFER_RECT, &ends, blocking_read, &waits);
}

cl_int api_clEnqueueWriteBufferRect(cl_command_queue command_queue, cl_mem buffer,
                                    cl_bool blocking_write, const size_t *buffer_origin,
                                    const size_t *host_origin, const size_t *region,
                                    size_t buffer_row_pitch, size_t buffer_slice_pitch,
                                    size_t host_row_pitch, size_t host_slice_pitch, const void *ptr,
                                    cl_uint num_events_in_wait_list,
                                    const cl_event *event_wait_list, cl_event *event)
{
    const struct command_waits waits = {num_events_in_wait_list, event_wait_list, event};
    cl_int result = check_host_rect(command_queue, buffer, ptr, 0, &waits);
    if (result != CL_SUCCESS)
        return result;
    if (!buffer_origin || !host_origin || !region)
        return CL_INVALID_VALUE;
    struct box there, here;
    struct region ends;
    box_init(&there, buffer_origin, buffer_row_pitch, buffer_slice_pitch);
    box_init(&here, host_origin, host_row_pitch, host_slice_pitch);
    result = make_region(&ends, buffer, &there, &here, region, (void *)(uintptr_t)ptr);
    if (result != CL_SUCCESS)
        return result;
    return do_write(command_queue, CL_COMMAND_WRITE_BUFFER_RECT, &ends, blocking_write, &waits);
}

/* Two ranges of what is the same memory underneath. */
static int ranges_overlap(cl_mem a, size_t a_offset, cl_mem b, size_t b_offset, size_t bytes)
{
    size_t a_start = a->origin + a_offset, b_start = b->origin + b_offset;
    return memory_root(a) == memory_root(b) && a_start < b_start + bytes &&
           b_start < a_start + bytes;
}

static cl_int ensure_both(cl_mem source, cl_mem target)
{
    cl_int result = memory_ensure(source);
    return result == CL_SUCCESS ? memory_ensure(target) : result;
}

cl_int copy_post(struct command *command, struct copy_end source, struct copy_end target,
                 size_t bytes)
{
    cl_int result = ensure_both(source.memory, target.memory);
    if (result != CL_SUCCESS)
        return result;
    struct wire_copy *record = command_begin(command, sizeof(*record), 0);
    if (!record)
        return CL_DEVICE_NOT_AVAILABLE;
    record->queue_id = command->queue->object.id;
    record->source_id = source.memory->object.id;
    record->target_id = target.memory->object.id;
    record->event = event_slot(command->event);
    record->wait_count = command_put_waits(command, wire_copy_waits(record));
    record->source_offset = source.offset;
    record->target_offset = target.offset;
    record->size_bytes = bytes;
    command_post(command, command->event, record, WIRE_COPY,
                 sizeof(*record) + wire_pad8(record->wait_count * sizeof(uint32_t)));
    return CL_SUCCESS;
}

cl_int api_clEnqueueCopyBuffer(cl_command_queue command_queue, cl_mem src_buffer, cl_mem dst_buffer,
                               size_t src_offset, size_t dst_offset, size_t cb,
                               cl_uint num_events_in_wait_list, const cl_event *event_wait_list,
                               cl_event *event)
{
    const struct command_waits waits = {num_events_in_wait_list, event_wait_list, event};
    cl_int result = check_both(command_queue, src_buffer, dst_buffer, &waits);
    if (result != CL_SUCCESS)
        return result;
    if (cb == 0 || !memory_holds(src_buffer, src_offset, cb) ||
        !memory_holds(dst_buffer, dst_offset, cb))
        return CL_INVALID_VALUE;
    if (ranges_overlap(src_buffer, src_offset, dst_buffer, dst_offset, cb))
        return CL_MEM_COPY_OVERLAP;
    struct command command;
    result = command_open(&command, command_queue, CL_COMMAND_COPY_BUFFER, &waits);
    if (result != CL_SUCCESS)
        return result;
    const struct copy_end source = {src_buffer, src_offset}, target = {dst_buffer, dst_offset};
    return command_close(&command, copy_post(&command, source, target, cb), &waits);
}

/* Rows of one buffer against rows of the same buffer, as check_copy_overlap() of the OpenCL
 * specification (appendix on clEnqueueCopyBufferRect) for boxes of equal pitches. */
static int boxes_overlap(const struct box *a, const struct box *b, const size_t *size)
{
    for (int axis = 0; axis < 3; axis++)
        if (a->origin[axis] >= b->origin[axis] + size[axis] ||
            b->origin[axis] >= a->origin[axis] + size[axis])
            return 0;
    return 1;
}

static void fill_copy_rect(struct wire_copy_rect *record, const struct box *source,
                           const struct box *target, const size_t *size)
{
    record->source_origin_0 = source->origin[0];
    record->source_origin_1 = source->origin[1];
    record->source_origin_2 = source->origin[2];
    record->target_origin_0 = target->origin[0];
    record->target_origin_1 = target->origin[1];
    record->target_origin_2 = target->origin[2];
    record->region_0 = size[0];
    record->region_1 = size[1];
    record->region_2 = size[2];
    record->source_row_pitch = source->row_pitch;
    record->source_slice_pitch = source->slice_pitch;
    record->target_row_pitch = target->row_pitch;
    record->target_slice_pitch = target->slice_pitch;
}

static cl_int check_copy_rect(cl_mem source, cl_mem target, struct box *from, struct box *to,
                              const size_t *size)
{
    cl_int result = check_box(from, size, source->size);
    if (result == CL_SUCCESS)
        result = check_box(to, size, target->size);
    if (result != CL_SUCCESS || source != target)
        return result;
    if (from->row_pitch != to->row_pitch || from->slice_pitch != to->slice_pitch)
        return CL_INVALID_VALUE;
    return boxes_overlap(from, to, size) ? CL_MEM_COPY_OVERLAP : CL_SUCCESS;
}

/* The end of a copy in the memory that its buffer is a part of: PoCL 3.1 crashes at parts here. */
static uint32_t box_of_root(cl_mem memory, struct box *box)
{
    box->origin[0] += memory->origin;
    return memory_root(memory)->object.id;
}

cl_int api_clEnqueueCopyBufferRect(cl_command_queue command_queue, cl_mem src_buffer,
                                   cl_mem dst_buffer, const size_t *src_origin,
                                   const size_t *dst_origin, const size_t *region,
                                   size_t src_row_pitch, size_t src_slice_pitch,
                                   size_t dst_row_pitch, size_t dst_slice_pitch,
                                   cl_uint num_events_in_wait_list, const cl_event *event_wait_list,
                                   cl_event *event)
{
    const struct command_waits waits = {num_events_in_wait_list, event_wait_list, event};
    cl_int result = check_both(command_queue, src_buffer, dst_buffer, &waits);
    if (result != CL_SUCCESS)
        return result;
    if (!src_origin || !dst_origin || !region)
        return CL_INVALID_VALUE;
    struct box from, to;
    box_init(&from, src_origin, src_row_pitch, src_slice_pitch);
    box_init(&to, dst_origin, dst_row_pitch, dst_slice_pitch);
    result = check_copy_rect(src_buffer, dst_buffer, &from, &to, region);
    struct command command;
    if (result == CL_SUCCESS)
        result = command_open(&command, command_queue, CL_COMMAND_COPY_BUFFER_RECT, &waits);
    if (result != CL_SUCCESS)
        return result;
    result = ensure_both(src_buffer, dst_buffer);
    struct wire_copy_rect *record =
        result == CL_SUCCESS ? command_begin(&command, sizeof(*record), 0) : NULL;
    if (!record)
        return command_close(&command, result ? result : CL_DEVICE_NOT_AVAILABLE, &waits);
    record->queue_id = command_queue->object.id;
    record->source_id = box_of_root(src_buffer, &from);
    record->target_id = box_of_root(dst_buffer, &to);
    record->event = event_slot(command.event);
    record->wait_count = command_put_waits(&command, wire_copy_rect_waits(record));
    fill_copy_rect(record, &from, &to, region);
    command_post(&command, command.event, record, WIRE_COPY_RECT,
                 sizeof(*record) + wire_pad8(record->wait_count * sizeof(uint32_t)));
    return command_close(&command, CL_SUCCESS, &waits);
}

cl_int fill_post(struct command *command, struct copy_end target, size_t bytes, const void *pattern,
                 size_t pattern_bytes)
{
    cl_int result = memory_ensure(target.memory);
    if (result != CL_SUCCESS)
        return result;
    struct wire_fill *record = command_begin(command, sizeof(*record), FILL_PATTERN_MAX);
    if (!record)
        return CL_DEVICE_NOT_AVAILABLE;
    record->queue_id = command->queue->object.id;
    record->buffer_id = target.memory->object.id;
    record->event = event_slot(command->event);
    record->wait_count = command_put_waits(command, wire_fill_waits(record));
    record->pattern_bytes = (uint32_t)pattern_bytes;
    record->offset_bytes = target.offset;
    record->size_bytes = bytes;
    memcpy(wire_fill_pattern(record), pattern, pattern_bytes);
    command_post(command, command->event, record, WIRE_FILL,
                 sizeof(*record) + wire_pad8(record->wait_count * sizeof(uint32_t)) +
                     wire_pad8(pattern_bytes));
    return CL_SUCCESS;
}

cl_int api_clEnqueueFillBuffer(cl_command_queue command_queue, cl_mem buffer, const void *pattern,
                               size_t pattern_size, size_t offset, size_t cb,
                               cl_uint num_events_in_wait_list, const cl_event *event_wait_list,
                               cl_event *event)
{
    const struct command_waits waits = {num_events_in_wait_list, event_wait_list, event};
    cl_int result = command_check_waits(command_queue, &waits);
    if (result == CL_SUCCESS)
        result = check_access(command_queue, buffer);
    if (result != CL_SUCCESS)
        return result;
    if (!pattern || !memory_holds(buffer, offset, cb) || !fill_is_even(pattern_size, offset, cb))
        return CL_INVALID_VALUE;
    if (cb == 0)
        return do_nothing(command_queue, CL_COMMAND_FILL_BUFFER, &waits);
    struct command command;
    result = command_open(&command, command_queue, CL_COMMAND_FILL_BUFFER, &waits);
    if (result != CL_SUCCESS)
        return result;
    const struct copy_end target = {buffer, offset};
    return command_close(&command, fill_post(&command, target, cb, pattern, pattern_size), &waits);
}

static cl_int check_migration(cl_command_queue queue, cl_uint count, const cl_mem *objects,
                              cl_mem_migration_flags flags, const struct command_waits *waits)
{
    const cl_mem_migration_flags known =
        CL_MIGRATE_MEM_OBJECT_HOST | CL_MIGRATE_MEM_OBJECT_CONTENT_UNDEFINED;
    if (count == 0 || !objects || (flags & ~known))
        return CL_INVALID_VALUE;
    if (command_check_list(waits) != CL_SUCCESS)
        return CL_INVALID_EVENT_WAIT_LIST;
    for (cl_uint i = 0; i < count; i++) {
        if (!handle_is(objects[i], OBJECT_MEMORY))
            return CL_INVALID_MEM_OBJECT;
        if (queue->context != objects[i]->context)
            return CL_INVALID_CONTEXT;
    }
    return CL_SUCCESS;
}

cl_int api_clEnqueueMigrateMemObjects(cl_command_queue command_queue, cl_uint num_mem_objects,
                                      const cl_mem *mem_objects, cl_mem_migration_flags flags,
                                      cl_uint num_events_in_wait_list,
                                      const cl_event *event_wait_list, cl_event *event)
{
    const struct command_waits waits = {num_events_in_wait_list, event_wait_list, event};
    cl_int result = check_migration(command_queue, num_mem_objects, mem_objects, flags, &waits);
    struct command command;
    if (result == CL_SUCCESS)
        result = command_open(&command, command_queue, CL_COMMAND_MIGRATE_MEM_OBJECTS, &waits);
    if (result != CL_SUCCESS)
        return result;
    for (cl_uint i = 0; result == CL_SUCCESS && i < num_mem_objects; i++)
        result = memory_ensure(mem_objects[i]);
    size_t tail = (size_t)wire_pad8((uint64_t)num_mem_objects * sizeof(uint32_t));
    struct wire_migrate *record =
        result == CL_SUCCESS ? command_begin(&command, sizeof(*record), tail) : NULL;
    if (!record)
        return command_close(&command, result ? result : CL_OUT_OF_RESOURCES, &waits);
    record->queue_id = command_queue->object.id;
    record->event = event_slot(command.event);
    record->wait_count = command_put_waits(&command, wire_migrate_waits(record));
    record->object_count = num_mem_objects;
    record->flags = flags;
    for (cl_uint i = 0; i < num_mem_objects; i++)
        wire_migrate_objects(record)[i] = mem_objects[i]->object.id;
    command_post(&command, command.event, record, WIRE_MIGRATE,
                 sizeof(*record) + wire_pad8(record->wait_count * sizeof(uint32_t)) + tail);
    return command_close(&command, CL_SUCCESS, &waits);
}
