/* A session for fuzz targets, and one lane of it that holds what a fuzzer says.
 *
 * The first byte of an input chooses, see below. RING_RECORDS: the rest is a run of records, each
 * one byte opcode, one byte length (in units of 8 after the header) and so many bytes, which get a
 * header that is right; with the opcode RING_SLAB they lie in the slab instead, the first run of
 * them at its begin, the others behind. Without it the rest is a ring as it is. */
#ifndef LEAT_FUZZ_RING_H
#define LEAT_FUZZ_RING_H

#include <stddef.h>
#include <stdint.h>

#include "card/executor/session.h"
#include "card/ledger/ledger.h"
#include "card/meter/meter.h"

#define RING_INPUT_MAX (WIRE_LANE_BYTES / 2)
#define RING_SLAB 0xff

enum ring_mode {
    RING_RECORDS = 1,
    RING_ARENA = 2,  /* the session has one */
    RING_SHARES = 4, /* the device works on the host's memory */
    RING_LANES = 8   /* records come by several lanes in turn */
};

/* One session for all inputs of a process: making its tables anew would take most of the time. Its
 * card is one that has no other. */
struct bench {
    uint8_t *pages; /* NULL: not open yet */
    uint8_t *arena;
    uint64_t arena_bytes;
    struct wire_session layout;
    struct session session;
    struct ledger_card card;
    struct meter_device device;
};

/* `bench` is zero but for what the caller wants otherwise of the session, which keeps no builds and
 * has no device and no arena yet. */
void bench_open(struct bench *bench, uint64_t quota_bytes, uint64_t arena_bytes);
/* With 0 the session gets no arena. */
void bench_place(struct bench *bench, int has_arena);
/* Begin anew, with a ring that holds the input; `length` is 1 to RING_INPUT_MAX. */
void bench_fill(struct bench *bench, const uint8_t *data, size_t length);
/* Hand all records to the session, up to the first that breaks the protocol. Aborts when something
 * else ends it, or nothing says why. */
void bench_consume(struct bench *bench);

#endif
