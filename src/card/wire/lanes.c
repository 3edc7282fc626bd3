/* Giving lanes to threads and taking them back: see lanes.h. */
#include "card/wire/lanes.h"

#include "card/wire/client.h"

/* A thread's lane, given back when the thread ends. A thread uses one session of each library. */
struct thread_lane {
    struct wire_lanes *lanes;
    struct wire_producer producer;
    uint32_t generation; /* of the session that the lane belongs to, plus 1; 0: none */
    uint32_t borrows;    /* the record begun is on the shared lane, which is locked */
};
static __thread struct thread_lane thread_lane;
static pthread_key_t thread_key;
static pthread_once_t thread_once = PTHREAD_ONCE_INIT;

static void thread_leave(void *arg)
{
    struct thread_lane *mine = arg;
    if (mine->generation == mine->lanes->generation + 1 && mine->lanes->client)
        wire_producer_close(mine->lanes->client, &mine->producer);
    mine->generation = 0;
}

static void thread_prepare(void)
{
    (void)pthread_key_create(&thread_key, thread_leave); /* none left: lanes are not given back */
}

int wire_lanes_open(struct wire_lanes *lanes, struct wire_client *client)
{
    (void)pthread_once(&thread_once, thread_prepare); /* cannot fail */
    lanes->client = client;
    return wire_producer_open(client, &lanes->shared);
}

void wire_lanes_begin_anew(struct wire_lanes *lanes)
{
    *lanes = (struct wire_lanes){.generation = lanes->generation + 1,
                                 .shared_lock = PTHREAD_MUTEX_INITIALIZER};
}

/* The lane for one record. */
static struct wire_producer *lane_take(struct wire_lanes *lanes)
{
    struct thread_lane *mine = &thread_lane;
    if (mine->generation == lanes->generation + 1)
        return &mine->producer;
    if (!lanes->client || !wire_alive(lanes->client))
        return NULL;
    if (wire_producer_open(lanes->client, &mine->producer) < 0) {
        (void)pthread_mutex_lock(&lanes->shared_lock);
        mine->borrows = 1;
        return &lanes->shared;
    }
    mine->lanes = lanes;
    mine->generation = lanes->generation + 1;
    (void)pthread_setspecific(thread_key, mine); /* out of memory: the lane stays taken */
    return &mine->producer;
}

static struct wire_producer *lane_held(struct wire_lanes *lanes)
{
    return thread_lane.borrows ? &lanes->shared : &thread_lane.producer;
}

static void lane_give(struct wire_lanes *lanes)
{
    if (!thread_lane.borrows)
        return;
    thread_lane.borrows = 0;
    (void)pthread_mutex_unlock(&lanes->shared_lock);
}

void *wire_lanes_begin(struct wire_lanes *lanes, uint64_t length)
{
    struct wire_producer *lane = lane_take(lanes);
    if (!lane)
        return NULL;
    void *record = wire_reserve(lanes->client, lane, length);
    if (!record)
        lane_give(lanes);
    return record;
}

uint32_t wire_lanes_post(struct wire_lanes *lanes, void *record, unsigned opcode, uint64_t length)
{
    uint32_t sequence = wire_publish(lanes->client, lane_held(lanes), record, opcode, length);
    lane_give(lanes);
    return sequence;
}

int wire_lanes_wait(struct wire_lanes *lanes, void *record, unsigned opcode, uint64_t length,
                    struct wire_answer *ret_answer, uint32_t *ret_sequence)
{
    struct wire_producer *lane = lane_held(lanes);
    uint32_t sequence = wire_publish(lanes->client, lane, record, opcode, length);
    int result = wire_wait_reply(lanes->client, lane, sequence);
    if (result == 0)
        *ret_answer = (struct wire_answer){lane->lane->reply_status, lane->lane->reply_value,
                                           lane->lane->reply_length};
    if (ret_sequence)
        *ret_sequence = sequence;
    lane_give(lanes);
    return result;
}
