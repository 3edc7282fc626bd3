/* The memory of a session, and one lane of it that holds what a fuzzer says.
 *
 * The first byte of an input chooses: even, the rest is a ring as it is; odd, the rest is a run of
 * records, each one byte opcode, one byte length (in units of 8 after the header) and so many
 * bytes, which get a header that is right. */
#ifndef LEAT_FUZZ_RING_H
#define LEAT_FUZZ_RING_H

#include <stddef.h>
#include <stdint.h>

struct session;
struct wire_session;

#define RING_INPUT_MAX (WIRE_LANE_BYTES / 2)

/* Followed by a page without access, so that the slab's end is where it should be. */
uint8_t *ring_map(struct wire_session *ret_layout);
/* `length` is 1 to RING_INPUT_MAX. */
void ring_fill(uint8_t *pages, const struct wire_session *layout, const uint8_t *data,
               size_t length);
/* Hand all records to the session, up to the first that breaks the protocol. Aborts when something
 * else ends it, or nothing says why. */
void ring_consume(struct session *session);

#endif
