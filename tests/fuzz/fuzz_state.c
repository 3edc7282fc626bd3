/* Any bytes as the state of a session: what is taken for one is brought back to a driver that does
 * nothing, carries out the record that was under way, leaves again and is written, and what is
 * written can be read. The first byte chooses: odd, the session comes from another host; with its
 * second bit the device has memory of its own; with its third the session comes home. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "card/executor/completion.h"
#include "card/executor/state.h"
#include "card/executor/suspend.h"
#include "fake_opencl.h"
#include "ring.h"

#define HELD_BYTES (1u << 20) /* that the session before had */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

/* As an executor that takes the place of one that had all of the card. */
static int take_over(struct bench *bench, uint8_t choice, const void *state, size_t length)
{
    struct session *session = &bench->session;
    struct ledger_slot *slot = &bench->card.slots[0];
    struct error err = {0};
    const int moved = choice % 2;
    fake_opencl_shares_memory = !(choice & 2);
    bench_place(bench, fake_opencl_shares_memory);
    memset(bench->pages + bench->layout.lanes_offset, 0, WIRE_LANES * sizeof(struct wire_lane));
    consumer_init(&session->consumer, session->shared, &bench->layout);
    session->client.moved = moved;
    session->was_away = (choice & 4) != 0;
    slot->used_bytes = moved ? 0 : HELD_BYTES;
    slot->away_bytes = 0;
    int r = state_read(session, state, length, &err);
    if (r < 0 && !err.code[0])
        abort();
    return r;
}

static void go_on(struct session *session, struct buf *ret_state)
{
    struct error err = {0};
    if (session_resume(session, &err) < 0)
        return;
    if (session->holds_record)
        (void)session_dispatch(session, (const void *)session->consumer.record, &err);
    session->holds_record = 0;
    session_flush(session);
    completion_rest(session);
    if (!completion_pending(session) && session_suspend(session, &err) == 0 &&
        state_write(session, ret_state) < 0)
        abort();
}

static void end(struct bench *bench, int was_taken)
{
    struct session *session = &bench->session;
    const struct ledger_slot *slot = &bench->card.slots[0];
    session_clear(session);
    session->holds_record = 0;
    free(session->moved_from);
    session->moved_from = NULL;
    if (was_taken && (slot->used_bytes != 0 || slot->away_bytes != 0))
        abort(); /* something was lost */
    if (session->user_events_open != 0 || completion_pending(session))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    static struct bench bench;
    struct buf state = BUF_INIT;
    if (!bench.pages) {
        bench_open(&bench, HELD_BYTES, HELD_BYTES);
        (void)clGetDeviceIDs(NULL, CL_DEVICE_TYPE_ALL, 1, &bench.session.device, NULL);
    }
    if (length < 1)
        return 0;
    int taken = take_over(&bench, data[0], data + 1, length - 1) == 0;
    if (taken)
        go_on(&bench.session, &state);
    end(&bench, taken);
    if (state.length) {
        if (take_over(&bench, data[0], state.data, state.length) < 0)
            abort();
        end(&bench, 1);
    }
    buf_finish(&state);
    return 0;
}
