/* One session's real OpenCL: a process of its own, forked by leat-cardd, that consumes the
 * session's rings and calls the device API itself. Its crash ends this session and nothing else. */
#ifndef LEAT_CARD_EXECUTOR_H
#define LEAT_CARD_EXECUTOR_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "card/wire/wire.h"

struct buf;
struct consumer;
struct departure;
struct error;
struct ledger_card;
struct ledger_claims;
struct trace;
struct meter_device;

/* Padding of what is sent would tell of the sender's memory. */
#pragma GCC diagnostic push
#pragma GCC diagnostic error "-Wpadded"

/* What leat-cardd says to an executor over its control descriptor, one message each; the next order
 * comes after the notice that answers the one before. After a leat-cardd that was killed the next
 * one sends the last order once more: it is carried out once, and the notice repeated. */
enum executor_verb {
    EXECUTOR_SUSPEND = 1, /* copy all device state to host memory and let go of the device */
    EXECUTOR_RESUME = 2,  /* bring it back to `places`, or ones that can stand in for them */
    EXECUTOR_SAVE = 3,    /* suspended: append what is in host memory to a checkpoint */
    EXECUTOR_LOAD = 4,    /* suspended: replace it by what a checkpoint has */
    EXECUTOR_REBUILD = 5, /* for a client of which it was told to be rebuilt: become, suspended,
                             what a checkpoint says of it */
    EXECUTOR_OFFER = 6,   /* suspended: bring the session to another host, to which the descriptor
                             leads; it goes on nowhere yet. A resumption takes the offer back */
    EXECUTOR_DEPART = 7,  /* after that: the program's records go there from now on */
    EXECUTOR_RETURN = 8 /* departed: fetch the session back, and have it on `device`, where it takes
                           no record. A resumption makes it stay, EXECUTOR_DEPART goes on there.
                           One that has not departed only waits for either */
};
struct executor_order {
    uint64_t number; /* 1 and up; of one that is repeated the same */
    uint32_t verb, zero;
    struct executor_place {
        uint32_t platform_index, device_index;
        struct meter_device *device; /* mapped by leat-cardd before the fork, so of one address */
    } places[WIRE_CARDS_MAX];        /* for each card of the session */
    uint64_t memory_bytes;           /* of a suspension: contents beyond that go to a file */
    int32_t departs; /* of a suspension: it is for an offer; the client leaves its arena for good */
    int32_t file_fd; /* of a save, load or offer: rides along, each side has its own; else -1 */
};
struct executor_notice {
    uint64_t order; /* the number of the order that it answers */
    uint32_t verb;
    int32_t status; /* 0, or a negative errno with the reason in text: all is as it was before */
    uint64_t bytes; /* contents in host memory now */
    uint64_t parts; /* of a checkpoint, written or used */
    char code[32];
    char text[128];
};

#define EXECUTOR_ID_BYTES WIRE_SESSION_ID_BYTES

/* The client that an executor serves: the first message on its control descriptor. It may come
 * again, and is passed over then. */
struct executor_client {
    uint8_t id[EXECUTOR_ID_BYTES]; /* random: names the session for ever, whoever serves it */
    uint64_t arena_bytes;          /* of the session memory; 0: the device has memory of its own */
    uint32_t slot;                 /* in the first card's pages, then in those of the others */
    uint32_t further_slots[WIRE_FURTHER_MAX];
    int32_t suspended;  /* start as after EXECUTOR_SUSPEND */
    int32_t rebuild;    /* another executor served it before: EXECUTOR_REBUILD is the first order */
    int32_t moved;      /* one of another host, whose client is a relay here */
    int32_t socket_fd;  /* its connection, whose end is the session's; */
    int32_t session_fd; /* memfd of the session memory, which it may be using already: both ride
                           along, and each side has its own numbers */
    uint32_t zero;
};
#pragma GCC diagnostic pop

/* A queue of the session, for who does not see its creation. */
struct executor_queue {
    uint32_t id, slot, in_order;
};

/* What departs: borrowed, but for the consumer's position, which is copied. */
struct executor_leaving {
    struct wire_session *session;
    struct ledger_card *ledger;
    struct ledger_claims *claims;
    uint32_t slot;
    const struct consumer *consumer;
    const struct wire_header *held; /* taken and not carried out; NULL: none */
    const struct executor_queue *queues;
    uint32_t queue_count;
    int (*is_called)(const void *arg); /* from any thread: 1 when leat-cardd has an order */
    const void *arg;
};

/* The way to another host (card/relay), which an executor is given so that it need not know of it.
 * A connection is `fd`, over which all that the session is has gone already. */
struct executor_relay {
    /* Wait until the other host has the session: 0, or a negative errno with its words. `fd` is
     * taken over in any case. */
    int (*offer)(int fd, struct departure **ret_departure, struct error *err);
    void (*keep)(struct departure *departure); /* nothing else is said for a second or longer */
    void (*take_back)(struct departure *departure);
    /* Forward what the program posts, and write what comes back, until it is called; a host that is
     * lost ends the process. What departs counts when it is called first. */
    void (*run)(struct departure *departure, const struct executor_leaving *leaving);
    /* All that was forwarded ends, and the other host gives the session out: 0 with the position in
     * the rings from which on nothing was forwarded, or a negative errno with err set. */
    int (*recall)(struct departure *departure, struct consumer *consumer, struct error *err);
    /* Its checkpoint (a checkpoint_pull): `departure` is a struct departure. */
    int (*pull)(void *departure, void *data, size_t length);
    /* It is whole: a host that is lost does not matter any more, until `run`. */
    void (*have)(struct departure *departure);
};

/* What an executor has of a card; all pages are mapped read-write by leat-cardd before the fork. */
struct executor_card {
    struct ledger_card *ledger;
    struct trace *trace;         /* NULL: none */
    struct meter_device *device; /* turn of the device */
    int notify_fd; /* eventfd of the card, for meter_create; never sent to the client */
    unsigned platform_index, device_index; /* which device of which OpenCL platform */
};

struct executor_params {
    int control_fd; /* SOCK_SEQPACKET: a client comes, then orders; notices go */
    int is_spare;   /* there is no client yet: start the driver at once */
    struct executor_card cards[WIRE_CARDS_MAX]; /* of the session, one device each */
    unsigned card_count;
    struct ledger_claims *claims;       /* of the first card, as what follows */
    const struct executor_relay *relay; /* NULL: sessions cannot go to another host */
    const char *card_name;
    const char *uuid; /* of a CUDA device; NULL: not told */
    int cuda;         /* the client is a CUDA program */
    /* Absolute: where compiled code is kept for the card's tenant, the one folder that the executor
     * and its driver may write. */
    const char *cache_dir;
    pid_t parent_pid; /* leat-cardd: the executor leaves when this is not its parent any more; 0:
                         any */
};

/* Runs in the forked child and does not return: waits for its client, serves it until it leaves or
 * leat-cardd dies, then ends the process. The client has been welcomed. Unless this is a spare the
 * driver is started for the first record, so a program that only asks for the device never waits
 * for it. */
_Noreturn void executor_main(const struct executor_params *params);
/* In the parent, which has the other end of the control descriptor and keeps what it hands over: 0,
 * or a negative errno when the executor has ended. */
int executor_serve(int control_fd, const struct executor_client *client);

/* Map the libraries of the machine's drivers, without a call into one: a process forked afterwards
 * need not do it again, which is most of a session's start (PoCL with LLVM: 32 of 37 ms). 0, or
 * -EBUSY when a library has started a thread, so that this process must not fork any more. The
 * probe tries it out first. */
int executor_preload(void);

/* What the probe ends with: the list is complete, and the libraries may be preloaded or not. */
enum executor_probe_exit { PROBE_MAY_PRELOAD = 0, PROBE_FAILED = 1, PROBE_NO_PRELOAD = 2 };

/* Ask the OpenCL platforms of this machine for their devices. Runs in a forked child, too (a driver
 * may start threads or crash); writes one JSON array of devices to `out_fd`: platform_index,
 * device_index, platform, name, vendor, version, driver, kind (cpu, gpu, accelerator),
 * memory_bytes, max_alloc_bytes, compute_units, uuid (hex or empty), shares_memory (buffers can lie
 * in the arena) and snapshot_bytes. Leat's own platform is left out. `snapshots` has
 * WIRE_SNAPSHOT_BYTES for each of PROBE_DEVICES_MAX devices, in the array's order. Returns an
 * executor_probe_exit. */
#define PROBE_DEVICES_MAX 64
int executor_probe(int out_fd, uint8_t *snapshots);

/* Answer each byte that comes at `fd` with a line: a JSON array of the processes that hold memory
 * of NVIDIA's devices, each with device, pid and bytes. Runs in a forked child; its exit status,
 * when nobody asks any more or nothing can be told. */
int executor_audit(int fd);

/* Make the snapshot of a device, as the probe wrote it, that of a card with this quota. */
void executor_fit_snapshot(uint8_t *snapshot, uint64_t length, uint64_t quota_bytes);

#endif
