/* Commands that move data or order other commands. All of them are handed over without blocking;
 * the slab is the host side of every transfer. */
#include <errno.h>

#include "base/error.h"
#include "card/executor/command.h"
#include "card/executor/completion.h"
#include "card/executor/session.h"

#define TRANSFER_BASE_NS 2000u /* estimate: this and one ns per byte (1 GB/s) */

#define COPIED_BYTES_PER_NS 4 /* by the client itself: one pass over memory */

static uint64_t transfer_ns(uint64_t bytes)
{
    return bytes < (1ull << 40) ? TRANSFER_BASE_NS + bytes : 1ull << 40;
}

/* Packed bytes of a region; -EPROTO when they do not fit the slab at `offset`. */
static int region_check(const size_t region[3], uint64_t offset, uint64_t *ret_bytes,
                        struct error *err)
{
    uint64_t bytes;
    if (__builtin_mul_overflow(region[0], region[1], &bytes) ||
        __builtin_mul_overflow(bytes, region[2], &bytes))
        return BAD_RECORD(err, "the region's bytes overflow");
    *ret_bytes = bytes;
    return slab_check(offset, bytes, err);
}

int handle_write(struct session *session, const struct wire_header *header, struct reply *reply,
                 struct error *err)
{
    const struct wire_write *record = (const void *)header;
    struct order order;
    struct object *buffer;
    if (order_open(session, &order, record->queue_id, record->event, wire_write_waits(record),
                   record->wait_count, err) < 0 ||
        object_get(session, record->buffer_id, OBJECT_MEMORY, &buffer, err) < 0 ||
        slab_check(record->slab_offset, record->size_bytes, err) < 0)
        return -EPROTO;
    order_use(&order, buffer);
    order.holds_slab = 1;
    order.estimate_ns = transfer_ns(record->size_bytes);
    if (!order_enter(session, &order))
        return 0;
    cl_event event;
    cl_int status = clEnqueueWriteBuffer(
        order.queue->driver, buffer->driver, CL_FALSE, record->offset_bytes, record->size_bytes,
        session->slab + record->slab_offset, order.wait_count, order.waits, &event);
    order_close(session, &order, status, event);
    return 0;
}

int handle_read(struct session *session, const struct wire_header *header, struct reply *reply,
                struct error *err)
{
    const struct wire_read *record = (const void *)header;
    struct order order;
    struct object *buffer;
    if (order_open(session, &order, record->queue_id, record->event, wire_read_waits(record),
                   record->wait_count, err) < 0 ||
        object_get(session, record->buffer_id, OBJECT_MEMORY, &buffer, err) < 0 ||
        slab_check(record->slab_offset, record->size_bytes, err) < 0)
        return -EPROTO;
    order_use(&order, buffer);
    order.holds_slab = 1;
    order.estimate_ns = transfer_ns(record->size_bytes);
    if (!order_enter(session, &order))
        return 0;
    cl_event event;
    cl_int status = clEnqueueReadBuffer(
        order.queue->driver, buffer->driver, CL_FALSE, record->offset_bytes, record->size_bytes,
        session->slab + record->slab_offset, order.wait_count, order.waits, &event);
    order_close(session, &order, status, event);
    return 0;
}

/* Queue, event, waits and the two buffers of a copy. */
static int open_copy(struct session *session, struct order *order, const uint32_t ids[2],
                     struct object *ret_buffers[2], struct error *err)
{
    for (int i = 0; i < 2; i++) {
        if (object_get(session, ids[i], OBJECT_MEMORY, &ret_buffers[i], err) < 0)
            return -EPROTO;
        order_use(order, ret_buffers[i]);
    }
    return 0;
}

int handle_copy(struct session *session, const struct wire_header *header, struct reply *reply,
                struct error *err)
{
    const struct wire_copy *record = (const void *)header;
    const uint32_t ids[2] = {record->source_id, record->target_id};
    struct order order;
    struct object *buffers[2];
    if (order_open(session, &order, record->queue_id, record->event, wire_copy_waits(record),
                   record->wait_count, err) < 0 ||
        open_copy(session, &order, ids, buffers, err) < 0)
        return -EPROTO;
    order.estimate_ns = transfer_ns(record->size_bytes);
    if (!order_enter(session, &order))
        return 0;
    cl_event event;
    cl_int status = clEnqueueCopyBuffer(order.queue->driver, buffers[0]->driver, buffers[1]->driver,
                                        record->source_offset, record->target_offset,
                                        record->size_bytes, order.wait_count, order.waits, &event);
    order_close(session, &order, status, event);
    return 0;
}

int handle_copy_rect(struct session *session, const struct wire_header *header, struct reply *reply,
                     struct error *err)
{
    const struct wire_copy_rect *record = (const void *)header;
    const uint32_t ids[2] = {record->source_id, record->target_id};
    const size_t source[3] = {record->source_origin_0, record->source_origin_1,
                              record->source_origin_2};
    const size_t target[3] = {record->target_origin_0, record->target_origin_1,
                              record->target_origin_2};
    const size_t region[3] = {record->region_0, record->region_1, record->region_2};
    struct order order;
    struct object *buffers[2];
    if (order_open(session, &order, record->queue_id, record->event, wire_copy_rect_waits(record),
                   record->wait_count, err) < 0 ||
        open_copy(session, &order, ids, buffers, err) < 0)
        return -EPROTO;
    order.estimate_ns = transfer_ns(region[0] * region[1] * region[2]);
    if (!order_enter(session, &order))
        return 0;
    cl_event event;
    cl_int status = clEnqueueCopyBufferRect(
        order.queue->driver, buffers[0]->driver, buffers[1]->driver, source, target, region,
        record->source_row_pitch, record->source_slice_pitch, record->target_row_pitch,
        record->target_slice_pitch, order.wait_count, order.waits, &event);
    order_close(session, &order, status, event);
    return 0;
}

int handle_rect_slab(struct session *session, const struct wire_header *header, struct reply *reply,
                     struct error *err)
{
    const struct wire_rect_slab *record = (const void *)header;
    const size_t origin[3] = {record->origin_0, record->origin_1, record->origin_2};
    const size_t region[3] = {record->region_0, record->region_1, record->region_2};
    const size_t packed[3] = {0, 0, 0};
    struct order order;
    struct object *buffer;
    uint64_t bytes;
    if (order_open(session, &order, record->queue_id, record->event, wire_rect_slab_waits(record),
                   record->wait_count, err) < 0 ||
        object_get(session, record->buffer_id, OBJECT_MEMORY, &buffer, err) < 0 ||
        region_check(region, record->slab_offset, &bytes, err) < 0)
        return -EPROTO;
    order_use(&order, buffer);
    order.holds_slab = 1;
    order.estimate_ns = transfer_ns(bytes);
    if (!order_enter(session, &order))
        return 0;
    uint8_t *host = session->slab + record->slab_offset;
    cl_event event;
    cl_int status;
    if (record->is_write)
        status = clEnqueueWriteBufferRect(order.queue->driver, buffer->driver, CL_FALSE, origin,
                                          packed, region, record->row_pitch, record->slice_pitch, 0,
                                          0, host, order.wait_count, order.waits, &event);
    else
        status = clEnqueueReadBufferRect(order.queue->driver, buffer->driver, CL_FALSE, origin,
                                         packed, region, record->row_pitch, record->slice_pitch, 0,
                                         0, host, order.wait_count, order.waits, &event);
    order_close(session, &order, status, event);
    return 0;
}

int handle_fill(struct session *session, const struct wire_header *header, struct reply *reply,
                struct error *err)
{
    const struct wire_fill *record = (const void *)header;
    struct order order;
    struct object *buffer;
    if (order_open(session, &order, record->queue_id, record->event, wire_fill_waits(record),
                   record->wait_count, err) < 0 ||
        object_get(session, record->buffer_id, OBJECT_MEMORY, &buffer, err) < 0)
        return -EPROTO;
    order_use(&order, buffer);
    order.estimate_ns = transfer_ns(record->size_bytes);
    if (!order_enter(session, &order))
        return 0;
    cl_event event;
    cl_int status = clEnqueueFillBuffer(
        order.queue->driver, buffer->driver, wire_fill_pattern(record), record->pattern_bytes,
        record->offset_bytes, record->size_bytes, order.wait_count, order.waits, &event);
    order_close(session, &order, status, event);
    return 0;
}

int handle_migrate(struct session *session, const struct wire_header *header, struct reply *reply,
                   struct error *err)
{
    const struct wire_migrate *record = (const void *)header;
    const uint32_t *ids = wire_migrate_objects(record);
    struct order order;
    if (order_open(session, &order, record->queue_id, record->event, wire_migrate_waits(record),
                   record->wait_count, err) < 0)
        return -EPROTO;
    for (uint32_t i = 0; i < record->object_count; i++) {
        struct object *buffer;
        if (object_get(session, ids[i], OBJECT_MEMORY, &buffer, err) < 0)
            return -EPROTO;
        order_use(&order, buffer);
    }
    if (!order_enter(session, &order))
        return 0;
    for (uint32_t i = 0; i < record->object_count; i++)
        session->memory_list[i] = session->objects[ids[i]].driver;
    cl_event event;
    cl_int status =
        clEnqueueMigrateMemObjects(order.queue->driver, record->object_count, session->memory_list,
                                   record->flags, order.wait_count, order.waits, &event);
    order_close(session, &order, status, event);
    return 0;
}

int handle_sync_point(struct session *session, const struct wire_header *header,
                      struct reply *reply, struct error *err)
{
    const struct wire_sync_point *record = (const void *)header;
    struct order order;
    if (order_open(session, &order, record->queue_id, record->event, wire_sync_point_waits(record),
                   record->wait_count, err) < 0)
        return -EPROTO;
    order.kind = record->shape == 1 ? ORDER_BARRIER : ORDER_MARKER;
    if (!order.error)
        order.copied_ns =
            transfer_ns(record->copied_bytes / COPIED_BYTES_PER_NS) - TRANSFER_BASE_NS;
    order.estimate_ns += order.copied_ns;
    if (!order_enter(session, &order))
        return 0;
    if (completion_may_pass(session, &order)) {
        completion_pass(session, &order);
        return 0;
    }
    cl_event event;
    cl_int status = record->shape == 1
                        ? clEnqueueBarrierWithWaitList(order.queue->driver, order.wait_count,
                                                       order.waits, &event)
                        : clEnqueueMarkerWithWaitList(order.queue->driver, order.wait_count,
                                                      order.waits, &event);
    order_close(session, &order, status, event);
    return 0;
}
