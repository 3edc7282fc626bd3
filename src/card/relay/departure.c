/* Sessions that go to another host, and come back: the executor that had one on its device here
 * forwards instead, until it is called. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "card/executor/executor.h"
#include "card/ledger/futex.h"
#include "card/relay/near.h"
#include "card/relay/relay.h"

#define AGAIN_NS NS_PER_MS

struct departure {
    struct near near;
};

static void take_back(struct departure *departure)
{
    struct near *near = &departure->near;
    __atomic_store_n(&near->needed, 0, __ATOMIC_SEQ_CST);
    if (near->receives) {
        conn_shut(near->conn);
        (void)pthread_join(near->receiver, NULL); /* it was made and not joined */
    }
    conn_close(near->conn);
    free(near->body);
    free(near->recall.piece);
    free(departure);
}

static int offer(int fd, struct departure **ret_departure, struct error *err)
{
    struct departure *departure = calloc(1, sizeof(*departure));
    struct near *near = &departure->near;
    if (departure) {
        near->body = malloc(NEAR_BODY_MAX);
        near->conn = conn_over(fd);
    } else {
        (void)close(fd);
    }
    if (!departure || !near->body || !near->conn) {
        if (departure)
            take_back(departure);
        return error_set(err, -ENOMEM, "out-of-memory", "moving a session");
    }
    near->client_fd = -1; /* somebody else looks after the program */
    pthread_mutex_init(&near->send_lock, NULL);
    pthread_mutex_init(&near->ring_lock, NULL);
    int r = relay_verdict_read(near->conn, &near->moved.far_slot, err);
    if (r < 0)
        take_back(departure);
    else
        *ret_departure = departure;
    return r;
}

static void keep(struct departure *departure)
{
    near_ping(&departure->near);
}

/* Where the session stands, and what is known of its queues. */
static int set_out(struct near *near, const struct executor_leaving *leaving, struct error *err)
{
    int r = 0;
    const struct ledger_slot *slot = &leaving->ledger->slots[leaving->slot];
    near_serve(near, leaving->session, leaving->ledger);
    near->claims = leaving->claims;
    near->slot = near->moved.slot = leaving->slot;
    near->moved.freed_bytes = __atomic_load_n(&slot->freed_total_bytes, __ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < WIRE_QUEUES; i++)
        near->moved.completed[i] = near->mirror.queues[i].completed;
    near->mirror.moved = &near->moved;
    near->consumer = *leaving->consumer;
    for (uint32_t i = 0; r == 0 && i < leaving->queue_count; i++) {
        const struct executor_queue *queue = &leaving->queues[i];
        const struct frame_queue frame = {queue->id, queue->slot, queue->in_order};
        r = near_put(near, FRAME_QUEUE, &frame, sizeof(frame), 0);
    }
    if (r == 0)
        r = near_put_account(near);
    if (r < 0)
        return error_errno(err, r, "host-lost", "cannot send to the card's host");
    return leaving->held ? near_forward(near, leaving->held, err) : 0;
}

/* What was fetched back and does not stay is there again, in our books, too. */
static void set_out_again(struct near *near)
{
    struct ledger_slot *slot = &near->mirror.ledger->slots[near->slot];
    uint64_t away_bytes = __atomic_exchange_n(&slot->away_bytes, 0, __ATOMIC_SEQ_CST);
    (void)__atomic_add_fetch(&slot->used_bytes, away_bytes, __ATOMIC_SEQ_CST);
    __atomic_store_n(&near->fetched, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&near->needed, 1, __ATOMIC_SEQ_CST);
}

static void run(struct departure *departure, const struct executor_leaving *leaving)
{
    struct near *near = &departure->near;
    struct error why = {0};
    int r = 0;
    near->is_called = leaving->is_called;
    near->called_arg = leaving->arg;
    if (near->receives) {
        set_out_again(near);
    } else {
        near->needed = 1;
        r = set_out(near, leaving, &why);
        if (r == 0)
            r = near_receive(near, &why);
    }
    if (r == 0 && __atomic_load_n(&near->lost, __ATOMIC_SEQ_CST))
        r = error_set(&why, -EPIPE, "host-lost", "the connection to the card's host broke");
    if (r < 0 || near_forward_all(near, &why) < 0)
        near_leave(near, &why);
}

/* ---- and comes back ---- */

/* Ask, and wait for the answer: its status, or a negative errno. A host that is lost ends the
 * process. */
static int ask(struct near *near, uint32_t room)
{
    const struct wire_state_read record = recall_ask(&near->recall, room);
    const struct frame_header header = {
        .length = sizeof(record), .kind = FRAME_RECORD, .lane = RECALL_LANE};
    pthread_mutex_lock(&near->send_lock);
    int r = conn_put(near->conn, &header, sizeof(header));
    if (r == 0)
        r = conn_put(near->conn, &record, sizeof(record));
    if (r == 0)
        r = conn_flush(near->conn);
    pthread_mutex_unlock(&near->send_lock);
    while (r == 0 && !recall_wait(&near->recall))
        near_ping(near);
    return r < 0 ? r : near->recall.reply.status;
}

/* For a while, what it takes commands there to end. */
static int forward_some(struct near *near, struct error *err)
{
    uint32_t *completion = &near->mirror.session->completion;
    const struct wire_header *record;
    int taken = consumer_take(&near->consumer, &record, err);
    if (taken == 0 && conn_gathered(near->conn) && near_flush(near) < 0)
        taken = error_set(err, -EPIPE, "host-lost", "cannot send to the card's host");
    if (taken == 0)
        futex_sleep(completion, __atomic_load_n(completion, __ATOMIC_SEQ_CST), AGAIN_NS);
    return taken > 0 ? near_forward(near, record, err) : taken;
}

/* The program has been told of the end of all that it posted. */
static void settle(struct near *near)
{
    uint32_t *completion = &near->mirror.session->completion;
    while (near->forwarded != __atomic_load_n(&near->ended, __ATOMIC_ACQUIRE) ||
           near->waited != __atomic_load_n(&near->replied, __ATOMIC_ACQUIRE))
        futex_sleep(completion, __atomic_load_n(completion, __ATOMIC_SEQ_CST), AGAIN_NS);
}

static int recall_failed(int status, struct error *err)
{
    return error_set(err, status, "cannot-move", "%s",
                     status == -EOPNOTSUPP
                         ? "a program has not fetched very much that its kernels printed"
                         : "the card's host cannot give a session out");
}

static int recall(struct departure *departure, struct consumer *consumer, struct error *err)
{
    struct near *near = &departure->near;
    if (!near->recall.piece)
        near->recall.piece = calloc(1, RECALL_BYTES);
    if (!near->recall.piece)
        return error_set(err, -ENOMEM, "out-of-memory", "fetching a session");
    int r = near_flush(near);
    while (r == 0 && (r = ask(near, 0)) == -EAGAIN)
        r = forward_some(near, err);
    if (r < 0)
        return err->errnum ? r : recall_failed(r, err);
    settle(near);
    __atomic_store_n(&near->fetched, 1, __ATOMIC_SEQ_CST);
    consumer_follow(consumer, &near->consumer);
    return 0;
}

static int pull(void *arg, void *data, size_t length)
{
    struct departure *departure = arg;
    struct recall *recall = &departure->near.recall;
    uint8_t *to = data;
    for (;;) {
        const size_t taken = recall_take(recall, to, length);
        to += taken;
        length -= taken;
        if (length == 0)
            return 0;
        if (recall_is_over(recall))
            return -ECONNRESET;
        int r = ask(&departure->near, RECALL_BYTES);
        if (r < 0)
            return r;
    }
}

static void have(struct departure *departure)
{
    __atomic_store_n(&departure->near.needed, 0, __ATOMIC_SEQ_CST);
}

const struct executor_relay near_departing = {offer, keep, take_back, run, recall, pull, have};
