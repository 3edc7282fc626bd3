/* Going to another host, and coming back: see depart.h. */
#include "card/executor/depart.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "base/clock.h"
#include "base/error.h"
#include "card/executor/output.h"
#include "card/executor/save.h"
#include "card/executor/session.h"
#include "card/executor/spill.h"
#include "card/executor/state.h"
#include "card/executor/suspend.h"
#include "card/ledger/ledger.h"

/* A program that is stopped amidst a copy keeps us waiting. */
#define LEAVE_LIMIT_NS (10 * NS_PER_S)
#define LOOK_NS NS_PER_MS

static uint32_t look(const uint32_t *word)
{
    return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

/* Nothing that names the arena is still to come. */
static int posts_are_done(const struct session *session, int taken)
{
    const struct consumer *consumer = &session->consumer;
    const uint64_t *tails = session->leave_tails;
    for (unsigned lane = 0; lane < WIRE_LANES; lane++)
        if ((int64_t)(consumer->heads[lane] - tails[lane]) < 0)
            return 0;
    return !taken || (int64_t)(consumer->heads[consumer->lane] - tails[consumer->lane]) > 0;
}

int arena_is_left(struct session *session, int taken)
{
    struct wire_session *shared = session->shared;
    const uint64_t now_ns = clock_monotonic_ns();
    if (session->leaving == LEAVING_NOT) {
        session->leave_until_ns = now_ns + LEAVE_LIMIT_NS;
        session->leaving = LEAVING_USERS;
        __atomic_store_n(&shared->arena_left, 1, __ATOMIC_SEQ_CST);
    }
    if (session->leaving == LEAVING_USERS && look(&shared->arena_users) == 0) {
        session->leaving = LEAVING_POSTS;
        for (unsigned lane = 0; lane < WIRE_LANES; lane++)
            session->leave_tails[lane] =
                __atomic_load_n(&session->consumer.lanes[lane].tail, __ATOMIC_SEQ_CST);
    }
    if (session->leaving == LEAVING_POSTS && posts_are_done(session, taken))
        session->leaving = LEAVING_DONE;
    return session->leaving == LEAVING_DONE || now_ns > session->leave_until_ns;
}

/* A buffer that is to lie there, or a map that leads there: a place in a queue at which nothing is
 * copied. */
static int names_arena(const struct wire_header *record)
{
    const struct wire_buffer_create *creation = (const void *)record;
    const struct wire_sync_point *point = (const void *)record;
    if (record->opcode == WIRE_BUFFER_CREATE)
        return record->length < sizeof(*creation) || creation->range != 0;
    return record->opcode == WIRE_SYNC_POINT &&
           (record->length < sizeof(*point) || point->copied_bytes == 0);
}

int arena_leave_away(struct session *session, struct error *err)
{
    const struct consumer *consumer = &session->consumer;
    const struct timespec moment = {.tv_nsec = (long)LOOK_NS};
    while (!arena_is_left(session, session->holds_record) && session->leaving != LEAVING_POSTS)
        (void)nanosleep(&moment, NULL);
    if (session->leaving == LEAVING_POSTS &&
        !(session->holds_record && names_arena((const void *)consumer->record)) &&
        !consumer_expects(consumer, session->leave_tails, names_arena))
        session->leaving = LEAVING_DONE;
    return session->leaving == LEAVING_DONE
               ? 0
               : error_set(err, -EBUSY, "program-busy",
                           "a program waits with what it can do on this host only; resume the card "
                           "first");
}

int session_offer(struct session *session, int fd, struct error *err)
{
    const struct executor_relay *relay = session->params.relay;
    const char *obstacle = relay ? state_obstacle(session) : "this leat-cardd has no relay";
    if (obstacle)
        return error_set(err, -EOPNOTSUPP, "cannot-move", "%s", obstacle);
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0)
        return error_errno(err, -errno, "cannot-move", "cannot keep the connection");
    if (session->departure) /* where it was not to stay, before it was suspended */
        relay->take_back(session->departure);
    session->departure = NULL;
    struct error why = {0};
    int sent = session_send(session, fd, &why);
    int r = relay->offer(copy, &session->departure, err); /* if it hung up it may have said why */
    if (r == 0 && sent < 0)
        r = error_copy(err, &why);
    return r;
}

void session_stay(struct session *session)
{
    if (session->departure)
        session->params.relay->take_back(session->departure);
    session->departure = NULL;
    session->is_back = 0;
    if (session->comes_inside)
        places_end(session);
    else if (session->was_away)
        return; /* the client stays out: its arena holds nothing */
    session->was_away = session->comes_inside = 0;
    if (session->leaving != LEAVING_NOT)
        __atomic_store_n(&session->shared->arena_left, 0, __ATOMIC_SEQ_CST);
    session->leaving = LEAVING_NOT;
}

int session_depart(struct session *session, struct error *err)
{
    if (!session->departure)
        return error_set(err, -EPROTO, "not-offered", "no other host has the session");
    int r = session->is_back ? session_suspend(session, err) : 0;
    if (r < 0)
        return r;
    session->is_back = 0;
    session->departed = 1;
    return 0;
}

/* What memory held is there now. Pointers into the arena that the program has stay good. */
static void contents_free(struct session *session)
{
    for (uint32_t id = 1; id < session->objects_end; id++) {
        struct object *object = &session->objects[id];
        if (object->kind == OBJECT_MEMORY) {
            free(object->extra);
            object->extra = NULL;
        }
    }
    if (session->arena && (!session->was_away || session->comes_inside) &&
        look(&session->shared->arena_maps) == 0)
        (void)madvise(session->arena, session->arena_bytes, MADV_REMOVE); /* else it stays */
}

static uint32_t queues_list(const struct session *session, struct executor_queue *ret_queues)
{
    uint32_t count = 0;
    for (uint32_t id = 1; id < session->objects_end && count < WIRE_QUEUES; id++) {
        const struct object *object = &session->objects[id];
        const struct queue *queue = object->kind == OBJECT_QUEUE ? object->extra : NULL;
        if (queue)
            ret_queues[count++] = (struct executor_queue){id, queue->slot, queue->in_order != 0};
    }
    return count;
}

static int is_called(const void *arg)
{
    const struct session *session = arg;
    return look(&session->orders) != look(&session->orders_done);
}

void session_forward(struct session *session)
{
    struct executor_queue queues[WIRE_QUEUES];
    const struct executor_leaving leaving = {
        .session = session->shared,
        .ledger = session->ledger,
        .claims = session->params.claims,
        .slot = session->client.slot,
        .consumer = &session->consumer,
        .held = session->holds_record ? (const void *)session->consumer.record : NULL,
        .queues = queues,
        .queue_count = queues_list(session, queues),
        .is_called = is_called,
        .arg = session,
    };
    contents_free(session);
    __atomic_store_n(&session->ledger->slots[session->client.slot].begun, 1, __ATOMIC_SEQ_CST);
    session->params.relay->run(session->departure, &leaving);
    session->holds_record = 0;
}

/* Where no pointer of the program leads into the arena it can be filled again with what comes. */
static void choose_side(struct session *session)
{
    if (!session->was_away)
        (void)places_keep(session); /* else it stays out */
    session->was_away = 1;
    session->comes_inside = session->places && look(&session->shared->arena_maps) == 0;
}

/* What it was when it went. The account in the ledger is the other host's. */
static void forget(struct session *session)
{
    for (uint32_t id = 1; id < session->objects_end; id++) {
        struct object *object = &session->objects[id];
        if (object->svm)
            svm_finish(session, object->svm);
        object_forget(object);
    }
    for (uint32_t slot = 1; slot < session->events_end; slot++)
        session->events[slot] = (struct event_slot){0};
    session->objects_end = session->events_end = 0;
    session->user_events_open = 0;
    session->first = NULL;
    output_forget(session);
    spill_end(session);
}

int session_fetch(struct session *session, struct error *err)
{
    const struct executor_relay *relay = session->params.relay;
    int r = relay->recall(session->departure, &session->consumer, err);
    if (r < 0)
        return r;
    choose_side(session);
    forget(session);
    r = session_rebuild_from(session, relay->pull, session->departure, err);
    if (r == 0)
        relay->have(session->departure);
    return r;
}
