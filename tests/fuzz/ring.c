#include "ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/error.h"
#include "card/executor/session.h"
#include "card/wire/wire.h"

uint8_t *ring_map(struct wire_session *ret_layout)
{
    uint64_t session_bytes = wire_session_layout(ret_layout);
    uint8_t *pages = mmap(NULL, session_bytes + 4096, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (pages == MAP_FAILED || mprotect(pages + session_bytes, 4096, PROT_NONE) < 0)
        abort();
    return pages;
}

static size_t pad(size_t length)
{
    return (length + WIRE_RECORD_ALIGN - 1) & ~(size_t)(WIRE_RECORD_ALIGN - 1);
}

/* Lay framed records into the ring; returns the bytes used. */
static size_t frame(uint8_t *ring, const uint8_t *data, size_t length)
{
    size_t used = 0;
    uint32_t sequence = 0;
    while (length >= 2) {
        size_t body = (size_t)data[1] * 8;
        if (body > length - 2)
            body = length - 2;
        size_t whole = pad(sizeof(struct wire_header) + body);
        if (used + whole > WIRE_LANE_BYTES)
            break;
        const struct wire_header header = {
            .sequence = sequence++, .opcode = data[0], .length = (uint32_t)whole};
        memset(ring + used, 0, whole);
        memcpy(ring + used, &header, sizeof(header));
        memcpy(ring + used + sizeof(header), data + 2, body);
        used += whole;
        data += 2 + body;
        length -= 2 + body;
    }
    return used;
}

void ring_fill(uint8_t *pages, const struct wire_session *layout, const uint8_t *data,
               size_t length)
{
    struct wire_lane *lane = (struct wire_lane *)(pages + layout->lanes_offset);
    uint8_t *ring = pages + layout->rings_offset;
    memset(lane, 0, WIRE_LANES * sizeof(*lane));
    if (data[0] % 2) {
        lane->tail = frame(ring, data + 1, length - 1);
        return;
    }
    memset(ring, 0, pad(length));
    memcpy(ring, data + 1, length - 1);
    lane->tail = pad(length - 1);
}

void ring_consume(struct session *session)
{
    struct error err = {0};
    const struct wire_header *record;
    while (consumer_take(&session->consumer, &record, &err) > 0 &&
           session_dispatch(session, record, &err) == 0)
        continue;
    if (err.errnum != 0 && (err.errnum != -EPROTO || !err.text[0]))
        abort();
}
