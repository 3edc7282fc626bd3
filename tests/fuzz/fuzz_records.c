/* The executor's side of the rings, from bytes to handlers, on a driver that does nothing. */
#include <stdint.h>
#include <stdlib.h>

#include "card/executor/completion.h"
#include "fake_opencl.h"
#include "ring.h"

#define QUOTA_BYTES (1u << 20)
#define ARENA_BYTES (64u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    static struct bench bench;
    struct session *session = &bench.session;
    if (!bench.pages) {
        bench_open(&bench, QUOTA_BYTES, ARENA_BYTES);
        (void)clGetDeviceIDs(NULL, CL_DEVICE_TYPE_ALL, 1, &session->device, NULL);
    }
    if (length < 1 || length > RING_INPUT_MAX)
        return 0;
    fake_opencl_shares_memory = (data[0] & RING_SHARES) != 0;
    bench_fill(&bench, data, length);
    bench_consume(&bench);
    session_clear(session);
    if (ledger_used(&bench.card) != 0 || bench.card.slots[0].commands_in_flight != 0 ||
        session->user_events_open != 0 || completion_pending(session))
        abort(); /* something was lost */
    return 0;
}
