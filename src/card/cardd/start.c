/* The queue of clients that wait for an executor: see start.h. */
#include "card/cardd/start.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/list.h"
#include "card/cardd/session.h"

#define WAIT_MAX_NS (100 * NS_PER_MS) /* however many knock */

struct starter {
    struct list sessions; /* in the order of their clients */
    uv_idle_t busy;       /* keeps the loop from sleeping while there are sessions */
    uv_check_t turn;      /* after each look for events */
    unsigned open_handles;
    bool held;          /* somebody knocked in this look */
    uint64_t served_ns; /* when a session was started last, or the first of them came */
};

static void never_sleep(uv_idle_t *idle)
{
}

static void turn_came(uv_check_t *check)
{
    struct starter *starter = check->data;
    uint64_t now_ns = clock_monotonic_ns();
    bool held = starter->held && now_ns - starter->served_ns < WAIT_MAX_NS;
    starter->held = false;
    if (list_empty(&starter->sessions)) {
        (void)uv_idle_stop(&starter->busy); /* neither can fail */
        (void)uv_check_stop(check);
        return;
    }
    if (held)
        return;
    starter->served_ns = now_ns;
    (void)session_launch(LIST_ENTRY(starter->sessions.next, struct session, starting));
}

static void handle_closed(uv_handle_t *handle)
{
    struct starter *starter = handle->data;
    if (--starter->open_handles == 0)
        free(starter);
}

struct starter *starter_open(uv_loop_t *loop)
{
    struct starter *starter = calloc(1, sizeof(*starter));
    if (!starter)
        return NULL;
    list_init(&starter->sessions);
    (void)uv_idle_init(loop, &starter->busy); /* neither can fail */
    (void)uv_check_init(loop, &starter->turn);
    starter->busy.data = starter->turn.data = starter;
    starter->open_handles = 2;
    return starter;
}

void starter_close(struct starter *starter)
{
    if (!starter)
        return;
    uv_close((uv_handle_t *)&starter->busy, handle_closed);
    uv_close((uv_handle_t *)&starter->turn, handle_closed);
}

bool starter_rested(struct starter *starter)
{
    if (!list_empty(&starter->sessions))
        return false;
    bool rested = !starter->held;
    starter->held = false;
    return rested;
}

void starter_hold(struct starter *starter)
{
    starter->held = true;
}

void starter_add(struct starter *starter, struct session *session)
{
    if (list_empty(&starter->sessions))
        starter->served_ns = clock_monotonic_ns();
    list_append(&starter->sessions, &session->starting);
    (void)uv_idle_start(&starter->busy, never_sleep); /* neither can fail */
    (void)uv_check_start(&starter->turn, turn_came);
}
