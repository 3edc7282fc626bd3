/* The executor's side of the rings for CUDA programs, on a driver that does nothing. */
#include <stdlib.h>

#include "base/error.h"
#include "card/cuda/launch.h"
#include "card/executor/cuda.h"
#include "fake_cuda.h"
#include "ring.h"

#define QUOTA_BYTES (64u << 20)
#define ARENA_BYTES 4096u /* of no use to it */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    static struct bench bench = {.session.params.cuda = 1};
    if (!bench.pages) {
        struct error err;
        fake_cuda_install();
        bench_open(&bench, QUOTA_BYTES, ARENA_BYTES);
        if (cuda_open(&bench.session, &err) < 0)
            abort();
    }
    if (length < 1 || length > RING_INPUT_MAX)
        return 0;
    bench_fill(&bench, data, length);
    bench_consume(&bench);
    session_clear(&bench.session);
    launch_drain();
    if (ledger_used(&bench.card) != 0 || fake_cuda_alive() != 0)
        abort(); /* something was lost */
    return 0;
}
