#include "ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/error.h"

#define PAGE_BYTES 4096u
#define LANES_USED 3 /* of RING_LANES */

static void *map(uint64_t bytes, int flags)
{
    void *pages =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (pages == MAP_FAILED)
        abort();
    return pages;
}

/* As a client's memory is, but for the slab, which comes last: what passes its end is found. */
static uint8_t *map_session(struct wire_session *layout)
{
    layout->slab_offset = wire_session_layout(layout);
    uint64_t end = layout->slab_offset + WIRE_SLAB_BYTES;
    uint8_t *pages = map(end + PAGE_BYTES, MAP_PRIVATE);
    if (mprotect(pages + end, PAGE_BYTES, PROT_NONE) < 0)
        abort();
    return pages;
}

void bench_open(struct bench *bench, uint64_t quota_bytes, uint64_t arena_bytes)
{
    struct session *session = &bench->session;
    bench->pages = map_session(&bench->layout);
    bench->arena = map(arena_bytes, MAP_SHARED); /* as a memory file: pages can be removed */
    bench->card.quota_bytes = quota_bytes;
    bench->card.share_permille = 1000;
    ledger_open_slot(&bench->card, 0);
    bench->arena_bytes = arena_bytes;
    session->shared = (struct wire_session *)bench->pages;
    session->builds_fd = -1;
    session->params.cards[0] =
        (struct executor_card){.ledger = &bench->card, .device = &bench->device, .notify_fd = -1};
    session->params.card_count = 1;
    if (seats_open(session) < 0 || session_init(session, &bench->layout) < 0)
        abort();
}

void bench_place(struct bench *bench, int has_arena)
{
    bench->session.arena = has_arena ? bench->arena : NULL;
    bench->session.arena_bytes = has_arena ? bench->arena_bytes : 0;
}

static size_t pad(size_t length)
{
    return (length + WIRE_RECORD_ALIGN - 1) & ~(size_t)(WIRE_RECORD_ALIGN - 1);
}

/* Room at the end of a lane, zeroed; NULL: it is full. */
static uint8_t *lane_extend(struct bench *bench, unsigned index, size_t length)
{
    struct wire_lane *lane =
        (struct wire_lane *)(bench->pages + bench->layout.lanes_offset) + index;
    uint8_t *ring = bench->pages + bench->layout.rings_offset + (size_t)index * WIRE_LANE_BYTES;
    if (lane->tail + pad(length) > WIRE_LANE_BYTES)
        return NULL;
    uint8_t *room = ring + lane->tail;
    lane->tail += pad(length);
    return memset(room, 0, pad(length));
}

static void fill_records(struct bench *bench, unsigned lanes, const uint8_t *data, size_t length)
{
    uint64_t slab_used = 0;
    uint32_t sequence = 0;
    while (length >= 2) {
        const size_t left = length - 2, asked = (size_t)data[1] * 8;
        const size_t body = asked < left ? asked : left;
        const unsigned opcode = data[0];
        uint8_t *room = opcode == RING_SLAB ? bench->session.slab + slab_used
                                            : lane_extend(bench, sequence % lanes,
                                                          sizeof(struct wire_header) + body);
        if (!room)
            return;
        if (opcode == RING_SLAB) {
            slab_used += body; /* together no longer than the input */
        } else {
            const struct wire_header header = {
                .sequence = sequence++,
                .opcode = (uint16_t)opcode,
                .length = (uint32_t)pad(sizeof(struct wire_header) + body)};
            room = (uint8_t *)memcpy(room, &header, sizeof(header)) + sizeof(header);
        }
        memcpy(room, data + 2, body);
        data += 2 + body;
        length -= 2 + body;
    }
}

void bench_fill(struct bench *bench, const uint8_t *data, size_t length)
{
    struct session *session = &bench->session;
    memset(bench->pages + bench->layout.lanes_offset, 0, WIRE_LANES * sizeof(struct wire_lane));
    if (madvise(session->slab, WIRE_SLAB_BYTES, MADV_DONTNEED) < 0)
        abort();
    memset(session->arg_info_habits, 0, sizeof(session->arg_info_habits)); /* learned of a device */
    consumer_init(&session->consumer, session->shared, &bench->layout);
    bench_place(bench, data[0] & RING_ARENA);
    if (data[0] & RING_RECORDS) {
        fill_records(bench, data[0] & RING_LANES ? LANES_USED : 1, data + 1, length - 1);
        return;
    }
    memcpy(lane_extend(bench, 0, length - 1), data + 1, length - 1);
}

void bench_consume(struct bench *bench)
{
    struct session *session = &bench->session;
    struct error err = {0};
    const struct wire_header *record;
    while (consumer_take(&session->consumer, &record, &err) > 0 &&
           session_dispatch(session, record, &err) == 0)
        continue;
    if (err.errnum != 0 && (err.errnum != -EPROTO || !err.text[0]))
        abort();
}
