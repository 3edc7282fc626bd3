/* Parking: see park.h. What leaves and comes back is in suspend.c. */
#include "card/executor/park.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "card/executor/completion.h"
#include "card/executor/build.h"
#include "card/executor/cuda.h"
#include "card/executor/depart.h"
#include "card/executor/device.h"
#include "card/executor/handover.h"
#include "card/executor/readout.h"
#include "card/executor/save.h"
#include "card/executor/seat.h"
#include "card/executor/session.h"
#include "card/executor/spill.h"
#include "card/executor/suspend.h"
#include "card/ledger/futex.h"
#include "card/ledger/ledger.h"
#include "card/meter/meter.h"

#define ASK_NS NS_PER_S   /* a wish for share is repeated, as setting the share forgets it */
#define LOOK_NS NS_PER_MS /* at commands under way; the client's wake-ups are not relied on */
#define PARKED_NS (3600 * NS_PER_S)

/* A message is an order, or the client that we have. */
union message {
    struct executor_order order;
    struct executor_client client;
};

static void notice_send(const struct session *session)
{
    (void)send(session->params.control_fd, &session->notice, sizeof(session->notice), MSG_NOSIGNAL);
}

static int all_answered(const struct session *session)
{
    return __atomic_load_n(&session->orders_done, __ATOMIC_SEQ_CST) ==
           __atomic_load_n(&session->orders, __ATOMIC_SEQ_CST);
}

/* `order->file_fd` is taken over. */
static void order_take(struct session *session, const struct executor_order *order)
{
    if (order->number == session->order.number) {
        if (order->file_fd >= 0)
            (void)close(order->file_fd);
        if (all_answered(session)) /* else the notice is still to come */
            notice_send(session);
        return;
    }
    session->order = *order;
    __atomic_add_fetch(&session->orders, 1, __ATOMIC_SEQ_CST);
    futex_wake(&session->orders, 1);
    seats_call_off(session);
    consumer_call(&session->consumer);
}

int park_receive(struct session *session)
{
    union message message;
    int fds[HANDOVER_FDS];
    ssize_t got =
        handover_read(session->params.control_fd, &message, sizeof(message), fds, MSG_DONTWAIT);
    if (got == -EAGAIN || got == -EINTR)
        return 0;
    if (got == (ssize_t)sizeof(message.order)) {
        message.order.file_fd = fds[0];
        order_take(session, &message.order);
        return 0;
    }
    for (unsigned i = 0; i < HANDOVER_FDS; i++)
        if (fds[i] >= 0)
            (void)close(fds[i]);
    return got == (ssize_t)sizeof(message.client) ? 0 : -EPIPE;
}

static int order_waits(const struct session *session)
{
    return !all_answered(session);
}

int park_looks(const struct session *session)
{
    return order_waits(session) && session->leaving != LEAVING_NOT;
}

int park_due(struct session *session, int taken)
{
    if (!order_waits(session))
        return 0;
    if (session->order.departs && !arena_is_left(session, taken))
        return 0;
    return !session->user_events_open || !completion_pending(session);
}

void park_settle(struct session *session)
{
    if (session->cuda)
        cuda_settle(session->cuda);
    session_flush(session);
    while (completion_pending(session)) {
        uint32_t seen = __atomic_load_n(&session->shared->completion, __ATOMIC_SEQ_CST);
        completion_rest(session);
        completion_sweep(session);
        if (completion_pending(session))
            futex_sleep(&session->shared->completion, seen, LOOK_NS);
    }
    objects_wait_freed(session, session->buffers_held);
}

static int change_device(struct session *session, const struct executor_order *order,
                         struct error *err)
{
    cl_platform_id platform;
    if (session->params.cuda)
        return 0; /* it comes back to its own device only */
    int r = seats_find_devices(session, order, &platform, err);
    if (r < 0)
        return r;
    session->device_is_host = device_shares_memory(session->device);
    if (session->arena && !session->device_is_host)
        return error_set(err, -EXDEV, "other-memory",
                         "the card's buffers lie in host memory, on which that device cannot work");
    build_open(session, platform); /* kept builds are looked for by device */
    if (session->moved_from && strcmp(session->moved_from, session->device_text) != 0)
        return error_set(err, -EXDEV, "device-differs",
                         "the device or its driver differs from what the program was told of");
    seats_move(session, order);
    return 0;
}

static int pull_from_stream(void *arg, void *data, size_t length)
{
    const int *fd = arg;
    char *to = data;
    while (length) {
        ssize_t got = read(*fd, to, length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? -errno : -ECONNRESET;
        to += got;
        length -= (size_t)got;
    }
    return 0;
}

static int rebuild(struct session *session, const struct executor_order *order, struct error *err)
{
    int fd = order->file_fd;
    if (!session->client.rebuild || session->begun)
        return error_set(err, -EBUSY, "session-began", "the session has records of its own");
    int result = session->client.moved ? session_rebuild_from(session, pull_from_stream, &fd, err)
                                       : session_rebuild(session, fd, err);
    session->begun = result == 0;
    if (!session->client.moved) /* where the one before has placed what is out there is not known */
        session->was_away = __atomic_load_n(&session->shared->arena_left, __ATOMIC_SEQ_CST) != 0;
    if (session->begun) /* nobody goes on for it from nothing */
        __atomic_store_n(&session->ledger->slots[session->client.slot].begun, 1, __ATOMIC_SEQ_CST);
    return result;
}

/* On the device again it takes no record before it is resumed. */
static int come_back(struct session *session, const struct executor_order *order, struct error *err)
{
    if (!session->departed)
        return 0; /* it has come meanwhile, and waits */
    int r = session_fetch(session, err);
    if (r == 0)
        r = change_device(session, order, err);
    if (r == 0)
        r = session_resume(session, err);
    if (r < 0)
        return r;
    session->departed = 0;
    session->is_back = 1;
    return 0;
}

/* Only what is in host memory: the others wait for a command's end or for their device. */
static int file(struct session *session, const struct executor_order *order, uint64_t *ret_parts,
                struct error *err)
{
    if (!session->suspended)
        return error_set(err, -EBUSY, "card-active", "the session is on its device");
    if (order->verb == EXECUTOR_REBUILD)
        return rebuild(session, order, err);
    if (order->verb == EXECUTOR_OFFER)
        return session_offer(session, order->file_fd, err);
    if (order->verb == EXECUTOR_DEPART)
        return session_depart(session, err);
    if (order->verb == EXECUTOR_RETURN)
        return come_back(session, order, err);
    return order->verb == EXECUTOR_SAVE ? session_save(session, order->file_fd, ret_parts, err)
                                        : session_load(session, order->file_fd, ret_parts, err);
}

static int carry_out(struct session *session, const struct executor_order *order, struct error *err)
{
    int result = 0;
    if (order->departs && session->suspended) {
        result = arena_leave_away(session, err);
    } else if ((order->verb == EXECUTOR_SUSPEND) == session->suspended) {
        return 0; /* as it is already */
    } else if (order->departs && session->leaving != LEAVING_DONE) {
        result = error_set(err, -EBUSY, "program-busy",
                           "a program is in the midst of a copy and does not come to an end");
    } else if (order->verb == EXECUTOR_SUSPEND) {
        park_settle(session);
        spill_begin(session, order->memory_bytes);
        result = session_suspend(session, err);
        if (result == 0)
            objects_wait_freed(session, 0); /* else the card would seem to hold memory still */
    } else {
        result = change_device(session, order, err);
        if (result == 0)
            result = session_resume(session, err);
        if (result == 0)
            spill_end(session);
    }
    if ((order->verb == EXECUTOR_RESUME) == (result == 0))
        session_stay(session);
    if (result == 0)
        session->suspended = order->verb == EXECUTOR_SUSPEND;
    return result;
}

static void serve_order(struct session *session)
{
    struct error err = {0};
    struct executor_notice notice = {.order = session->order.number, .verb = session->order.verb};
    if (notice.verb >= EXECUTOR_SAVE)
        notice.status = file(session, &session->order, &notice.parts, &err);
    else
        notice.status = carry_out(session, &session->order, &err);
    if (session->order.file_fd >= 0)
        (void)close(session->order.file_fd);
    (void)snprintf(notice.code, sizeof(notice.code), "%.31s", err.code);
    notice.bytes = session_away_bytes(session);
    (void)snprintf(notice.text, sizeof(notice.text), "%.*s", (int)sizeof(notice.text) - 1,
                   err.text);
    session->notice = notice;
    /* Before it is sent: whoever sees an order unanswered gets the notice that follows. */
    __atomic_add_fetch(&session->orders_done, 1, __ATOMIC_SEQ_CST);
    notice_send(session);
}

int park(struct session *session, int taken)
{
    struct error err = {0};
    session->suspended |= readout_end(session, &err) < 0;
    session->holds_record = taken;
    serve_order(session);
    return park_wait(session);
}

int park_wait(struct session *session)
{
    while (session->suspended) {
        const uint64_t most_ns = session->departure ? ASK_NS : PARKED_NS;
        if (session->departed) {
            session_forward(session);
        } else if (session->holds_record || consumer_has_records(&session->consumer)) {
            if (readout_serve(session))
                continue;
            seats_want_share(session);
            futex_sleep(&session->orders, __atomic_load_n(&session->orders_done, __ATOMIC_RELAXED),
                        ASK_NS);
        } else {
            consumer_await(&session->consumer, most_ns);
        }
        if (order_waits(session)) {
            readout_break_off(session);
            serve_order(session);
        } else if (session->departure) {
            session->params.relay->keep(session->departure);
        }
    }
    const int holds_record = session->holds_record;
    session->holds_record = 0;
    return holds_record;
}

int park_rebuild(struct session *session)
{
    while (!order_waits(session))
        futex_sleep(&session->orders, 0, ASK_NS);
    serve_order(session);
    return session->begun ? session->holds_record : -ENOENT;
}
