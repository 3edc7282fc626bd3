/* Taking records from the rings: see consumer.h. */
#include "card/executor/consumer.h"

#include <errno.h>

#include "base/clock.h"
#include "base/error.h"
#include "card/ledger/futex.h"

#define SPIN_BASE_NS 20000u
#define SPIN_CAP_NS 100000u
#define SPIN_LOOKS 32 /* looks at the lanes between two looks at the clock */

void consumer_init(struct consumer *consumer, struct wire_session *session,
                   const struct wire_session *layout)
{
    uint8_t *base = (uint8_t *)session;
    memset(consumer, 0, offsetof(struct consumer, record));
    consumer->session = session;
    consumer->lanes = (struct wire_lane *)(base + layout->lanes_offset);
    consumer->rings = base + layout->rings_offset;
    consumer->lanes_seen = 1;
    consumer->spin_ns = SPIN_BASE_NS;
    wire_load_init(&consumer->load);
}

void consumer_follow(struct consumer *consumer, const struct consumer *other)
{
    memcpy(consumer->heads, other->heads, sizeof(consumer->heads));
    consumer->next_sequence = other->next_sequence;
    consumer->lane = other->lane;
    consumer->lanes_seen = other->lanes_seen;
}

static void advance(struct consumer *consumer, unsigned index, uint32_t length)
{
    struct wire_lane *lane = &consumer->lanes[index];
    consumer->heads[index] += length;
    __atomic_store_n(&lane->head, consumer->heads[index], __ATOMIC_SEQ_CST);
    /* Not for each record: a producer that waits finds more than half of the ring in use, for no
     * record and its skip take more than the other half. */
    if (__atomic_load_n(&lane->producer_waits, __ATOMIC_SEQ_CST) &&
        __atomic_load_n(&lane->tail, __ATOMIC_RELAXED) - consumer->heads[index] <=
            WIRE_LANE_BYTES / 2) {
        __atomic_store_n(&lane->producer_waits, 0, __ATOMIC_SEQ_CST);
        futex_wake(&lane->producer_waits, INT_MAX);
    }
}

static int broken(const struct consumer *consumer, unsigned lane, const char *what,
                  struct error *err)
{
    return error_set(err, -EPROTO, "bad-record", "%s (lane %u, at byte %llu, record %u)", what,
                     lane, (unsigned long long)consumer->heads[lane], consumer->next_sequence);
}

/* Copy the header at the head of a lane: 1, 0 when the lane is empty, -EPROTO. */
static int peek(struct consumer *consumer, unsigned index, struct wire_header *ret_header,
                struct error *err)
{
    uint64_t tail = __atomic_load_n(&consumer->lanes[index].tail, __ATOMIC_ACQUIRE);
    uint64_t head = consumer->heads[index], ready = tail - head;
    if (ready == 0)
        return 0;
    uint64_t position = head % WIRE_LANE_BYTES, to_end = WIRE_LANE_BYTES - position;
    if (ready > WIRE_LANE_BYTES || tail % WIRE_RECORD_ALIGN)
        return broken(consumer, index, "the tail is not where a record can end", err);
    memcpy(ret_header, consumer->rings + (uint64_t)index * WIRE_LANE_BYTES + position,
           sizeof(*ret_header));
    uint32_t length = ret_header->length;
    if (length < sizeof(*ret_header) || length % WIRE_RECORD_ALIGN || length > ready ||
        length > to_end)
        return broken(consumer, index, "the record's length is wrong", err);
    if (ret_header->opcode == WIRE_INVALID) {
        if (length != to_end)
            return broken(consumer, index, "a skip does not lead to the ring's end", err);
        advance(consumer, index, length);
        return peek(consumer, index, ret_header, err); /* once: the position is 0 now */
    }
    if (length > WIRE_RECORD_MAX)
        return broken(consumer, index, "the record is too long", err);
    return 1;
}

/* Take the lane's first record if it is the next in the session's order: 1, 0 or -EPROTO. */
static int take_from(struct consumer *consumer, unsigned index, struct error *err)
{
    struct wire_header header;
    int found = peek(consumer, index, &header, err);
    if (found <= 0)
        return found;
    if (header.sequence != consumer->next_sequence) {
        if ((int32_t)(header.sequence - consumer->next_sequence) < 0)
            return broken(consumer, index, "a sequence number comes twice", err);
        return 0; /* another lane has the one before */
    }
    uint64_t position = consumer->heads[index] % WIRE_LANE_BYTES;
    memcpy(consumer->record, consumer->rings + (uint64_t)index * WIRE_LANE_BYTES + position,
           header.length);
    memcpy(consumer->record, &header, sizeof(header)); /* the one that was checked */
    if (wire_record_check((const struct wire_header *)consumer->record) < 0)
        return broken(consumer, index, "the record is shorter than its contents", err);
    advance(consumer, index, header.length);
    consumer->next_sequence++;
    consumer->lane = index;
    return 1;
}

static int lane_has_bytes(const struct consumer *consumer, unsigned index)
{
    return __atomic_load_n(&consumer->lanes[index].tail, __ATOMIC_ACQUIRE) !=
           consumer->heads[index];
}

int consumer_has_more(const struct consumer *consumer)
{
    unsigned end = consumer->lanes_seen < WIRE_LANES ? consumer->lanes_seen + 1 : WIRE_LANES;
    for (unsigned index = 0; index < end; index++)
        if (lane_has_bytes(consumer, index))
            return 1;
    return 0;
}

int consumer_expects(const struct consumer *consumer, const uint64_t tails[WIRE_LANES],
                     int (*is_such)(const struct wire_header *record))
{
    for (unsigned lane = 0; lane < WIRE_LANES; lane++) {
        uint64_t head = consumer->heads[lane], length;
        if ((int64_t)(tails[lane] - head) > (int64_t)WIRE_LANE_BYTES)
            return 1;
        for (; (int64_t)(tails[lane] - head) > 0; head += length) {
            const uint64_t position = head % WIRE_LANE_BYTES;
            const struct wire_header *record =
                (const void *)(consumer->rings + (uint64_t)lane * WIRE_LANE_BYTES + position);
            length = __atomic_load_n(&record->length, __ATOMIC_RELAXED);
            if (length < sizeof(*record) || length % WIRE_RECORD_ALIGN ||
                length > WIRE_LANE_BYTES - position || is_such(record))
                return 1;
        }
    }
    return 0;
}

int consumer_take(struct consumer *consumer, const struct wire_header **ret_record,
                  struct error *err)
{
    unsigned first = consumer->lane;
    /* Clients take the lowest lane that is free, so one beyond those seen is enough to look at. */
    if (consumer->lanes_seen < WIRE_LANES && lane_has_bytes(consumer, consumer->lanes_seen))
        consumer->lanes_seen++;
    for (unsigned i = 0; i < consumer->lanes_seen; i++) {
        unsigned index = (first + i) % consumer->lanes_seen;
        int taken = take_from(consumer, index, err);
        if (taken > 0)
            *ret_record = (const struct wire_header *)consumer->record;
        if (taken)
            return taken;
    }
    return 0;
}

int consumer_look(struct consumer *consumer, const struct wire_header **ret_record,
                  struct error *err)
{
    uint64_t start_ns = clock_monotonic_ns();
    int expects = (int)__atomic_exchange_n(&consumer->expects, 0, __ATOMIC_RELAXED);
    uint32_t spin_ns = expects ? SPIN_CAP_NS : consumer->spin_ns;
    if (!wire_load_has_room(&consumer->load, start_ns))
        return 0;
    for (;;) {
        for (int i = 0; i < SPIN_LOOKS; i++) {
            int taken = consumer_take(consumer, ret_record, err);
            if (taken) {
                __atomic_store_n(&consumer->vain, 0, __ATOMIC_RELAXED);
                consumer->spin_ns += consumer->spin_ns < SPIN_CAP_NS ? consumer->spin_ns / 4 : 0;
                return taken;
            }
            __builtin_ia32_pause();
        }
        uint64_t now_ns = clock_monotonic_ns();
        if (now_ns - start_ns >= spin_ns)
            break;
        if (now_ns - start_ns >= WIRE_LOAD_ALONE_NS)
            wire_load_yield(&consumer->load, now_ns);
    }
    (void)__atomic_add_fetch(&consumer->vain, 1, __ATOMIC_RELAXED);
    if (!expects)
        consumer->spin_ns -= consumer->spin_ns > SPIN_BASE_NS ? consumer->spin_ns / 8 : 0;
    return 0;
}

int consumer_wait(struct consumer *consumer, uint64_t timeout_ns,
                  const struct wire_header **ret_record, struct error *err)
{
    int looks = __atomic_load_n(&consumer->expects, __ATOMIC_RELAXED) ||
                wire_load_is_worth(&consumer->vain);
    int taken = looks ? consumer_look(consumer, ret_record, err) : 0;
    return taken ? taken : consumer_sleep(consumer, timeout_ns, ret_record, err);
}

int consumer_sleep(struct consumer *consumer, uint64_t timeout_ns,
                   const struct wire_header **ret_record, struct error *err)
{
    uint32_t *asleep = &consumer->session->asleep;
    __atomic_store_n(asleep, 1, __ATOMIC_SEQ_CST);
    int taken = consumer_take(consumer, ret_record, err);
    if (!taken && !__atomic_load_n(&consumer->called, __ATOMIC_SEQ_CST))
        futex_sleep(asleep, 1, timeout_ns);
    __atomic_store_n(asleep, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&consumer->called, 0, __ATOMIC_SEQ_CST);
    return taken ? taken : consumer_take(consumer, ret_record, err);
}

void consumer_await(struct consumer *consumer, uint64_t timeout_ns)
{
    uint32_t *asleep = &consumer->session->asleep;
    __atomic_store_n(asleep, 1, __ATOMIC_SEQ_CST);
    if (!consumer_has_records(consumer) && !__atomic_load_n(&consumer->called, __ATOMIC_SEQ_CST))
        futex_sleep(asleep, 1, timeout_ns);
    __atomic_store_n(asleep, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&consumer->called, 0, __ATOMIC_SEQ_CST);
}

void consumer_call(struct consumer *consumer)
{
    __atomic_store_n(&consumer->called, 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&consumer->session->asleep, 0, __ATOMIC_SEQ_CST);
    futex_wake(&consumer->session->asleep, INT_MAX);
}

void consumer_expect(struct consumer *consumer)
{
    uint32_t *asleep = &consumer->session->asleep;
    if (!wire_load_is_worth(&consumer->vain) ||
        !wire_load_has_room(&consumer->load, clock_monotonic_ns()))
        return;
    __atomic_store_n(&consumer->expects, 1, __ATOMIC_RELAXED);
    if (__atomic_exchange_n(asleep, 0, __ATOMIC_SEQ_CST))
        futex_wake(asleep, 1);
}

int consumer_has_records(const struct consumer *consumer)
{
    for (unsigned i = 0; i <= consumer->lanes_seen && i < WIRE_LANES; i++)
        if (lane_has_bytes(consumer, i))
            return 1;
    return 0;
}

void consumer_reply(struct consumer *consumer, uint32_t sequence, int32_t status, uint64_t value,
                    uint64_t length)
{
    consumer_answer(consumer, consumer->lane, sequence, status, value, length);
}

void consumer_answer(struct consumer *consumer, unsigned index, uint32_t sequence, int32_t status,
                     uint64_t value, uint64_t length)
{
    struct wire_lane *lane = &consumer->lanes[index];
    lane->reply_status = status;
    lane->reply_value = value;
    lane->reply_length = length;
    __atomic_store_n(&lane->reply_sequence, sequence + 1, __ATOMIC_RELEASE);
    futex_wake(&lane->reply_sequence, INT_MAX);
}
