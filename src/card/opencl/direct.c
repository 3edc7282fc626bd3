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

/* Post the record, leave the arena and wait for the record's turn; `ret_failed` when what it waited
 * for has failed. */
static cl_int post_and_wait(struct command *command, uint64_t bytes, int *ret_failed)
{
    cl_event own = NULL;
    if (!command->event && (!queue_in_order(command->queue) || command->wait_count > 0)) {
        own = command->event = event_create(command->queue, command->type);
        if (!own) {
            arena_leave();
            return CL_OUT_OF_HOST_MEMORY;
        }
    }
    cl_int result = sync_post_copied(command, bytes);
    arena_leave();
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

/* 0 when the session has left the arena: nothing was copied. */
static int copy_timed(struct command *command, const struct region *region, enum direct_way way)
{
    uint64_t start_ns = command->event ? now_ns() : 0;
    transfers_observe(command->queue->state, 0); /* an earlier read may end where this one starts */
    if (!arena_enter())
        return 0;
    direct_copy(region, way);
    arena_leave();
    if (command->event)
        command->event->copied_ns = now_ns() - start_ns;
    return 1;
}

/* The command's turn has come and the session has left the arena: the bytes go through the slab. */
static cl_int copy_otherwise(const struct command *turn, const struct region *region,
                             enum direct_way way)
{
    const struct command_waits none = {0};
    struct command command;
    cl_int result = command_open(&command, turn->queue, turn->type, &none);
    if (result == CL_SUCCESS && way == DIRECT_READ)
        return transfer_read(&command, region, TRANSFER_BLOCKING);
    if (result == CL_SUCCESS)
        result = transfer_write(&command, region, TRANSFER_POSTED);
    return result == CL_SUCCESS ? queue_wait(turn->queue) : result;
}

/* How an image's pixels lie in memory is the driver's business. */
static int is_ours(cl_mem memory)
{
    return !memory->image && memory_root(memory)->range;
}

/* Copy when the command's turn has come. */
static cl_int copy_in_turn(struct command *command, const struct region *region,
                           enum direct_way way)
{
    int failed;
    cl_int result = post_and_wait(command, bytes_of(region), &failed);
    if (result == CL_SUCCESS && !failed && !copy_timed(command, region, way))
        result = copy_otherwise(command, region, way);
    return result;
}

int direct_transfer(struct command *command, const struct region *region, enum direct_way way,
                    enum transfer_wait wait, cl_int *ret_result)
{
    *ret_result = memory_ensure(region->memory);
    if (*ret_result != CL_SUCCESS)
        return 1;
    if (!is_ours(region->memory))
        return 0;
    uint64_t bytes = bytes_of(region);
    int idle = is_idle(command);
    if (idle && !(wait == TRANSFER_BLOCKING && command->event)) {
        if (!copy_timed(command, region, way))
            return 0;
        *ret_result = sync_post_copied(command, bytes);
        return 1;
    }
    if (wait == TRANSFER_POSTED || (way == DIRECT_WRITE && !idle && bytes < WRITE_WAITS_BYTES) ||
        !arena_enter())
        return 0;
    *ret_result = copy_in_turn(command, region, way);
    return 1;
}

cl_int direct_pass(struct command *command, enum transfer_wait wait)
{
    int failed, is_free = !command->event && is_idle(command);
    if (is_free || wait == TRANSFER_POSTED) {
        cl_int passed = is_free ? CL_SUCCESS : sync_post(command, SYNC_NOTHING);
        arena_leave();
        return passed;
    }
    cl_int result = post_and_wait(command, 0, &failed);
    return result == CL_SUCCESS ? queue_error(command->queue) : result;
}
