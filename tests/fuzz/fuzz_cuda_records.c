/* The executor's side of the rings for CUDA programs, on a driver that does nothing. */
#include <stdlib.h>

#include "base/error.h"
#include "card/cuda/launch.h"
#include "card/executor/cuda.h"
#include "card/ledger/ledger.h"
#include "card/meter/meter.h"
#include "fake_cuda.h"
#include "ring.h"

#define QUOTA_BYTES (64u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

/* One session for all inputs. */
struct bench {
    uint8_t *pages;
    struct wire_session layout;
    struct session session;
    struct ledger_card card;
    struct meter_device device;
};

static void open_bench(struct bench *bench)
{
    struct session *session = &bench->session;
    struct error err;
    fake_cuda_install();
    bench->pages = ring_map(&bench->layout);
    bench->card.quota_bytes = QUOTA_BYTES;
    bench->card.share_permille = 1000;
    session->params.cuda = 1;
    session->shared = (struct wire_session *)bench->pages;
    session->ledger = &bench->card;
    session->builds_fd = -1;
    session->meter = meter_create(&bench->card, &bench->device, 1, 0, -1);
    if (!session->meter || session_init(session, &bench->layout) < 0 ||
        cuda_open(session, &err) < 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    static struct bench bench;
    if (!bench.pages)
        open_bench(&bench);
    if (length < 1 || length > RING_INPUT_MAX)
        return 0;
    ring_fill(bench.pages, &bench.layout, data, length);
    consumer_init(&bench.session.consumer, bench.session.shared, &bench.layout);
    ring_consume(&bench.session);
    session_clear(&bench.session);
    launch_drain();
    if (ledger_used(&bench.card) != 0 || fake_cuda_alive() != 0)
        abort(); /* something was lost */
    return 0;
}
