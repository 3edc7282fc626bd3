/* Shared virtual memory in the arena: see svm.h. */
#include "card/opencl/svm.h"

#include <sys/mman.h>

#include "card/opencl/arena.h"
#include "card/opencl/direct.h"
#include "card/opencl/event.h"
#include "card/opencl/memory.h"
#include "card/opencl/output.h"
#include "card/opencl/process.h"
#include "card/opencl/queue.h"
#include "card/opencl/sync.h"
#include "opencl_api.h"

/* Where nothing of a process lies on Linux with 47 bits of addresses: far above what is loaded low,
 * far below programs, libraries, heaps and stacks. */
#define BASE_FIRST 0x200000000000u
#define BASE_STEP 0x010000000000u
#define BASE_TRIES 8

/* One allocation: a buffer in the arena that the program does not see as one. */
struct svm_piece {
    struct svm_piece *next;
    cl_mem memory; /* one reference */
    char *start;
};

static int ask_executor(const char *base)
{
    struct wire_svm_place *record = record_begin(sizeof(*record));
    if (!record)
        return 0;
    record->address = (uintptr_t)base;
    return record_wait(record, WIRE_SVM_PLACE, sizeof(*record), NULL, NULL) == CL_SUCCESS;
}

/* A second view of the arena at `base`, where nothing else may be; 1 when it is there. */
static int map_view(char *base, uint64_t bytes)
{
    char *arena = wire_at(&process.client, process.client.session->arena_offset);
    void *free_place =
        mmap(base, bytes, PROT_NONE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    if (free_place != base) {
        if (free_place != MAP_FAILED)
            (void)munmap(free_place, bytes); /* a kernel that takes the flag for a hint */
        return 0;
    }
    if (mremap(arena, 0, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, base) != MAP_FAILED)
        return 1;
    (void)munmap(base, bytes);
    return 0;
}

static void find_place(struct svm *svm)
{
    const uint64_t bytes = process.client.session->arena_bytes;
    for (unsigned i = 0; i < BASE_TRIES && !svm->base; i++) {
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

int svm_is_there(void)
{
    struct svm *svm = &process.svm;
    if (process_connect() != CL_SUCCESS || process.client.session->arena_bytes == 0 ||
        !snapshot_number(&process.snapshot, WIRE_INFO_DEVICE, CL_DEVICE_SVM_CAPABILITIES))
        return 0;
    lock_take(&svm->lock);
    if (!svm->tried)
        find_place(svm);
    svm->tried = 1;
    lock_give(&svm->lock);
    return svm->base != NULL;
}

void svm_forget(void)
{
    if (process.svm.base)
        (void)munmap(process.svm.base, process.svm.bytes);
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

uint64_t svm_offset(const void *pointer)
{
    return (uintptr_t)pointer - (uintptr_t)process.svm.base;
}

static int is_supported(cl_svm_mem_flags flags, unsigned alignment)
{
    const cl_svm_mem_flags access = CL_MEM_READ_WRITE | CL_MEM_WRITE_ONLY | CL_MEM_READ_ONLY;
    return !(flags & ~access) && !(flags & (flags - 1)) && !(alignment & (alignment - 1)) &&
           alignment <= WIRE_RANGE_ALIGN;
}

void *api_clSVMAlloc(cl_context context, cl_svm_mem_flags flags, size_t size,
                     unsigned int alignment)
{
    cl_int code;
    if (!is_supported(flags, alignment) || !svm_is_there())
        return NULL;
    struct svm_piece *piece = malloc(sizeof(*piece));
    cl_mem memory = piece ? api_clCreateBuffer(context, flags, size, NULL, &code) : NULL;
    if (memory && (object_ensure(&memory->object) != CL_SUCCESS || !memory->range)) {
        object_release(&memory->object);
        memory = NULL;
    }
    if (!memory) {
        free(piece);
        return NULL;
    }
    lock_take(&process.svm.lock);
    *piece =
        (struct svm_piece){process.svm.pieces, memory, process.svm.base + memory->range->offset};
    process.svm.pieces = piece;
    lock_give(&process.svm.lock);
    return piece->start;
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
    if (found)
        object_release(&found->memory->object);
    free(found);
}

/* What is freed when a place in a queue is reached. */
struct farewell {
    cl_command_queue queue; /* one reference */
    void(CL_CALLBACK *notify)(cl_command_queue, cl_uint, void **, void *);
    void *user_data;
    cl_uint count;
    void *pointers[];
};

static void CL_CALLBACK on_reached(cl_event event, cl_int status, void *arg)
{
    struct farewell *farewell = arg;
    cl_command_queue queue = farewell->queue;
    if (farewell->notify)
        farewell->notify(queue, farewell->count, farewell->pointers, farewell->user_data);
    for (cl_uint i = 0; !farewell->notify && i < farewell->count; i++)
        api_clSVMFree(queue->context, farewell->pointers[i]);
    object_release(&queue->object);
    free(farewell);
}

static struct farewell *farewell_create(cl_command_queue queue, cl_uint count, void **pointers)
{
    struct farewell *farewell = malloc(sizeof(*farewell) + count * sizeof(void *));
    if (!farewell)
        return NULL;
    *farewell = (struct farewell){.queue = queue, .count = count};
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
    return command_close(&command, direct_pass(&command, wait), waits);
}

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
    cl_int result = post_place(command_queue, CL_COMMAND_SVM_FREE, TRANSFER_POSTED, &waits);
    if (result != CL_SUCCESS) {
        object_release(&command_queue->object);
        free(farewell);
        return result;
    }
    result = callback_add(reached, CL_COMPLETE, on_reached, farewell);
    if (result == CL_SUCCESS && event)
        *event = reached;
    else
        object_release(&reached->object);
    return result;
}

cl_int api_clEnqueueSVMMap(cl_command_queue command_queue, cl_bool blocking_map,
                           cl_map_flags map_flags, void *svm_ptr, size_t size,
                           cl_uint num_events_in_wait_list, const cl_event *event_wait_list,
                           cl_event *event)
{
    const struct command_waits waits = {num_events_in_wait_list, event_wait_list, event};
    if (svm_is_there() && (!svm_ptr || size == 0))
        return CL_INVALID_VALUE;
    cl_int result = post_place(command_queue, CL_COMMAND_SVM_MAP,
                               blocking_map ? TRANSFER_BLOCKING : TRANSFER_POSTED, &waits);
    if (result == CL_SUCCESS && blocking_map)
        output_forward();
    return result;
}

cl_int api_clEnqueueSVMUnmap(cl_command_queue command_queue, void *svm_ptr,
                             cl_uint num_events_in_wait_list, const cl_event *event_wait_list,
                             cl_event *event)
{
    const struct command_waits waits = {num_events_in_wait_list, event_wait_list, event};
    if (svm_is_there() && !svm_ptr)
        return CL_INVALID_VALUE;
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

static cl_int check_ends(struct svm_end *to, struct svm_end *from, const void *target,
                         const void *source, size_t bytes)
{
    const uintptr_t apart = (uintptr_t)target - (uintptr_t)source;
    cl_int result = bytes ? find_end(to, target, bytes) : CL_INVALID_VALUE;
    if (result == CL_SUCCESS)
        result = find_end(from, source, bytes);
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
    cl_int result = direct_pass(command, TRANSFER_BLOCKING);
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
    cl_int result = check_ends(&to, &from, dst_ptr, src_ptr, size);
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

/* Kernels reach all shared virtual memory there is, named or not. */
cl_int api_clSetKernelExecInfo(cl_kernel kernel, cl_kernel_exec_info param_name,
                               size_t param_value_size, const void *param_value)
{
    if (!svm_is_there())
        return CL_INVALID_OPERATION;
    if (!param_value || param_value_size == 0)
        return CL_INVALID_VALUE;
    if (param_name == CL_KERNEL_EXEC_INFO_SVM_PTRS)
        return param_value_size % sizeof(void *) ? CL_INVALID_VALUE : CL_SUCCESS;
    if (param_name == CL_KERNEL_EXEC_INFO_SVM_FINE_GRAIN_SYSTEM)
        return param_value_size == sizeof(cl_bool) ? CL_SUCCESS : CL_INVALID_VALUE;
    return CL_INVALID_VALUE;
}
