/* The queue of clients that wait for an executor: see start.h. */
#include "card/cardd/start.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/list.h"
#include "card/cardd/session.h"

#define QUIET_NS (2 * NS_PER_MS)      /* after a knock, while several wait */
#define WAIT_MAX_NS (100 * NS_PER_MS) /* however many knock */
#define REST_NS (20 * NS_PER_MS)

struct starter {
    struct list waiting; /* sessions in the order of their clients */
    struct list asked;   /* the one whose executor is being forked: what else the keeper is asked
                            waits for that */
    uv_timer_t turn;
    uint64_t knocked_ns; /* when somebody did last */
    uint64_t served_ns;  /* when it was somebody's turn last, or the first of them came */
};

static bool several_wait(const struct starter *starter)
{
    return starter->waiting.next->next != &starter->waiting;
}

static uint64_t turn_ns(const struct starter *starter)
{
    uint64_t quiet_ns = starter->knocked_ns + (several_wait(starter) ? QUIET_NS : 0);
    uint64_t latest_ns = starter->served_ns + WAIT_MAX_NS;
    return quiet_ns < latest_ns ? quiet_ns : latest_ns;
}

static void turn_came(uv_timer_t *timer);

static void turn_plan(struct starter *starter)
{
    if (list_empty(&starter->waiting) || !list_empty(&starter->asked)) {
        (void)uv_timer_stop(&starter->turn); /* cannot fail */
        return;
    }
    uint64_t now_ns = clock_monotonic_ns(), next_ns = turn_ns(starter);
    uint64_t wait_ns = next_ns > now_ns ? next_ns - now_ns : 0;
    (void)uv_timer_start(&starter->turn, turn_came, (wait_ns + NS_PER_MS - 1) / NS_PER_MS,
                         0); /* cannot fail */
}

static void turn_came(uv_timer_t *timer)
{
    struct starter *starter = timer->data;
    uint64_t now_ns = clock_monotonic_ns();
    if (turn_ns(starter) <= now_ns) {
        struct session *session = LIST_ENTRY(starter->waiting.next, struct session, starting);
        starter->served_ns = now_ns;
        list_remove(&session->starting);
        list_append(&starter->asked, &session->starting);
        (void)session_launch(session);
    }
    turn_plan(starter);
}

struct starter *starter_open(uv_loop_t *loop)
{
    struct starter *starter = calloc(1, sizeof(*starter));
    if (!starter)
        return NULL;
    list_init(&starter->waiting);
    list_init(&starter->asked);
    (void)uv_timer_init(loop, &starter->turn); /* cannot fail */
    starter->turn.data = starter;
    return starter;
}

static void timer_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void starter_close(struct starter *starter)
{
    if (starter)
        uv_close((uv_handle_t *)&starter->turn, timer_closed);
}

bool starter_rested(const struct starter *starter)
{
    return list_empty(&starter->waiting) && list_empty(&starter->asked) &&
           clock_monotonic_ns() - starter->knocked_ns >= REST_NS;
}

void starter_hold(struct starter *starter)
{
    starter->knocked_ns = clock_monotonic_ns();
}

void starter_add(struct starter *starter, struct session *session)
{
    if (list_empty(&starter->waiting))
        starter->served_ns = clock_monotonic_ns();
    list_append(&starter->waiting, &session->starting);
    turn_plan(starter);
}

void starter_remove(struct starter *starter, struct session *session)
{
    list_remove(&session->starting);
    turn_plan(starter);
}
