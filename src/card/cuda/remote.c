/* Session, records and handles of a remote card: see remote.h. */
#include "card/cuda/remote.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "card/cuda/driver.h"
#include "card/cuda/process.h"
#include "card/ledger/ledger.h"
#include "card/wire/client.h"
#include "card/wire/lanes.h"
#include "card/wire/slab.h"
#include "card/wire/slots.h"
#include "cuda_api.h"

#define STAMP_MAGIC 0x4c430000u
#define GONE CUDA_ERROR_SYSTEM_NOT_READY

/* Slab pages that a posted record refers to. */
struct loan {
    uint32_t sequence; /* of the record */
    uint64_t offset, bytes;
};

static struct {
    pthread_mutex_t lock; /* opening */
    struct wire_client *client;
    const struct ledger_card *ledger;
    int opened, strict, has_device;
    struct wire_lanes lanes;
    struct slots ids;
    struct wire_cuda_device device;
    pthread_mutex_t slab_lock; /* what follows */
    struct slab slab;
    struct loan *loans;
    uint32_t loan_count, loan_room;
} remote = {.lock = PTHREAD_MUTEX_INITIALIZER,
            .lanes = WIRE_LANES_INIT,
            .slab_lock = PTHREAD_MUTEX_INITIALIZER};

/* What the record that this thread posts next refers to. */
static __thread struct loan lending;
static pthread_once_t remote_once = PTHREAD_ONCE_INIT;

/* ---- the session ---- */

/* The session was the parent's: handles stop being handles, for their stamps are of another
 * generation. */
static void begin_anew(void)
{
    (void)pthread_mutex_init(&remote.lock, NULL);
    (void)pthread_mutex_init(&remote.slab_lock, NULL);
    wire_lanes_begin_anew(&remote.lanes);
    slots_finish(&remote.ids);
    free(remote.loans);
    remote.loans = NULL;
    remote.loan_count = remote.loan_room = 0;
    remote_memory_clear();
    remote.client = NULL;
    remote.opened = remote.has_device = 0;
}

static void watch_forks(void)
{
    (void)pthread_atfork(NULL, NULL, begin_anew); /* without memory a child has no card */
}

static void open_session(void)
{
    const char *strict = getenv("LEAT_CARD_STRICT");
    remote.strict = strict && strcmp(strict, "1") == 0;
    remote.client = process_remote(&remote.ledger);
    slots_init(&remote.ids, WIRE_OBJECTS, NULL);
    slab_init(&remote.slab);
    if (remote.client && wire_lanes_open(&remote.lanes, remote.client) < 0)
        remote.client = NULL;
}

/* 1 when there is a session. */
static int is_open(void)
{
    if (!__atomic_load_n(&remote.opened, __ATOMIC_ACQUIRE)) {
        (void)pthread_once(&remote_once, watch_forks); /* cannot fail */
        (void)pthread_mutex_lock(&remote.lock);
        if (!remote.opened)
            open_session();
        __atomic_store_n(&remote.opened, 1, __ATOMIC_RELEASE);
        (void)pthread_mutex_unlock(&remote.lock);
    }
    return remote.client != NULL;
}

void *remote_entry(unsigned name)
{
    const struct ledger_card *ledger;
    if (!process_remote(&ledger))
        return NULL;
    return remote_table[name] ? remote_table[name] : (void *)driver_refuses;
}

/* ---- the slab ---- */

void *remote_room_at(uint64_t offset)
{
    return (char *)wire_at(remote.client, remote.client->session->slab_offset) + offset;
}

void remote_room_give(uint64_t offset, uint64_t bytes)
{
    (void)pthread_mutex_lock(&remote.slab_lock);
    slab_give(&remote.slab, offset, bytes);
    (void)pthread_mutex_unlock(&remote.slab_lock);
}

void remote_room_lend(uint64_t offset, uint64_t bytes)
{
    lending = (struct loan){.offset = offset, .bytes = bytes};
}

/* Records are carried out in order: with a reply, what came before has been read. */
static void take_back_loans(uint32_t answered)
{
    uint32_t kept = 0;
    if (__atomic_load_n(&remote.loan_count, __ATOMIC_RELAXED) == 0)
        return;
    (void)pthread_mutex_lock(&remote.slab_lock);
    for (uint32_t i = 0; i < remote.loan_count; i++) {
        struct loan loan = remote.loans[i];
        if ((int32_t)(loan.sequence - answered) < 0)
            slab_give(&remote.slab, loan.offset, loan.bytes);
        else
            remote.loans[kept++] = loan;
    }
    __atomic_store_n(&remote.loan_count, kept, __ATOMIC_RELAXED);
    (void)pthread_mutex_unlock(&remote.slab_lock);
}

/* Without memory the pages are lost, and no more than that. */
static void note_loan(uint32_t sequence)
{
    if (!lending.bytes)
        return;
    lending.sequence = sequence;
    (void)pthread_mutex_lock(&remote.slab_lock);
    if (remote.loan_count == remote.loan_room) {
        uint32_t room = remote.loan_room ? remote.loan_room * 2 : 64;
        struct loan *more = realloc(remote.loans, room * sizeof(*more));
        remote.loans = more ? more : remote.loans;
        remote.loan_room = more ? room : remote.loan_room;
    }
    if (remote.loan_count < remote.loan_room) {
        remote.loans[remote.loan_count] = lending;
        __atomic_store_n(&remote.loan_count, remote.loan_count + 1, __ATOMIC_RELAXED);
    }
    (void)pthread_mutex_unlock(&remote.slab_lock);
    lending.bytes = 0;
}

static int try_room(uint64_t bytes, uint64_t *ret_offset)
{
    (void)pthread_mutex_lock(&remote.slab_lock);
    int r = slab_take(&remote.slab, WIRE_SLAB_USUAL_BYTES, bytes, ret_offset);
    (void)pthread_mutex_unlock(&remote.slab_lock);
    return r;
}

/* Who waits sends a record of which nobody is told what failed: what that was is kept for the
 * next. */
CUresult remote_room(uint64_t bytes, uint64_t *ret_offset)
{
    if (!is_open())
        return GONE;
    while (try_room(bytes, ret_offset) < 0) {
        const struct remote_call pause = {.call = WIRE_CUDA_PAUSE};
        CUresult result = remote_ask(&pause, NULL);
        if (result != CUDA_SUCCESS)
            return result;
    }
    return CUDA_SUCCESS;
}

/* ---- records ---- */

void *remote_begin(uint64_t length)
{
    return is_open() ? wire_lanes_begin(&remote.lanes, length) : NULL;
}

static void count(uint64_t *counter)
{
    (void)__atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

static CUresult post(void *record, unsigned opcode, uint64_t length)
{
    count(&remote.client->session->stats.calls_posted);
    note_loan(wire_lanes_post(&remote.lanes, record, opcode, length));
    return CUDA_SUCCESS;
}

CUresult remote_post(void *record, unsigned opcode, uint64_t length)
{
    const struct remote_call nothing = {.call = WIRE_CUDA_NOTHING};
    CUresult result = post(record, opcode, length);
    return remote.strict ? remote_ask(&nothing, NULL) : result;
}

CUresult remote_wait(void *record, unsigned opcode, uint64_t length, uint64_t *ret_value,
                     uint64_t *ret_length)
{
    struct wire_answer answer = {0};
    uint32_t sequence;
    count(&remote.client->session->stats.calls_waited);
    int r = wire_lanes_wait(&remote.lanes, record, opcode, length, &answer, &sequence);
    note_loan(sequence);
    if (r < 0)
        return GONE;
    take_back_loans(sequence + 1);
    if (ret_value)
        *ret_value = answer.value;
    if (ret_length)
        *ret_length = answer.length;
    return (CUresult)answer.status;
}

/* Both records are laid out alike. */
static struct wire_cuda_ask *begin_call(const struct remote_call *call)
{
    struct wire_cuda_ask *record = remote_begin(sizeof(*record));
    if (!record)
        return NULL;
    record->call = call->call;
    record->context_id = remote_context_id();
    record->object_id = call->object;
    record->other_id = call->other;
    record->first = call->first;
    record->second = call->second;
    record->third = call->third;
    return record;
}

CUresult remote_ask(const struct remote_call *call, uint64_t *ret_value)
{
    struct wire_cuda_ask *record = begin_call(call);
    return record ? remote_wait(record, WIRE_CUDA_ASK, sizeof(*record), ret_value, NULL) : GONE;
}

CUresult remote_tell(const struct remote_call *call)
{
    _Static_assert(sizeof(struct wire_cuda_ask) == sizeof(struct wire_cuda_tell), "laid out alike");
    struct wire_cuda_ask *record = begin_call(call);
    return record ? remote_post(record, WIRE_CUDA_TELL, sizeof(*record)) : GONE;
}

/* ---- handles ---- */

uint32_t remote_stamp(enum remote_kind kind)
{
    return STAMP_MAGIC + (remote.lanes.generation << 8) + kind;
}

void *remote_create(enum remote_kind kind, size_t bytes)
{
    struct remote_object *object = is_open() ? calloc(1, bytes) : NULL;
    if (!object)
        return NULL;
    object->stamp = remote_stamp(kind);
    object->id = slots_take(&remote.ids);
    if (object->id)
        return object;
    free(object);
    return NULL;
}

void remote_destroy(void *handle)
{
    struct remote_object *object = handle;
    object->stamp = 0;
    if (object->id)
        slots_give(&remote.ids, object->id, 0);
    free(object);
}

int remote_is(const void *handle, enum remote_kind kind)
{
    const struct remote_object *object = handle;
    return object && object->stamp == remote_stamp(kind);
}

uint32_t remote_id(const void *handle)
{
    return ((const struct remote_object *)handle)->id;
}

static CUresult make(enum remote_kind kind, size_t bytes, struct remote_call *call, int waits,
                     void **ret_handle)
{
    struct remote_object *object = ret_handle ? remote_create(kind, bytes) : NULL;
    if (!object)
        return ret_handle ? CUDA_ERROR_OUT_OF_MEMORY : CUDA_ERROR_INVALID_VALUE;
    call->object = object->id;
    CUresult result = waits ? remote_ask(call, NULL) : remote_tell(call);
    if (result == CUDA_SUCCESS)
        *ret_handle = object;
    else
        remote_destroy(object);
    return result;
}

CUresult remote_make(enum remote_kind kind, size_t bytes, struct remote_call *call,
                     void **ret_handle)
{
    return make(kind, bytes, call, 0, ret_handle);
}

CUresult remote_make_now(enum remote_kind kind, size_t bytes, struct remote_call *call,
                         void **ret_handle)
{
    return make(kind, bytes, call, 1, ret_handle);
}

CUresult remote_end(void *handle, enum remote_kind kind, enum wire_cuda_call what)
{
    if (!remote_is(handle, kind))
        return CUDA_ERROR_INVALID_HANDLE;
    const struct remote_call call = {.call = what, .object = remote_id(handle)};
    CUresult result = remote_tell(&call);
    remote_destroy(handle);
    return result;
}

/* ---- what the card is ---- */

static CUresult ask_device(void)
{
    uint64_t offset, length = 0;
    CUresult result = remote_room(sizeof(remote.device), &offset);
    if (result != CUDA_SUCCESS)
        return result;
    struct wire_cuda_open *record = remote_begin(sizeof(*record));
    if (!record)
        return GONE;
    record->reply_offset = offset;
    record->reply_room = sizeof(remote.device);
    result = remote_wait(record, WIRE_CUDA_OPEN, sizeof(*record), NULL, &length);
    if (result == CUDA_SUCCESS && length != sizeof(remote.device))
        result = GONE;
    if (result == CUDA_SUCCESS)
        memcpy(&remote.device, remote_room_at(offset), sizeof(remote.device));
    remote_room_give(offset, sizeof(remote.device));
    return result;
}

const struct wire_cuda_device *remote_device(void)
{
    if (!is_open())
        return NULL;
    if (!__atomic_load_n(&remote.has_device, __ATOMIC_ACQUIRE)) {
        (void)pthread_mutex_lock(&remote.lock);
        if (!remote.has_device && ask_device() == CUDA_SUCCESS)
            __atomic_store_n(&remote.has_device, 1, __ATOMIC_RELEASE);
        (void)pthread_mutex_unlock(&remote.lock);
    }
    return __atomic_load_n(&remote.has_device, __ATOMIC_ACQUIRE) ? &remote.device : NULL;
}

uint64_t remote_quota_bytes(void)
{
    return __atomic_load_n(&remote.ledger->quota_bytes, __ATOMIC_RELAXED);
}
