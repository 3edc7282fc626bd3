/* What the executor's files share: the one session this process serves, its objects (object.h) and
 * the verbs on them. One thread consumes records and owns the object table; the driver's threads
 * complete commands. */
#ifndef LEAT_CARD_EXECUTOR_SESSION_H
#define LEAT_CARD_EXECUTOR_SESSION_H

#include <pthread.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/list.h"
#include "card/executor/consumer.h"
#include "card/executor/executor.h"
#include "card/executor/object.h"
#include "card/executor/seat.h"
#include "card/wire/wire.h"

struct error;
struct ledger_card;
struct meter;

#define PACES 4096 /* learned kernel times; two kernels may share one */

struct command;
struct cuda;
struct readout;

struct event_slot {
    cl_event driver;         /* one reference owned; NULL: the driver never had the command */
    struct command *command; /* whose end is not published yet, or NULL; under commands_lock */
    cl_int error;            /* known failure of the command */
    uint32_t context;        /* of a user event */
    uint8_t in_use;
    uint8_t settled;   /* it had ended well when the driver let go of it: nothing to wait for */
    uint8_t user_open; /* a user event that is not set yet */
};

/* The file of spill.h. */
struct spill {
    int fd, is_open;
    uint64_t end_bytes;
    uint64_t left_bytes; /* that may still stay in memory */
};

/* When the driver tells of the arguments of kernels: see arg_info.h. */
enum arg_info_habit { ARG_INFO_UNKNOWN, ARG_INFO_WHEN_ASKED, ARG_INFO_ALWAYS };

/* Where a buffer lay in the arena that the client has left. */
struct place {
    uint64_t serial; /* of the object; 0: none */
    struct range range;
};

/* How far the client has come that is to leave its arena. */
enum leaving {
    LEAVING_NOT,
    LEAVING_USERS, /* it has been told; some threads are not out yet */
    LEAVING_POSTS, /* what they posted is not carried out yet */
    LEAVING_DONE
};

struct session {
    struct executor_params params;
    struct executor_client client;
    struct wire_session *shared;
    uint8_t *slab;
    uint8_t *arena;       /* NULL: the device has memory of its own */
    uint64_t arena_bytes; /* our copy of what the client can write */
    uint8_t *svm;         /* what kernels see at the addresses that the client has; or NULL */
    uint64_t svm_bytes;   /* from there on */
    int svm_apart;        /* that is not the arena: the client is on another host */
    uint64_t svm_region;  /* of svm.h; 0: there is none yet */
    struct svm_memory *svm_places; /* in it, by address */
    int svm_missed;                /* some of it did not come back to its address */
    uint32_t *ranges;              /* WIRE_RANGES */
    struct wire_queue_state *queue_states;
    struct wire_event_state *event_states;
    cl_device_id device; /* the first card's; NULL: the driver was not started, or is a CUDA one */
    struct cuda *cuda;   /* of a CUDA program, once the driver was started */
    int begun;           /* a record has come */
    int device_is_host;  /* its threads need the CPUs that the consumer would spin on */
    int builds_fd;       /* folder of kept builds; -1: none */
    char *device_text;   /* identity of the device and its driver, owned */
    enum arg_info_habit arg_info_habits[2]; /* with options; without any */
    struct seat seats[WIRE_CARDS_MAX];      /* its cards */
    unsigned seat_count;
    struct ledger_card *ledger; /* of the first */
    struct meter *meter;
    struct consumer consumer;

    struct object *objects;    /* WIRE_OBJECTS */
    uint64_t serials;          /* given to objects so far */
    struct event_slot *events; /* WIRE_EVENTS */
    uint32_t objects_end;      /* above the highest object id and event slot ever used: only what */
    uint32_t events_end;       /* lies below needs to be looked at when the session ends */
    cl_event *wait_list;       /* scratch: handles of the wait list under way, WIRE_LIST_MAX */
    cl_mem *memory_list;       /* scratch: handles of memory objects, WIRE_LIST_MAX */
    unsigned opcode, user_events_open; /* of the record under way; user events not set yet */
    struct queue *dirty[WIRE_QUEUES];
    unsigned dirty_count;
    struct queue *first; /* has commands that end before those of other queues begin; or NULL */

    pthread_mutex_t commands_lock; /* guards what follows and the commands' own state */
    struct list commands;          /* handed to the driver and not ended */
    struct list swept; /* ended by the sweep; kept, for the driver may still call back */
    struct command *queue_last[WIRE_QUEUES]; /* what later commands of the queue must follow */
    struct list quiet[WIRE_QUEUES]; /* commands whose end is looked for, in order, by queue slot */
    uint32_t quiet_end;             /* above the highest slot used for that */
    uint32_t quiet_count;           /* atomic */
    int reaping, reap_again, reap_rest; /* a thread looks for ends, is to again, and to rest */
    struct list spare;                  /* commands to be used again */
    unsigned unlooked;                  /* consumer's: quiet commands since it looked last */

    uint64_t paces[PACES];  /* ns, atomic; 0: not known */
    int output_caught;      /* standard output is a file of this session (output.h) */
    int64_t output_taken;   /* bytes of it that the client has */
    uint64_t buffers_held;  /* buffers in the object table */
    uint64_t buffers_alive; /* buffers the driver has not freed, atomic */

    struct executor_order order;   /* the last that came; valid once `orders` counts it */
    struct executor_notice notice; /* that answered it; valid once `orders_done` counts it */
    uint32_t orders;               /* futex: how many came, atomic */
    uint32_t orders_done;          /* how many of them were answered, atomic */
    struct spill spill;
    int suspended;                    /* consumer's, as what follows: nothing is on the device */
    enum leaving leaving;             /* its arena, for another host */
    uint64_t leave_tails[WIRE_LANES]; /* what was posted before the client had left it */
    uint64_t leave_until_ns;
    struct departure *departure; /* another host can go on with the session; owned; or NULL */
    int departed;                /* and it does */
    int is_back;          /* it is on its device here again, and waits for leat-cardd's word */
    int was_away;         /* it was another host's: the client stays out of its arena, */
    int comes_inside;     /* but it is filled again, and the client may use it once we stay */
    struct place *places; /* by object, of those that lay there; owned; NULL: not known */
    uint32_t places_end;
    char *moved_from;        /* identity of the device that it was on there, owned; or NULL */
    struct readout *readout; /* it is read out for another host; owned; or NULL */
    int holds_record;        /* the last record was taken and not carried out */
};

struct reply {
    int32_t status;
    int later; /* another thread answers */
    uint64_t value, length;
};

/* One handler per opcode: 0, or -EPROTO with err set when the record breaks the protocol. What
 * fails otherwise ends in the reply, in the object or in the event. */
typedef int record_handler(struct session *session, const struct wire_header *record,
                           struct reply *reply, struct error *err);

/* objects.c */
record_handler handle_context_create, handle_queue_create, handle_buffer_create,
    handle_subbuffer_create, handle_sampler_create, handle_release, handle_drain;
/* program.c */
record_handler handle_program_source, handle_program_binary, handle_program_built_in,
    handle_program_build, handle_program_get_binary, handle_program_get_build, handle_kernel_create;
/* image.c */
record_handler handle_image_create, handle_image_write, handle_image_read, handle_image_fill,
    handle_image_copy;
/* subdevice.c */
record_handler handle_device_partition, handle_context_devices, handle_object_status;
/* output.c */
record_handler handle_output_read;
/* readout.c */
record_handler handle_state_read;
/* event.c */
record_handler handle_user_event_create, handle_user_event_set, handle_event_release;
/* command.c, transfer.c, launch.c */
record_handler handle_flush;
record_handler handle_write, handle_read, handle_copy, handle_copy_rect, handle_rect_slab,
    handle_fill, handle_migrate, handle_sync_point;
record_handler handle_launch;
/* range.c */
record_handler handle_svm_place;
/* svm.c */
record_handler handle_svm_alloc, handle_kernel_pointers;
/* content_size.c */
record_handler handle_content_size;

/* The protocol is broken: fill err and yield -EPROTO (which the compiler can see). */
#define BAD_RECORD(err, ...) ((void)error_set(err, -EPROTO, "bad-record", __VA_ARGS__), -EPROTO)

/* A zeroed table that stays as long as the process and takes memory only where it is written to;
 * NULL: out of memory. An allocator might write zeroes to all of it. */
void *table_create(size_t count, size_t bytes);
/* Tables for a session whose shared memory, device, ledger and meter are set. 0 or -ENOMEM. */
int session_init(struct session *session, const struct wire_session *layout);
/* Release every object and event. Commands that wait for user events fail; no other may be
 * outstanding. */
void session_clear(struct session *session);
/* Run one checked record. 0 or -EPROTO. */
int session_dispatch(struct session *session, const struct wire_header *record, struct error *err);

/* The object `id` of a kind, never NULL on success; -EPROTO when there is no such object. */
int object_get(struct session *session, uint32_t id, enum object_kind kind,
               struct object **ret_object, struct error *err);
/* A free place for a new object `id`. */
int object_place(struct session *session, uint32_t id, struct object **ret_object,
                 struct error *err);
/* Make the driver's object: the first time, or again when it is away. CL_SUCCESS, or the error that
 * the object has from now on. */
cl_int object_make(struct session *session, struct object *object);
cl_int program_make(struct session *session, struct object *object);
cl_int kernel_make(struct session *session, struct object *object);
void kernel_set_again(struct session *session, struct object *object);
/* 1 when what it was made from is not there any more: a client that released it first. */
int object_is_orphan(struct session *session, const struct object *object);
/* Release the driver's object of an object that comes back, and only that. */
void object_put_away(struct session *session, struct object *object);
/* Wait, up to a second, until the driver holds at most `count` buffers: it drops a command's
 * buffers a moment after it has reported the command's end. */
void objects_wait_freed(struct session *session, uint64_t count);
/* Drop the driver's object and free the place. */
void object_release(struct session *session, struct object *object);
/* Free the place alone, of what is another host's now. */
void object_forget(struct object *object);
/* Drop the slot's event, if there is one, and free the slot. */
void event_clear(struct session *session, uint32_t slot);
/* Mark a cleared slot as holding an event. */
void event_use(struct session *session, uint32_t slot);
/* 0 when length bytes at offset lie inside the slab, else -EPROTO. */
int slab_check(uint64_t offset, uint64_t length, struct error *err);
/* Hand every command to the device. */
void session_flush(struct session *session);

#endif
