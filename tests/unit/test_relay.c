/* The relays' frames: which parts of the slab a record takes along, and what a frame from the
 * device's host may change in a session's memory. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "card/relay/frame.h"
#include "card/relay/recall.h"

static void test_spans(void **state)
{
    struct wire_write write = {.header = {.opcode = WIRE_WRITE, .length = sizeof(write)},
                               .queue_id = 3,
                               .event = 9,
                               .size_bytes = 100,
                               .slab_offset = 4096};
    struct spans spans;
    struct error err = {0};
    assert_int_equal(relay_spans(&write.header, &spans, &err), 0);
    assert_int_equal(spans.to_device.offset, 4096);
    assert_int_equal(spans.to_device.bytes, 100);
    assert_int_equal(spans.from_device.bytes, 0);
    assert_int_equal(relay_queue_id(&write.header), 3);
    assert_int_equal(relay_event(&write.header), 9);
    write.header.opcode = WIRE_READ; /* laid out alike */
    assert_int_equal(relay_spans(&write.header, &spans, &err), 0);
    assert_int_equal(spans.to_device.bytes, 0);
    assert_int_equal(spans.from_device.bytes, 100);
    write.slab_offset = WIRE_SLAB_BYTES - 99;
    assert_int_equal(relay_spans(&write.header, &spans, &err), -EPROTO);
    assert_string_equal(err.code, "bad-frame");
}

static void test_box(void **state)
{
    struct wire_rect_slab box = {.header = {.opcode = WIRE_RECT_SLAB, .length = sizeof(box)},
                                 .is_write = 1,
                                 .region_0 = 10,
                                 .region_1 = 3,
                                 .region_2 = 2};
    struct spans spans;
    assert_int_equal(relay_spans(&box.header, &spans, NULL), 0);
    assert_int_equal(spans.to_device.bytes, 60);
    box.is_write = 0;
    assert_int_equal(relay_spans(&box.header, &spans, NULL), 0);
    assert_int_equal(spans.from_device.bytes, 60);
    box.region_1 = box.region_2 = UINT64_MAX / 2;
    assert_int_equal(relay_spans(&box.header, &spans, NULL), -EPROTO);
}

static void test_reply_room(void **state)
{
    struct wire_program_build build = {.header = {.opcode = WIRE_PROGRAM_BUILD},
                                       .slab_offset = 0,
                                       .length = 5,
                                       .reply_offset = 8192,
                                       .reply_room = 4096};
    struct spans spans;
    assert_int_equal(relay_spans(&build.header, &spans, NULL), 0);
    assert_int_equal(spans.to_device.bytes, 5);
    assert_int_equal(spans.reply.offset, 8192);
    assert_int_equal(spans.reply.bytes, 4096);
    build.reply_room = WIRE_SLAB_BYTES;
    assert_int_equal(relay_spans(&build.header, &spans, NULL), -EPROTO);
}

/* Every record that leads into the slab says how far, or the relay refuses it. */
static void test_every_record(void **state)
{
    _Alignas(16) uint8_t bytes[1024] = {0};
    struct wire_header *record = (struct wire_header *)bytes;
    for (unsigned opcode = 1; opcode < WIRE_OPCODE_COUNT; opcode++) {
        struct spans spans;
        record->opcode = (uint16_t)opcode;
        const struct wire_shape *shape = wire_record_shape(opcode);
        int r = relay_spans(record, &spans, NULL);
        if (shape->slab && !shape->slab_bytes && opcode != WIRE_RECT_SLAB)
            assert_int_equal(r, -EPROTO);
        else
            assert_int_equal(r, 0);
        assert_int_equal(!shape->reply, !shape->reply_room);
    }
}

struct memory {
    struct wire_session *session;
    struct ledger_card ledger;
    struct mirror mirror;
};

static int set_up(void **state)
{
    struct wire_session layout = {0};
    struct memory *memory = calloc(1, sizeof(*memory));
    memory->session = calloc(1, wire_session_layout(&layout));
    mirror_init(&memory->mirror, memory->session, &memory->ledger);
    *state = memory;
    return 0;
}

static int tear_down(void **state)
{
    struct memory *memory = *state;
    free(memory->session);
    free(memory);
    return 0;
}

static int apply(struct memory *memory, unsigned kind, unsigned lane, const void *body,
                 size_t length, uint64_t *ret_ended)
{
    const struct frame_header header = {(uint32_t)length, (uint16_t)kind, (uint16_t)lane};
    return mirror_apply(&memory->mirror, &header, body, ret_ended, NULL);
}

static void test_ends(void **state)
{
    struct memory *memory = *state;
    struct {
        struct frame_ends ends;
        struct event_end event;
        struct queue_end queue;
    } body = {{1, 1}, {11, 0, 1, 2, 3, 4}, {2, -5, 7}};
    uint64_t ended = 0;
    memory->mirror.events[11].status = 3;
    assert_int_equal(apply(memory, FRAME_ENDS, 0, &body, sizeof(body), &ended), 0);
    assert_int_equal(ended, 7);
    assert_int_equal(memory->mirror.queues[2].completed, 7);
    assert_int_equal(memory->mirror.queues[2].error, -5);
    assert_int_equal(memory->mirror.events[11].status, 0);
    assert_int_equal(memory->mirror.events[11].end_ns, 4);
    assert_int_equal(memory->session->completion, 1);
    assert_int_equal(apply(memory, FRAME_ENDS, 0, &body, sizeof(body) - 1, &ended), -EPROTO);
    body.event.status = 2; /* not an end */
    assert_int_equal(apply(memory, FRAME_ENDS, 0, &body, sizeof(body), &ended), -EPROTO);
    body.queue.slot = WIRE_QUEUES;
    assert_int_equal(apply(memory, FRAME_ENDS, 0, &body, sizeof(body), &ended), -EPROTO);
}

static void test_reply(void **state)
{
    struct memory *memory = *state;
    const struct frame_reply reply = {41, -11, 5, 6};
    uint64_t ended = 0;
    assert_int_equal(apply(memory, FRAME_REPLY, 3, &reply, sizeof(reply), &ended), 0);
    assert_int_equal(memory->mirror.lanes[3].reply_sequence, 42);
    assert_int_equal(memory->mirror.lanes[3].reply_status, -11);
    assert_int_equal(apply(memory, FRAME_REPLY, WIRE_LANES, &reply, sizeof(reply), &ended),
                     -EPROTO);
    assert_int_equal(apply(memory, FRAME_RECORD, 0, NULL, 0, &ended), -EPROTO);
}

static void test_ledger(void **state)
{
    struct memory *memory = *state;
    struct {
        struct frame_ledger ledger;
        struct ledger_end end;
    } body = {{1000, 1, 0}, {4, 1, 300, 0, 50}};
    static struct ledger_claims claims;
    memory->ledger.slots[0].state = 1; /* the session's own */
    uint64_t ended = 0;
    assert_int_equal(apply(memory, FRAME_LEDGER, 0, &body, sizeof(body), &ended), 0);
    assert_int_equal(ledger_claim(&memory->ledger, &claims, 0, 701), -ENOSPC);
    body.end.slot = LEDGER_SLOTS;
    assert_int_equal(apply(memory, FRAME_LEDGER, 0, &body, sizeof(body), &ended), -EPROTO);
}

/* A session that moved: counts go on from where they were, and it has one slot of a ledger that
 * others write, too. */
/* Of what the other host says only the answer to the open question counts, and its data fits. */
static void test_answers(void **state)
{
    struct recall recall = {.piece = calloc(1, RECALL_BYTES)};
    struct frame_reply reply = {.sequence = 1, .value = 1};
    char taken[8] = "";
    assert_non_null(recall.piece);
    assert_null(recall_place(&recall, 0, 1)); /* nothing was asked */
    assert_int_equal(recall_answer(&recall, &reply), -EPROTO);
    assert_int_equal(recall_ask(&recall, 0).header.sequence, 1);
    assert_null(recall_place(&recall, 0, 1));
    assert_int_equal(recall_answer(&recall, &reply), 0);
    assert_true(recall_wait(&recall));
    assert_false(recall_is_over(&recall)); /* there is more */
    assert_int_equal(recall_ask(&recall, 16).reply_room, 16);
    assert_null(recall_place(&recall, 16, 1));
    assert_null(recall_place(&recall, 1, UINT64_MAX));
    memcpy(recall_place(&recall, 0, 6), "abcdef", 6);
    reply.sequence = 2;
    assert_int_equal(recall_answer(&recall, &reply), -EPROTO); /* more, and nothing of it */
    reply = (struct frame_reply){.sequence = 2, .length = 17};
    assert_int_equal(recall_answer(&recall, &reply), -EPROTO);
    reply.length = 6;
    assert_int_equal(recall_answer(&recall, &reply), 0);
    assert_int_equal(recall_answer(&recall, &reply), -EPROTO); /* once */
    assert_int_equal(recall_take(&recall, taken, 4), 4);
    assert_false(recall_is_over(&recall));
    assert_int_equal(recall_take(&recall, taken + 4, 4), 2);
    assert_string_equal(taken, "abcdef");
    assert_true(recall_is_over(&recall));
    free(recall.piece);
}

static void test_moved(void **state)
{
    struct memory *memory = *state;
    static struct mirror_moved moved = {.far_slot = 0, .slot = 3, .freed_bytes = 70};
    struct {
        struct frame_ledger ledger;
        struct ledger_end ends[2];
    } books = {{1000, 2, 0}, {{0, 1, 300, 20, 50}, {3, 1, 5, 5, 5}}};
    struct {
        struct frame_ends ends;
        struct queue_end queue;
    } body = {{0, 1}, {2, 0, 4}};
    uint64_t ended = 0;
    moved.completed[2] = memory->mirror.queues[2].completed = 100;
    memory->mirror.moved = &moved;
    memory->ledger.quota_bytes = 2000;
    memory->ledger.slots[3].away_bytes = 300;
    memory->ledger.slots[0].used_bytes = 11;
    assert_int_equal(apply(memory, FRAME_LEDGER, 0, &books, sizeof(books), &ended), 0);
    const struct ledger_slot *own = &memory->ledger.slots[3];
    assert_int_equal(own->used_bytes, 300);
    assert_int_equal(own->away_bytes, 0);
    assert_int_equal(own->pending_bytes, 20);
    assert_int_equal(own->freed_total_bytes, 120);
    assert_int_equal(memory->ledger.slots[0].used_bytes, 11);
    assert_int_equal(memory->ledger.quota_bytes, 2000);
    assert_int_equal(apply(memory, FRAME_ENDS, 0, &body, sizeof(body), &ended), 0);
    assert_int_equal(ended, 4);
    assert_int_equal(memory->mirror.queues[2].completed, 104);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spans),
        cmocka_unit_test(test_box),
        cmocka_unit_test(test_reply_room),
        cmocka_unit_test(test_every_record),
        cmocka_unit_test(test_answers),
        cmocka_unit_test_setup_teardown(test_ends, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_reply, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_ledger, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_moved, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
