/* The enqueue calls on images: read, write, fill, copy, map. */
#include "card/opencl/event.h"
#include "card/opencl/image.h"
#include "card/opencl/memory.h"
#include "card/opencl/process.h"
#include "card/opencl/queue.h"
#include "card/opencl/sync.h"
#include "card/opencl/transfer.h"
#include "opencl_api.h"

#define MAP_WRITES (CL_MAP_WRITE | CL_MAP_WRITE_INVALIDATE_REGION)
#define MAP_ALIGN 4096u /* more than any CL_DEVICE_MEM_BASE_ADDR_ALIGN */

struct image_map {
    struct image_map *next;
    char *memory; /* owned; NULL: the user's */
    size_t memory_bytes;
    struct region region;
    cl_map_flags flags;
};

static void map_free(struct image_map *map)
{
    if (map->memory)
        transfers_forget(map->memory, map->memory_bytes);
    free(map->memory);
    free(map);
}

void image_finish(cl_mem memory)
{
    struct image *image = memory->image;
    while (image && image->maps) {
        struct image_map *map = image->maps;
        image->maps = map->next;
        map_free(map);
    }
    free(image);
}

/* Check that the queue can work on the image. */
static cl_int image_is_usable(const struct _cl_command_queue *queue, const struct _cl_mem *memory)
{
    if (!memory->image)
        return CL_INVALID_MEM_OBJECT;
    return queue->context == memory->context ? CL_SUCCESS : CL_INVALID_CONTEXT;
}

/* Likewise, and that a box of pixels is in it. */
static cl_int image_check(const struct _cl_command_queue *queue, const struct _cl_mem *memory,
                          const size_t *origin, const size_t *region)
{
    const struct image *image = memory->image;
    cl_int result = image_is_usable(queue, memory);
    if (result != CL_SUCCESS)
        return result;
    if (!origin || !region)
        return CL_INVALID_VALUE;
    for (int i = 0; i < 3; i++)
        if (region[i] == 0 || origin[i] > image->extents[i] ||
            region[i] > image->extents[i] - origin[i])
            return CL_INVALID_VALUE;
    return CL_SUCCESS;
}

/* The layers of a 1D array are its rows, and a slice pitch apart. */
static int is_flat(const struct _cl_mem *memory)
{
    return memory->type == CL_MEM_OBJECT_IMAGE1D_ARRAY;
}

cl_int image_region(struct region *ret_region, cl_mem memory, const size_t *origin,
                    const size_t *region, size_t row_pitch, size_t slice_pitch, const void *host)
{
    const size_t pixel_bytes = memory->image->pixel_bytes;
    const size_t row = region[0] * pixel_bytes;
    if (is_flat(memory) && slice_pitch)
        row_pitch = slice_pitch;
    row_pitch = row_pitch ? row_pitch : row;
    slice_pitch = slice_pitch ? slice_pitch : row_pitch * region[1];
    *ret_region = (struct region){
        .memory = memory,
        .origin = {origin[0] * pixel_bytes, origin[1], origin[2]},
        .size = {row, region[1], region[2]},
        .row_pitch = row,
        .slice_pitch = row * region[1],
        .host = (char *)(uintptr_t)host,
        .host_row_pitch = row_pitch,
        .host_slice_pitch = slice_pitch,
    };
    return row_pitch < row || (region[2] > 1 && slice_pitch < row_pitch * region[1])
               ? CL_INVALID_VALUE
               : CL_SUCCESS;
}

/* What reads and writes check before their box: of a call that is wrong in several ways PoCL tells
 * of the host's pointer first, then of the wait list, then of the image's flags. */
static cl_int check_host(const struct _cl_command_queue *queue, const struct _cl_mem *memory,
                         cl_mem_flags forbidden, const void *host,
                         const struct command_waits *waits)
{
    cl_int result = host ? image_is_usable(queue, memory) : CL_INVALID_VALUE;
    if (result == CL_SUCCESS)
        result = command_check_waits(queue, waits);
    if (result == CL_SUCCESS && (memory->flags & (CL_MEM_HOST_NO_ACCESS | forbidden)))
        result = CL_INVALID_OPERATION;
    return result;
}

cl_int api_clEnqueueReadImage(cl_command_queue command_queue, cl_mem image, cl_bool blocking_read,
                              const size_t *origin, const size_t *region, size_t row_pitch,
                              size_t slice_pitch, void *ptr, cl_uint num_events_in_wait_list,
                              const cl_event *event_wait_list, cl_event *event)
{
    const struct command_waits waits = {num_events_in_wait_list, event_wait_list, event};
    struct region box;
    struct command command;
    cl_int result = check_host(command_queue, image, CL_MEM_HOST_WRITE_ONLY, ptr, &waits);
    if (result == CL_SUCCESS)
        result = image_check(command_queue, image, origin, region);
    if (result == CL_SUCCESS)
        result = image_region(&box, image, origin, region, row_pitch, slice_pitch, ptr);
    if (result == CL_SUCCESS)
        result = command_open(&command, command_queue, CL_COMMAND_READ_IMAGE, &waits);
    if (result != CL_SUCCESS)
        return result;
    result = transfer_read(&command, &box, blocking_read ? TRANSFER_BLOCKING : TRANSFER_POSTED);
    if (blocking_read && result == CL_SUCCESS)
        transfers_observe(command_queue->state, queue_in_order(command_queue) ? command.target : 0);
    return command_close(&command, result, &waits);
}

cl_int api_clEnqueueWriteImage(cl_command_queue command_queue, cl_mem image, cl_bool blocking_write,
                               const size_t *origin, const size_t *region, size_t input_row_pitch,
                               size_t input_slice_pitch, const void *ptr,
                               cl_uint num_events_in_wait_list, const cl_event *event_wait_list,
                               cl_event *event)
{
    const struct command_waits waits = {num_events_in_wait_list, event_wait_list, event};
    struct region box;
    struct command command;
    cl_int result = check_host(command_queue, image, CL_MEM_HOST_READ_ONLY, ptr, &waits);
    if (result == CL_SUCCESS)
        result = image_check(command_queue, image, origin, region);
    if (result == CL_SUCCESS)
        result = image_region(&box, image, origin, region, input_row_pitch, input_slice_pitch, ptr);
    if (result == CL_SUCCESS)
        result = command_open(&command, command_queue, CL_COMMAND_WRITE_IMAGE, &waits);
    if (result != CL_SUCCESS)
        return result;
    result = transfer_write(&command, &box, blocking_write ? TRANSFER_BLOCKING : TRANSFER_POSTED);
    return command_close(&command, result, &waits);
}

cl_int api_clEnqueueFillImage(cl_command_queue command_queue, cl_mem image, const void *fill_color,
                              const size_t *origin, const size_t *region,
                              cl_uint num_events_in_wait_list, const cl_event *event_wait_list,
                              cl_event *event)
{
    const struct command_waits waits = {num_events_in_wait_list, event_wait_list, event};
    struct command command;
    cl_int result = command_check_waits(command_queue, &waits);
    if (result == CL_SUCCESS)
        result = image_check(command_queue, image, origin, region);
    if (result == CL_SUCCESS && !fill_color)
        result = CL_INVALID_VALUE;
    if (result == CL_SUCCESS)
        result = memory_ensure(image);
    if (result == CL_SUCCESS)
        result = command_open(&command, command_queue, CL_COMMAND_FILL_IMAGE, &waits);
    if (result != CL_SUCCESS)
        return result;
    struct wire_image_fill *record = command_begin(&command, sizeof(*record), 0);
    if (!record)
        return command_close(&command, CL_DEVICE_NOT_AVAILABLE, &waits);
    record->queue_id = command_queue->object.id;
    record->image_id = image->object.id;
    record->event = event_slot(command.event);
    record->wait_count = command_put_waits(&command, wire_image_fill_waits(record));
    memcpy(&record->color_0, fill_color, sizeof(uint64_t));
    memcpy(&record->color_1, (const char *)fill_color + sizeof(uint64_t), sizeof(uint64_t));
    memcpy(&record->origin_0, origin, 3 * sizeof(uint64_t));
    memcpy(&record->region_0, region, 3 * sizeof(uint64_t));
    command_post(&command, command.event, record, WIRE_IMAGE_FILL,
                 sizeof(*record) + wire_pad8(record->wait_count * sizeof(uint32_t)));
    return command_close(&command, CL_SUCCESS, &waits);
}

/* A copy with an image at one end or both. */
struct image_copy {
    cl_command_type type;
    enum wire_copy_shape shape;
    cl_mem source, target;
    const size_t *from, *to, *region;
};

static cl_int post_copy(cl_command_queue queue, const struct image_copy *copy,
                        const struct command_waits *waits)
{
    struct command command;
    cl_int result = memory_ensure(copy->source);
    if (result == CL_SUCCESS)
        result = memory_ensure(copy->target);
    if (result == CL_SUCCESS)
        result = command_open(&command, queue, copy->type, waits);
    if (result != CL_SUCCESS)
        return result;
    struct wire_image_copy *record = command_begin(&command, sizeof(*record), 0);
    if (!record)
        return command_close(&command, CL_DEVICE_NOT_AVAILABLE, waits);
    record->queue_id = queue->object.id;
    record->source_id = copy->source->object.id;
    record->target_id = copy->target->object.id;
    record->event = event_slot(command.event);
    record->wait_count = command_put_waits(&command, wire_image_copy_waits(record));
    record->shape = copy->shape;
    memcpy(&record->source_origin_0, copy->from, 3 * sizeof(uint64_t));
    memcpy(&record->target_origin_0, copy->to, 3 * sizeof(uint64_t));
    memcpy(&record->region_0, copy->region, 3 * sizeof(uint64_t));
    command_post(&command, command.event, record, WIRE_IMAGE_COPY,
                 sizeof(*record) + wire_pad8(record->wait_count * sizeof(uint32_t)));
    return command_close(&command, CL_SUCCESS, waits);
}

/* The buffer's end of a copy. */
static cl_int check_buffer(const struct _cl_mem *image, const struct _cl_mem *buffer,
                           const size_t *region, size_t offset)
{
    if (buffer->image)
        return CL_INVALID_MEM_OBJECT;
    if (!region)
        return CL_INVALID_VALUE;
    size_t bytes = region[0] * region[1] * region[2] * image->image->pixel_bytes;
    return memory_holds(buffer, offset, bytes) ? CL_SUCCESS : CL_INVALID_VALUE;
}

static int overlap(const size_t *a, const size_t *b, const size_t *region)
{
    int apart = 0;
    for (int i = 0; i < 3; i++)
        apart |= a[i] >= b[i] + region[i] || b[i] >= a[i] + region[i];
    return !apart;
}

/* What copies with a buffer check before the image's box. Of a call that is wrong in several ways
 * PoCL tells of a wait list that is none first, of its events late. */
static cl_int check_ends(const struct _cl_command_queue *queue, const struct image_copy *copy,
                         const struct command_waits *waits)
{
    int is_in = copy->shape == WIRE_COPY_BUFFER_TO_IMAGE;
    const struct _cl_mem *image = is_in ? copy->target : copy->source;
    const struct _cl_mem *buffer = is_in ? copy->source : copy->target;
    cl_int result = command_check_list(waits);
    if (result == CL_SUCCESS)
        result = image_is_usable(queue, image);
    if (result == CL_SUCCESS && queue->context != buffer->context)
        result = CL_INVALID_CONTEXT;
    if (result == CL_SUCCESS)
        result = check_buffer(image, buffer, copy->region, is_in ? copy->from[0] : copy->to[0]);
    return result == CL_SUCCESS ? command_check_waits(queue, waits) : result;
}

static int is_larger(const size_t *region, const struct image *image)
{
    return region[0] > image->extents[0] || region[1] > image->extents[1] ||
           region[2] > image->extents[2];
}

/* Likewise of two images, whose formats and overlap come before the events. */
static cl_int check_images(const struct _cl_command_queue *queue, const struct image_copy *copy,
                           const struct command_waits *waits)
{
    cl_int result = command_check_list(waits);
    if (result == CL_SUCCESS)
        result = image_is_usable(queue, copy->source);
    if (result == CL_SUCCESS)
        result = image_is_usable(queue, copy->target);
    if (result != CL_SUCCESS)
        return result;
    const struct image *source = copy->source->image, *target = copy->target->image;
    if (memcmp(&source->format, &target->format, sizeof(cl_image_format)) != 0)
        return CL_IMAGE_FORMAT_MISMATCH;
    if (!copy->from || !copy->to || !copy->region || is_larger(copy->region, source) ||
        is_larger(copy->region, target))
        return CL_INVALID_VALUE;
    if (source == target && overlap(copy->from, copy->to, copy->region))
        return CL_MEM_COPY_OVERLAP;
    return command_check_waits(queue, waits);
}

cl_int api_clEnqueueCopyImage(cl_command_queue command_queue, cl_mem src_image, cl_mem dst_image,
                              const size_t *src_origin, const size_t *dst_origin,
                              const size_t *region, cl_uint num_events_in_wait_list,
                              const cl_event *event_wait_list, cl_event *event)
{
    const struct command_waits waits = {num_events_in_wait_list, event_wait_list, event};
    const struct image_copy copy = {CL_COMMAND_COPY_IMAGE,
                                    WIRE_COPY_IMAGES,
                                    src_image,
                                    dst_image,
                                    src_origin,
                                    dst_origin,
                                    region};
    cl_int result = check_images(command_queue, &copy, &waits);
    if (result == CL_SUCCESS)
        result = image_check(command_queue, src_image, src_origin, region);
    if (result == CL_SUCCESS)
        result = image_check(command_queue, dst_image, dst_origin, region);
    return result == CL_SUCCESS ? post_copy(command_queue, &copy, &waits) : result;
}

cl_int api_clEnqueueCopyImageToBuffer(cl_command_queue command_queue, cl_mem src_image,
                                      cl_mem dst_buffer, const size_t *src_origin,
                                      const size_t *region, size_t dst_offset,
                                      cl_uint num_events_in_wait_list,
                                      const cl_event *event_wait_list, cl_event *event)
{
    const struct command_waits waits = {num_events_in_wait_list, event_wait_list, event};
    const size_t to[3] = {dst_offset, 0, 0};
    const struct image_copy copy = {CL_COMMAND_COPY_IMAGE_TO_BUFFER,
                                    WIRE_COPY_IMAGE_TO_BUFFER,
                                    src_image,
                                    dst_buffer,
                                    src_origin,
                                    to,
                                    region};
    cl_int result = check_ends(command_queue, &copy, &waits);
    if (result == CL_SUCCESS)
        result = image_check(command_queue, src_image, src_origin, region);
    return result == CL_SUCCESS ? post_copy(command_queue, &copy, &waits) : result;
}

cl_int api_clEnqueueCopyBufferToImage(cl_command_queue command_queue, cl_mem src_buffer,
                                      cl_mem dst_image, size_t src_offset, const size_t *dst_origin,
                                      const size_t *region, cl_uint num_events_in_wait_list,
                                      const cl_event *event_wait_list, cl_event *event)
{
    const struct command_waits waits = {num_events_in_wait_list, event_wait_list, event};
    const size_t from[3] = {src_offset, 0, 0};
    const struct image_copy copy = {CL_COMMAND_COPY_BUFFER_TO_IMAGE,
                                    WIRE_COPY_BUFFER_TO_IMAGE,
                                    src_buffer,
                                    dst_image,
                                    from,
                                    dst_origin,
                                    region};
    cl_int result = check_ends(command_queue, &copy, &waits);
    if (result == CL_SUCCESS)
        result = image_check(command_queue, dst_image, dst_origin, region);
    return result == CL_SUCCESS ? post_copy(command_queue, &copy, &waits) : result;
}

/* Host memory of a map: the user's own, or new memory with the image's pitches. */
static cl_int place_map(struct image_map *map, cl_mem memory, const size_t *origin,
                        const size_t *region)
{
    const struct image *image = memory->image;
    const size_t row = is_flat(memory) ? image->slice_pitch : image->row_pitch;
    const size_t slice = image->slice_pitch ? image->slice_pitch : row * region[1];
    char *host = memory->host_ptr;
    if (host) {
        host += origin[0] * image->pixel_bytes + origin[1] * row + origin[2] * slice;
    } else {
        size_t bytes = row * region[1] + slice * (region[2] - 1);
        map->memory_bytes = (bytes + MAP_ALIGN - 1) & ~(size_t)(MAP_ALIGN - 1);
        host = map->memory = aligned_alloc(MAP_ALIGN, map->memory_bytes);
    }
    if (!host)
        return CL_MAP_FAILURE;
    return image_region(&map->region, memory, origin, region, row, slice, host);
}

/* Fetch the pixels, or only take a place in the queue when the user will overwrite them all. */
static cl_int fetch(struct command *command, const struct image_map *map, cl_bool blocking)
{
    if (!(map->flags & CL_MAP_WRITE_INVALIDATE_REGION))
        return transfer_read(command, &map->region, blocking ? TRANSFER_BLOCKING : TRANSFER_POSTED);
    cl_int result = sync_post(command, SYNC_NOTHING);
    return result == CL_SUCCESS && blocking ? queue_wait(command->queue) : result;
}

static cl_int check_map(const struct _cl_command_queue *queue, const struct _cl_mem *memory,
                        cl_map_flags flags, const size_t *origin, const size_t *region,
                        const size_t *row_pitch, const size_t *slice_pitch)
{
    cl_int result = image_check(queue, memory, origin, region);
    if (result == CL_SUCCESS)
        result = memory_check_map(memory, flags);
    if (result == CL_SUCCESS && (!row_pitch || (memory->image->slice_pitch && !slice_pitch)))
        result = CL_INVALID_VALUE;
    return result;
}

static void remember(cl_mem memory, struct image_map *map)
{
    lock_take(&memory->lock);
    map->next = memory->image->maps;
    memory->image->maps = map;
    memory->map_count++;
    lock_give(&memory->lock);
}

void *api_clEnqueueMapImage(cl_command_queue command_queue, cl_mem image, cl_bool blocking_map,
                            cl_map_flags map_flags, const size_t *origin, const size_t *region,
                            size_t *image_row_pitch, size_t *image_slice_pitch,
                            cl_uint num_events_in_wait_list, const cl_event *event_wait_list,
                            cl_event *event, cl_int *errcode_ret)
{
    const struct command_waits waits = {num_events_in_wait_list, event_wait_list, event};
    struct command command;
    *errcode_ret = check_map(command_queue, image, map_flags, origin, region, image_row_pitch,
                             image_slice_pitch);
    if (*errcode_ret != CL_SUCCESS)
        return NULL;
    struct image_map *map = calloc(1, sizeof(*map));
    *errcode_ret = map ? place_map(map, image, origin, region) : CL_OUT_OF_HOST_MEMORY;
    if (map)
        map->flags = map_flags;
    if (*errcode_ret == CL_SUCCESS)
        *errcode_ret = command_open(&command, command_queue, CL_COMMAND_MAP_IMAGE, &waits);
    if (*errcode_ret == CL_SUCCESS)
        *errcode_ret = command_close(&command, fetch(&command, map, blocking_map), &waits);
    if (*errcode_ret != CL_SUCCESS) {
        if (map)
            map_free(map);
        return NULL;
    }
    if (blocking_map)
        transfers_observe(command_queue->state, queue_in_order(command_queue) ? command.target : 0);
    *image_row_pitch = image->image->row_pitch;
    if (image_slice_pitch)
        *image_slice_pitch = image->image->slice_pitch;
    remember(image, map);
    return map->region.host;
}

static struct image_map *take_map(cl_mem memory, const void *pointer)
{
    struct image_map *found = NULL;
    lock_take(&memory->lock);
    for (struct image_map **link = &memory->image->maps; *link; link = &(*link)->next) {
        if ((*link)->region.host != pointer)
            continue;
        found = *link;
        *link = found->next;
        memory->map_count--;
        break;
    }
    lock_give(&memory->lock);
    return found;
}

cl_int image_unmap(struct command *command, cl_mem memory, const void *pointer)
{
    struct image_map *map = take_map(memory, pointer);
    if (!map)
        return CL_INVALID_VALUE;
    cl_int result = map->flags & MAP_WRITES ? transfer_write(command, &map->region, TRANSFER_POSTED)
                                            : sync_post(command, SYNC_NOTHING);
    map_free(map);
    return result;
}
