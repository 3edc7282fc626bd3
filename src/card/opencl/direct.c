/* Copies and maps within the arena: see direct.h. */
#include "card/opencl/direct.h"

#include <time.h>

#include "card/opencl/arena.h"
#include "card/opencl/event.h"
#include "card/opencl/memory.h"
#include "card/opencl/process.h"
#include "card/opencl/queue.h"
#include "card/opencl/sync.h"

/* A smaller write goes through the slab rather than wait for the commands before it. */
#define WRITE_WAITS_BYTES (256u * 1024)

static uint64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail for this clock */
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void direct_copy(const struct region *region, enum direct_way way)
{
    char *base = arena_at(memory_root(region->memory)->range) + region->memory->origin +
                 region->origin[0] + region->origin[1] * region->row_pitch +
                 region->origin[2] * region->slice_pitch;
    for (size_t z = 0; z < region->size[2]; z++) {
        for (size_t y = 0; y < region->size[1]; y++) {
            char *device = base + z * region->slice_pitch + y * region->row_pitch;
            char *host = region->host + z * region->host_slice_pitch + y * region->host_row_pitch;
            if (way == DIRECT_READ)
                memmove(host, device,
                        region->size[0]); /* a mapped pointer may be the host's side */
            else
                memmove(device, host, region->size[0]);
        }
    }
}

/* Whether a command posted now would run at once. */
static int is_idle(const struct command *command)
{
    const struct _cl_command_queue *queue = command->queue;
    uint64_t posted = __atomic_load_n(&queue->posted, __ATOMIC_ACQUIRE);
    if (__atomic_load_n(&queue->state->completed, __ATOMIC_ACQUIRE) != posted)
        return 0;
    for (cl_uint i = 0; i < command->wait_count; i++)
        if (event_status(command->waits[i]) != CL_COMPLETE)
            return 0;
    return process_alive();
}

/* Post the record and wait for its turn; `ret_failed` when what it waited for has failed. */
static cl_int post_and_wait(struct command *command, uint64_t bytes, int *ret_failed)
{
    cl_event own = NULL;
    if (!command->event && (!queue_in_order(command->queue) || command->wait_count > 0)) {
        own = command->event = event_create(command->queue, command->type);
        if (!own)
            return CL_OUT_OF_HOST_MEMORY;
    }
    cl_int result = sync_post_copied(command, bytes);
    if (result == CL_SUCCESS)
        result = queue_wait_for(command->queue->state, command->target, command->event);
    *ret_failed = command->event && event_status(command->event) < CL_COMPLETE;
    if (own) {
        command->event = NULL;
        object_release(&own->object);
    }
    return result;
}

static uint64_t bytes_of(const struct region *region)
{
    return (uint64_t)region->size[0] * region->size[1] * region->size[2];
}

static void copy_timed(struct command *command, const struct region *region, enum direct_way way)
{
    uint64_t start_ns = command->event ? now_ns() : 0;
    transfers_observe(command->queue->state, 0); /* an earlier read may end where this one starts */
    direct_copy(region, way);
    if (command->event)
        command->event->copied_ns = now_ns() - start_ns;
}

/* How an image's pixels lie in memory is the driver's business. */
static int is_ours(cl_mem memory)
{
    return !memory->image && memory_root(memory)->range;
}

int direct_transfer(struct command *command, const struct region *region, enum direct_way way,
                    enum transfer_wait wait, cl_int *ret_result)
{
    cl_int result = memory_ensure(region->memory);
    uint64_t bytes = bytes_of(region);
    if (result == CL_SUCCESS && !is_ours(region->memory))
        return 0;
    int idle = result == CL_SUCCESS && is_idle(command), failed = 0;
    if (result == CL_SUCCESS && idle && !(wait == TRANSFER_BLOCKING && command->event)) {
        copy_timed(command, region, way);
        result = sync_post_copied(command, bytes);
    } else if (result == CL_SUCCESS) {
        if (wait == TRANSFER_POSTED || (way == DIRECT_WRITE && !idle && bytes < WRITE_WAITS_BYTES))
            return 0;
        result = post_and_wait(command, bytes, &failed);
        if (result == CL_SUCCESS && !failed)
            copy_timed(command, region, way);
    }
    *ret_result = result;
    return 1;
}

cl_int direct_pass(struct command *command, enum transfer_wait wait)
{
    int failed;
    if (!command->event && is_idle(command))
        return CL_SUCCESS;
    if (wait == TRANSFER_POSTED)
        return sync_post(command, SYNC_NOTHING);
    cl_int result = post_and_wait(command, 0, &failed);
    return result == CL_SUCCESS ? queue_error(command->queue) : result;
}
