/* Connecting to the card, and beginning anew after a fork: see process.h. */
#include "card/opencl/process.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "card/opencl/event.h"
#include "card/opencl/queue.h"

struct process process = {
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .lanes = WIRE_LANES_INIT,
    .transfer_lock = PTHREAD_MUTEX_INITIALIZER,
    .output_lock = PTHREAD_MUTEX_INITIALIZER,
    .callback_lock = PTHREAD_MUTEX_INITIALIZER,
    .callback_added = PTHREAD_COND_INITIALIZER,
    .client = {.socket_fd = -1},
    .platform = {{.dispatch = &opencl_dispatch, .stamp = STAMP_MAGIC + OBJECT_PLATFORM}},
    .devices = {{{.dispatch = &opencl_dispatch, .stamp = STAMP_MAGIC + OBJECT_DEVICE},
                 .references = 1}},
};

static pthread_once_t process_once = PTHREAD_ONCE_INIT;

static void device_init(unsigned number)
{
    process.devices[number] = (struct _cl_device_id){
        {.dispatch = &opencl_dispatch, .stamp = object_stamp(OBJECT_DEVICE), .id = number},
        .references = 1};
}

/* The child keeps the parent's memory but not its session: it connects anew at its first call, and
 * the parent's handles stop being handles. Other threads do not exist here, so no lock is
 * needed. */
static void fork_child(void)
{
    struct process *p = &process;
    wire_disconnect(&p->client);
    svm_forget();
    snapshot_finish(&p->snapshot);
    for (unsigned i = 0; i < p->card_count; i++) {
        claimed_finish(&p->cards[i]);
        snapshot_finish(&p->devices[i].snapshot);
    }
    slots_finish(&p->ids);
    slots_finish(&p->queue_slots);
    slots_finish(&p->event_slots);
    slots_finish(&p->range_numbers);
    struct wire_lanes lanes = p->lanes;
    wire_lanes_begin_anew(&lanes);
    *p = (struct process){
        .lanes = lanes,
        .card_number = p->card_number,
        .siblings = p->siblings,
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .transfer_lock = PTHREAD_MUTEX_INITIALIZER,
        .output_lock = PTHREAD_MUTEX_INITIALIZER,
        .callback_lock = PTHREAD_MUTEX_INITIALIZER,
        .callback_added = PTHREAD_COND_INITIALIZER,
        .client = {.socket_fd = -1},
        .platform = {{.dispatch = &opencl_dispatch}},
    };
    p->platform.object.stamp = object_stamp(OBJECT_PLATFORM);
    device_init(0);
}

static void process_prepare(void)
{
    (void)pthread_atfork(NULL, NULL,
                         fork_child); /* out of memory: forked children must not use us */
}

static void read_limits(struct device_limits *limits, const struct snapshot *snapshot)
{
    size_t length;
    const void *sizes =
        snapshot_find(snapshot, WIRE_INFO_DEVICE, CL_DEVICE_MAX_WORK_ITEM_SIZES, &length);
    if (sizes && length >= sizeof(limits->work_item_sizes))
        memcpy(limits->work_item_sizes, sizes, sizeof(limits->work_item_sizes));
    limits->uneven_groups =
        snapshot_number(snapshot, WIRE_INFO_DEVICE, CL_DEVICE_NON_UNIFORM_WORK_GROUP_SUPPORT);
}

/* The cards, and a device of each, under the numbers that the executor has for them. */
static cl_int open_cards(const struct wire_pages *pages)
{
    struct process *p = &process;
    const struct wire_session *session = p->client.session;
    const char *answers = wire_at(&p->client, session->snapshot_offset);
    const char *end = answers + WIRE_SNAPSHOT_BYTES;
    const struct wire_further first = {pages->ledger_fd, pages->claims_fd, p->client.slot};
    int failed = claimed_open(&p->cards[0], &first) < 0;
    uint64_t length = session->snapshot_length;
    if (length > WIRE_SNAPSHOT_BYTES)
        length = WIRE_SNAPSHOT_BYTES;
    failed |= snapshot_init(&p->snapshot, answers, length) < 0;
    for (p->card_count = 1; p->card_count <= pages->further_count; p->card_count++) {
        const unsigned number = p->card_count;
        const uint64_t next = wire_pad8(length);
        answers += next < (uint64_t)(end - answers) ? next : (uint64_t)(end - answers);
        length = session->further_lengths[number - 1];
        if (length > (uint64_t)(end - answers))
            length = (uint64_t)(end - answers);
        device_init(number);
        failed |= claimed_open(&p->cards[number], &pages->further[number - 1]) < 0;
        failed |= snapshot_init(&p->devices[number].snapshot, answers, length) < 0;
        failed |= slots_take(&p->ids) != number;
    }
    return failed ? CL_OUT_OF_HOST_MEMORY : CL_SUCCESS;
}

static cl_int start_session(const struct wire_pages *pages)
{
    struct process *p = &process;
    slots_init(&p->ids, WIRE_OBJECTS, NULL);
    slots_init(&p->queue_slots, WIRE_QUEUES, queue_slot_ended);
    slots_init(&p->event_slots, WIRE_EVENTS, event_slot_ended);
    slots_init(&p->range_numbers, WIRE_RANGES, NULL);
    slab_init(&p->slab);
    p->transfers_end = &p->transfers;
    cl_int result = open_cards(pages);
    if (result != CL_SUCCESS)
        return result;
    read_limits(&p->limits, &p->snapshot);
    return wire_lanes_open(&p->lanes, &p->client) == 0 ? CL_SUCCESS : CL_OUT_OF_RESOURCES;
}

static cl_int connect_locked(void)
{
    char token[WIRE_CARDS_MAX * WIRE_TOKEN_MAX];
    const char *path = getenv("LEAT_CARD_SOCKET");
    const char *tokens = getenv("LEAT_CARD_TOKEN");
    if (!path || !tokens)
        return CL_DEVICE_NOT_AVAILABLE;
    if (process.card_number == 0 && !process.siblings.sought)
        siblings_open(&process.siblings, tokens);
    if (sibling_token(tokens, process.card_number, token, sizeof(token)) < 0)
        return CL_DEVICE_NOT_AVAILABLE;
    const char *strict = getenv("LEAT_CARD_STRICT");
    process.strict = strict && strcmp(strict, "1") == 0;
    char text[WIRE_TEXT_MAX];
    struct wire_pages pages;
    if (wire_connect(&process.client, path, token, WIRE_HELLO_OPENCL, &pages, text) < 0) {
        (void)fprintf(stderr, "leat: no card here: %s\n", text); /* the one line we ever print */
        return CL_DEVICE_NOT_AVAILABLE;
    }
    return start_session(&pages);
}

cl_int process_connect(void)
{
    if (__atomic_load_n(&process.tried, __ATOMIC_ACQUIRE))
        return process.client.session ? CL_SUCCESS : CL_DEVICE_NOT_AVAILABLE;
    (void)pthread_once(&process_once, process_prepare);
    (void)pthread_mutex_lock(&process.lock);
    cl_int result = CL_SUCCESS;
    if (!process.tried)
        result = connect_locked();
    else if (!process.client.session)
        result = CL_DEVICE_NOT_AVAILABLE;
    __atomic_store_n(&process.tried, 1, __ATOMIC_RELEASE);
    (void)pthread_mutex_unlock(&process.lock);
    return result;
}

void *record_begin(uint64_t length)
{
    return wire_lanes_begin(&process.lanes, length);
}

void record_post(void *record, unsigned opcode, uint64_t length)
{
    (void)wire_lanes_post(&process.lanes, record, opcode, length); /* nobody asks for its place */
}

cl_int record_wait(void *record, unsigned opcode, uint64_t length, uint64_t *ret_value,
                   uint64_t *ret_length)
{
    struct wire_answer answer;
    if (wire_lanes_wait(&process.lanes, record, opcode, length, &answer, NULL) < 0)
        return CL_DEVICE_NOT_AVAILABLE;
    if (ret_value)
        *ret_value = answer.value;
    if (ret_length)
        *ret_length = answer.length;
    return answer.status;
}
