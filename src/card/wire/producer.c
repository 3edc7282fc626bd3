/* Reserving, filling and publishing records: see producer.h. */
#include "card/wire/producer.h"

#include <errno.h>

#include "card/wire/client.h"
#include "card/wire/wait.h"

/* So that a skip in front of the ring's end always has room for a header. */
#define RECORD_ALIGN 16u
/* What a field has that its writer forgot: no number of an object, no small count, no flag. */
#define POISON 0xa5

static struct wire_lane *lane_at(const struct wire_client *client, unsigned index)
{
    return (struct wire_lane *)wire_at(client, client->session->lanes_offset) + index;
}

int wire_producer_open(struct wire_client *client, struct wire_producer *producer)
{
    for (;;) {
        uint64_t taken = __atomic_load_n(&client->lanes_taken, __ATOMIC_RELAXED);
        if (~taken == 0)
            return -EAGAIN;
        unsigned index = (unsigned)__builtin_ctzll(~taken);
        if (!__atomic_compare_exchange_n(&client->lanes_taken, &taken, taken | 1ull << index, 0,
                                         __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
            continue;
        struct wire_lane *lane = lane_at(client, index);
        *producer = (struct wire_producer){
            .lane = lane,
            .ring = (uint8_t *)wire_at(client, client->session->rings_offset) +
                    (uint64_t)index * WIRE_LANE_BYTES,
            .tail = lane->tail,
            .head_seen = __atomic_load_n(&lane->head, __ATOMIC_ACQUIRE),
            .index = index,
        };
        __atomic_store_n(&lane->in_use, 1, __ATOMIC_RELEASE);
        return 0;
    }
}

void wire_producer_close(struct wire_client *client, struct wire_producer *producer)
{
    if (!producer->lane)
        return;
    /* The executor still drains what is in the ring; the next owner goes on behind it. */
    __atomic_store_n(&producer->lane->in_use, 0, __ATOMIC_RELEASE);
    (void)__atomic_fetch_and(&client->lanes_taken, ~(1ull << producer->index), __ATOMIC_ACQ_REL);
    producer->lane = NULL;
}

struct room_wait {
    struct wire_producer *producer;
    uint64_t tail_after;
};

static int room_is_there(const void *arg)
{
    const struct room_wait *wait = arg;
    uint64_t head = __atomic_load_n(&wait->producer->lane->head, __ATOMIC_SEQ_CST);
    wait->producer->head_seen = head;
    return wait->tail_after - head <= WIRE_LANE_BYTES;
}

static int wait_for_room(struct wire_client *client, struct room_wait *wait)
{
    struct wire_lane *lane = wait->producer->lane;
    /* The futex word is `producer_waits` itself: set before the sleep, cleared by the executor. */
    return wire_wait_word(client, &lane->producer_waits, &lane->producer_waits, room_is_there,
                          wait);
}

void *wire_reserve(struct wire_client *client, struct wire_producer *producer, uint64_t length)
{
    length = (length + RECORD_ALIGN - 1) & ~(uint64_t)(RECORD_ALIGN - 1);
    if (length > WIRE_RECORD_MAX)
        return NULL;
    unsigned position = (unsigned)(producer->tail % WIRE_LANE_BYTES);
    unsigned to_end = WIRE_LANE_BYTES - position;
    producer->skip = length > to_end ? to_end : 0;
    struct room_wait wait = {producer, producer->tail + producer->skip + length};
    if (wait.tail_after - producer->head_seen > WIRE_LANE_BYTES && !room_is_there(&wait) &&
        wait_for_room(client, &wait) < 0)
        return NULL;
    if (producer->skip) {
        struct wire_header *skip = (struct wire_header *)(producer->ring + position);
        *skip = (struct wire_header){.opcode = WIRE_INVALID, .length = to_end};
        position = 0;
    }
    if (client->poison)
        memset(producer->ring + position, POISON, length);
    return producer->ring + position;
}

uint32_t wire_publish(struct wire_client *client, struct wire_producer *producer,
                      struct wire_header *record, unsigned opcode, uint64_t length)
{
    length = (length + RECORD_ALIGN - 1) & ~(uint64_t)(RECORD_ALIGN - 1);
    uint32_t sequence = __atomic_fetch_add(&client->sequence, 1, __ATOMIC_RELAXED);
    *record = (struct wire_header){
        .sequence = sequence, .opcode = (uint16_t)opcode, .length = (uint32_t)length};
    producer->tail += producer->skip + length;
    __atomic_store_n(&producer->lane->tail, producer->tail, __ATOMIC_SEQ_CST);
    struct wire_session *session = client->session;
    (void)__atomic_add_fetch(&session->stats.records, 1, __ATOMIC_RELAXED);
    if (__atomic_load_n(&session->asleep, __ATOMIC_SEQ_CST) != 0 &&
        __atomic_exchange_n(&session->asleep, 0, __ATOMIC_SEQ_CST) != 0)
        futex_wake_all(&session->asleep);
    return sequence;
}

struct reply_wait {
    const struct wire_lane *lane;
    uint32_t expected;
};

static int reply_is_there(const void *arg)
{
    const struct reply_wait *wait = arg;
    return __atomic_load_n(&wait->lane->reply_sequence, __ATOMIC_ACQUIRE) == wait->expected;
}

int wire_wait_reply(struct wire_client *client, struct wire_producer *producer, uint32_t sequence)
{
    struct reply_wait wait = {producer->lane, sequence + 1};
    return wire_wait_word(client, &producer->lane->reply_sequence, NULL, reply_is_there, &wait);
}
