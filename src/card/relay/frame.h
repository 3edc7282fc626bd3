/* What two relays say to each other: frames of a header and a body, in both directions at once over
 * one byte stream. Integers are little-endian, as everywhere in Leat.
 *
 * A session mirrors the client's slab: bytes keep their offset on both hosts, so a record needs no
 * rewriting. What a record refers to in the slab follows it; what a command or a reply leaves there
 * comes back before the client is told of its end. The slab is also the flow control: no more than
 * WIRE_SLAB_BYTES of data are ever on their way. Slab bytes may be packed: see bulk.h; a frame's
 * length is what they are when unpacked. */
#ifndef LEAT_CARD_RELAY_FRAME_H
#define LEAT_CARD_RELAY_FRAME_H

#include <stdint.h>

#include "card/ledger/ledger.h"
#include "card/wire/wire.h"

struct error;

#define RELAY_MAGIC 0x5941454cu /* "LEAY" */
#define RELAY_VERSION 8
#define RELAY_PORT "7311"
#define RELAY_TOKEN_MAX 72

/* Padding of what is sent would tell of the sender's memory. */
#pragma GCC diagnostic push
#pragma GCC diagnostic error "-Wpadded"

/* First in either direction. The calling relay says what it wants; the answer is a verdict. */
enum relay_purpose {
    RELAY_INVALID,
    RELAY_CONTROL, /* afterwards: the bytes of leat-cardd's control socket, without frames */
    RELAY_SESSION, /* afterwards: frames */
    RELAY_MOVED    /* first a checkpoint, then the verdict, afterwards: frames */
};
struct relay_hello {
    uint32_t magic, version;
    uint32_t purpose;                       /* enum relay_purpose */
    uint32_t program;                       /* enum wire_hello_flags, of a session */
    char token[RELAY_TOKEN_MAX];            /* of the host; NUL-ended */
    char card_token[WIRE_TOKEN_MAX];        /* of a session's card; NUL-ended */
    uint8_t session[WIRE_SESSION_ID_BYTES]; /* that moved */
};
struct relay_verdict {
    uint32_t magic, version;
    int32_t status; /* 0 or a negative errno; the text says why */
    uint32_t slot;  /* of the session in the card's ledger */
    char text[256];
};

enum frame_kind {
    FRAME_INVALID,
    FRAME_PING, /* no body: the sender lives */
    /* Client to device. */
    FRAME_RECORD,  /* the record, then the slab bytes of its to_device part */
    FRAME_ACCOUNT, /* struct frame_account */
    FRAME_QUEUE,   /* struct frame_queue: one that was made before the session moved */
    /* Device to client. */
    FRAME_SNAPSHOT, /* the answers to the info queries; once, first */
    FRAME_DATA,     /* struct frame_data, then its bytes */
    FRAME_ENDS,     /* struct frame_ends, then event_end and queue_end items */
    FRAME_REPLY,    /* struct frame_reply */
    FRAME_LEDGER,   /* struct frame_ledger, then slot items */
    FRAME_KINDS
};

struct frame_header {
    uint32_t length; /* of the body */
    uint16_t kind;   /* enum frame_kind */
    uint16_t lane;   /* of a record and of its reply */
};

/* The client's own figures: what it has claimed, and its counters. */
struct frame_account {
    uint64_t claimed_total_bytes;
    struct wire_stats stats;
};

struct frame_queue {
    uint32_t id, slot, in_order;
};

struct frame_data {
    uint64_t slab_offset;
};

struct queue_end {
    uint32_t slot;
    int32_t error;
    uint64_t completed;
};
struct event_end {
    uint32_t slot;
    int32_t status;
    uint64_t queued_ns, submit_ns, start_ns, end_ns;
};
struct frame_ends {
    uint32_t event_count, queue_count;
};

struct frame_reply {
    uint32_t sequence; /* of the record */
    int32_t status;
    uint64_t value, length;
};

/* Slots that changed. A slot that is not the session's own says in `used_bytes` what its session
 * holds (on the device or away) or has claimed, so that a claim is decided as on the device's
 * host. */
struct ledger_end {
    uint32_t slot, state;
    uint64_t used_bytes, pending_bytes, freed_total_bytes;
};
struct frame_ledger {
    uint64_t quota_bytes;
    uint32_t count, reserved;
};

#pragma GCC diagnostic pop

#define FRAME_BODY_MAX (WIRE_RECORD_MAX + WIRE_SLAB_BYTES)

/* The parts of the slab that a record refers to. */
struct span {
    uint64_t offset, bytes;
};
struct spans {
    struct span to_device;   /* read by the executor */
    struct span from_device; /* written before the command ends */
    struct span reply;       /* room for the reply's payload */
};
/* `record` is a private copy that wire_record_check found right. 0, or -EPROTO with err set when
 * the record is of a kind that does not travel or its parts lie outside the slab. */
int relay_spans(const struct wire_header *record, struct spans *ret_spans, struct error *err);
/* The id of the queue that the record names, or 0; a FLUSH names one and is no command. */
uint32_t relay_queue_id(const struct wire_header *record);
/* The event slot that the command takes, or 0. */
uint32_t relay_event(const struct wire_header *record);

/* Of a session that moved: it goes on counting where it was, and of the ledger, which it shares
 * with others here, it has a slot of its own. */
struct mirror_moved {
    uint32_t far_slot, slot; /* of the ledgers there and here */
    uint64_t freed_bytes;    /* before it moved, as what follows */
    uint64_t completed[WIRE_QUEUES];
};

/* Where a session's memory has what frames change. */
struct mirror {
    const struct mirror_moved *moved; /* borrowed; NULL: it did not */
    struct wire_session *session;
    struct ledger_card *ledger;
    struct wire_lane *lanes;
    struct wire_queue_state *queues;
    struct wire_event_state *events;
    uint8_t *slab;
};
void mirror_init(struct mirror *mirror, struct wire_session *session, struct ledger_card *ledger);
/* Apply a frame from the device's host to the client's memory and wake who waits for it; for
 * FRAME_DATA the bytes are already in the slab. 0, or -EPROTO with err set. `ret_ended` is raised
 * by the number of commands that have ended. */
int mirror_apply(struct mirror *mirror, const struct frame_header *header, const void *body,
                 uint64_t *ret_ended, struct error *err);

#endif
