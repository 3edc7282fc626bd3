/* The executor's side of the rings, from bytes to handlers, on a driver that does nothing.
 *
 * The first byte of an input chooses: even, the rest is a ring as it is; odd, the rest is a run of
 * records, each one byte opcode, one byte length (in units of 8 after the header) and so many
 * bytes, which get a header that is right. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/error.h"
#include "card/executor/completion.h"
#include "card/executor/session.h"
#include "card/ledger/ledger.h"
#include "card/meter/meter.h"

#define QUOTA_BYTES (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

static struct wire_session layout;
static uint64_t session_bytes;

static void *map_session(void)
{
    session_bytes = wire_session_layout(&layout);
    /* Followed by a page without access, so that the slab's end is where it should be. */
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

static void consume(struct session *session)
{
    struct error err = {0};
    const struct wire_header *record;
    while (consumer_take(&session->consumer, &record, &err) > 0 &&
           session_dispatch(session, record, &err) == 0)
        continue;
    if (err.errnum != 0 && (err.errnum != -EPROTO || !err.text[0]))
        abort(); /* only the protocol ends a session, and it says why */
}

/* One session for all inputs: making its tables anew would take most of the time. */
struct bench {
    uint8_t *pages;
    struct session session;
    struct ledger_card card;
    struct meter_device device;
};

static void open_bench(struct bench *bench)
{
    struct session *session = &bench->session;
    bench->pages = map_session();
    bench->card.quota_bytes = QUOTA_BYTES;
    bench->card.share_permille = 1000;
    session->shared = (struct wire_session *)bench->pages;
    session->ledger = &bench->card;
    session->builds_fd = -1; /* nothing is kept */
    session->meter = meter_create(&bench->card, &bench->device, 1, 0, -1);
    if (!session->meter || session_init(session, &layout) < 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    static struct bench bench;
    if (!bench.pages)
        open_bench(&bench);
    if (length < 1 || length > WIRE_LANE_BYTES / 2)
        return 0;
    struct wire_lane *lane = (struct wire_lane *)(bench.pages + layout.lanes_offset);
    uint8_t *ring = bench.pages + layout.rings_offset;
    memset(lane, 0, WIRE_LANES * sizeof(*lane));
    if (data[0] % 2) {
        lane->tail = frame(ring, data + 1, length - 1);
    } else {
        memset(ring, 0, pad(length));
        memcpy(ring, data + 1, length - 1);
        lane->tail = pad(length - 1);
    }
    consumer_init(&bench.session.consumer, bench.session.shared, &layout);
    consume(&bench.session);
    session_clear(&bench.session);
    if (ledger_used(&bench.card) != 0 || bench.card.slots[0].commands_in_flight != 0 ||
        bench.session.user_events_open != 0 || completion_pending(&bench.session))
        abort(); /* something was lost */
    return 0;
}
