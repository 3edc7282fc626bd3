/* Records and frames as the relays see them: see frame.h. */
#include "card/relay/frame.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/error.h"
#include "card/ledger/futex.h"
#include "card/wire/wake.h"

#define BAD(err, ...) ((void)error_set(err, -EPROTO, "bad-frame", __VA_ARGS__), -EPROTO)

static uint32_t u32_at(const struct wire_header *record, unsigned offset)
{
    uint32_t value = 0;
    if (offset)
        memcpy(&value, (const char *)record + offset, sizeof(value));
    return value;
}

static uint64_t u64_at(const struct wire_header *record, unsigned offset)
{
    uint64_t value;
    memcpy(&value, (const char *)record + offset, sizeof(value));
    return value;
}

uint32_t relay_queue_id(const struct wire_header *record)
{
    return u32_at(record, wire_record_shape(record->opcode)->queue);
}

uint32_t relay_event(const struct wire_header *record)
{
    return u32_at(record, wire_record_shape(record->opcode)->event);
}

static int span_check(const struct span *span, struct error *err)
{
    if (span->offset > WIRE_SLAB_BYTES || span->bytes > WIRE_SLAB_BYTES - span->offset)
        return BAD(err, "%llu bytes at %llu are not in the slab", (unsigned long long)span->bytes,
                   (unsigned long long)span->offset);
    return 0;
}

/* The part that a box takes, packed. */
static int box_bytes(const struct wire_rect_slab *box, uint64_t *ret_bytes, struct error *err)
{
    uint64_t bytes;
    if (__builtin_mul_overflow(box->region_0, box->region_1, &bytes) ||
        __builtin_mul_overflow(bytes, box->region_2, &bytes))
        return BAD(err, "the region's bytes overflow");
    *ret_bytes = bytes;
    return 0;
}

int relay_spans(const struct wire_header *record, struct spans *ret_spans, struct error *err)
{
    const struct wire_shape *shape = wire_record_shape(record->opcode);
    struct span none = {0}, slab = {0}, reply = {0};
    int from_device = record->opcode == WIRE_READ || record->opcode == WIRE_IMAGE_READ;
    if (shape->slab)
        slab.offset = u64_at(record, shape->slab);
    if (shape->slab_bytes)
        slab.bytes = u64_at(record, shape->slab_bytes);
    if (shape->reply) {
        reply.offset = u64_at(record, shape->reply);
        reply.bytes = u64_at(record, shape->reply_room);
    }
    if (record->opcode == WIRE_RECT_SLAB) {
        const struct wire_rect_slab *box = (const void *)record;
        from_device = !box->is_write;
        if (box_bytes(box, &slab.bytes, err) < 0)
            return -EPROTO;
    } else if (shape->slab && !shape->slab_bytes) {
        return BAD(err, "a card of another host cannot do %s", wire_opcode_name(record->opcode));
    }
    if (span_check(&slab, err) < 0 || span_check(&reply, err) < 0)
        return -EPROTO;
    *ret_spans = (struct spans){.to_device = from_device ? none : slab,
                                .from_device = from_device ? slab : none,
                                .reply = reply};
    return 0;
}

void mirror_init(struct mirror *mirror, struct wire_session *session, struct ledger_card *ledger)
{
    struct wire_session layout;
    uint8_t *base = (uint8_t *)session;
    (void)wire_session_layout(&layout);
    *mirror = (struct mirror){
        .session = session,
        .ledger = ledger,
        .lanes = (struct wire_lane *)(base + layout.lanes_offset),
        .queues = (struct wire_queue_state *)(base + layout.queues_offset),
        .events = (struct wire_event_state *)(base + layout.events_offset),
        .slab = base + layout.slab_offset,
    };
}

static void tell_client(struct wire_session *session)
{
    (void)__atomic_add_fetch(&session->completion, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&session->waiters, __ATOMIC_SEQ_CST) != 0)
        futex_wake(&session->completion, INT_MAX);
}

static int apply_queue(struct mirror *mirror, const struct queue_end *end, uint64_t *ret_ended)
{
    if (end->slot >= WIRE_QUEUES)
        return -EPROTO;
    struct wire_queue_state *queue = &mirror->queues[end->slot];
    int32_t none = 0; /* the first error stays, until the client clears it */
    if (end->error < 0)
        (void)__atomic_compare_exchange_n(&queue->error, &none, end->error, 0, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED);
    const uint64_t before = mirror->moved ? mirror->moved->completed[end->slot] : 0;
    *ret_ended += end->completed + before - queue->completed;
    __atomic_store_n(&queue->completed, end->completed + before, __ATOMIC_SEQ_CST);
    if (wire_queue_wakes(queue))
        futex_wake(&queue->woken, INT_MAX);
    return 0;
}

static int apply_event(struct mirror *mirror, const struct event_end *end)
{
    if (end->slot == 0 || end->slot >= WIRE_EVENTS || end->status > 0)
        return -EPROTO;
    struct wire_event_state *event = &mirror->events[end->slot];
    event->queued_ns = end->queued_ns;
    event->submit_ns = end->submit_ns;
    event->start_ns = end->start_ns;
    event->end_ns = end->end_ns;
    __atomic_store_n(&event->status, end->status, __ATOMIC_SEQ_CST);
    if (wire_event_wakes(event))
        futex_wake((const uint32_t *)&event->status, INT_MAX);
    return 0;
}

static int apply_ends(struct mirror *mirror, const uint8_t *body, uint32_t length,
                      uint64_t *ret_ended, struct error *err)
{
    struct frame_ends ends;
    if (length < sizeof(ends))
        return BAD(err, "ends of %u bytes", length);
    memcpy(&ends, body, sizeof(ends));
    body += sizeof(ends);
    if (ends.queue_count > WIRE_QUEUES || ends.event_count > WIRE_EVENTS ||
        length != sizeof(ends) + ends.queue_count * sizeof(struct queue_end) +
                      ends.event_count * sizeof(struct event_end))
        return BAD(err, "%u queues and %u events in %u bytes", ends.queue_count, ends.event_count,
                   length);
    for (uint32_t i = 0; i < ends.event_count; i++, body += sizeof(struct event_end)) {
        struct event_end event;
        memcpy(&event, body, sizeof(event));
        if (apply_event(mirror, &event) < 0)
            return BAD(err, "event %u cannot be %d", event.slot, event.status);
    }
    for (uint32_t i = 0; i < ends.queue_count; i++, body += sizeof(struct queue_end)) {
        struct queue_end queue;
        memcpy(&queue, body, sizeof(queue));
        if (apply_queue(mirror, &queue, ret_ended) < 0)
            return BAD(err, "there is no queue %u", queue.slot);
    }
    tell_client(mirror->session);
    return 0;
}

static int apply_reply(struct mirror *mirror, unsigned lane_index, const uint8_t *body,
                       uint32_t length, struct error *err)
{
    struct frame_reply reply;
    if (length != sizeof(reply) || lane_index >= WIRE_LANES)
        return BAD(err, "a reply of %u bytes to lane %u", length, lane_index);
    memcpy(&reply, body, sizeof(reply));
    struct wire_lane *lane = &mirror->lanes[lane_index];
    lane->reply_status = reply.status;
    lane->reply_value = reply.value;
    lane->reply_length = reply.length;
    __atomic_store_n(&lane->reply_sequence, reply.sequence + 1, __ATOMIC_RELEASE);
    futex_wake(&lane->reply_sequence, INT_MAX);
    return 0;
}

static void apply_slot(struct mirror *mirror, const struct ledger_end *end)
{
    struct ledger_slot *slot = &mirror->ledger->slots[end->slot];
    __atomic_store_n(&slot->state, end->state, __ATOMIC_SEQ_CST);
    __atomic_store_n(&slot->used_bytes, end->used_bytes, __ATOMIC_SEQ_CST);
    __atomic_store_n(&slot->pending_bytes, end->pending_bytes, __ATOMIC_SEQ_CST);
    __atomic_store_n(&slot->freed_total_bytes, end->freed_total_bytes, __ATOMIC_SEQ_CST);
}

/* What the session took away with it is there now. */
static void apply_moved(struct mirror *mirror, const struct ledger_end *end)
{
    const struct mirror_moved *moved = mirror->moved;
    struct ledger_slot *slot = &mirror->ledger->slots[moved->slot];
    if (end->slot != moved->far_slot)
        return;
    __atomic_store_n(&slot->used_bytes, end->used_bytes, __ATOMIC_SEQ_CST);
    __atomic_store_n(&slot->away_bytes, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&slot->pending_bytes, end->pending_bytes, __ATOMIC_SEQ_CST);
    __atomic_store_n(&slot->freed_total_bytes, moved->freed_bytes + end->freed_total_bytes,
                     __ATOMIC_SEQ_CST);
}

static int apply_ledger(struct mirror *mirror, const uint8_t *body, uint32_t length,
                        struct error *err)
{
    struct frame_ledger ledger;
    if (length < sizeof(ledger))
        return BAD(err, "a ledger of %u bytes", length);
    memcpy(&ledger, body, sizeof(ledger));
    body += sizeof(ledger);
    if (ledger.count > LEDGER_SLOTS ||
        length != sizeof(ledger) + ledger.count * sizeof(struct ledger_end))
        return BAD(err, "%u slots in %u bytes", ledger.count, length);
    if (!mirror->moved)
        __atomic_store_n(&mirror->ledger->quota_bytes, ledger.quota_bytes, __ATOMIC_SEQ_CST);
    for (uint32_t i = 0; i < ledger.count; i++, body += sizeof(struct ledger_end)) {
        struct ledger_end end;
        memcpy(&end, body, sizeof(end));
        if (end.slot >= LEDGER_SLOTS)
            return BAD(err, "there is no slot %u", end.slot);
        (mirror->moved ? apply_moved : apply_slot)(mirror, &end);
    }
    return 0;
}

int mirror_apply(struct mirror *mirror, const struct frame_header *header, const void *body,
                 uint64_t *ret_ended, struct error *err)
{
    switch (header->kind) {
    case FRAME_PING:
    case FRAME_DATA:
        return 0;
    case FRAME_ENDS:
        return apply_ends(mirror, body, header->length, ret_ended, err);
    case FRAME_REPLY:
        return apply_reply(mirror, header->lane, body, header->length, err);
    case FRAME_LEDGER:
        return apply_ledger(mirror, body, header->length, err);
    default:
        return BAD(err, "a frame of kind %u has no place here", header->kind);
    }
}
