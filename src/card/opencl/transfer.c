/* Reads and writes in pieces through the slab: see transfer.h. */
#include "card/opencl/transfer.h"

#include <errno.h>
#include <sys/mman.h>

#include "card/opencl/direct.h"
#include "card/opencl/event.h"
#include "card/opencl/image.h"
#include "card/opencl/memory.h"
#include "card/opencl/output.h"
#include "card/opencl/process.h"
#include "card/opencl/queue.h"
#include "card/wire/wait.h"

/* Large enough to hide a hand-over, small enough to overlap copies. */
#define PIECE_BYTES (1u << 20)
#define WINDOW 8     /* pieces of one blocking read in flight */
#define REAP_COUNT 4 /* old transfers looked at when room is asked for */
#define SLEEP_MS 100
#define STUCK_MS 20 /* without an end, while an event of the user is open */

/* One piece on its way. */
struct transfer {
    struct transfer *next;
    uint64_t slab_offset, slab_bytes;
    struct wire_queue_state *state;
    uint64_t target; /* in order: ended when the queue has so many completions */
    cl_event event;  /* out of order: ended with this event (one reference); else NULL */
    int is_read;
    struct region region;
    struct piece piece;
};

/* One transfer while it is being sent. */
struct run {
    struct command *command;
    const struct region *region;
    int is_read, is_blocking;
    cl_event previous; /* out of order: each piece waits for the one before */
    struct transfer *window[WINDOW];
    unsigned first, count; /* of the window */
};

char *slab_at(uint64_t offset)
{
    return (char *)wire_at(&process.client, process.client.session->slab_offset) + offset;
}

static int has_ended(const struct transfer *transfer)
{
    if (transfer->event)
        return event_ended(transfer->event);
    uint64_t completed = __atomic_load_n(&transfer->state->completed, __ATOMIC_ACQUIRE);
    return (int64_t)(completed - transfer->target) >= 0;
}

static void copy_out(const struct transfer *transfer)
{
    region_pack(&transfer->region, &transfer->piece, slab_at(transfer->slab_offset),
                PACK_OUT_OF_SLAB);
}

static void transfer_free(struct transfer *transfer)
{
    if (transfer->event)
        object_release(&transfer->event->object);
    free(transfer);
}

/* With the lock. Pages beyond the usual part go at once. */
static void put_back(uint64_t offset, uint64_t bytes)
{
    if (offset >= WIRE_SLAB_USUAL_BYTES)
        (void)madvise(slab_at(offset), bytes, MADV_REMOVE); /* else they go with the session */
    slab_give(&process.slab, offset, bytes);
}

/* With the lock: finish what has ended, looking at `most` transfers. Returns them for freeing
 * without the lock. */
static struct transfer *reap(const struct wire_queue_state *state, uint64_t target, unsigned most)
{
    struct transfer *done = NULL;
    struct transfer **link = &process.transfers;
    while (*link && most-- > 0) {
        struct transfer *transfer = *link;
        int known = transfer->state == state && !transfer->event &&
                    (int64_t)(target - transfer->target) >= 0;
        if (!known && !has_ended(transfer)) {
            link = &transfer->next;
            continue;
        }
        if (transfer->is_read) {
            copy_out(transfer);
            (void)__atomic_sub_fetch(&process.reads_pending, 1, __ATOMIC_RELEASE);
        }
        put_back(transfer->slab_offset, transfer->slab_bytes);
        *link = transfer->next;
        transfer->next = done;
        done = transfer;
    }
    if (!*link)
        process.transfers_end = link;
    return done;
}

static void free_all(struct transfer *transfers)
{
    while (transfers) {
        struct transfer *next = transfers->next;
        transfer_free(transfers);
        transfers = next;
    }
}

void transfers_observe(const struct wire_queue_state *state, uint64_t target)
{
    output_forward();
    if (__atomic_load_n(&process.reads_pending, __ATOMIC_ACQUIRE) == 0)
        return;
    (void)pthread_mutex_lock(&process.transfer_lock);
    struct transfer *done = reap(state, target, UINT32_MAX);
    (void)pthread_mutex_unlock(&process.transfer_lock);
    free_all(done);
}

/* Reads that lead to the memory: how many. With `drop` they lead nowhere any more. */
static unsigned reads_to(const char *host, size_t bytes, int drop)
{
    unsigned count = 0;
    if (__atomic_load_n(&process.reads_pending, __ATOMIC_ACQUIRE) == 0)
        return 0;
    (void)pthread_mutex_lock(&process.transfer_lock);
    for (struct transfer *transfer = process.transfers; transfer; transfer = transfer->next) {
        uintptr_t offset = (uintptr_t)transfer->region.host - (uintptr_t)host;
        if (!transfer->is_read || offset >= bytes)
            continue;
        count++;
        if (drop) {
            transfer->is_read = 0;
            (void)__atomic_sub_fetch(&process.reads_pending, 1, __ATOMIC_RELEASE);
        }
    }
    (void)pthread_mutex_unlock(&process.transfer_lock);
    return count;
}

int transfers_are_due(const char *host, size_t bytes)
{
    return reads_to(host, bytes, 0) > 0;
}

void transfers_forget(const char *host, size_t bytes)
{
    (void)reads_to(host, bytes, 1);
}

/* In the first `limit` bytes: 0, -ENOSPC when they are full now, -E2BIG when they are too few. */
static int try_reserve(uint64_t limit, uint64_t bytes, unsigned most, uint64_t *ret_offset)
{
    (void)pthread_mutex_lock(&process.transfer_lock);
    struct transfer *done = reap(NULL, 0, most);
    int result = slab_take(&process.slab, limit, bytes, ret_offset);
    (void)pthread_mutex_unlock(&process.transfer_lock);
    free_all(done);
    return result;
}

static uint32_t completions(void)
{
    return __atomic_load_n(&process.client.session->completion, __ATOMIC_SEQ_CST);
}

/* Nothing ends, and an event of the user is open: what fills the slab may wait for it, and the
 * program may have to return to set it. */
static int is_stuck(uint32_t seen)
{
    if (__atomic_load_n(&process.user_events_open, __ATOMIC_ACQUIRE) == 0)
        return 0;
    if (__atomic_load_n(&process.stuck, __ATOMIC_RELAXED) == seen + 1ull)
        return 1;
    wire_sleep_completion(&process.client, seen, STUCK_MS);
    if (completions() != seen)
        return 0;
    __atomic_store_n(&process.stuck, seen + 1ull, __ATOMIC_RELAXED);
    return 1;
}

cl_int slab_reserve(uint64_t bytes, uint64_t *ret_offset)
{
    const uint64_t usual = WIRE_SLAB_USUAL_BYTES;
    int result = try_reserve(usual, bytes, REAP_COUNT, ret_offset);
    while (result == -ENOSPC) {
        uint32_t seen = completions();
        result = try_reserve(usual, bytes, UINT32_MAX, ret_offset);
        if (result == -ENOSPC && is_stuck(seen)) {
            result = try_reserve(WIRE_SLAB_BYTES, bytes, 0, ret_offset);
            break;
        }
        if (result != -ENOSPC)
            break;
        if (!wire_check_alive(&process.client))
            return CL_DEVICE_NOT_AVAILABLE;
        wire_sleep_completion(&process.client, seen, SLEEP_MS);
    }
    return result == 0 ? CL_SUCCESS : CL_OUT_OF_HOST_MEMORY;
}

void slab_release(uint64_t offset, uint64_t bytes)
{
    (void)pthread_mutex_lock(&process.transfer_lock);
    put_back(offset, bytes);
    (void)pthread_mutex_unlock(&process.transfer_lock);
}

/* Wait for the oldest piece of a blocking read and copy it out. */
static cl_int window_take(struct run *run)
{
    struct transfer *transfer = run->window[run->first];
    run->first = (run->first + 1) % WINDOW;
    run->count--;
    cl_int result = queue_wait_for(transfer->state, transfer->target, transfer->event);
    if (result == CL_SUCCESS)
        copy_out(transfer);
    slab_release(transfer->slab_offset, transfer->slab_bytes);
    transfer_free(transfer);
    return result;
}

/* Room for one piece. A blocking read empties its own window before it waits for others, so that
 * two of them never wait for each other's room. */
static cl_int piece_reserve(struct run *run, uint64_t bytes, uint64_t *ret_offset)
{
    while (run->count > 0) {
        if (run->count < WINDOW &&
            try_reserve(WIRE_SLAB_USUAL_BYTES, bytes, REAP_COUNT, ret_offset) == 0)
            return CL_SUCCESS;
        cl_int result = window_take(run);
        if (result != CL_SUCCESS)
            return result;
    }
    return slab_reserve(bytes, ret_offset);
}

static cl_int post_linear(struct run *run, const struct transfer *transfer, cl_event event)
{
    struct command *command = run->command;
    struct wire_write *record = command_begin(command, sizeof(*record), 0);
    if (!record)
        return CL_DEVICE_NOT_AVAILABLE;
    /* READ and WRITE are laid out alike. */
    record->queue_id = command->queue->object.id;
    record->buffer_id = run->region->memory->object.id;
    record->event = event_slot(event);
    record->wait_count = command_put_waits(command, wire_write_waits(record));
    record->offset_bytes = run->region->origin[0] + transfer->piece.start[0];
    record->size_bytes = transfer->piece.size[0];
    record->slab_offset = transfer->slab_offset;
    command_post(command, event, record, run->is_read ? WIRE_READ : WIRE_WRITE,
                 sizeof(*record) + wire_pad8(record->wait_count * sizeof(uint32_t)));
    return CL_SUCCESS;
}

static cl_int post_box(struct run *run, const struct transfer *transfer, cl_event event)
{
    struct command *command = run->command;
    const struct region *region = run->region;
    const struct piece *piece = &transfer->piece;
    struct wire_rect_slab *record = command_begin(command, sizeof(*record), 0);
    if (!record)
        return CL_DEVICE_NOT_AVAILABLE;
    record->queue_id = command->queue->object.id;
    record->buffer_id = region->memory->object.id;
    record->event = event_slot(event);
    record->wait_count = command_put_waits(command, wire_rect_slab_waits(record));
    record->is_write = !run->is_read;
    record->origin_0 = region->origin[0] + piece->start[0];
    record->origin_1 = region->origin[1] + piece->start[1];
    record->origin_2 = region->origin[2] + piece->start[2];
    record->region_0 = piece->size[0];
    record->region_1 = piece->size[1];
    record->region_2 = piece->size[2];
    record->row_pitch = region->row_pitch;
    record->slice_pitch = region->slice_pitch;
    record->slab_offset = transfer->slab_offset;
    command_post(command, event, record, WIRE_RECT_SLAB,
                 sizeof(*record) + wire_pad8(record->wait_count * sizeof(uint32_t)));
    return CL_SUCCESS;
}

/* IMAGE_READ and IMAGE_WRITE are laid out alike; their regions count pixels. */
static cl_int post_pixels(struct run *run, const struct transfer *transfer, cl_event event)
{
    struct command *command = run->command;
    const struct region *region = run->region;
    const struct piece *piece = &transfer->piece;
    const size_t pixel_bytes = region->memory->image->pixel_bytes;
    struct wire_image_write *record = command_begin(command, sizeof(*record), 0);
    if (!record)
        return CL_DEVICE_NOT_AVAILABLE;
    record->queue_id = command->queue->object.id;
    record->image_id = region->memory->object.id;
    record->event = event_slot(event);
    record->wait_count = command_put_waits(command, wire_image_write_waits(record));
    record->origin_0 = (region->origin[0] + piece->start[0]) / pixel_bytes;
    record->origin_1 = region->origin[1] + piece->start[1];
    record->origin_2 = region->origin[2] + piece->start[2];
    record->region_0 = piece->size[0] / pixel_bytes;
    record->region_1 = piece->size[1];
    record->region_2 = piece->size[2];
    record->size_bytes = piece_bytes(piece);
    record->slab_offset = transfer->slab_offset;
    command_post(command, event, record, run->is_read ? WIRE_IMAGE_READ : WIRE_IMAGE_WRITE,
                 sizeof(*record) + wire_pad8(record->wait_count * sizeof(uint32_t)));
    return CL_SUCCESS;
}

static cl_int post(struct run *run, const struct transfer *transfer, cl_event event)
{
    if (run->region->memory->image)
        return post_pixels(run, transfer, event);
    return region_is_linear(run->region) ? post_linear(run, transfer, event)
                                         : post_box(run, transfer, event);
}

enum piece_place { PIECE_FIRST = 1, PIECE_LAST = 2 };

/* The event of one piece: the caller's for the last, one of our own where we need to know about the
 * piece, else NULL. A reference of our own either way. */
static cl_int piece_event(struct run *run, unsigned place, cl_event *ret_event)
{
    struct command *command = run->command;
    cl_event event = NULL;
    if ((place & PIECE_LAST) && command->event) {
        event = command->event;
        object_retain(&event->object);
    } else if (!queue_in_order(command->queue) || ((place & PIECE_FIRST) && command->event)) {
        event = event_create(command->queue, command->type);
        if (!event)
            return CL_OUT_OF_HOST_MEMORY;
    }
    if ((place & PIECE_FIRST) && !(place & PIECE_LAST) && command->event) {
        command->event->first = event;
        object_retain(&event->object);
    }
    *ret_event = event;
    return CL_SUCCESS;
}

static cl_int post_piece(struct run *run, struct transfer *transfer, unsigned place)
{
    struct command *command = run->command;
    cl_event event;
    cl_int result = piece_event(run, place, &event);
    if (result != CL_SUCCESS)
        return result;
    result = post(run, transfer, event);
    transfer->state = command->queue->state;
    transfer->target = command->target;
    if (run->previous)
        object_release(&run->previous->object);
    run->previous = NULL;
    command->wait_count = 0;
    if (event && !queue_in_order(command->queue)) {
        run->previous = event;
        transfer->event = event;
        object_retain(&event->object);
        command->waits = &run->previous;
        command->wait_count = 1;
    } else if (event) {
        object_release(&event->object);
    }
    return result;
}

/* Who finishes the piece: the blocking caller from its window, or whoever observes. */
static void keep(struct run *run, struct transfer *transfer)
{
    if (run->is_blocking) {
        run->window[(run->first + run->count++) % WINDOW] = transfer;
        return;
    }
    (void)pthread_mutex_lock(&process.transfer_lock);
    if (transfer->is_read)
        (void)__atomic_add_fetch(&process.reads_pending, 1, __ATOMIC_RELEASE);
    *process.transfers_end = transfer;
    process.transfers_end = &transfer->next;
    (void)pthread_mutex_unlock(&process.transfer_lock);
}

static cl_int send_piece(struct run *run, const struct piece *piece, unsigned place)
{
    struct transfer *transfer = calloc(1, sizeof(*transfer));
    if (!transfer)
        return CL_OUT_OF_HOST_MEMORY;
    transfer->is_read = run->is_read;
    transfer->region = *run->region;
    transfer->piece = *piece;
    transfer->slab_bytes = piece_bytes(piece);
    cl_int result = piece_reserve(run, transfer->slab_bytes, &transfer->slab_offset);
    if (result != CL_SUCCESS) {
        free(transfer);
        return result;
    }
    if (!run->is_read)
        region_pack(run->region, piece, slab_at(transfer->slab_offset), PACK_INTO_SLAB);
    result = post_piece(run, transfer, place);
    if (result != CL_SUCCESS) {
        slab_release(transfer->slab_offset, transfer->slab_bytes);
        transfer_free(transfer);
        return result;
    }
    keep(run, transfer);
    return CL_SUCCESS;
}

static cl_int transfer_run(struct run *run)
{
    cl_int result = memory_ensure(run->region->memory);
    const struct image *image = run->region->memory->image;
    const size_t most = image ? PIECE_BYTES - PIECE_BYTES % image->pixel_bytes : PIECE_BYTES;
    struct piece piece = {0}, next = {0};
    unsigned place = PIECE_FIRST;
    int more = region_next(run->region, most, &next);
    while (result == CL_SUCCESS && more) {
        piece = next;
        more = region_next(run->region, most, &next);
        result = send_piece(run, &piece, place | (more ? 0 : PIECE_LAST));
        place = 0;
    }
    while (run->count > 0) {
        cl_int waited = window_take(run);
        result = result == CL_SUCCESS ? waited : result;
    }
    if (run->previous)
        object_release(&run->previous->object);
    return result;
}

static uint64_t region_bytes(const struct region *region)
{
    return (uint64_t)region->size[0] * region->size[1] * region->size[2];
}

cl_int transfer_write(struct command *command, const struct region *region, enum transfer_wait wait)
{
    cl_int result;
    struct run run = {.command = command, .region = region};
    (void)__atomic_fetch_add(&process.client.session->stats.bytes_to_device, region_bytes(region),
                             __ATOMIC_RELAXED);
    if (direct_transfer(command, region, DIRECT_WRITE, wait, &result))
        return result;
    result = transfer_run(&run);
    if (result != CL_SUCCESS || wait == TRANSFER_POSTED || !command->event)
        return result;
    result = queue_wait_for(command->queue->state, command->target, command->event);
    event_observe(command->event);
    return result;
}

cl_int transfer_read(struct command *command, const struct region *region, enum transfer_wait wait)
{
    struct run run = {.command = command,
                      .region = region,
                      .is_read = 1,
                      .is_blocking = wait == TRANSFER_BLOCKING};
    (void)__atomic_fetch_add(&process.client.session->stats.bytes_from_device, region_bytes(region),
                             __ATOMIC_RELAXED);
    cl_int result;
    if (!direct_transfer(command, region, DIRECT_READ, wait, &result))
        result = transfer_run(&run);
    return result == CL_SUCCESS && run.is_blocking ? queue_error(command->queue) : result;
}
