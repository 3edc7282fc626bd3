/* The executor's side of the rings, from bytes to handlers, on a driver that does nothing. */
#include <stdint.h>
#include <stdlib.h>

#include "base/error.h"
#include "card/executor/completion.h"
#include "card/executor/session.h"
#include "card/ledger/ledger.h"
#include "card/meter/meter.h"
#include "ring.h"

#define QUOTA_BYTES (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

static struct wire_session layout;

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
    bench->pages = ring_map(&layout);
    bench->card.quota_bytes = QUOTA_BYTES;
    bench->card.share_permille = 1000;
    session->shared = (struct wire_session *)bench->pages;
    session->ledger = &bench->card;
    session->builds_fd = -1; /* nothing is kept */
    (void)clGetDeviceIDs(NULL, CL_DEVICE_TYPE_ALL, 1, &session->device, NULL);
    session->meter = meter_create(&bench->card, &bench->device, 1, 0, -1);
    if (!session->meter || session_init(session, &layout) < 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    static struct bench bench;
    if (!bench.pages)
        open_bench(&bench);
    if (length < 1 || length > RING_INPUT_MAX)
        return 0;
    ring_fill(bench.pages, &layout, data, length);
    consumer_init(&bench.session.consumer, bench.session.shared, &layout);
    ring_consume(&bench.session);
    session_clear(&bench.session);
    if (ledger_used(&bench.card) != 0 || bench.card.slots[0].commands_in_flight != 0 ||
        bench.session.user_events_open != 0 || completion_pending(&bench.session))
        abort(); /* something was lost */
    return 0;
}
