/* Where things lie in a session's shared memory. */
#include "card/wire/wire.h"

static uint64_t place(uint64_t *end, uint64_t bytes)
{
    const uint64_t page = 4096;
    uint64_t start = (*end + page - 1) & ~(page - 1);
    *end = start + bytes;
    return start;
}

uint64_t wire_session_layout(struct wire_session *session)
{
    uint64_t end = sizeof(*session);
    session->magic = WIRE_MAGIC;
    session->version = WIRE_VERSION;
    session->lanes_offset = place(&end, WIRE_LANES * sizeof(struct wire_lane));
    session->queues_offset = place(&end, WIRE_QUEUES * sizeof(struct wire_queue_state));
    session->events_offset = place(&end, WIRE_EVENTS * sizeof(struct wire_event_state));
    session->snapshot_offset = place(&end, WIRE_SNAPSHOT_BYTES);
    session->rings_offset = place(&end, (uint64_t)WIRE_LANES * WIRE_LANE_BYTES);
    session->slab_offset = place(&end, WIRE_SLAB_BYTES);
    session->ranges_offset = place(&end, WIRE_RANGES * sizeof(uint32_t));
    session->arena_offset = place(&end, 0);
    session->arena_bytes = 0;
    return end;
}
