/* Images: what they are made from, and the commands on them. Pixels travel through the slab without
 * gaps. */
#include "card/executor/image.h"

#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "card/executor/command.h"
#include "card/executor/session.h"
#include "card/wire/image.h"

#define IMAGE_FLAGS_SERVED \
    (CL_MEM_READ_WRITE | CL_MEM_WRITE_ONLY | CL_MEM_READ_ONLY | CL_MEM_KERNEL_READ_AND_WRITE)
#define IMAGE_NS 4000u /* estimate of a command on an image: this and one ns per pixel */

static uint64_t image_ns(const size_t region[3])
{
    const uint64_t pixels[3] = {region[0], region[1], region[2]};
    uint64_t count = wire_image_bytes(1, pixels);
    return count > 0 && count < (1ull << 40) ? IMAGE_NS + count : 1ull << 40;
}

cl_mem image_make(const struct object *object, cl_context context, cl_mem viewed,
                  cl_int *ret_status)
{
    cl_image_desc desc = object->image->desc;
    desc.buffer = viewed;
    return clCreateImage(context, object->flags & IMAGE_FLAGS_SERVED, &object->image->format, &desc,
                         NULL, ret_status);
}

cl_int image_carry(const struct object *object, cl_command_queue queue, enum image_way way,
                   void *pixels)
{
    const size_t origin[3] = {0, 0, 0}, *region = object->image->extents;
    if (way == IMAGE_IN)
        return clEnqueueWriteImage(queue, object->driver, CL_TRUE, origin, region, 0, 0, pixels, 0,
                                   NULL, NULL);
    return clEnqueueReadImage(queue, object->driver, CL_TRUE, origin, region, 0, 0, pixels, 0, NULL,
                              NULL);
}

static cl_image_desc desc_of(const struct wire_image_create *record)
{
    return (cl_image_desc){.image_type = record->image_type,
                           .image_width = record->width,
                           .image_height = record->height,
                           .image_depth = record->depth,
                           .image_array_size = record->array_size,
                           .image_row_pitch = record->row_pitch,
                           .image_slice_pitch = record->slice_pitch};
}

uint64_t image_measure(struct image *image, cl_int *ret_status)
{
    const cl_image_desc *desc = &image->desc;
    const struct wire_image_size size = {desc->image_width, desc->image_height, desc->image_depth,
                                         desc->image_array_size};
    uint64_t extents[3];
    image->pixel_bytes =
        wire_pixel_bytes(image->format.image_channel_order, image->format.image_channel_data_type);
    *ret_status = CL_INVALID_IMAGE_FORMAT_DESCRIPTOR;
    if (image->pixel_bytes == 0)
        return 0;
    *ret_status = CL_INVALID_IMAGE_DESCRIPTOR;
    if (wire_image_extents(desc->image_type, &size, extents) < 0)
        return 0;
    for (unsigned i = 0; i < 3; i++)
        image->extents[i] = extents[i];
    uint64_t bytes = wire_image_bytes(image->pixel_bytes, extents);
    *ret_status = bytes ? CL_SUCCESS : CL_INVALID_IMAGE_SIZE;
    return bytes;
}

/* The recipe of an image, owned by the caller; NULL with the driver's code for what it is not. */
static struct image *describe(const struct wire_image_create *record, uint64_t *ret_bytes,
                              cl_int *ret_status)
{
    struct image measured = {.format = {record->channel_order, record->channel_type},
                             .desc = desc_of(record)};
    *ret_bytes = image_measure(&measured, ret_status);
    struct image *image = *ret_status ? NULL : malloc(sizeof(*image));
    if (image)
        *image = measured;
    else if (!*ret_status)
        *ret_status = CL_OUT_OF_HOST_MEMORY;
    return image;
}

/* What the driver says of an image that must not be. */
static cl_int refusal_of(const struct wire_image_create *record, cl_context context)
{
    const cl_image_format format = {record->channel_order, record->channel_type};
    const cl_image_desc desc = desc_of(record);
    cl_int status;
    cl_mem made =
        clCreateImage(context, record->flags & IMAGE_FLAGS_SERVED, &format, &desc, NULL, &status);
    if (status != CL_SUCCESS)
        return status;
    (void)clReleaseMemObject(made); /* ours */
    return record->refusal;
}

int handle_image_create(struct session *session, const struct wire_header *header,
                        struct reply *reply, struct error *err)
{
    const struct wire_image_create *record = (const void *)header;
    uint32_t parent_id = record->memory_id ? record->memory_id : record->context_id;
    struct object *parent, *object;
    uint64_t bytes;
    if (object_get(session, parent_id, record->memory_id ? OBJECT_MEMORY : OBJECT_CONTEXT, &parent,
                   err) < 0)
        return -EPROTO;
    if (record->refusal) {
        int there = !record->memory_id && parent->driver;
        reply->status = there ? refusal_of(record, parent->driver) : record->refusal;
        return 0;
    }
    if (object_place(session, record->id, &object, err) < 0)
        return -EPROTO;
    *object = (struct object){.kind = OBJECT_MEMORY,
                              .parent = parent_id,
                              .is_buffer = record->memory_id == 0,
                              .flags = record->flags};
    object->image = describe(record, &bytes, &object->error);
    object->size_bytes = bytes;
    if (object->image)
        object->error = object_make(session, object);
    reply->status = object->error;
    return 0;
}

/* What the commands on one image have in common. */
struct image_order {
    struct order order;
    struct object *object;
};

static int open_order(struct session *session, struct image_order *ret_order, uint32_t image_id,
                      const size_t region[3], struct error *err)
{
    struct order *order = &ret_order->order;
    if (object_get(session, image_id, OBJECT_MEMORY, &ret_order->object, err) < 0)
        return -EPROTO;
    order_use(order, ret_order->object);
    if (!order->error && !ret_order->object->image)
        order->error = CL_INVALID_MEM_OBJECT;
    order->estimate_ns = image_ns(region);
    return 0;
}

/* The part of the slab is what the region takes. */
static int slab_region(const struct object *object, const struct wire_image_write *record,
                       struct error *err)
{
    const uint64_t region[3] = {record->region_0, record->region_1, record->region_2};
    uint64_t bytes = object->image ? wire_image_bytes(object->image->pixel_bytes, region) : 0;
    if (object->image && (bytes == 0 || bytes != record->size_bytes))
        return BAD_RECORD(err, "%llu bytes are not what the region of an image takes",
                          (unsigned long long)record->size_bytes);
    return slab_check(record->slab_offset, record->size_bytes, err);
}

/* IMAGE_READ and IMAGE_WRITE are laid out alike. */
static int move_pixels(struct session *session, const struct wire_image_write *record,
                       enum image_way way, struct error *err)
{
    const size_t origin[3] = {record->origin_0, record->origin_1, record->origin_2};
    const size_t region[3] = {record->region_0, record->region_1, record->region_2};
    struct image_order image;
    struct order *order = &image.order;
    if (order_open(session, order, record->queue_id, record->event, wire_image_write_waits(record),
                   record->wait_count, err) < 0 ||
        open_order(session, &image, record->image_id, region, err) < 0 ||
        slab_region(image.object, record, err) < 0)
        return -EPROTO;
    order->holds_slab = 1;
    if (!order_enter(session, order))
        return 0;
    uint8_t *host = session->slab + record->slab_offset;
    cl_command_queue queue = order->queue->driver;
    cl_mem memory = image.object->driver;
    cl_event event;
    cl_int status = way == IMAGE_IN
                        ? clEnqueueWriteImage(queue, memory, CL_FALSE, origin, region, 0, 0, host,
                                              order->wait_count, order->waits, &event)
                        : clEnqueueReadImage(queue, memory, CL_FALSE, origin, region, 0, 0, host,
                                             order->wait_count, order->waits, &event);
    order_close(session, order, status, event);
    return 0;
}

int handle_image_write(struct session *session, const struct wire_header *header,
                       struct reply *reply, struct error *err)
{
    return move_pixels(session, (const void *)header, IMAGE_IN, err);
}

int handle_image_read(struct session *session, const struct wire_header *header,
                      struct reply *reply, struct error *err)
{
    return move_pixels(session, (const void *)header, IMAGE_OUT, err);
}

int handle_image_fill(struct session *session, const struct wire_header *header,
                      struct reply *reply, struct error *err)
{
    const struct wire_image_fill *record = (const void *)header;
    const size_t origin[3] = {record->origin_0, record->origin_1, record->origin_2};
    const size_t region[3] = {record->region_0, record->region_1, record->region_2};
    const uint64_t color[2] = {record->color_0, record->color_1};
    struct image_order image;
    struct order *order = &image.order;
    if (order_open(session, order, record->queue_id, record->event, wire_image_fill_waits(record),
                   record->wait_count, err) < 0 ||
        open_order(session, &image, record->image_id, region, err) < 0)
        return -EPROTO;
    if (!order_enter(session, order))
        return 0;
    cl_event event;
    cl_int status = clEnqueueFillImage(order->queue->driver, image.object->driver, color, origin,
                                       region, order->wait_count, order->waits, &event);
    order_close(session, order, status, event);
    return 0;
}

static cl_int copy(const struct order *order, cl_mem source, cl_mem target,
                   const struct wire_image_copy *record, cl_event *ret_event)
{
    const size_t from[3] = {record->source_origin_0, record->source_origin_1,
                            record->source_origin_2};
    const size_t to[3] = {record->target_origin_0, record->target_origin_1,
                          record->target_origin_2};
    const size_t region[3] = {record->region_0, record->region_1, record->region_2};
    cl_command_queue queue = order->queue->driver;
    switch (record->shape) {
    case WIRE_COPY_IMAGES:
        return clEnqueueCopyImage(queue, source, target, from, to, region, order->wait_count,
                                  order->waits, ret_event);
    case WIRE_COPY_IMAGE_TO_BUFFER:
        return clEnqueueCopyImageToBuffer(queue, source, target, from, region, to[0],
                                          order->wait_count, order->waits, ret_event);
    case WIRE_COPY_BUFFER_TO_IMAGE:
        return clEnqueueCopyBufferToImage(queue, source, target, from[0], to, region,
                                          order->wait_count, order->waits, ret_event);
    default:
        return CL_INVALID_VALUE;
    }
}

int handle_image_copy(struct session *session, const struct wire_header *header,
                      struct reply *reply, struct error *err)
{
    const struct wire_image_copy *record = (const void *)header;
    const size_t region[3] = {record->region_0, record->region_1, record->region_2};
    struct order order;
    struct object *source, *target;
    if (order_open(session, &order, record->queue_id, record->event, wire_image_copy_waits(record),
                   record->wait_count, err) < 0 ||
        object_get(session, record->source_id, OBJECT_MEMORY, &source, err) < 0 ||
        object_get(session, record->target_id, OBJECT_MEMORY, &target, err) < 0)
        return -EPROTO;
    order_use(&order, source);
    order_use(&order, target);
    order.estimate_ns = image_ns(region);
    if (!order_enter(session, &order))
        return 0;
    cl_event event;
    cl_int status = copy(&order, source->driver, target->driver, record, &event);
    order_close(session, &order, status, event);
    return 0;
}
