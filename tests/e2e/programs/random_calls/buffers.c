/* Buffers and parts of them. */
#include "world.h"

#include <stdlib.h>
#include <string.h>

static const size_t usual_sizes[] = {1, 7, 64, 100, 256, 1000, 4096, 65541, 300000};

static bool usable(const struct memory *memory, bool is_image, bool to_write)
{
    return memory && memory->is_image == is_image && !memory->contents->writes &&
           !(to_write && memory->contents->reads);
}

struct memory *memory_among(struct world *w, bool is_image, bool to_write)
{
    unsigned first = dice(w, MEMORIES);
    for (unsigned i = 0; i < MEMORIES; i++) {
        struct memory *memory = w->memories[(first + i) % MEMORIES];
        if (usable(memory, is_image, to_write))
            return memory;
    }
    return NULL;
}

void heed_access(struct world *w, const struct memory *memory)
{
    if (memory->flags & (CL_MEM_HOST_READ_ONLY | CL_MEM_HOST_WRITE_ONLY | CL_MEM_HOST_NO_ACCESS))
        w->is_wrong = true;
}

void any_region(struct world *w, const struct memory *memory, size_t *ret_offset, size_t *ret_bytes)
{
    *ret_offset = chance(w, 30) ? 0 : dice(w, (unsigned)memory->bytes);
    *ret_bytes = chance(w, 30) ? memory->bytes - *ret_offset
                               : 1 + dice(w, (unsigned)(memory->bytes - *ret_offset));
}

/* Most memory has bytes in it from the start: what nobody wrote is nothing to compare. */
static void fill_at_first(struct world *w, struct memory *memory)
{
    struct command command = command_on(w, &w->queues[0]);
    cl_uchar pattern = (cl_uchar)dice(w, 256);
    command_uses(&command, memory->contents);
    cl_int code = clEnqueueFillBuffer(command.handle, memory->handle, &pattern, 1, 0, memory->bytes,
                                      0, NULL, NULL);
    need(command_end(w, &command, "fill at first", code) ? CL_SUCCESS : code, "fill");
}

static void CL_CALLBACK on_farewell(cl_mem memory, void *arg)
{
    struct world *w = arg;
    (void)pthread_mutex_lock(&w->lock);
    w->calls++;
    (void)pthread_cond_signal(&w->called);
    (void)pthread_mutex_unlock(&w->lock);
}

struct memory **memory_place(struct world *w)
{
    unsigned first = 1 + dice(w, MEMORIES - 1);
    for (unsigned i = first; i < MEMORIES; i++)
        if (!w->memories[i])
            return &w->memories[i];
    memory_release(w, &w->memories[first]);
    return &w->memories[first];
}

cl_mem_flags any_flags(struct world *w)
{
    static const cl_mem_flags device[] = {0, CL_MEM_READ_WRITE, CL_MEM_READ_ONLY,
                                          CL_MEM_WRITE_ONLY};
    static const cl_mem_flags program[] = {
        0, 0, 0, 0, CL_MEM_HOST_READ_ONLY, CL_MEM_HOST_WRITE_ONLY, CL_MEM_HOST_NO_ACCESS};
    static const cl_mem_flags where[] = {0,
                                         0,
                                         CL_MEM_COPY_HOST_PTR,
                                         CL_MEM_USE_HOST_PTR,
                                         CL_MEM_ALLOC_HOST_PTR,
                                         CL_MEM_ALLOC_HOST_PTR | CL_MEM_COPY_HOST_PTR};
    return ANY_OF(w, device) | ANY_OF(w, program) | ANY_OF(w, where);
}

static void make_buffer(struct world *w)
{
    struct memory **slot = memory_place(w), *memory = keep(w, sizeof(*memory));
    cl_int code = 1;
    cl_context context = w->context;
    cl_mem_flags flags = any_flags(w);
    size_t bytes = ANY_OF(w, usual_sizes);
    bool given = flags & (CL_MEM_USE_HOST_PTR | CL_MEM_COPY_HOST_PTR);
    void *host = given ? host_bytes(w, bytes) : NULL;
    *memory = (struct memory){.flags = flags, .bytes = bytes, .contents = contents_new(w)};
    switch (wrong(w, 6)) {
    case 1:
        context = NULL;
        break;
    case 2:
        bytes = 0;
        break;
    case 3:
        host = given ? NULL : host_bytes(w, bytes);
        break;
    case 4:
        flags |= CL_MEM_READ_ONLY | CL_MEM_WRITE_ONLY;
        break;
    case 5:
        flags |= CL_MEM_USE_HOST_PTR | CL_MEM_ALLOC_HOST_PTR;
        break;
    case 6:
        bytes = w->largest + 1;
        break;
    default:
        break;
    }
    if (chance(w, 80)) {
        memory->handle = clCreateBuffer(context, flags, bytes, host, &code);
    } else {
        cl_mem_properties none[] = {0};
        memory->handle = clCreateBufferWithProperties(context, chance(w, 50) ? none : NULL, flags,
                                                      bytes, host, &code);
    }
    say(w, " flags %x bytes %zu", (unsigned)flags, bytes > w->largest ? 0 : bytes);
    if (!told(w, "buffer", code))
        return;
    memory->number = w->made++;
    memory->host = flags & CL_MEM_USE_HOST_PTR ? host : NULL;
    if (chance(w, 15))
        w->expected +=
            told(w, "farewell", clSetMemObjectDestructorCallback(memory->handle, on_farewell, w));
    if (!given)
        fill_at_first(w, memory);
    *slot = memory;
}

static void make_part(struct world *w)
{
    static const cl_mem_flags flags[] = {0, 0, CL_MEM_READ_WRITE, CL_MEM_READ_ONLY,
                                         CL_MEM_WRITE_ONLY};
    struct memory **slot = memory_place(w), *whole = memory_among(w, false, false);
    cl_int code = 1;
    if (!whole)
        return;
    struct memory *part = keep(w, sizeof(*part));
    *part =
        (struct memory){.flags = ANY_OF(w, flags), .contents = whole->contents, .is_part = true};
    cl_buffer_region region = {whole->bytes / 2 / 128 * 128, 0};
    region.origin = dice(w, (unsigned)(region.origin / 128) + 1) * (size_t)128;
    region.size = 1 + dice(w, (unsigned)(whole->bytes - region.origin));
    cl_mem handle = whole->handle;
    const cl_mem_flags sides = CL_MEM_READ_WRITE | CL_MEM_READ_ONLY | CL_MEM_WRITE_ONLY;
    if (part->flags && whole->flags & sides && part->flags != (whole->flags & sides))
        w->is_wrong = true;
    switch (wrong(w, 5)) {
    case 1:
        handle = NULL;
        break;
    case 2:
        region.origin += 3;
        break;
    case 3:
        region.size = 0;
        break;
    case 4:
        region.size = whole->bytes + 1;
        break;
    case 5:
        region.origin = (whole->bytes + 128) / 128 * 128;
        break;
    default:
        break;
    }
    part->bytes = region.size;
    part->origin = whole->origin + region.origin;
    part->handle =
        clCreateSubBuffer(handle, part->flags, CL_BUFFER_CREATE_TYPE_REGION, &region, &code);
    say(w, " of %u flags %x+%x %zu+%zu", whole->number, (unsigned)whole->flags,
        (unsigned)part->flags, region.origin, region.size);
    if (!told(w, "part", code))
        return;
    if (!(part->flags & (CL_MEM_READ_ONLY | CL_MEM_WRITE_ONLY | CL_MEM_READ_WRITE)))
        part->flags |= whole->flags & (CL_MEM_READ_ONLY | CL_MEM_WRITE_ONLY | CL_MEM_READ_WRITE);
    part->flags |= whole->flags & (CL_MEM_HOST_READ_ONLY | CL_MEM_HOST_WRITE_ONLY |
                                   CL_MEM_HOST_NO_ACCESS | CL_MEM_USE_HOST_PTR);
    part->host = whole->host ? whole->host + region.origin : NULL;
    part->number = w->made++;
    *slot = part;
}

void memory_release(struct world *w, struct memory **slot)
{
    struct memory *memory = *slot;
    if (!memory)
        return;
    unmap_all(w, memory);
    (void)told(w, "release memory", clReleaseMemObject(memory->handle));
    memory->handle = NULL;
    *slot = NULL;
}

static void drop_memory(struct world *w)
{
    struct memory **slot = &w->memories[1 + dice(w, MEMORIES - 1)];
    if (wrong(w, 1))
        (void)told(w, "release memory", clReleaseMemObject(NULL));
    else if (*slot && chance(w, 30)) {
        (void)told(w, "retain memory", clRetainMemObject((*slot)->handle));
        (void)told(w, "release memory", clReleaseMemObject((*slot)->handle));
    } else {
        memory_release(w, slot);
    }
}

/* One of the region's parts, wrong. */
static void spoil_region(struct world *w, struct memory *memory, cl_mem *handle, size_t *offset,
                         size_t *bytes, unsigned char **host)
{
    switch (wrong(w, 6)) {
    case 1:
        *handle = NULL;
        break;
    case 2:
        *offset = memory->bytes;
        break;
    case 3:
        *bytes = memory->bytes - *offset + 1;
        break;
    case 4:
        *bytes = 0;
        break;
    case 5:
        *handle = w->other->memories[0]->handle;
        break;
    case 6:
        *host = NULL;
        break;
    default:
        break;
    }
}

static void read_or_write(struct world *w, bool writes)
{
    struct memory *memory = memory_among(w, false, writes);
    struct command command = command_on(w, any_queue(w));
    size_t offset, bytes;
    if (!memory)
        return;
    heed_access(w, memory);
    command.blocks = chance(w, 40);
    command_uses(&command, memory->contents);
    command_begin(w, &command);
    any_region(w, memory, &offset, &bytes);
    unsigned char *host = host_bytes(w, bytes);
    cl_mem handle = memory->handle;
    spoil_region(w, memory, &handle, &offset, &bytes, &host);
    say(w, " of %u %zu+%zu", memory->number, offset, bytes);
    cl_int code = writes
                      ? clEnqueueWriteBuffer(command.handle, handle, command.blocks, offset, bytes,
                                             host, command.count, command.waits, command.ret_event)
                      : clEnqueueReadBuffer(command.handle, handle, command.blocks, offset, bytes,
                                            host, command.count, command.waits, command.ret_event);
    if (!command_end(w, &command, writes ? "write" : "read", code))
        return;
    if (!writes)
        expect_data(w, &command, host, bytes);
    else if (command.blocks)
        memset(host, 0x55, bytes); /* nobody reads it any more */
}

static void read_buffer(struct world *w)
{
    read_or_write(w, false);
}

static void write_buffer(struct world *w)
{
    read_or_write(w, true);
}

/* A box of a buffer: origin, pitches. */
struct box {
    size_t origin[3], row, slice;
};

static struct box any_box(struct world *w, const struct memory *memory, size_t region[3])
{
    struct box box = {{0}, 0, 0};
    size_t width = 1;
    while (width * width * width * 2 <= memory->bytes && width < 64)
        width++;
    box.row = chance(w, 20) ? 0 : width;
    box.slice = box.row && chance(w, 80) ? box.row * width : 0;
    for (unsigned i = 0; i < 3; i++)
        region[i] = region[i] <= width / 2 + 1 ? region[i] : width / 2 + 1;
    if (box.row && width > 3 && chance(w, 60))
        for (unsigned i = 0; i < 3; i++)
            box.origin[i] = dice(w, (unsigned)(width / 2 - 1));
    if (!box.slice)
        box.origin[2] = 0;
    return box;
}

/* The last way is one that PoCL lets pass in copies. */
static void spoil_box(struct world *w, unsigned ways, struct box *box, size_t region[3])
{
    switch (wrong(w, ways)) {
    case 5:
        region[dice(w, 3)] = 0;
        break;
    case 2:
        box->origin[dice(w, 3)] = (size_t)1 << 31;
        break;
    case 3:
        box->row = region[0] > 1 ? region[0] - 1 : 1;
        break;
    case 4:
        box->slice = box->row + 1;
        break;
    case 1:
        region[dice(w, 3)] = (size_t)1 << 30;
        break;
    default:
        break;
    }
}

static void say_box(struct world *w, const struct memory *memory, const struct box *box)
{
    say(w, " of %u/%zu (%zu %zu %zu)x%zux%zu", memory->number, memory->bytes, box->origin[0],
        box->origin[1], box->origin[2], box->row, box->slice);
}

static void box_transfer(struct world *w)
{
    bool writes = chance(w, 50);
    struct memory *memory = memory_among(w, false, writes);
    struct command command = command_on(w, any_queue(w));
    if (!memory)
        return;
    heed_access(w, memory);
    command.blocks = chance(w, 40);
    command_uses(&command, memory->contents);
    command_begin(w, &command);
    size_t region[3] = {1 + dice(w, 30), 1 + dice(w, 10), 1 + dice(w, 4)};
    struct box there = any_box(w, memory, region),
               here = {{dice(w, 4), dice(w, 4), dice(w, 4)}, 40, 1000};
    const size_t bytes = 20 * 1000;
    unsigned char *host = host_bytes(w, bytes);
    spoil_box(w, 5, &there, region);
    say_box(w, memory, &there);
    say(w, " %zux%zux%zu", region[0], region[1], region[2]);
    cl_int code = writes ? clEnqueueWriteBufferRect(command.handle, memory->handle, command.blocks,
                                                    there.origin, here.origin, region, there.row,
                                                    there.slice, here.row, here.slice, host,
                                                    command.count, command.waits, command.ret_event)
                         : clEnqueueReadBufferRect(command.handle, memory->handle, command.blocks,
                                                   there.origin, here.origin, region, there.row,
                                                   there.slice, here.row, here.slice, host,
                                                   command.count, command.waits, command.ret_event);
    if (command_end(w, &command, writes ? "write box" : "read box", code) && !writes)
        expect_data(w, &command, host, bytes);
}

static void copy(struct world *w)
{
    struct memory *from = memory_among(w, false, false), *to = memory_among(w, false, true);
    struct command command = command_on(w, any_queue(w));
    size_t offset, bytes, here, most;
    unsigned char *unused = NULL;
    if (!from || !to)
        return;
    command_uses(&command, from->contents);
    if (to->contents != from->contents)
        command_uses(&command, to->contents);
    command_begin(w, &command);
    any_region(w, from, &offset, &bytes);
    any_region(w, to, &here, &most);
    bytes = bytes < most ? bytes : most;
    cl_mem source = from->handle, target = to->handle;
    if (chance(w, 50))
        spoil_region(w, from, &source, &offset, &bytes, &unused);
    else
        spoil_region(w, to, &target, &here, &bytes, &unused);
    say(w, " %u %zu to %u %zu: %zu", from->number, offset, to->number, here, bytes);
    (void)command_end(w, &command, "copy",
                      clEnqueueCopyBuffer(command.handle, source, target, offset, here, bytes,
                                          command.count, command.waits, command.ret_event));
}

static void copy_box(struct world *w)
{
    struct memory *from = memory_among(w, false, false), *to = memory_among(w, false, true);
    struct command command = command_on(w, any_queue(w));
    if (!from || !to || from->contents == to->contents || from->is_part ||
        to->is_part) /* PoCL crashes */
        return;
    command_uses(&command, from->contents);
    command_uses(&command, to->contents);
    command_begin(w, &command);
    size_t region[3] = {1 + dice(w, 30), 1 + dice(w, 10), 1 + dice(w, 4)};
    struct box here = any_box(w, from, region), there = any_box(w, to, region);
    spoil_box(w, 4, chance(w, 50) ? &here : &there, region);
    say_box(w, from, &here);
    say_box(w, to, &there);
    say(w, " %zux%zux%zu", region[0], region[1], region[2]);
    (void)command_end(w, &command, "copy box",
                      clEnqueueCopyBufferRect(command.handle, from->handle, to->handle, here.origin,
                                              there.origin, region, here.row, here.slice, there.row,
                                              there.slice, command.count, command.waits,
                                              command.ret_event));
}

static void fill(struct world *w)
{
    struct memory *memory = memory_among(w, false, true);
    struct command command = command_on(w, any_queue(w));
    size_t pattern_bytes = (size_t)1 << dice(w, 8), offset, bytes;
    unsigned char pattern[128];
    const void *given = pattern;
    if (!memory)
        return;
    command_uses(&command, memory->contents);
    command_begin(w, &command);
    scatter(w, pattern, sizeof(pattern));
    any_region(w, memory, &offset, &bytes);
    offset = offset / pattern_bytes * pattern_bytes;
    bytes = bytes / pattern_bytes * pattern_bytes;
    cl_mem handle = memory->handle;
    switch (wrong(w, 5)) {
    case 1:
        pattern_bytes = 3;
        break;
    case 2:
        offset++;
        break;
    case 3:
        bytes = memory->bytes / pattern_bytes * pattern_bytes + pattern_bytes;
        break;
    case 4:
        given = NULL;
        break;
    case 5:
        handle = NULL;
        break;
    default:
        break;
    }
    say(w, " of %u by %zu %zu+%zu", memory->number, pattern_bytes, offset, bytes);
    (void)command_end(w, &command, "fill",
                      clEnqueueFillBuffer(command.handle, handle, given, pattern_bytes, offset,
                                          bytes, command.count, command.waits, command.ret_event));
}

const cl_map_flags map_kinds[5] = {CL_MAP_READ, CL_MAP_READ, CL_MAP_WRITE,
                                   CL_MAP_READ | CL_MAP_WRITE, CL_MAP_WRITE_INVALIDATE_REGION};

void note_map(struct world *w, struct memory *memory, struct map map, cl_map_flags flags)
{
    struct map *kept = keep(w, sizeof(*kept));
    map.next = memory->maps;
    map.reads = flags & CL_MAP_READ;
    map.writes = flags != CL_MAP_READ;
    map.done = last_of(w, memory->contents);
    need(clRetainEvent(map.done.event), "clRetainEvent");
    *kept = map;
    memory->maps = kept;
    if (map.writes)
        memory->contents->writes++;
    else
        memory->contents->reads++;
}

static void map_buffer(struct world *w)
{
    cl_map_flags flags = ANY_OF(w, map_kinds);
    struct memory *memory = memory_among(w, false, flags != CL_MAP_READ);
    struct command command = command_on(w, any_queue(w));
    size_t offset, bytes;
    unsigned char *unused;
    cl_int code = 1;
    if (!memory)
        return;
    heed_access(w, memory);
    command.blocks = chance(w, 50);
    command_uses(&command, memory->contents);
    command_begin(w, &command);
    any_region(w, memory, &offset, &bytes);
    cl_mem handle = memory->handle;
    spoil_region(w, memory, &handle, &offset, &bytes, &unused);
    unsigned char *pointer =
        clEnqueueMapBuffer(command.handle, handle, command.blocks, flags, offset, bytes,
                           command.count, command.waits, command.ret_event, &code);
    say(w, " of %u flags %x as %x %zu+%zu", memory->number, (unsigned)memory->flags,
        (unsigned)flags, offset, bytes);
    if (!command_end(w, &command, "map", code))
        return;
    say(w, " in place %d", !memory->host || pointer == memory->host + offset);
    note_map(w, memory, (struct map){.pointer = pointer, .region = {bytes, 1, 1}}, flags);
}

/* What was mapped is looked at, and written anew where it may be. */
static void use_map(struct world *w, const struct map *map)
{
    await(w, map->done);
    for (size_t z = 0; z < map->region[2]; z++)
        for (size_t y = 0; y < map->region[1]; y++) {
            unsigned char *row = map->pointer + z * map->slice + y * map->row;
            if (map->reads)
                say_bytes(w, "mapped", row, map->region[0]);
            if (map->writes)
                scatter(w, row, map->region[0]);
        }
}

static void unmap_first(struct world *w, struct memory *memory)
{
    struct map *map = memory->maps;
    use_map(w, map);
    struct command command = command_on(w, any_queue(w));
    command_uses(&command, memory->contents);
    command.list_is_right = true; /* PoCL would take the call for made */
    command_begin(w, &command);
    cl_int code = clEnqueueUnmapMemObject(command.handle, memory->handle, map->pointer,
                                          command.count, command.waits, command.ret_event);
    if (!command_end(w, &command, "unmap", code))
        return; /* a wrong call: once more */
    if (map->writes)
        memory->contents->writes--;
    else
        memory->contents->reads--;
    promise_drop(&map->done);
    memory->maps = map->next;
    if (memory
            ->maps) /* of two at one place PoCL cannot end the second before the first has ended */
        await(w, last_of(w, memory->contents));
}

void unmap_all(struct world *w, struct memory *memory)
{
    while (memory->maps)
        unmap_first(w, memory);
}

static void unmap(struct world *w)
{
    struct memory *memory = w->memories[dice(w, MEMORIES)];
    if (memory)
        heed_access(w, memory);
    if (memory && !memory->maps && !memory->is_image && wrong(w, 1))
        (void)told(w, "unmap",
                   clEnqueueUnmapMemObject(any_queue(w)->handle, memory->handle,
                                           chance(w, 50) ? NULL : (void *)memory, 0, NULL, NULL));
    else if (memory && memory->maps)
        unmap_first(w, memory);
}

static void migrate(struct world *w)
{
    static const cl_mem_migration_flags kinds[] = {0, CL_MIGRATE_MEM_OBJECT_HOST};
    struct memory *memory = memory_among(w, chance(w, 30), true);
    struct command command = command_on(w, any_queue(w));
    if (!memory)
        return;
    command_uses(&command, memory->contents);
    command_begin(w, &command);
    cl_mem_migration_flags flags = ANY_OF(w, kinds);
    cl_uint count = 1;
    cl_mem list[] = {memory->handle};
    switch (wrong(w, 4)) {
    case 1:
        flags = 1 << 9;
        break;
    case 2:
        count = 0;
        break;
    case 3:
        list[0] = NULL;
        break;
    case 4:
        list[0] = w->other->memories[0]->handle;
        break;
    default:
        break;
    }
    (void)command_end(w, &command, "migrate",
                      clEnqueueMigrateMemObjects(command.handle, count, list, flags, command.count,
                                                 command.waits, command.ret_event));
}

/* The first, which the other world takes for a foreign one, is never released. */
void buffers_open(struct world *w)
{
    for (unsigned i = 0; i < 3; i++) {
        struct memory *memory = keep(w, sizeof(*memory));
        cl_int code;
        *memory = (struct memory){
            .bytes = (size_t)1024 << i, .contents = contents_new(w), .number = w->made++};
        memory->handle = clCreateBuffer(w->context, CL_MEM_COPY_HOST_PTR, memory->bytes,
                                        host_bytes(w, memory->bytes), &code);
        need(code, "clCreateBuffer");
        w->memories[i] = memory;
    }
}

const struct act buffer_acts[] = {
    {make_buffer, 12}, {make_part, 8}, {drop_memory, 6}, {read_buffer, 14}, {write_buffer, 12},
    {box_transfer, 8}, {copy, 10},     {copy_box, 6},    {fill, 8},         {map_buffer, 12},
    {unmap, 10},       {migrate, 3},   {NULL, 0},
};
