/* The one hidden context of this library in a user's process: the session with the executor, what
 * all objects draw on, and the rules of survival (fork, threads that come and go, a dead
 * executor). */
#ifndef LEAT_CARD_OPENCL_PROCESS_H
#define LEAT_CARD_OPENCL_PROCESS_H

#include <CL/cl.h>
#include <CL/cl_icd.h>
#include <pthread.h>
#include <stdint.h>

#include "card/opencl/arena.h"
#include "card/opencl/claim.h"
#include "card/opencl/object.h"
#include "card/opencl/sibling.h"
#include "card/opencl/snapshot.h"
#include "card/opencl/svm.h"
#include "card/wire/client.h"
#include "card/wire/lanes.h"
#include "card/wire/lock.h"
#include "card/wire/slab.h"
#include "card/wire/slots.h"

struct transfer;

struct _cl_platform_id {
    struct object object;
};

struct _cl_device_id {
    struct object object;     /* counts, too, what was made from a part */
    cl_device_id parent;      /* NULL: a card, whose number is the object's */
    cl_uint references;       /* to a part, as the program counts them; atomic */
    struct snapshot snapshot; /* what a part answers otherwise than its parent; all of a card but
                                 the first */
    char *answers;            /* where that lies, owned */
    uint32_t keeps;           /* a part that does not stand for its whole in contexts */
};

/* What a launch is checked against. */
struct device_limits {
    size_t work_item_sizes[3];
    uint64_t uneven_groups; /* the last group of a dimension may be smaller */
};

struct process {
    pthread_mutex_t lock; /* connecting, and creation of objects at the executor */
    int strict; /* LEAT_CARD_STRICT=1: commands end, and tell their error, before calls return */
    uint32_t user_events_open; /* user events without a status; atomic */
    int tried;                 /* the connection was tried since the last fork */
    unsigned card_number;      /* of the tokens in LEAT_CARD_TOKEN, ours */
    struct siblings siblings;  /* of the first card's library */
    struct wire_client client;
    struct snapshot snapshot;                  /* of platform and first device */
    struct device_limits limits;               /* of each */
    struct claimed_card cards[WIRE_CARDS_MAX]; /* in the order of the devices */
    unsigned card_count;
    struct _cl_platform_id platform;
    struct _cl_device_id devices[WIRE_CARDS_MAX];
    uint64_t serials;    /* atomic */
    uint32_t frees_sent; /* RELEASEs of buffers since the last DRAIN; atomic */

    struct slots ids, queue_slots, event_slots, range_numbers;
    struct arena arena;
    struct svm svm;

    struct wire_lanes lanes;

    pthread_mutex_t transfer_lock; /* slab and transfers */
    struct slab slab;
    uint64_t stuck; /* completion count, plus 1, with which the slab stays full; atomic; 0: none */
    struct transfer *transfers, **transfers_end;
    uint32_t reads_pending; /* transfers with data to copy out; atomic */

    uint32_t prints; /* a program may print; atomic */
    pthread_mutex_t output_lock;

    pthread_mutex_t callback_lock;
    pthread_cond_t callback_added;
    struct callback *callbacks;
    int callback_thread;
};

extern struct process process;
extern const struct _cl_icd_dispatch opencl_dispatch;

enum call_class { CALL_LOCAL, CALL_POSTED, CALL_WAITED };

/* Connect on first use. CL_SUCCESS, or CL_DEVICE_NOT_AVAILABLE when there is no card here. */
cl_int process_connect(void);
static inline int process_alive(void)
{
    return process.client.session && wire_alive(&process.client);
}

static inline void process_count(enum call_class kind)
{
    if (!process.client.session)
        return;
    struct wire_stats *stats = &process.client.session->stats;
    uint64_t *const counters[] = {&stats->calls_local, &stats->calls_posted, &stats->calls_waited};
    (void)__atomic_fetch_add(counters[kind], 1, __ATOMIC_RELAXED);
}

/* The stamp holds the generation, so that a parent's handle is no handle in its child. */
#define STAMP_MAGIC 0x4c450000u
static inline uint32_t object_stamp(enum object_type type)
{
    return STAMP_MAGIC + (process.lanes.generation << 8) + type;
}

static inline int handle_is(const void *handle, enum object_type type)
{
    const struct object *object = handle;
    return object && object->stamp == object_stamp(type) && object->dispatch == &opencl_dispatch;
}

/* Records. Begin reserves room on this thread's lane (NULL: too large, or the executor is gone);
 * then exactly one of: post, which sends; wait, which sends and waits for the reply, whose status
 * is the result and whose value and payload length go to `ret_value` and `ret_length` (may be
 * NULL). */
void *record_begin(uint64_t length);
void record_post(void *record, unsigned opcode, uint64_t length);
cl_int record_wait(void *record, unsigned opcode, uint64_t length, uint64_t *ret_value,
                   uint64_t *ret_length);

#endif
