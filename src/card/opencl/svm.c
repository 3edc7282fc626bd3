/* Shared virtual memory: see svm.h. */
#include "card/opencl/svm.h"

#include <sys/mman.h>

#include "card/opencl/arena.h"
#include "card/opencl/context.h"
#include "card/opencl/direct.h"
#include "card/opencl/event.h"
#include "card/opencl/kernel.h"
#include "card/opencl/memory.h"
#include "card/opencl/output.h"
#include "card/opencl/process.h"
#include "card/opencl/queue.h"
#include "card/opencl/sync.h"
#include "card/opencl/transfer.h"
#include "opencl_api.h"

/* Where nothing of a process lies on Linux with 47 bits of addresses: far above what is loaded low,
 * far below programs, libraries, heaps and stacks. */
#define BASE_FIRST 0x200000000000u
#define BASE_STEP 0x010000000000u
#define BASE_TRIES 8

#define PAGE_BYTES 4096u
#define APART_TRIES 16   /* addresses at which this process may have something else */
#define LARGEST_TYPE 128 /* bytes: what alignment 0 means, and the largest there is */

/* One allocation: a buffer that the program does not see as one. */
struct svm_piece {
    struct svm_piece *next;
    cl_mem memory; /* one reference */
    char *start;
};

/* ---- in the arena ---- */

static int ask_executor(const char *base)
{
    struct wire_svm_place *record = record_begin(sizeof(*record));
    if (!record)
        return 0;
    record->address = (uintptr_t)base;
    return record_wait(record, WIRE_SVM_PLACE, sizeof(*record), NULL, NULL) == CL_SUCCESS;
}

/* Take the addresses, of which nothing may be in use; 1 when that is so. */
static int map_free(char *start, uint64_t bytes, int protection)
{
    void *place = mmap(start, bytes, protection,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    if (place == start)
        return 1;
    if (place != MAP_FAILED)
        (void)munmap(place, bytes); /* a kernel that takes the flag for a hint */
    return 0;
}

/* A second view of the arena at `base`; 1 when it is there. */
static int map_view(char *base, uint64_t bytes)
{
    char *arena = wire_at(&process.client, process.client.session->arena_offset);
    if (!map_free(base, bytes, PROT_NONE))
        return 0;
    if (mremap(arena, 0, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, base) != MAP_FAILED)
        return 1;
    (void)munmap(base, bytes);
    return 0;
}

static void find_place(struct svm *svm)
{
    const uint64_t bytes = process.client.session->arena_bytes;
    for (unsigned i = 0; i < BASE_TRIES && bytes && !svm->base; i++) {
        /* An address made of a number: both processes are to have the same. */
        char *base = (char *)(uintptr_t)(BASE_FIRST + i * BASE_STEP); // NOLINT
        if (!map_view(base, bytes))
            continue;
        if (ask_executor(base))
            svm->base = base;
        else
            (void)munmap(base, bytes);
    }
    svm->bytes = bytes;
}

/* The arena as kernels see it; NULL: there is none, or no address for it. */
static char *arena_base(void)
{
    struct svm *svm = &process.svm;
    lock_take(&svm->lock);
    if (!svm->tried)
        find_place(svm);
    svm->tried = 1;
    lock_give(&svm->lock);
    return svm->base;
}

/* ---- apart: at the address that the device's host gives ---- */

cl_int svm_send(cl_mem memory, uint32_t id)
{
    uint64_t address = 0;
    struct wire_svm_alloc *record = record_begin(sizeof(*record));
    if (!record)
        return CL_DEVICE_NOT_AVAILABLE;
    record->id = id;
    record->context_id = memory->context->object.id;
    record->flags = memory->flags;
    record->size_bytes = memory->size;
    record->alignment = memory->svm_alignment;
    if (record_wait(record, WIRE_SVM_ALLOC, sizeof(*record), &address, NULL) == CL_SUCCESS)
        memory->host_ptr = (void *)(uintptr_t)address;
    return CL_SUCCESS; /* without an address its number is given back as any other's */
}

/* With the lock: whether an allocation but `but` has bytes in the page. */
static int page_is_taken(const struct svm *svm, uintptr_t page, const struct svm_piece *but)
{
    for (const struct svm_piece *piece = svm->pieces; piece; piece = piece->next) {
        uintptr_t start = (uintptr_t)piece->start;
        if (piece != but && !piece->memory->range && start < page + PAGE_BYTES &&
            page < start + piece->memory->size)
            return 1;
    }
    return 0;
}

/* With the lock: the pages that are this allocation's alone. */
static uint64_t own_pages(const struct svm *svm, const struct svm_piece *piece, char **ret_start)
{
    uintptr_t start = (uintptr_t)piece->start, end = start + piece->memory->size;
    uintptr_t first = start & ~(uintptr_t)(PAGE_BYTES - 1);
    end = (end + PAGE_BYTES - 1) & ~(uintptr_t)(PAGE_BYTES - 1);
    if (page_is_taken(svm, first, piece))
        first += PAGE_BYTES;
    if (end > first && page_is_taken(svm, end - PAGE_BYTES, piece))
        end -= PAGE_BYTES;
    *ret_start = piece->start - ((uintptr_t)piece->start - first);
    return end - first;
}

static void link_piece(struct svm *svm, struct svm_piece *piece)
{
    piece->next = svm->pieces;
    svm->pieces = piece;
}

/* Memory of this process at the same address. 1 when it is there, and the piece among the
 * others. */
static int piece_place(struct svm_piece *piece)
{
    struct svm *svm = &process.svm;
    char *start;
    lock_take(&svm->lock);
    uint64_t bytes = own_pages(svm, piece, &start);
    int placed = bytes == 0 || map_free(start, bytes, PROT_READ | PROT_WRITE);
    if (placed)
        link_piece(svm, piece);
    lock_give(&svm->lock);
    return placed;
}

static void piece_free(struct svm_piece *piece)
{
    if (piece->memory)
        object_release(&piece->memory->object);
    free(piece);
}

/* One try; the executor's memory is the piece's even when its address is of no use here. */
static int piece_make(struct svm_piece *piece, cl_context context, cl_svm_mem_flags flags,
                      size_t size, unsigned alignment)
{
    cl_int code;
    piece->memory = api_clCreateBuffer(context, flags, size, NULL, &code);
    if (!piece->memory)
        return -1;
    piece->memory->svm_alignment = alignment ? alignment : LARGEST_TYPE;
    if (object_ensure(&piece->memory->object) != CL_SUCCESS || !piece->memory->host_ptr)
        return -1;
    piece->start = piece->memory->host_ptr;
    return piece_place(piece);
}

/* What lies where this process has something else is kept until the driver has given another
 * address. */
static void *allocate_apart(cl_context context, cl_svm_mem_flags flags, size_t size,
                            unsigned alignment)
{
    struct svm_piece *refused = NULL;
    void *start = NULL;
    int placed = 0;
    for (unsigned i = 0; i < APART_TRIES && placed == 0; i++) {
        struct svm_piece *piece = calloc(1, sizeof(*piece));
        if (!piece)
            break;
        placed = piece_make(piece, context, flags, size, alignment);
        start = placed > 0 ? piece->start : NULL;
        if (placed <= 0) {
            piece->next = refused;
            refused = piece;
        }
    }
    while (refused) {
        struct svm_piece *next = refused->next;
        piece_free(refused);
        refused = next;
    }
    return start;
}

/* ---- both ---- */

int svm_is_there(void)
{
    return process_connect() == CL_SUCCESS &&
           snapshot_number(&process.snapshot, WIRE_INFO_DEVICE, CL_DEVICE_SVM_CAPABILITIES);
}

void svm_forget(void)
{
    struct svm *svm = &process.svm;
    for (const struct svm_piece *piece = svm->pieces; piece; piece = piece->next) {
        char *page = piece->start - (uintptr_t)piece->start % PAGE_BYTES;
        if (!piece->memory->range)
            (void)munmap(page, (size_t)(piece->start - page) + piece->memory->size);
    }
    if (svm->base)
        (void)munmap(svm->base, svm->bytes);
}

int svm_find(const void *pointer, struct copy_end *ret_end)
{
    struct svm *svm = &process.svm;
    int found = 0;
    lock_take(&svm->lock);
    for (const struct svm_piece *piece = svm->pieces; piece && !found; piece = piece->next) {
        uintptr_t offset = (uintptr_t)pointer - (uintptr_t)piece->start;
        found = offset < piece->memory->size;
        if (found && ret_end)
            *ret_end = (struct copy_end){piece->memory, offset};
    }
    lock_give(&svm->lock);
    return found;
}

static int is_supported(cl_svm_mem_flags flags, unsigned alignment)
{
    const cl_svm_mem_flags access = CL_MEM_READ_WRITE | CL_MEM_WRITE_ONLY | CL_MEM_READ_ONLY;
    return !(flags & ~access) && !(flags & (flags - 1)) && !(alignment & (alignment - 1)) &&
           alignment <= LARGEST_TYPE;
}

void *api_clSVMAlloc(cl_context context, cl_svm_mem_flags flags, size_t size,
                     unsigned int alignment)
{
    cl_int code;
    if (!is_supported(flags, alignment) || !svm_is_there())
        return NULL;
    char *base = arena_base();
    if (!base)
        return allocate_apart(context, flags, size, alignment);
    struct svm_piece *piece = calloc(1, sizeof(*piece));
    if (!piece)
        return NULL;
    piece->memory = api_clCreateBuffer(context, flags, size, NULL, &code);
    if (piece->memory)
        piece->memory->is_shared = 1;
    if (piece->memory && object_ensure(&piece->memory->object) == CL_SUCCESS &&
        piece->memory->range) {
        piece->memory->host_ptr = piece->start = base + piece->memory->range->offset;
        lock_take(&process.svm.lock);
        link_piece(&process.svm, piece);
        lock_give(&process.svm.lock);
        return piece->start;
    }
    int has_no_place = piece->memory != NULL;
    piece_free(piece);
    return has_no_place ? allocate_apart(context, flags, size, alignment) : NULL;
}

/* Reads that have ended and were not looked at must not find the pages gone. */
static void leave_pages(struct svm *svm, const struct svm_piece *piece)
{
    char *start;
    transfers_forget(piece->start, piece->memory->size);
    lock_take(&svm->lock);
    uint64_t bytes = own_pages(svm, piece, &start);
    if (bytes)
        (void)munmap(start, bytes);
    lock_give(&svm->lock);
}

void api_clSVMFree(cl_context context, void *svm_pointer)
{
    struct svm_piece *found = NULL;
    lock_take(&process.svm.lock);
    for (struct svm_piece **link = &process.svm.pieces; *link; link = &(*link)->next) {
        if ((*link)->start != svm_pointer)
            continue;
        found = *link;
        *link = found->next;
        break;
    }
    lock_give(&process.svm.lock);
    if (!found)
        return;
    if (!found->memory->range)
        leave_pages(&process.svm, found);
    piece_free(found);
}

/* The command takes its turn in the queue and moves nothing. */
static cl_int pass(struct command *command, enum transfer_wait wait)
{
    if (arena_enter())
        return direct_pass(command, wait);
    cl_int result = sync_post(command, SYNC_NOTHING);
    return result == CL_SUCCESS && wait == TRANSFER_BLOCKING ? queue_wait(command->queue) : result;
}

/* What is freed when a place in a queue is reached. */
struct farewell {
    cl_command_queue queue; /* one reference */
    cl_event freed;         /* of the user: set when all is freed; one reference */
    void(CL_CALLBACK *notify)(cl_command_queue, cl_uint, void **, void *);
    void *user_data;
    cl_uint count;
    void *pointers[];
};

static void farewell_drop(struct farewell *farewell)
{
    object_release(&farewell->freed->object);
    object_release(&farewell->queue->object);
    free(farewell);
}

/* A command that failed frees nothing. */
static void CL_CALLBACK on_reached(cl_event event, cl_int status, void *arg)
{
    struct farewell *farewell = arg;
    cl_command_queue queue = farewell->queue;
    if (status == CL_COMPLETE && farewell->notify)
        farewell->notify(queue, farewell->count, farewell->pointers, farewell->user_data);
    else if (status == CL_COMPLETE)
        for (cl_uint i = 0; i < farewell->count; i++)
            api_clSVMFree(queue->context, farewell->pointers[i]);
    (void)api_clSetUserEventStatus(farewell->freed, status);
    farewell_drop(farewell);
}

static struct farewell *farewell_create(cl_command_queue queue, cl_uint count, void **pointers)
{
    cl_int code;
    struct farewell *farewell = malloc(sizeof(*farewell) + count * sizeof(void *));
    cl_event freed = farewell ? api_clCreateUserEvent(queue->context, &code) : NULL;
    if (!freed) {
        free(farewell);
        return NULL;
    }
    *farewell = (struct farewell){.queue = queue, .freed = freed, .count = count};
    memcpy(farewell->pointers, pointers, count * sizeof(void *));
    object_retain(&queue->object);
    return farewell;
}

/* A command without work of its own; `event` is the caller's or NULL. */
static cl_int post_place(cl_command_queue queue, cl_command_type type, enum transfer_wait wait,
                         const struct command_waits *waits)
{
    struct command command;
    if (!svm_is_there())
        return CL_INVALID_OPERATION;
    cl_int result = command_open(&command, queue, type, waits);
    if (result != CL_SUCCESS)
        return result;
    return command_close(&command, pass(&command, wait), waits);
}

/* Free when the place in the queue is reached; the first of the command's two parts. Takes over
 * `farewell`. */
static cl_int post_farewell(struct farewell *farewell, const struct command_waits *waits)
{
    cl_int result = post_place(farewell->queue, CL_COMMAND_SVM_FREE, TRANSFER_POSTED, waits);
    if (result != CL_SUCCESS) {
        farewell_drop(farewell);
        return result;
    }
    result = callback_add(*waits->ret_event, CL_COMPLETE, on_reached, farewell);
    if (result != CL_SUCCESS) {
        object_release(&(*waits->ret_event)->object);
        farewell_drop(farewell);
    }
    return result;
}

/* In two parts: one reaches the place in the queue, the other waits until all has been freed. What
 * waits for the command, clFinish included, finds the program's function called. */
cl_int api_clEnqueueSVMFree(cl_command_queue command_queue, cl_uint num_svm_pointers,
                            void **svm_pointers,
                            void(CL_CALLBACK *pfn_free_func)(cl_command_queue queue,
                                                             cl_uint num_svm_pointers, void **,
                                                             void *user_data),
                            void *user_data, cl_uint num_events_in_wait_list,
                            const cl_event *event_wait_list, cl_event *event)
{
    cl_event reached;
    const struct command_waits waits = {num_events_in_wait_list, event_wait_list, &reached};
    if (!svm_is_there())
        return CL_INVALID_OPERATION;
    if (num_svm_pointers == 0 || !svm_pointers)
        return CL_INVALID_VALUE;
    struct farewell *farewell = farewell_create(command_queue, num_svm_pointers, svm_pointers);
    if (!farewell)
        return CL_OUT_OF_HOST_MEMORY;
    farewell->notify = pfn_free_func;
    farewell->user_data = user_data;
    cl_event freed = farewell->freed;
    object_retain(&freed->object); /* `farewell` may be gone soon */
    cl_int result = post_farewell(farewell, &waits);
    if (result == CL_SUCCESS) {
        const struct command_waits until = {1, &freed, event};
        result = post_place(command_queue, CL_COMMAND_SVM_FREE, TRANSFER_POSTED, &until);
        if (result == CL_SUCCESS && event)
            (*event)->first = reached;
        else
            object_release(&reached->object);
    }
    object_release(&freed->object);
    return result;
}

cl_int api_clEnqueueSVMMap(cl_command_queue command_queue, cl_bool blocking_map,
                           cl_map_flags map_flags, void *svm_ptr, size_t size,
                           cl_uint num_events_in_wait_list, const cl_event *event_wait_list,
                           cl_event *event)
{
    const struct command_waits waits = {num_events_in_wait_list, event_wait_list, event};
    struct copy_end place;
    if (svm_is_there() && (!svm_ptr || size == 0))
        return CL_INVALID_VALUE;
    cl_int result;
    if (svm_find(svm_ptr, &place)) {
        const size_t left = place.memory->size - place.offset;
        const struct memory_mapping mapping = {place.memory, place.offset,
                                               size < left ? size : left, map_flags};
        result =
            memory_map(command_queue, CL_COMMAND_SVM_MAP, &mapping, blocking_map, &waits, &svm_ptr);
    } else {
        result = post_place(command_queue, CL_COMMAND_SVM_MAP,
                            blocking_map ? TRANSFER_BLOCKING : TRANSFER_POSTED, &waits);
    }
    if (result == CL_SUCCESS && blocking_map)
        output_forward();
    return result;
}

cl_int api_clEnqueueSVMUnmap(cl_command_queue command_queue, void *svm_ptr,
                             cl_uint num_events_in_wait_list, const cl_event *event_wait_list,
                             cl_event *event)
{
    const struct command_waits waits = {num_events_in_wait_list, event_wait_list, event};
    struct copy_end place;
    if (svm_is_there() && !svm_ptr)
        return CL_INVALID_VALUE;
    if (svm_find(svm_ptr, &place) && memory_is_mapped(place.memory, svm_ptr))
        return memory_unmap(command_queue, CL_COMMAND_SVM_UNMAP, place.memory, svm_ptr, &waits);
    return post_place(command_queue, CL_COMMAND_SVM_UNMAP, TRANSFER_POSTED, &waits);
}

cl_int api_clEnqueueSVMMigrateMem(cl_command_queue command_queue, cl_uint num_svm_pointers,
                                  const void **svm_pointers, const size_t *sizes,
                                  cl_mem_migration_flags flags, cl_uint num_events_in_wait_list,
                                  const cl_event *event_wait_list, cl_event *event)
{
    const struct command_waits waits = {num_events_in_wait_list, event_wait_list, event};
    const cl_mem_migration_flags known =
        CL_MIGRATE_MEM_OBJECT_HOST | CL_MIGRATE_MEM_OBJECT_CONTENT_UNDEFINED;
    if (svm_is_there() && (num_svm_pointers == 0 || !svm_pointers || (flags & ~known)))
        return CL_INVALID_VALUE;
    return post_place(command_queue, CL_COMMAND_SVM_MIGRATE_MEM, TRANSFER_POSTED, &waits);
}

/* One end of a copy. */
struct svm_end {
    char *pointer;
    int is_shared;
    struct copy_end place; /* of a shared one */
};

static cl_int find_end(struct svm_end *end, const void *pointer, size_t bytes)
{
    *end = (struct svm_end){.pointer = (char *)(uintptr_t)pointer};
    if (!pointer)
        return CL_INVALID_VALUE;
    end->is_shared = svm_find(pointer, &end->place);
    return !end->is_shared || memory_holds(end->place.memory, end->place.offset, bytes)
               ? CL_SUCCESS
               : CL_INVALID_VALUE;
}

static cl_int check_ends(const struct _cl_command_queue *queue, const struct command_waits *waits,
                         struct svm_end *to, struct svm_end *from, const void *target,
                         const void *source, size_t bytes)
{
    const uintptr_t apart = (uintptr_t)target - (uintptr_t)source;
    cl_int result = bytes ? find_end(to, target, bytes) : CL_INVALID_VALUE;
    if (result == CL_SUCCESS)
        result = find_end(from, source, bytes);
    if (result == CL_SUCCESS)
        result = command_check_waits(queue, waits);
    if (result == CL_SUCCESS && (apart < bytes || -apart < bytes))
        result = CL_MEM_COPY_OVERLAP;
    return result;
}

static cl_int move(struct command *command, const struct svm_end *to, const struct svm_end *from,
                   size_t bytes, enum transfer_wait wait)
{
    struct region region;
    if (to->is_shared && from->is_shared)
        return copy_post(command, from->place, to->place, bytes);
    if (to->is_shared) {
        region_linear(&region, to->place.memory, to->place.offset, bytes, from->pointer);
        return transfer_write(command, &region, wait);
    }
    if (from->is_shared) {
        region_linear(&region, from->place.memory, from->place.offset, bytes, to->pointer);
        return transfer_read(command, &region, wait);
    }
    cl_int result = pass(command, TRANSFER_BLOCKING);
    if (result == CL_SUCCESS)
        memcpy(to->pointer, from->pointer, bytes);
    return result;
}

cl_int api_clEnqueueSVMMemcpy(cl_command_queue command_queue, cl_bool blocking_copy, void *dst_ptr,
                              const void *src_ptr, size_t size, cl_uint num_events_in_wait_list,
                              const cl_event *event_wait_list, cl_event *event)
{
    const struct command_waits waits = {num_events_in_wait_list, event_wait_list, event};
    struct svm_end to, from;
    struct command command;
    if (!svm_is_there())
        return CL_INVALID_OPERATION;
    cl_int result = check_ends(command_queue, &waits, &to, &from, dst_ptr, src_ptr, size);
    if (result == CL_SUCCESS)
        result = command_open(&command, command_queue, CL_COMMAND_SVM_MEMCPY, &waits);
    if (result != CL_SUCCESS)
        return result;
    result = move(&command, &to, &from, size, blocking_copy ? TRANSFER_BLOCKING : TRANSFER_POSTED);
    if (result == CL_SUCCESS && blocking_copy)
        result = queue_wait(command_queue);
    if (blocking_copy)
        transfers_observe(command_queue->state, queue_in_order(command_queue) ? command.target : 0);
    return command_close(&command, result, &waits);
}

cl_int api_clEnqueueSVMMemFill(cl_command_queue command_queue, void *svm_ptr, const void *pattern,
                               size_t pattern_size, size_t size, cl_uint num_events_in_wait_list,
                               const cl_event *event_wait_list, cl_event *event)
{
    const struct command_waits waits = {num_events_in_wait_list, event_wait_list, event};
    struct copy_end target;
    struct command command;
    if (!svm_is_there())
        return CL_INVALID_OPERATION;
    if (!svm_ptr || !pattern || size == 0 || !fill_is_even(pattern_size, (uintptr_t)svm_ptr, size))
        return CL_INVALID_VALUE;
    if (!svm_find(svm_ptr, &target) || !memory_holds(target.memory, target.offset, size))
        return CL_INVALID_VALUE;
    cl_int result = command_open(&command, command_queue, CL_COMMAND_SVM_MEMFILL, &waits);
    if (result != CL_SUCCESS)
        return result;
    return command_close(&command, fill_post(&command, target, size, pattern, pattern_size),
                         &waits);
}

cl_int api_clSetKernelExecInfo(cl_kernel kernel, cl_kernel_exec_info param_name,
                               size_t param_value_size, const void *param_value)
{
    if (!svm_is_there())
        return CL_INVALID_OPERATION;
    if (!param_value || param_value_size == 0)
        return CL_INVALID_VALUE;
    if (param_name == CL_KERNEL_EXEC_INFO_SVM_PTRS && param_value_size % sizeof(void *) == 0)
        /* Kernels reach all of the arena, named or not. */
        return arena_base() ? CL_SUCCESS
                            : kernel_reach(kernel, param_value, param_value_size / sizeof(void *));
    if (param_name == CL_KERNEL_EXEC_INFO_SVM_FINE_GRAIN_SYSTEM)
        return param_value_size == sizeof(cl_bool) ? CL_SUCCESS : CL_INVALID_VALUE;
    return CL_INVALID_VALUE;
}
