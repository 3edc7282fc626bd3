/* Shared virtual memory of coarse grain, where the device has it. */
#include "world.h"

#include <string.h>

static struct shared *any_shared(struct world *w, bool to_write)
{
    unsigned first = dice(w, SHARED);
    for (unsigned i = 0; i < SHARED; i++) {
        struct shared *shared = &w->shared[(first + i) % SHARED];
        if (shared->memory && !(shared->mapped && (to_write || shared->mapped != CL_MAP_READ)))
            return shared;
    }
    return NULL;
}

static void unmap(struct world *w, struct shared *shared)
{
    await(w, last_of(w, shared->contents));
    if (shared->mapped & CL_MAP_READ)
        say_bytes(w, "mapped", shared->memory, shared->bytes);
    if (shared->mapped != CL_MAP_READ)
        scatter(w, shared->memory, shared->bytes);
    struct command command = command_on(w, any_queue(w));
    command_uses(&command, shared->contents);
    command_begin(w, &command);
    if (command_end(w, &command, "unmap shared",
                    clEnqueueSVMUnmap(command.handle, shared->memory, command.count, command.waits,
                                      command.ret_event)))
        shared->mapped = 0;
}

static void release(struct world *w, struct shared *shared)
{
    while (shared->memory && shared->mapped)
        unmap(w, shared);
    if (!shared->memory)
        return;
    await(w, last_of(w, shared->contents));
    clSVMFree(w->context, shared->memory);
    promise_drop(&shared->contents->last);
    *shared = (struct shared){0};
}

static void fill(struct world *w, struct shared *shared)
{
    struct command command = command_on(w, any_queue(w));
    size_t pattern_bytes = (size_t)1 << dice(w, 8),
           bytes = shared->bytes / pattern_bytes * pattern_bytes;
    unsigned char pattern[128];
    command_uses(&command, shared->contents);
    command_begin(w, &command);
    scatter(w, pattern, sizeof(pattern));
    void *memory = shared->memory;
    switch (wrong(w, 2)) {
    case 1:
        memory = NULL;
        break;
    case 2:
        pattern_bytes = 3;
        break;
    default:
        break;
    }
    say(w, " by %zu: %zu", pattern_bytes, bytes);
    (void)command_end(w, &command, "fill shared",
                      clEnqueueSVMMemFill(command.handle, memory, pattern, pattern_bytes, bytes,
                                          command.count, command.waits, command.ret_event));
}

static void make_shared(struct world *w)
{
    struct shared *shared = &w->shared[dice(w, SHARED)];
    static const size_t sizes[] = {64, 100, 4096, 100000};
    static const cl_uint alignments[] = {0, 0, 1, 16, 128};
    release(w, shared);
    size_t bytes = ANY_OF(w, sizes);
    cl_uint alignment = ANY_OF(w, alignments);
    switch (wrong(w, 4)) {
    case 1:
        say(w, " size 0 %d", clSVMAlloc(w->context, CL_MEM_READ_WRITE, 0, 0) != NULL);
        return;
    case 2:
        say(w, " no context %d", clSVMAlloc(NULL, CL_MEM_READ_WRITE, bytes, 0) != NULL);
        return;
    case 3:
        say(w, " odd %d", clSVMAlloc(w->context, CL_MEM_READ_WRITE, bytes, 3) != NULL);
        return;
    case 4:
        say(w, " large %d", clSVMAlloc(w->context, CL_MEM_READ_WRITE, w->largest + 1, 0) != NULL);
        return;
    default:
        break;
    }
    shared->memory = clSVMAlloc(w->context, CL_MEM_READ_WRITE, bytes, alignment);
    say(w, " shared %zu %u %d", bytes, alignment, shared->memory != NULL);
    if (!shared->memory)
        return;
    shared->bytes = bytes;
    shared->contents = contents_new(w);
    cl_uchar pattern = (cl_uchar)dice(w, 256);
    need(
        clEnqueueSVMMemFill(w->queues[0].handle, shared->memory, &pattern, 1, bytes, 0, NULL, NULL),
        "clEnqueueSVMMemFill");
    shared->contents->queue = &w->queues[0];
}

static void fill_shared(struct world *w)
{
    struct shared *shared = any_shared(w, true);
    if (shared)
        fill(w, shared);
}

static void copy_shared(struct world *w)
{
    bool writes = chance(w, 50);
    struct shared *shared = any_shared(w, writes), *other = any_shared(w, false);
    struct command command = command_on(w, any_queue(w));
    if (!shared)
        return;
    command.blocks = chance(w, 50);
    command_uses(&command, shared->contents);
    size_t bytes = 1 + dice(w, (unsigned)shared->bytes);
    bool among = writes && other && other != shared && other->bytes >= bytes;
    if (among)
        command_uses(&command, other->contents);
    command_begin(w, &command);
    unsigned char *host = host_bytes(w, bytes);
    void *to = writes ? shared->memory : host;
    const void *from = writes ? among ? other->memory : host : shared->memory;
    switch (wrong(w, 3)) {
    case 1:
        to = NULL;
        break;
    case 2:
        from = NULL;
        break;
    case 3:
        to = shared->memory;
        from = to;
        break;
    default:
        break;
    }
    say(w, " %zu among %d", bytes, among);
    if (command_end(w, &command, writes ? "write shared" : "read shared",
                    clEnqueueSVMMemcpy(command.handle, command.blocks, to, from, bytes,
                                       command.count, command.waits, command.ret_event)) &&
        !writes)
        expect_data(w, &command, host, bytes);
}

static void map_shared(struct world *w)
{
    struct shared *shared = any_shared(w, true);
    struct command command = command_on(w, any_queue(w));
    if (!shared)
        return;
    command.blocks = chance(w, 50);
    command_uses(&command, shared->contents);
    command_begin(w, &command);
    cl_map_flags flags = ANY_OF(w, map_kinds);
    unsigned flaw = wrong(w, 2);
    say(w, " as %x", (unsigned)flags);
    if (command_end(w, &command, "map shared",
                    clEnqueueSVMMap(command.handle, command.blocks, flags,
                                    flaw == 1 ? NULL : shared->memory,
                                    flaw == 2 ? 0 : shared->bytes, command.count, command.waits,
                                    command.ret_event)))
        shared->mapped = flags;
}

static void unmap_shared(struct world *w)
{
    struct shared *shared = &w->shared[dice(w, SHARED)];
    if (shared->mapped)
        unmap(w, shared);
    else if (wrong(w, 1))
        (void)told(w, "unmap shared", clEnqueueSVMUnmap(any_queue(w)->handle, NULL, 0, NULL, NULL));
}

static void launch_on_shared(struct world *w)
{
    struct shared *shared = any_shared(w, true);
    struct command command = command_on(w, any_queue(w));
    cl_int code = 1, k = (cl_int)dice(w, 200);
    const size_t global = 1 + dice(w, 64);
    if (!shared)
        return;
    cl_uint start = dice(w, (unsigned)shared->bytes / 2), bytes = (cl_uint)shared->bytes - start;
    cl_kernel kernel = clCreateKernel(w->programs[0].handle, "add", &code);
    need(code, "clCreateKernel");
    command_uses(&command, shared->contents);
    command.list_is_right = true;
    command_begin(w, &command);
    (void)told(w, "arg wrongly", clSetKernelArgSVMPointer(kernel, 7, shared->memory));
    (void)told(w, "arg", clSetKernelArgSVMPointer(kernel, 0, shared->memory + start));
    (void)told(w, "arg", clSetKernelArg(kernel, 1, sizeof(bytes), &bytes));
    (void)told(w, "arg", clSetKernelArg(kernel, 2, sizeof(k), &k));
    (void)command_end(w, &command, "launch on shared",
                      clEnqueueNDRangeKernel(command.handle, kernel, 1, NULL, &global, NULL,
                                             command.count, command.waits, command.ret_event));
    need(clReleaseKernel(kernel), "clReleaseKernel");
}

static void drop_shared(struct world *w)
{
    release(w, &w->shared[dice(w, SHARED)]);
}

void shared_close(struct world *w)
{
    for (unsigned i = 0; i < SHARED; i++)
        release(w, &w->shared[i]);
}

const struct act shared_acts[] = {
    {make_shared, 5},  {fill_shared, 4},      {copy_shared, 8}, {map_shared, 5},
    {unmap_shared, 6}, {launch_on_shared, 5}, {drop_shared, 1}, {NULL, 0},
};
