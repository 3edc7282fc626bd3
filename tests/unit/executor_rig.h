/* A session for tests: an executor in a forked child and the client's side of its memory, driven
 * record by record, good and bad, without the OpenCL library of user processes. */
#ifndef LEAT_TEST_EXECUTOR_RIG_H
#define LEAT_TEST_EXECUTOR_RIG_H

#include <stdint.h>
#include <sys/types.h>

#include "card/ledger/ledger.h"
#include "card/meter/meter.h"
#include "card/wire/wire.h"

#define RIG_ARENA_BYTES (1u << 20)

struct rig {
    pid_t pid;
    int socket_fd;
    struct wire_session *session;
    struct wire_session layout;
    struct ledger_card *ledger;
    struct meter_device *device;
    uint64_t session_bytes;
    uint64_t tail;
    uint32_t sequence;
};

struct rig_card {
    struct ledger_card *ledger;
    struct meter_device *device;
};

/* Shared pages of a card; freed with the process. */
struct rig_card rig_card(uint64_t quota_bytes, uint32_t share_permille);
/* Fork an executor for `slot` of the card. 0 or a negative errno. */
int rig_open(struct rig *rig, struct rig_card card, unsigned slot);
/* One for several cards, each of another device: with `slot` of the first, the next of the
 * second. */
int rig_open_cards(struct rig *rig, const struct rig_card *cards, unsigned count, unsigned slot);
/* Hang up and wait for the executor; its wait status. */
int rig_close(struct rig *rig);
/* Wait for an executor that leaves by itself; its wait status. */
int rig_wait_end(struct rig *rig);

/* Post a record: fixed part and tail as they are; `length` is set. Returns its sequence number. */
uint32_t rig_post(struct rig *rig, unsigned opcode, const void *record, uint64_t bytes);
/* Post bytes as they are, the header included; a multiple of WIRE_RECORD_ALIGN, ring not
 * wrapping. */
void rig_post_raw(struct rig *rig, const void *bytes, uint64_t length);
/* Post a record that waits; the status of its reply. */
int rig_call(struct rig *rig, unsigned opcode, const void *record, uint64_t bytes);
/* Wait until a queue has completed so many commands. */
void rig_wait_completed(struct rig *rig, unsigned queue_slot, uint64_t count);
int32_t rig_event_status(struct rig *rig, unsigned slot);
void rig_wait_event(struct rig *rig, unsigned slot);
uint8_t *rig_slab(struct rig *rig);
uint8_t *rig_arena(struct rig *rig);
uint32_t *rig_range(struct rig *rig, unsigned range);
struct wire_queue_state *rig_queue(struct rig *rig, unsigned slot);
struct wire_event_state *rig_event(struct rig *rig, unsigned slot);

#define RIG_POST(rig, opcode, record) rig_post(rig, opcode, &(record), sizeof(record))
#define RIG_CALL(rig, opcode, record) rig_call(rig, opcode, &(record), sizeof(record))

#endif
