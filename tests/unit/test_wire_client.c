/* The client's end of the wire against a consumer thread that checks order, content and
 * wake-ups. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "card/wire/client.h"
#include "card/wire/producer.h"
#include "card/wire/slab.h"
#include "card/wire/wait.h"
#include "card/wire/wake.h"

#define THREADS 4
#define RECORDS_PER_THREAD 20000u

struct rig {
    struct wire_client client;
    int peer_fd; /* the executor's end of the socket */
    pthread_t consumer;
    uint32_t expected; /* records that will come */
    uint32_t stop;
    uint32_t wrong; /* records that were not as they should be */
};

/* What the test's producers send: a LAUNCH-sized header with filler that repeats the thread's
 * number. */
struct note {
    struct wire_header header;
    uint32_t thread, number, words;
    uint32_t filler[];
};

static struct wire_lane *lanes(const struct rig *rig)
{
    return wire_at(&rig->client, rig->client.session->lanes_offset);
}

static const uint8_t *ring(const struct rig *rig, unsigned lane)
{
    return (const uint8_t *)wire_at(&rig->client, rig->client.session->rings_offset) +
           (uint64_t)lane * WIRE_LANE_BYTES;
}

static void open_rig(struct rig *rig)
{
    struct wire_session layout = {0};
    uint64_t bytes = wire_session_layout(&layout);
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    *rig = (struct rig){.peer_fd = fds[1]};
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(memory != MAP_FAILED);
    rig->client = (struct wire_client){
        .session = memory, .session_bytes = bytes, .socket_fd = fds[0], .spin_ns = 2000};
    wire_load_init(&rig->client.load);
    (void)wire_session_layout(rig->client.session);
}

static void close_rig(struct rig *rig)
{
    (void)close(rig->client.socket_fd);
    if (rig->peer_fd >= 0)
        (void)close(rig->peer_fd);
    (void)munmap(rig->client.session, rig->client.session_bytes);
}

static void check_note(struct rig *rig, const struct note *note)
{
    for (uint32_t i = 0; i < note->words; i++)
        rig->wrong += note->filler[i] != note->thread;
}

/* Take the record with number `sequence` from whichever lane has it in front; 0 when none has
 * yet. */
static int take_one(struct rig *rig, uint32_t sequence)
{
    for (unsigned i = 0; i < WIRE_LANES; i++) {
        struct wire_lane *lane = &lanes(rig)[i];
        uint64_t head = lane->head;
        if (__atomic_load_n(&lane->tail, __ATOMIC_SEQ_CST) == head)
            continue;
        const struct wire_header *header = (const void *)(ring(rig, i) + head % WIRE_LANE_BYTES);
        if (header->opcode == WIRE_INVALID) {
            head += header->length;
            __atomic_store_n(&lane->head, head, __ATOMIC_SEQ_CST);
            header = (const void *)(ring(rig, i) + head % WIRE_LANE_BYTES);
        }
        if (header->sequence != sequence)
            continue;
        uint32_t length = header->length;
        if (header->opcode == WIRE_LAUNCH)
            check_note(rig, (const struct note *)header);
        if (header->opcode == WIRE_DRAIN) {
            lane->reply_value = sequence;
            lane->reply_status = -7;
            __atomic_store_n(&lane->reply_sequence, sequence + 1, __ATOMIC_RELEASE);
            futex_wake_all(&lane->reply_sequence);
        }
        __atomic_store_n(&lane->head, head + length, __ATOMIC_SEQ_CST);
        if (__atomic_exchange_n(&lane->producer_waits, 0, __ATOMIC_SEQ_CST))
            futex_wake_all(&lane->producer_waits);
        return 1;
    }
    return 0;
}

static void *consume(void *arg)
{
    struct rig *rig = arg;
    uint32_t *asleep = &rig->client.session->asleep;
    uint32_t sequence = 0;
    while (sequence != rig->expected) {
        if (take_one(rig, sequence)) {
            sequence++;
            continue;
        }
        __atomic_store_n(asleep, 1, __ATOMIC_SEQ_CST);
        if (take_one(rig, sequence)) {
            __atomic_store_n(asleep, 0, __ATOMIC_SEQ_CST);
            sequence++;
            continue;
        }
        /* No time limit: a lost wake-up hangs the test. */
        (void)syscall(SYS_futex, asleep, FUTEX_WAIT, 1, NULL, NULL, 0);
    }
    return NULL;
}

static void start_consumer(struct rig *rig, uint32_t expected)
{
    rig->expected = expected;
    assert_int_equal(pthread_create(&rig->consumer, NULL, consume, rig), 0);
}

static void send_note(struct rig *rig, struct wire_producer *producer, uint32_t thread,
                      uint32_t number)
{
    uint32_t words = (number * 2654435761u >> 20) % 200;
    if (number % 1000 == 999)
        words = WIRE_RECORD_MAX / sizeof(uint32_t) - 16;
    uint64_t length = sizeof(struct note) + words * sizeof(uint32_t);
    struct note *note = wire_reserve(&rig->client, producer, length);
    if (!note) {
        (void)__atomic_add_fetch(&rig->wrong, 1, __ATOMIC_RELAXED);
        return;
    }
    note->thread = thread;
    note->number = number;
    note->words = words;
    for (uint32_t i = 0; i < words; i++)
        note->filler[i] = thread;
    (void)wire_publish(&rig->client, producer, &note->header, WIRE_LAUNCH, length);
}

struct sender {
    struct rig *rig;
    uint32_t thread;
};

static void *produce(void *arg)
{
    const struct sender *sender = arg;
    struct wire_producer producer = {0};
    if (wire_producer_open(&sender->rig->client, &producer) < 0)
        return NULL;
    for (uint32_t i = 0; i < RECORDS_PER_THREAD; i++)
        send_note(sender->rig, &producer, sender->thread, i);
    wire_producer_close(&sender->rig->client, &producer);
    return NULL;
}

/* Many threads, rings that wrap and fill, records of all lengths: one total order, nothing lost. */
static void test_order(void **state)
{
    struct rig rig;
    pthread_t threads[THREADS];
    struct sender senders[THREADS];
    open_rig(&rig);
    start_consumer(&rig, THREADS * RECORDS_PER_THREAD);
    for (uint32_t i = 0; i < THREADS; i++) {
        senders[i] = (struct sender){&rig, i};
        assert_int_equal(pthread_create(&threads[i], NULL, produce, &senders[i]), 0);
    }
    for (uint32_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(pthread_join(rig.consumer, NULL), 0);
    assert_int_equal(rig.wrong, 0);
    assert_int_equal(rig.client.lanes_taken, 0);
    assert_int_equal(rig.client.session->stats.records, THREADS * RECORDS_PER_THREAD);
    close_rig(&rig);
}

static void test_reply(void **state)
{
    struct rig rig;
    struct wire_producer producer = {0};
    open_rig(&rig);
    rig.client.sequence = UINT32_MAX - 2; /* the numbers wrap on the way */
    rig.expected = 0;
    assert_int_equal(wire_producer_open(&rig.client, &producer), 0);
    for (uint32_t i = 0; i < 6; i++) {
        struct wire_drain *record = wire_reserve(&rig.client, &producer, sizeof(*record));
        uint32_t sequence =
            wire_publish(&rig.client, &producer, &record->header, WIRE_DRAIN, sizeof(*record));
        assert_int_equal(sequence, UINT32_MAX - 2 + i);
        assert_int_equal(take_one(&rig, sequence), 1);
        assert_int_equal(wire_wait_reply(&rig.client, &producer, sequence), 0);
        assert_int_equal(producer.lane->reply_status, -7);
        assert_int_equal(producer.lane->reply_value, sequence);
    }
    wire_producer_close(&rig.client, &producer);
    close_rig(&rig);
}

/* Nobody consumes and the socket ends: a full ring, a reply and a completion are all given up. */
static void test_dead_executor(void **state)
{
    struct rig rig;
    struct wire_producer producer = {0};
    open_rig(&rig);
    assert_int_equal(wire_producer_open(&rig.client, &producer), 0);
    assert_int_equal(wire_check_alive(&rig.client), 1);
    assert_null(wire_reserve(&rig.client, &producer, WIRE_RECORD_MAX + 1));
    (void)close(rig.peer_fd);
    rig.peer_fd = -1;
    struct wire_header *record;
    unsigned sent = 0;
    while ((record = wire_reserve(&rig.client, &producer, WIRE_RECORD_MAX)) != NULL) {
        (void)wire_publish(&rig.client, &producer, record, WIRE_DRAIN, WIRE_RECORD_MAX);
        sent++;
    }
    assert_int_equal(sent, WIRE_LANE_BYTES / WIRE_RECORD_MAX);
    assert_int_equal(wire_alive(&rig.client), 0);
    assert_int_equal(wire_wait_reply(&rig.client, &producer, 0), -EPIPE);
    wire_producer_close(&rig.client, &producer);
    close_rig(&rig);
}

struct sleeper {
    struct rig *rig;
    uint64_t target; /* of queue 1; 0: wait for event 1 */
    int result;
};

static void *sleep_for(void *arg)
{
    struct sleeper *sleeper = arg;
    struct wire_client *client = &sleeper->rig->client;
    sleeper->result = sleeper->target
                          ? wire_wait_queue(client, wire_queue(client, 1), sleeper->target)
                          : wire_wait_event(client, wire_event(client, 1));
    return NULL;
}

/* As the executor does it; 1 when somebody was to be woken. */
static int complete_one(struct wire_queue_state *queue)
{
    (void)__atomic_add_fetch(&queue->completed, 1, __ATOMIC_SEQ_CST);
    if (!wire_queue_wakes(queue))
        return 0;
    futex_wake_all(&queue->woken);
    return 1;
}

/* A sleeper is woken by the command it waits for, and by no other. */
static void test_wake_at_target(void **state)
{
    struct rig rig;
    struct sleeper sleeper = {&rig, 3, -1};
    pthread_t thread;
    open_rig(&rig);
    struct wire_queue_state *queue = wire_queue(&rig.client, 1);
    assert_int_equal(pthread_create(&thread, NULL, sleep_for, &sleeper), 0);
    while (__atomic_load_n(&queue->wanted, __ATOMIC_SEQ_CST) != 3)
        sched_yield();
    assert_int_equal(complete_one(queue), 0);
    assert_int_equal(complete_one(queue), 0);
    assert_int_equal(complete_one(queue), 1);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(sleeper.result, 0);
    assert_int_equal(queue->woken, 1);
    assert_int_equal(rig.client.session->sleepers, 0);
    close_rig(&rig);
}

static void test_wake_by_event(void **state)
{
    struct rig rig;
    struct sleeper sleeper = {&rig, 0, -1};
    pthread_t thread;
    open_rig(&rig);
    struct wire_event_state *event = wire_event(&rig.client, 1);
    event->status = 3;
    assert_int_equal(wire_event_wakes(event), 0);
    assert_int_equal(pthread_create(&thread, NULL, sleep_for, &sleeper), 0);
    while (!__atomic_load_n(&event->waited, __ATOMIC_SEQ_CST))
        sched_yield();
    __atomic_store_n(&event->status, -5, __ATOMIC_SEQ_CST);
    assert_int_equal(wire_event_wakes(event), 1);
    futex_wake_all((uint32_t *)&event->status);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(sleeper.result, 0);
    close_rig(&rig);
}

/* Sleepers with targets of their own, in any order against the completions: all return. */
static void test_wake_many(void **state)
{
    struct rig rig;
    struct sleeper sleepers[THREADS];
    pthread_t threads[THREADS];
    open_rig(&rig);
    struct wire_queue_state *queue = wire_queue(&rig.client, 1);
    for (uint64_t round = 0; round < 200; round++) {
        for (uint64_t i = 0; i < THREADS; i++) {
            sleepers[i] = (struct sleeper){&rig, round * 50 + (i * 37 + round) % 50 + 1, -1};
            assert_int_equal(pthread_create(&threads[i], NULL, sleep_for, &sleepers[i]), 0);
        }
        for (int i = 0; i < 50; i++)
            (void)complete_one(queue);
        for (unsigned i = 0; i < THREADS; i++) {
            assert_int_equal(pthread_join(threads[i], NULL), 0);
            assert_int_equal(sleepers[i].result, 0);
        }
    }
    close_rig(&rig);
}

/* Against a plain array of pages. */
/* The other side makes a little room and clears the mark just before each sleep; that does not
 * suffice until the last time. A sleep on the cleared mark would last until the next look whether
 * the executor lives, and this test for a quarter of an hour. */
struct little_room {
    uint32_t *word;
    uint32_t *left;
};

static int room_at_last(const void *arg)
{
    const struct little_room *room = arg;
    if (__atomic_load_n(room->word, __ATOMIC_SEQ_CST) == 0)
        return 0;
    __atomic_store_n(room->word, 0, __ATOMIC_SEQ_CST);
    futex_wake_all(room->word);
    return --*room->left == 0;
}

static void test_no_sleep_on_a_cleared_mark(void **state)
{
    struct rig rig;
    open_rig(&rig);
    uint32_t word = 0, left = 10000;
    const struct little_room room = {&word, &left};
    assert_int_equal(wire_wait_word(&rig.client, &word, &word, room_at_last, &room), 0);
    assert_int_equal(left, 0);
    close_rig(&rig);
}

static void test_slab(void **state)
{
    static uint8_t used[SLAB_PAGES];
    static struct slab slab;
    struct piece {
        uint64_t offset, bytes;
    } pieces[64] = {0};
    uint32_t random = 1;
    slab_init(&slab);
    memset(used, 0, sizeof(used));
    for (int round = 0; round < 100000; round++) {
        random = random * 1664525 + 1013904223;
        struct piece *piece = &pieces[random >> 26];
        uint64_t pages = (piece->bytes + SLAB_PAGE_BYTES - 1) / SLAB_PAGE_BYTES;
        if (piece->bytes) {
            slab_give(&slab, piece->offset, piece->bytes);
            memset(used + piece->offset / SLAB_PAGE_BYTES, 0, pages);
            piece->bytes = 0;
            continue;
        }
        uint64_t bytes = (random >> 4) % (round % 8 ? 100000 : 4u << 20) + 1;
        if (slab_take(&slab, WIRE_SLAB_USUAL_BYTES, bytes, &piece->offset) < 0)
            continue;
        piece->bytes = bytes;
        pages = (bytes + SLAB_PAGE_BYTES - 1) / SLAB_PAGE_BYTES;
        assert_true(piece->offset + bytes <= WIRE_SLAB_USUAL_BYTES);
        for (uint64_t i = 0; i < pages; i++)
            assert_int_equal(used[piece->offset / SLAB_PAGE_BYTES + i]++, 0);
    }
}

static void test_slab_limits(void **state)
{
    static struct slab slab;
    uint64_t offset, all;
    slab_init(&slab);
    const uint64_t usual = WIRE_SLAB_USUAL_BYTES;
    assert_int_equal(slab_take(&slab, usual, usual + 1, &offset), -E2BIG);
    assert_int_equal(slab_take(&slab, usual, usual, &all), 0);
    assert_int_equal(slab_take(&slab, usual, 1, &offset), -ENOSPC);
    assert_int_equal(slab_take(&slab, WIRE_SLAB_BYTES, 1, &offset), 0);
    assert_int_equal(offset, usual);
    assert_int_equal(slab_take(&slab, WIRE_SLAB_BYTES, WIRE_SLAB_BYTES, &offset), -ENOSPC);
    slab_give(&slab, usual, 1);
    slab_give(&slab, all, usual);
    assert_int_equal(slab_take(&slab, usual, 0, &offset), 0);
    assert_int_equal(offset, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_reply),
        cmocka_unit_test(test_dead_executor),
        cmocka_unit_test(test_wake_at_target),
        cmocka_unit_test(test_wake_by_event),
        cmocka_unit_test(test_wake_many),
        cmocka_unit_test(test_slab),
        cmocka_unit_test(test_slab_limits),
        cmocka_unit_test(test_no_sleep_on_a_cleared_mark),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
