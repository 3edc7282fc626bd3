/* Maps: the buffer's content is read into host memory of this process, and written back at unmap
 * when it was mapped for writing. The host memory is the user's for CL_MEM_USE_HOST_PTR, else a
 * shadow of the whole buffer, made at the first map, whose pages come into being as they are
 * touched. A buffer in the arena is mapped in place, and nothing is moved. */
#include "card/opencl/arena.h"
#include "card/opencl/direct.h"
#include "card/opencl/event.h"
#include "card/opencl/image.h"
#include "card/opencl/memory.h"
#include "card/opencl/process.h"
#include "card/opencl/queue.h"
#include "card/opencl/sync.h"
#include "card/opencl/transfer.h"
#include "opencl_api.h"

#define SHADOW_ALIGN 4096 /* more than any CL_DEVICE_MEM_BASE_ADDR_ALIGN */
#define MAP_WRITES (CL_MAP_WRITE | CL_MAP_WRITE_INVALIDATE_REGION)

struct memory_map {
    struct memory_map *next;
    char *pointer;
    size_t offset, bytes;
    cl_map_flags flags;
    int in_place; /* the pointer is into the buffer itself, or was when it was mapped */
    int in_arena; /* the pointer is into the arena, where that may be or not */
};

static void map_free(struct memory_map *map)
{
    if (map->in_arena && !transfers_are_due(map->pointer, map->bytes))
        arena_count_map(-1); /* else it leads there for ever: what comes late may not be the last */
    free(map);
}

void memory_maps_finish(cl_mem memory)
{
    while (memory->maps) {
        struct memory_map *map = memory->maps;
        memory->maps = map->next;
        map_free(map);
    }
    if (memory->shadow)
        transfers_forget(memory->shadow, memory->size);
    free(memory->shadow);
}

/* Where a buffer's bytes lie in this process; NULL: out of memory. */
static char *host_memory(cl_mem memory, int in_place)
{
    if (memory->host_ptr)
        return memory->host_ptr;
    cl_mem root = memory_root(memory);
    if (in_place)
        return arena_at(root->range) + memory->origin;
    lock_take(&root->lock);
    if (!root->shadow) {
        size_t bytes = (root->size + SHADOW_ALIGN - 1) & ~(size_t)(SHADOW_ALIGN - 1);
        root->shadow = aligned_alloc(SHADOW_ALIGN, bytes);
    }
    char *shadow = root->shadow;
    lock_give(&root->lock);
    return shadow ? shadow + memory->origin : NULL;
}

cl_int memory_check_map(const struct _cl_mem *memory, cl_map_flags flags)
{
    if ((flags & ~(cl_map_flags)(CL_MAP_READ | MAP_WRITES)) ||
        ((flags & CL_MAP_WRITE_INVALIDATE_REGION) && (flags & (CL_MAP_READ | CL_MAP_WRITE))))
        return CL_INVALID_VALUE;
    if ((flags & CL_MAP_READ) && (memory->flags & (CL_MEM_HOST_WRITE_ONLY | CL_MEM_HOST_NO_ACCESS)))
        return CL_INVALID_OPERATION;
    if ((flags & MAP_WRITES) && (memory->flags & (CL_MEM_HOST_READ_ONLY | CL_MEM_HOST_NO_ACCESS)))
        return CL_INVALID_OPERATION;
    return CL_SUCCESS;
}

static cl_int check_map(const struct _cl_command_queue *queue, const struct _cl_mem *memory,
                        cl_map_flags flags, size_t offset, size_t bytes,
                        const struct command_waits *waits)
{
    if (memory->image)
        return CL_INVALID_MEM_OBJECT;
    if (queue->context != memory->context)
        return CL_INVALID_CONTEXT;
    cl_int result = command_check_waits(queue, waits);
    if (result != CL_SUCCESS)
        return result;
    if (bytes == 0 || !memory_holds(memory, offset, bytes))
        return CL_INVALID_VALUE;
    return memory_check_map(memory, flags);
}

static void remember(cl_mem memory, struct memory_map *map)
{
    lock_take(&memory->lock);
    map->next = memory->maps;
    memory->maps = map;
    memory->map_count++;
    lock_give(&memory->lock);
}

static struct memory_map *forget(cl_mem memory, const void *pointer)
{
    struct memory_map *found = NULL;
    lock_take(&memory->lock);
    for (struct memory_map **link = &memory->maps; *link; link = &(*link)->next) {
        if ((*link)->pointer != pointer)
            continue;
        found = *link;
        *link = found->next;
        memory->map_count--;
        break;
    }
    lock_give(&memory->lock);
    return found;
}

int memory_is_mapped(cl_mem memory, const void *pointer)
{
    lock_take(&memory->lock);
    const struct memory_map *map = memory->maps;
    while (map && map->pointer != pointer)
        map = map->next;
    lock_give(&memory->lock);
    return map != NULL;
}

/* NULL: out of memory. One in place has entered the arena. */
static struct memory_map *map_create(const struct memory_mapping *mapping)
{
    cl_mem memory = mapping->memory;
    int is_there = memory_root(memory)->range && (memory->is_shared || !memory->host_ptr);
    int in_place = is_there && arena_enter(), in_arena = in_place || memory->is_shared;
    char *host = host_memory(memory, in_place);
    struct memory_map *map = host ? malloc(sizeof(*map)) : NULL;
    if (map)
        *map = (struct memory_map){.pointer = host + mapping->offset,
                                   .offset = mapping->offset,
                                   .bytes = mapping->bytes,
                                   .flags = mapping->flags,
                                   .in_place = in_place,
                                   .in_arena = in_arena};
    if (in_arena && map)
        arena_count_map(1);
    else if (in_place)
        arena_leave();
    return map;
}

/* Fetch the content, or only take a place in the queue when the user will overwrite it all. */
static cl_int fetch(struct command *command, cl_mem memory, const struct memory_map *map,
                    cl_bool blocking)
{
    if (map->in_place)
        return direct_pass(command, blocking ? TRANSFER_BLOCKING : TRANSFER_POSTED);
    if (map->flags & CL_MAP_WRITE_INVALIDATE_REGION) {
        cl_int result = sync_post(command, SYNC_NOTHING);
        return result == CL_SUCCESS && blocking ? queue_wait(command->queue) : result;
    }
    struct region region;
    region_linear(&region, memory, map->offset, map->bytes, map->pointer);
    cl_int result = transfer_read(command, &region, blocking ? TRANSFER_BLOCKING : TRANSFER_POSTED);
    return result;
}

cl_int memory_map(cl_command_queue queue, cl_command_type type,
                  const struct memory_mapping *mapping, cl_bool blocking,
                  const struct command_waits *waits, void **ret_pointer)
{
    cl_mem memory = mapping->memory;
    cl_int result = memory_ensure(memory);
    if (result != CL_SUCCESS)
        return result;
    struct memory_map *map = map_create(mapping);
    if (!map)
        return CL_MAP_FAILURE;
    struct command command;
    result = command_open(&command, queue, type, waits);
    if (result == CL_SUCCESS)
        result = command_close(&command, fetch(&command, memory, map, blocking), waits);
    else if (map->in_place)
        arena_leave();
    if (result != CL_SUCCESS) {
        map_free(map);
        return result;
    }
    if (blocking) /* earlier maps of the queue are complete, too */
        transfers_observe(queue->state, queue_in_order(queue) ? command.target : 0);
    *ret_pointer = map->pointer;
    remember(memory, map);
    return CL_SUCCESS;
}

void *api_clEnqueueMapBuffer(cl_command_queue command_queue, cl_mem buffer, cl_bool blocking_map,
                             cl_map_flags map_flags, size_t offset, size_t cb,
                             cl_uint num_events_in_wait_list, const cl_event *event_wait_list,
                             cl_event *event, cl_int *errcode_ret)
{
    const struct command_waits waits = {num_events_in_wait_list, event_wait_list, event};
    const struct memory_mapping mapping = {buffer, offset, cb, map_flags};
    void *pointer = NULL;
    *errcode_ret = check_map(command_queue, buffer, map_flags, offset, cb, &waits);
    if (*errcode_ret == CL_SUCCESS)
        *errcode_ret = memory_map(command_queue, CL_COMMAND_MAP_BUFFER, &mapping, blocking_map,
                                  &waits, &pointer);
    return pointer;
}

static cl_int give_back(struct command *command, cl_mem memory, const struct memory_map *map)
{
    if (map->in_place && arena_enter())
        return direct_pass(command, TRANSFER_POSTED);
    if (!(map->flags & MAP_WRITES))
        return sync_post(command, SYNC_NOTHING);
    struct region region;
    region_linear(&region, memory, map->offset, map->bytes, map->pointer);
    return transfer_write(command, &region, TRANSFER_POSTED);
}

cl_int memory_unmap(cl_command_queue queue, cl_command_type type, cl_mem memory,
                    const void *pointer, const struct command_waits *waits)
{
    struct command command;
    cl_int result = command_open(&command, queue, type, waits);
    if (result != CL_SUCCESS)
        return result;
    if (memory->image)
        return command_close(&command, image_unmap(&command, memory, pointer), waits);
    struct memory_map *map = forget(memory, pointer);
    if (!map)
        return command_close(&command, CL_INVALID_VALUE, waits);
    result = give_back(&command, memory, map);
    map_free(map);
    return command_close(&command, result, waits);
}

cl_int api_clEnqueueUnmapMemObject(cl_command_queue command_queue, cl_mem memobj, void *mapped_ptr,
                                   cl_uint num_events_in_wait_list, const cl_event *event_wait_list,
                                   cl_event *event)
{
    const struct command_waits waits = {num_events_in_wait_list, event_wait_list, event};
    if (command_queue->context != memobj->context)
        return CL_INVALID_CONTEXT;
    return memory_unmap(command_queue, CL_COMMAND_UNMAP_MEM_OBJECT, memobj, mapped_ptr, &waits);
}
