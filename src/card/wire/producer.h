/* The producing end of one lane: a thread reserves room in its ring, fills the record in place and
 * publishes it. The record's place in the session's total order is taken while it is published, so
 * the executor never waits for a thread that is still filling. */
#ifndef LEAT_CARD_WIRE_PRODUCER_H
#define LEAT_CARD_WIRE_PRODUCER_H

#include <stdint.h>

struct wire_client;
struct wire_header;
struct wire_lane;

/* Owned by one thread; only that thread may use it. */
struct wire_producer {
    struct wire_lane *lane; /* NULL: none taken */
    uint8_t *ring;
    uint64_t tail;      /* published */
    uint64_t head_seen; /* of the executor, as last looked at */
    unsigned skip;      /* bytes left unused in front of the reserved record */
    unsigned index;
};

/* Take a free lane: 0, or -EAGAIN while all are taken. */
int wire_producer_open(struct wire_client *client, struct wire_producer *producer);
void wire_producer_close(struct wire_client *client, struct wire_producer *producer);

/* Room for a record of at most `length` bytes, aligned to 16; waits while the ring is full. NULL
 * when it would exceed WIRE_RECORD_MAX or the executor is gone. No other reservation on this
 * producer until the record is published; a reservation may be left unpublished. */
void *wire_reserve(struct wire_client *client, struct wire_producer *producer, uint64_t length);
/* Publish what was reserved, `length` bytes of it (at most what was asked for). Returns its
 * sequence number. */
uint32_t wire_publish(struct wire_client *client, struct wire_producer *producer,
                      struct wire_header *record, unsigned opcode, uint64_t length);
/* Wait for the reply to the record just published. 0, or -EPIPE when the executor is gone. */
int wire_wait_reply(struct wire_client *client, struct wire_producer *producer, uint32_t sequence);

#endif
