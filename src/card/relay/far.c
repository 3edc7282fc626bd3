/* The device's host: replay a session's records to a local executor, and tell of their ends. One
 * thread reads records, another watches the session's memory for ends. */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/path.h"
#include "card/executor/checkpoint.h"
#include "card/ledger/ledger.h"
#include "card/relay/bulk.h"
#include "card/relay/frame.h"
#include "card/relay/relay.h"
#include "card/wire/client.h"
#include "card/wire/producer.h"
#include "card/wire/wait.h"

#define LOOK_MS 100        /* at the ledger, and whether the executor lives, when nothing ends */
#define OTHERS_NS 1000000u /* the slots of other sessions are looked at that often at most */
#define SPIN_NS 100000u    /* twice what a sleep and a wake-up cost on a virtual machine */
#define SPIN_LOOKS 32      /* at the completions between two looks at the clock */
#define EVENT_QUEUED 3
#define OUT_OF_ORDER 1u /* of a queue's properties */
#define READS_MAX 65536

struct queue {
    uint16_t slot;
    uint16_t in_order;
};

/* A command whose data goes back when it has ended. */
struct pending_read {
    uint64_t target; /* the queue's count that says so */
    struct span span;
    uint32_t slot;
    uint32_t event; /* in a queue without order: the event that says so; else 0 */
};

/* What one look has found. */
struct findings {
    struct buf spans;  /* struct span */
    struct buf queues; /* struct queue_end */
    struct buf events; /* struct event_end */
};

struct far {
    struct conn *conn;
    struct wire_client client;
    struct wire_producer lane;
    const struct ledger_card *ledger;
    struct ledger_claims *claims;
    struct mirror memory; /* of the local session */
    _Alignas(16) uint8_t record[WIRE_RECORD_MAX];
    uint32_t vain; /* of the reader: looks for ends in line that met none, or were left out */
    struct findings found; /* of the reader */
    struct bulk_receiver to_device;

    pthread_mutex_t send_lock; /* the connection's sending end, and what the peer was told */
    struct bulk_sender from_device;
    struct ledger_end told[LEDGER_SLOTS];
    uint64_t told_quota_bytes, told_at_ns, others_at_ns;

    pthread_mutex_t lock; /* what follows */
    struct queue queues[WIRE_OBJECTS];
    uint64_t posted[WIRE_QUEUES]; /* written by the reader, who may look without */
    uint64_t told_completed[WIRE_QUEUES];
    unsigned slots_used;          /* queue slots below this were named; as posted */
    uint32_t events[WIRE_EVENTS]; /* named and not ended */
    uint8_t event_listed[WIRE_EVENTS];
    unsigned event_count;
    struct pending_read *reads;
    unsigned read_count, read_room;
};

/* ---- telling the client's host ---- */

static int put_frame(struct far *far, enum frame_kind kind, unsigned lane, const void *head,
                     size_t head_bytes, uint64_t more_bytes)
{
    const struct frame_header header = {.length = (uint32_t)(head_bytes + more_bytes),
                                        .kind = (uint16_t)kind,
                                        .lane = (uint16_t)lane};
    far->told_at_ns = clock_monotonic_ns();
    int r = conn_put(far->conn, &header, sizeof(header));
    return r == 0 && head_bytes ? conn_put(far->conn, head, head_bytes) : r;
}

static int put_data(struct far *far, const struct span *span)
{
    const struct frame_data data = {.slab_offset = span->offset};
    int r = put_frame(far, FRAME_DATA, 0, &data, sizeof(data), span->bytes);
    return r == 0 ? bulk_put(&far->from_device, far->conn, far->memory.slab + span->offset,
                             span->bytes)
                  : r;
}

static uint64_t load(const uint64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

static struct ledger_end ledger_look(const struct far *far, uint32_t index)
{
    const struct ledger_slot *slot = &far->ledger->slots[index];
    struct ledger_end end = {.slot = index,
                             .state = __atomic_load_n(&slot->state, __ATOMIC_SEQ_CST),
                             .used_bytes = load(&slot->used_bytes) + load(&slot->away_bytes),
                             .pending_bytes = load(&slot->pending_bytes),
                             .freed_total_bytes = load(&slot->freed_total_bytes)};
    if (index == far->client.slot)
        return end;
    uint64_t claimed = load(&far->claims->slots[index].claimed_total_bytes);
    uint64_t open = claimed > end.freed_total_bytes ? claimed - end.freed_total_bytes : 0;
    uint64_t held = end.used_bytes + end.pending_bytes;
    return (struct ledger_end){
        .slot = index, .state = end.state, .used_bytes = open > held ? open : held};
}

/* With send_lock. The slots that changed since they were told: the session's own always. */
static int put_ledger(struct far *far)
{
    struct ledger_end changed[LEDGER_SLOTS];
    struct frame_ledger frame = {.quota_bytes = load(&far->ledger->quota_bytes)};
    const uint64_t now_ns = clock_monotonic_ns();
    uint32_t first = far->client.slot, end = first + 1;
    if (now_ns - far->others_at_ns >= OTHERS_NS) {
        far->others_at_ns = now_ns;
        first = 0;
        end = LEDGER_SLOTS;
    }
    for (uint32_t i = first; i < end; i++) {
        struct ledger_end now = ledger_look(far, i);
        if (memcmp(&now, &far->told[i], sizeof(now)) == 0)
            continue;
        far->told[i] = now;
        changed[frame.count++] = now;
    }
    if (frame.count == 0 && frame.quota_bytes == far->told_quota_bytes)
        return 0;
    far->told_quota_bytes = frame.quota_bytes;
    const size_t bytes = frame.count * sizeof(changed[0]);
    int r = put_frame(far, FRAME_LEDGER, 0, &frame, sizeof(frame), bytes);
    return r == 0 ? conn_put(far->conn, changed, bytes) : r;
}

/* ---- watching ---- */

static int32_t event_status(const struct far *far, uint32_t slot)
{
    return __atomic_load_n(&far->memory.events[slot].status, __ATOMIC_ACQUIRE);
}

static void find_events(struct far *far, struct buf *ret_events)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < far->event_count; i++) {
        uint32_t slot = far->events[i];
        int32_t status = event_status(far, slot);
        if (status > 0) {
            far->events[kept++] = slot;
            continue;
        }
        const struct wire_event_state *state = &far->memory.events[slot];
        const struct event_end end = {
            slot, status, state->queued_ns, state->submit_ns, state->start_ns, state->end_ns};
        far->event_listed[slot] = 0;
        (void)buf_append(ret_events, &end, sizeof(end)); /* a failure is remembered */
    }
    far->event_count = kept;
}

static uint64_t completed(const struct far *far, uint32_t slot)
{
    return __atomic_load_n(&far->memory.queues[slot].completed, __ATOMIC_ACQUIRE);
}

/* An error is taken and told once: the program may clear its own after that. */
static void find_queues(struct far *far, struct buf *ret_queues)
{
    for (uint32_t slot = 0; slot < far->slots_used; slot++) {
        struct wire_queue_state *state = &far->memory.queues[slot];
        const uint64_t now = completed(far, slot); /* first: what it counts has its error there */
        const struct queue_end end = {slot, __atomic_exchange_n(&state->error, 0, __ATOMIC_RELAXED),
                                      now};
        if (end.completed == far->told_completed[slot] && end.error == 0)
            continue;
        far->told_completed[slot] = end.completed;
        (void)buf_append(ret_queues, &end, sizeof(end));
    }
}

static void find_reads(struct far *far, struct buf *ret_spans)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < far->read_count; i++) {
        const struct pending_read *read = &far->reads[i];
        int has_ended = read->event ? !far->event_listed[read->event]
                                    : (int64_t)(completed(far, read->slot) - read->target) >= 0;
        if (has_ended)
            (void)buf_append(ret_spans, &read->span, sizeof(read->span));
        else
            far->reads[kept++] = *read;
    }
    far->read_count = kept;
}

static int put_ends(struct far *far, const struct findings *found)
{
    const struct frame_ends ends = {
        .event_count = (uint32_t)(found->events.length / sizeof(struct event_end)),
        .queue_count = (uint32_t)(found->queues.length / sizeof(struct queue_end))};
    if (ends.queue_count + ends.event_count == 0)
        return 0;
    int r = put_frame(far, FRAME_ENDS, 0, &ends, sizeof(ends),
                      found->queues.length + found->events.length);
    if (r == 0)
        r = conn_put(far->conn, found->events.data, found->events.length);
    return r == 0 ? conn_put(far->conn, found->queues.data, found->queues.length) : r;
}

static int tell(struct far *far, const struct findings *found)
{
    if (found->spans.failed || found->queues.failed || found->events.failed)
        return -ENOMEM;
    int r = put_ledger(far);
    for (size_t at = 0; r == 0 && at < found->spans.length; at += sizeof(struct span)) {
        struct span span;
        memcpy(&span, found->spans.data + at, sizeof(span));
        r = put_data(far, &span);
    }
    if (r == 0)
        r = put_ends(far, found);
    if (r == 0 && clock_monotonic_ns() - far->told_at_ns > CONN_PING_MS * NS_PER_MS)
        r = put_frame(far, FRAME_PING, 0, NULL, 0, 0);
    return r == 0 ? conn_flush(far->conn) : r;
}

enum look { LOOK_SURELY, LOOK_IF_FREE };

/* Look once and tell what has ended: 0 or a negative errno. The reader looks only if nobody is
 * sending: who has the lock may wait for it to read. */
static int look(struct far *far, struct findings *found, enum look how)
{
    found->spans.length = found->queues.length = found->events.length = 0;
    /* The sending lock is taken first, so that a reply cannot overtake what is found here. */
    if (how == LOOK_SURELY)
        pthread_mutex_lock(&far->send_lock);
    else if (pthread_mutex_trylock(&far->send_lock) != 0)
        return 0;
    pthread_mutex_lock(&far->lock);
    /* In this order: with a counter all events that it covers are told, and with an event the data
     * of all reads before it. */
    find_queues(far, &found->queues);
    find_events(far, &found->events);
    find_reads(far, &found->spans);
    pthread_mutex_unlock(&far->lock);
    int r = tell(far, found);
    pthread_mutex_unlock(&far->send_lock);
    return r;
}

/* The connection's end is the end of this process: the reader may wait for a full ring. */
static void *watch(void *arg)
{
    struct far *far = arg;
    struct findings found = {BUF_INIT, BUF_INIT, BUF_INIT};
    for (;;) {
        uint32_t seen = __atomic_load_n(&far->memory.session->completion, __ATOMIC_SEQ_CST);
        if (look(far, &found, LOOK_SURELY) < 0 || !wire_check_alive(&far->client))
            _exit(EXIT_FAILURE);
        wire_sleep_completion(&far->client, seen, LOOK_MS);
    }
}

/* ---- watching instead of waiting for frames ---- */

static int is_under_way(const struct far *far)
{
    for (uint32_t slot = 0; slot < far->slots_used; slot++)
        if (completed(far, slot) != far->posted[slot])
            return 1;
    return 0;
}

static int has_input(const struct far *far)
{
    return conn_wait(far->conn, -1, 0, NULL);
}

static uint32_t completions(const struct far *far)
{
    return __atomic_load_n(&far->memory.session->completion, __ATOMIC_SEQ_CST);
}

/* Until something ends, something comes or the time is over: 1 in the first case. A time that is
 * over was spent in vain. */
static int spin(struct far *far, uint32_t seen)
{
    const uint64_t start_ns = clock_monotonic_ns();
    for (;;) {
        for (int i = 0; i < SPIN_LOOKS; i++) {
            if (completions(far) != seen) {
                far->vain = 0;
                return 1;
            }
            __builtin_ia32_pause();
        }
        const uint64_t now_ns = clock_monotonic_ns();
        if (has_input(far))
            return 0;
        if (now_ns - start_ns >= SPIN_NS) {
            far->vain++;
            return 0;
        }
        if (now_ns - start_ns >= WIRE_LOAD_ALONE_NS)
            wire_load_yield(&far->client.load, now_ns);
    }
}

/* All that came is replayed, and the reader would sleep. Short commands end at once, and to wake
 * the watcher takes longer than they do; so the reader looks itself while a CPU is to spare, and
 * unless that was in vain lately.
 * Meanwhile the watcher sleeps without being counted, so that nobody wakes it, and the executor
 * knows that it is waited for. */
static int watch_instead(struct far *far)
{
    struct wire_session *session = far->memory.session;
    if (!is_under_way(far) || !wire_load_is_worth(&far->vain) ||
        !wire_load_has_room(&far->client.load, clock_monotonic_ns()) || has_input(far))
        return 0;
    uint32_t seen;
    int r, has_met;
    (void)__atomic_sub_fetch(&session->waiters, 1, __ATOMIC_SEQ_CST);
    (void)__atomic_add_fetch(&session->sleepers, 1, __ATOMIC_SEQ_CST);
    do {
        seen = completions(far);
        has_met = !is_under_way(far) || spin(far, seen);
        seen = completions(far);
        r = look(far, &far->found, LOOK_IF_FREE);
    } while (r == 0 && has_met && is_under_way(far));
    (void)__atomic_sub_fetch(&session->sleepers, 1, __ATOMIC_SEQ_CST);
    (void)__atomic_add_fetch(&session->waiters, 1, __ATOMIC_SEQ_CST);
    return r == 0 && completions(far) != seen ? look(far, &far->found, LOOK_IF_FREE) : r;
}

/* ---- replaying ---- */

static int bad(struct error *err, const char *what)
{
    return error_set(err, -EPROTO, "bad-frame", "%s", what);
}

/* With lock. */
static int add_read(struct far *far, const struct pending_read *read, struct error *err)
{
    if (far->read_count == far->read_room) {
        unsigned room = far->read_room ? far->read_room * 2 : 64;
        struct pending_read *more =
            room <= READS_MAX ? realloc(far->reads, room * sizeof(*more)) : NULL;
        if (!more)
            return error_set(err, -ENOMEM, "too-many-reads", "too many reads at once");
        far->reads = more;
        far->read_room = room;
    }
    far->reads[far->read_count++] = *read;
    return 0;
}

/* With lock. Remember what the record will bring. */
static int track_command(struct far *far, const struct wire_header *record,
                         const struct spans *spans, struct error *err)
{
    uint32_t id = relay_queue_id(record), event = relay_event(record);
    if (id >= WIRE_OBJECTS || event >= WIRE_EVENTS)
        return bad(err, "there is no such queue or event");
    const struct queue *queue = &far->queues[id];
    uint64_t target = ++far->posted[queue->slot];
    if (event && !far->event_listed[event]) {
        far->event_listed[event] = 1;
        far->events[far->event_count++] = event;
        __atomic_store_n(&far->memory.events[event].status, EVENT_QUEUED, __ATOMIC_RELEASE);
    }
    if (spans->from_device.bytes == 0)
        return 0;
    const struct pending_read read = {.target = target,
                                      .span = spans->from_device,
                                      .slot = queue->slot,
                                      .event = queue->in_order ? 0 : event};
    return add_read(far, &read, err);
}

static int track_queue(struct far *far, const struct wire_queue_create *record, struct error *err)
{
    if (record->id >= WIRE_OBJECTS || record->queue_slot >= WIRE_QUEUES)
        return bad(err, "there is no such queue slot");
    far->queues[record->id] = (struct queue){.slot = (uint16_t)record->queue_slot,
                                             .in_order = !(record->properties & OUT_OF_ORDER)};
    if (record->queue_slot >= far->slots_used)
        far->slots_used = record->queue_slot + 1;
    __atomic_store_n(&far->memory.queues[record->queue_slot].error, 0, __ATOMIC_RELAXED);
    return 0;
}

static int track(struct far *far, const struct wire_header *record, const struct spans *spans,
                 struct error *err)
{
    int r = 0;
    pthread_mutex_lock(&far->lock);
    if (record->opcode == WIRE_QUEUE_CREATE)
        r = track_queue(far, (const void *)record, err);
    else if (record->opcode != WIRE_FLUSH && wire_record_shape(record->opcode)->queue)
        r = track_command(far, record, spans, err);
    pthread_mutex_unlock(&far->lock);
    return r;
}

static int gone(struct error *err)
{
    return error_set(err, -EPIPE, "executor-gone", "the card's executor has ended");
}

static int answer(struct far *far, unsigned lane, uint32_t sequence, uint32_t near_sequence,
                  const struct span *room, struct error *err)
{
    if (wire_wait_reply(&far->client, &far->lane, sequence) < 0)
        return gone(err);
    const struct wire_lane *ring = far->lane.lane;
    const struct frame_reply reply = {near_sequence, ring->reply_status, ring->reply_value,
                                      ring->reply_length};
    const struct span payload = {room->offset,
                                 reply.length < room->bytes ? reply.length : room->bytes};
    pthread_mutex_lock(&far->send_lock);
    int r = put_ledger(far);
    if (r == 0 && payload.bytes)
        r = put_data(far, &payload);
    if (r == 0)
        r = put_frame(far, FRAME_REPLY, lane, &reply, sizeof(reply), 0);
    if (r == 0)
        r = conn_flush(far->conn);
    pthread_mutex_unlock(&far->send_lock);
    return r < 0 ? error_errno(err, r, "connection-lost", "cannot answer") : 0;
}

/* Read the record of a frame into far->record, and its data into the slab. */
static int read_record(struct far *far, uint32_t length, struct spans *ret_spans, struct error *err)
{
    struct wire_header *record = (struct wire_header *)far->record;
    if (length < sizeof(*record))
        return bad(err, "a record's frame is too short");
    int r = conn_read(far->conn, record, sizeof(*record));
    if (r < 0)
        return error_errno(err, r, "connection-lost", "cannot read a record");
    if (record->length < sizeof(*record) || record->length > WIRE_RECORD_MAX ||
        record->length % WIRE_RECORD_ALIGN || record->length > length)
        return bad(err, "a record's length is wrong");
    r = conn_read(far->conn, record + 1, record->length - sizeof(*record));
    if (r < 0)
        return error_errno(err, r, "connection-lost", "cannot read a record");
    if (wire_record_check(record) < 0)
        return bad(err, "a record is shorter than its contents");
    if (relay_spans(record, ret_spans, err) < 0)
        return -EPROTO;
    if (length - record->length != ret_spans->to_device.bytes)
        return bad(err, "a record does not bring the bytes it refers to");
    r = bulk_read(&far->to_device, far->conn, far->memory.slab + ret_spans->to_device.offset,
                  ret_spans->to_device.bytes);
    return r < 0 ? error_errno(err, r, "connection-lost", "cannot read a record's data") : 0;
}

static int replay(struct far *far, const struct frame_header *frame, struct error *err)
{
    const struct wire_header *record = (const struct wire_header *)far->record;
    struct spans spans;
    int r = read_record(far, frame->length, &spans, err);
    if (r == 0)
        r = track(far, record, &spans, err);
    if (r < 0)
        return r;
    void *place = wire_reserve(&far->client, &far->lane, record->length);
    if (!place)
        return gone(err);
    memcpy(place, record, record->length);
    uint32_t sequence =
        wire_publish(&far->client, &far->lane, place, record->opcode, record->length);
    return wire_opcode_waits(record->opcode)
               ? answer(far, frame->lane, sequence, record->sequence, &spans.reply, err)
               : 0;
}

static int take_account(struct far *far, uint32_t length, struct error *err)
{
    struct frame_account account;
    if (length != sizeof(account))
        return bad(err, "an account's length is wrong");
    int r = conn_read(far->conn, &account, sizeof(account));
    if (r < 0)
        return error_errno(err, r, "connection-lost", "cannot read an account");
    __atomic_store_n(&far->claims->slots[far->client.slot].claimed_total_bytes,
                     account.claimed_total_bytes, __ATOMIC_SEQ_CST);
    struct wire_stats *stats = &far->memory.session->stats;
    account.stats.records = stats->records; /* counted where they are published */
    *stats = account.stats;
    return 0;
}

static int take_queue(struct far *far, uint32_t length, struct error *err)
{
    struct frame_queue queue;
    if (length != sizeof(queue))
        return bad(err, "a queue's length is wrong");
    int r = conn_read(far->conn, &queue, sizeof(queue));
    if (r < 0)
        return error_errno(err, r, "connection-lost", "cannot read a queue");
    const struct wire_queue_create record = {
        .id = queue.id, .queue_slot = queue.slot, .properties = queue.in_order ? 0 : OUT_OF_ORDER};
    pthread_mutex_lock(&far->lock);
    r = track_queue(far, &record, err);
    pthread_mutex_unlock(&far->lock);
    return r;
}

static int serve(struct far *far, struct error *err)
{
    for (;;) {
        struct frame_header frame;
        int r = watch_instead(far);
        if (r == 0)
            r = conn_read(far->conn, &frame, sizeof(frame));
        if (r < 0)
            return r == -ECONNRESET ? 0 : error_errno(err, r, "connection-lost", "no more frames");
        switch (frame.kind) {
        case FRAME_PING:
            r = frame.length ? bad(err, "a ping with a body") : 0;
            break;
        case FRAME_RECORD:
            r = replay(far, &frame, err);
            break;
        case FRAME_ACCOUNT:
            r = take_account(far, frame.length, err);
            break;
        case FRAME_QUEUE:
            r = take_queue(far, frame.length, err);
            break;
        default:
            r = bad(err, "a frame of an unknown kind");
            break;
        }
        if (r < 0)
            return r;
    }
}

/* ---- beginning ---- */

static void *map_page(int fd, size_t bytes, int protection)
{
    void *memory = mmap(NULL, bytes, protection, MAP_SHARED, fd, 0);
    (void)close(fd);
    return memory == MAP_FAILED ? NULL : memory;
}

static int pull(void *arg, void *data, size_t length)
{
    return conn_read(arg, data, length);
}

/* The session's checkpoint comes first, and goes to its executor as it comes: nothing is kept here,
 * and there no more than the card holds. Of who refuses it the rest is taken in, too, or the caller
 * would not hear why. */
static int connect_moved(struct far *far, const struct relay_hello *hello, const char *path,
                         struct wire_pages *ret_pages, struct error *err)
{
    char text[WIRE_TEXT_MAX];
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return error_errno(err, -errno, "no-session", "no way for the checkpoint");
    AUTO_FD int to = pair[1];
    int r = wire_connect_moved(&far->client, path, hello->card_token, hello->session, pair[0],
                               ret_pages, text);
    (void)close(pair[0]);
    int passed = checkpoint_pass(to, pull, far->conn, err);
    return r < 0 ? error_set(err, r, "no-session", "%s", text) : passed;
}

/* It is what it was before it answers. */
static int await_rebuilt(struct far *far, struct error *err)
{
    char text[WIRE_TEXT_MAX];
    void *place = wire_reserve(&far->client, &far->lane, sizeof(struct wire_drain));
    if (place) {
        memset(place, 0, sizeof(struct wire_drain));
        uint32_t sequence =
            wire_publish(&far->client, &far->lane, place, WIRE_DRAIN, sizeof(struct wire_drain));
        if (wire_wait_reply(&far->client, &far->lane, sequence) == 0)
            return 0;
    }
    wire_last_words(&far->client, text);
    return text[0] ? error_set(err, -EIO, "not-rebuilt", "%s", text) : gone(err);
}

static int open_session(struct far *far, const struct relay_hello *hello, const char *run_dir,
                        struct error *err)
{
    char path[PATH_MAX], text[WIRE_TEXT_MAX];
    struct wire_pages pages;
    int r = path_join(run_dir, "card/card.sock", path, err);
    if (r < 0)
        return r;
    const int has_moved = hello->purpose == RELAY_MOVED;
    if (has_moved) {
        r = connect_moved(far, hello, path, &pages, err);
    } else {
        r = wire_connect(&far->client, path, hello->card_token, hello->program, &pages, text);
        if (r < 0)
            (void)error_set(err, r, "no-session", "%s", text);
    }
    if (r < 0)
        return r;
    if (!far->client.session)
        return error_set(err, -EOPNOTSUPP, "card-local",
                         "the card is for CUDA programs of its own host; make it with 'remote'");
    far->ledger = map_page(pages.ledger_fd, sizeof(*far->ledger), PROT_READ);
    far->claims = map_page(pages.claims_fd, sizeof(*far->claims), PROT_READ | PROT_WRITE);
    if (!far->ledger || !far->claims || wire_producer_open(&far->client, &far->lane) < 0)
        return error_set(err, -ENOMEM, "out-of-memory", "opening a session");
    mirror_init(&far->memory, far->client.session, NULL);
    return has_moved ? await_rebuilt(far, err) : 0;
}

static int send_beginning(struct far *far, const struct relay_hello *hello)
{
    const struct wire_session *session = far->client.session;
    uint64_t length = session->snapshot_length;
    if (length > WIRE_SNAPSHOT_BYTES)
        length = WIRE_SNAPSHOT_BYTES;
    int r = put_ledger(far);
    if (hello->purpose == RELAY_MOVED) /* its program knows what the device is */
        return r == 0 ? conn_flush(far->conn) : r;
    if (r == 0)
        r = put_frame(far, FRAME_SNAPSHOT, 0, NULL, 0, length);
    if (r == 0)
        r = conn_put(far->conn, wire_at(&far->client, session->snapshot_offset), length);
    return r == 0 ? conn_flush(far->conn) : r;
}

int far_session(struct conn *conn, const struct relay_hello *hello, const char *run_dir,
                struct error *err)
{
    struct far *far = calloc(1, sizeof(*far)); /* lives as long as the process */
    struct relay_verdict verdict = {.magic = RELAY_MAGIC, .version = RELAY_VERSION};
    if (!far)
        return error_set(err, -ENOMEM, "out-of-memory", "opening a session");
    far->conn = conn;
    far->client.socket_fd = -1;
    pthread_mutex_init(&far->send_lock, NULL);
    pthread_mutex_init(&far->lock, NULL);
    int opened = open_session(far, hello, run_dir, err);
    verdict.status = opened;
    verdict.slot = far->client.slot;
    (void)snprintf(verdict.text, sizeof(verdict.text), "%.255s", opened < 0 ? err->text : "");
    int r = conn_put(conn, &verdict, sizeof(verdict));
    if (r == 0)
        r = opened < 0 ? conn_flush(conn) : send_beginning(far, hello);
    if (opened < 0)
        return opened;
    pthread_t watcher;
    if (r < 0 || pthread_create(&watcher, NULL, watch, far) != 0)
        return error_set(err, r < 0 ? r : -EAGAIN, "no-session", "cannot begin a session");
    return serve(far, err);
}
