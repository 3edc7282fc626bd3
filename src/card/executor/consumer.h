/* The consuming end of a session's rings: takes records of all lanes in the order of their sequence
 * numbers, each as a private copy whose bounds are checked. Everything in the shared memory is
 * hostile. */
#ifndef LEAT_CARD_EXECUTOR_CONSUMER_H
#define LEAT_CARD_EXECUTOR_CONSUMER_H

#include <stdint.h>

#include "card/wire/load.h"
#include "card/wire/wire.h"

struct error;

struct consumer {
    struct wire_session *session;
    struct wire_lane *lanes;
    const uint8_t *rings;
    uint64_t heads[WIRE_LANES]; /* the truth; the shared heads are copies for the producers */
    uint32_t next_sequence;
    unsigned lane;       /* of the last record: the first to look at, and the one a reply goes to */
    unsigned lanes_seen; /* lanes below this were used once */
    uint32_t spin_ns;    /* how long to look before sleeping */
    uint32_t expects;    /* 1: a record will come any moment; atomic */
    uint32_t vain;       /* looks in line that found nothing, or were not tried; atomic */
    uint32_t called;     /* by consumer_call, atomic */
    struct wire_load load;
    _Alignas(16) uint8_t record[WIRE_RECORD_MAX];
};

/* `session` is laid out and zeroed; `layout` is a private copy of its offsets. */
void consumer_init(struct consumer *consumer, struct wire_session *session,
                   const struct wire_session *layout);
/* Go on where the other stands, which has taken records of the same session. */
void consumer_follow(struct consumer *consumer, const struct consumer *other);
/* The next record without waiting: 1 with a record that is valid until the next call, 0 when there
 * is none, -EPROTO with err set when the client broke the protocol. */
int consumer_take(struct consumer *consumer, const struct wire_header **ret_record,
                  struct error *err);
/* 1 when something was posted that is not taken yet. */
int consumer_has_more(const struct consumer *consumer);
/* As consumer_take, but looks for a while where a CPU is to spare. */
int consumer_look(struct consumer *consumer, const struct wire_header **ret_record,
                  struct error *err);
/* As consumer_look, and then sleeps for `timeout_ns` at most. */
int consumer_wait(struct consumer *consumer, uint64_t timeout_ns,
                  const struct wire_header **ret_record, struct error *err);
/* As consumer_wait, but sleeps at once: the client waits, too, so that nothing comes soon. */
int consumer_sleep(struct consumer *consumer, uint64_t timeout_ns,
                   const struct wire_header **ret_record, struct error *err);
/* Sleep until a record is there, which is not taken, or as consumer_wait does. */
void consumer_await(struct consumer *consumer, uint64_t timeout_ns);
/* From any thread: what the client waited for has ended, so that its next record will probably come
 * soon. A consumer that sleeps wakes while the client does, and looks for it. */
void consumer_expect(struct consumer *consumer);
/* From any thread: a consumer_wait that sleeps, or else the next one, returns at once. */
void consumer_call(struct consumer *consumer);
/* 1 when clients have put more than was taken. */
int consumer_has_records(const struct consumer *consumer);
/* 1 when `is_such` says so of a record that was posted before `tails` of the lanes and is not taken
 * yet, or when one is not whole. It is shown the shared memory. */
int consumer_expects(const struct consumer *consumer, const uint64_t tails[WIRE_LANES],
                     int (*is_such)(const struct wire_header *record));
/* Answer the record that was taken last. */
void consumer_reply(struct consumer *consumer, uint32_t sequence, int32_t status, uint64_t value,
                    uint64_t length);
/* From any thread: answer one that was taken from that lane, whose client waits for it. */
void consumer_answer(struct consumer *consumer, unsigned lane, uint32_t sequence, int32_t status,
                     uint64_t value, uint64_t length);

#endif
