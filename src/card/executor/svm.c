/* Shared virtual memory: see svm.h. */
#include "card/executor/svm.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "card/executor/device.h"
#include "card/executor/session.h"
#include "card/ledger/ledger.h"

/* Where nothing of a process lies on Linux with 47 bits of addresses, in programs either; the
 * arena's second place is below. */
#define REGION_FIRST 0x280000000000u
#define REGION_STEP 0x010000000000u
#define REGION_TRIES 8
#define REGION_BYTES (REGION_STEP / 2)
#define PAGE_BYTES 4096u
#define HUNT_MAX 64 /* places that a driver may offer before the right one */
#define POINTERS_MAX (1u << 20)

static void *at(uint64_t address)
{
    return (void *)(uintptr_t)address;
}

static uint64_t round_up(uint64_t value, uint64_t to)
{
    return (value + to - 1) / to * to;
}

/* ---- the region ---- */

static int region_open(struct session *session, uint64_t base)
{
    if (base < REGION_FIRST || base >= REGION_FIRST + REGION_TRIES * (uint64_t)REGION_STEP)
        return 0;
    void *place = mmap(at(base), REGION_BYTES, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    if (place == at(base)) {
        (void)madvise(place, REGION_BYTES, MADV_DONTDUMP); /* as large as it is empty */
        session->svm_region = base;
        return 1;
    }
    if (place != MAP_FAILED)
        (void)munmap(place, REGION_BYTES); /* a kernel that takes the flag for a hint */
    return 0;
}

/* A region where nothing is in the way, or the one in which `address` lies. */
static int region_is_open(struct session *session, uint64_t address)
{
    if (session->svm_region || address)
        return session->svm_region || region_open(session, address / REGION_STEP * REGION_STEP);
    for (unsigned i = 0; i < REGION_TRIES; i++)
        if (region_open(session, REGION_FIRST + i * (uint64_t)REGION_STEP))
            return 1;
    return 0;
}

/* The first gap for `bytes`, or the one in which `svm` was: where to link it; NULL: there is
 * none. */
static struct svm_memory **region_gap(struct session *session, const struct svm_memory *svm,
                                      uint64_t bytes, uint64_t *ret_address)
{
    const uint64_t align = svm->alignment > WIRE_RANGE_ALIGN ? svm->alignment : WIRE_RANGE_ALIGN;
    struct svm_memory **link = &session->svm_places;
    uint64_t start = session->svm_region, end = start + REGION_BYTES;
    for (; *link; link = &(*link)->next) {
        const uint64_t next = (*link)->address;
        if (svm->address ? next > svm->address : next >= start && next - start >= bytes)
            break;
        start = round_up(next + (*link)->bytes, align);
    }
    end = *link ? (*link)->address : end;
    *ret_address = svm->address ? svm->address : start;
    return start <= *ret_address && *ret_address < end && bytes <= end - *ret_address ? link : NULL;
}

/* A place in the region: the one that it has, or had, or the first gap. 1 when there is one. */
static int region_take(struct session *session, struct svm_memory *svm, uint64_t size)
{
    const uint64_t bytes = round_up(size, WIRE_RANGE_ALIGN);
    uint64_t address;
    if (svm->bytes) /* still there: it was only away */
        return 1;
    if (bytes < size || !region_is_open(session, svm->address))
        return 0;
    struct svm_memory **link = region_gap(session, svm, bytes, &address);
    if (!link)
        return 0;
    svm->address = address;
    svm->bytes = bytes;
    svm->next = *link;
    *link = svm;
    return 1;
}

/* The whole pages inside go; the others may have neighbours. */
static void region_empty(const struct svm_memory *svm)
{
    uint64_t start = round_up(svm->address, PAGE_BYTES);
    uint64_t end = (svm->address + svm->bytes) / PAGE_BYTES * PAGE_BYTES;
    if (end > start)
        (void)madvise(at(start), end - start, MADV_DONTNEED); /* else it goes with the session */
}

/* ---- the driver's ---- */

/* What it offers elsewhere is kept until the right address has come. */
static int driver_take(struct svm_memory *svm, cl_context context, cl_svm_mem_flags flags,
                       uint64_t size)
{
    void *others[HUNT_MAX], *offered = NULL;
    unsigned count = 0;
    while (count < HUNT_MAX) {
        offered = clSVMAlloc(context, flags, size, (cl_uint)svm->alignment);
        if (!offered || !svm->address || offered == at(svm->address))
            break;
        others[count++] = offered;
        offered = NULL;
    }
    while (count > 0)
        clSVMFree(context, others[--count]);
    if (!offered)
        return 0;
    (void)clRetainContext(context); /* the client may release it before its memory */
    svm->address = (uintptr_t)offered;
    svm->context = context;
    return 1;
}

static void let_go(struct svm_memory *svm)
{
    if (svm->context) {
        clSVMFree(svm->context, at(svm->address));
        (void)clReleaseContext(svm->context); /* ours */
        svm->context = NULL;
    } else {
        region_empty(svm);
    }
}

/* ---- objects ---- */

/* Memory, and a buffer over it, through which contents travel. */
static cl_int allocate(struct session *session, struct object *object)
{
    const cl_mem_flags access =
        object->flags & (CL_MEM_READ_WRITE | CL_MEM_WRITE_ONLY | CL_MEM_READ_ONLY);
    struct svm_memory *svm = object->svm;
    cl_context context = session->objects[object->parent].driver;
    cl_int status;
    int is_there = device_shares_memory(session->device)
                       ? region_take(session, svm, object->size_bytes)
                       : driver_take(svm, context, access, object->size_bytes);
    if (!is_there) {
        session->svm_missed |= svm->address != 0;
        return CL_MEM_OBJECT_ALLOCATION_FAILURE;
    }
    object->driver = clCreateBuffer(context, access | CL_MEM_USE_HOST_PTR, object->size_bytes,
                                    at(svm->address), &status);
    if (status != CL_SUCCESS)
        let_go(svm);
    return status;
}

cl_int svm_make(struct session *session, struct object *object)
{
    const uint64_t bytes = object->size_bytes;
    if (object->away) {
        seats_account(session, object->seats, bytes, ledger_bring_back);
    } else {
        object->seats = seats_of_devices(session, session->objects[object->parent].extra);
        if (seats_reserve(session, object->seats, bytes) < 0)
            return CL_MEM_OBJECT_ALLOCATION_FAILURE;
    }
    cl_int status = allocate(session, object);
    if (status != CL_SUCCESS)
        seats_account(session, object->seats, bytes,
                      object->away ? ledger_put_away : ledger_release);
    return status;
}

void svm_unmake(struct session *session, struct object *object)
{
    (void)clReleaseMemObject(object->driver); /* ours */
    let_go(object->svm);
}

void svm_finish(struct session *session, struct svm_memory *svm)
{
    struct svm_memory **link = &session->svm_places;
    while (*link && *link != svm)
        link = &(*link)->next;
    if (*link)
        *link = svm->next;
    free(svm);
}

int svm_is_settled(const struct session *session, uint64_t address)
{
    return session->svm_apart && address - (uintptr_t)session->svm < session->svm_bytes;
}

int svm_settle(struct session *session, struct object *object, uint64_t address)
{
    const uint64_t offset = address - (uintptr_t)session->svm;
    if (!svm_is_settled(session, address) || object->size_bytes > session->svm_bytes - offset)
        return -EPROTO;
    if (!object->svm)
        object->svm = calloc(1, sizeof(*object->svm));
    if (!object->svm)
        return -ENOMEM;
    object->svm->address = address;
    object->svm->bytes = object->size_bytes;
    return 0;
}

void svm_clear(struct session *session)
{
    if (session->svm)
        (void)munmap(session->svm, session->svm_bytes);
    if (session->svm_region)
        (void)munmap(at(session->svm_region), REGION_BYTES);
    session->svm = NULL;
    session->svm_bytes = session->svm_region = 0;
    session->svm_apart = 0;
}

int svm_holds(const struct session *session, uint64_t address)
{
    if (session->svm && address - (uintptr_t)session->svm < session->svm_bytes)
        return 1;
    for (uint32_t id = 1; id < session->objects_end; id++) {
        const struct object *object = &session->objects[id];
        if (object->svm && object->driver && address - object->svm->address < object->size_bytes)
            return 1;
    }
    return 0;
}

int svm_may_be_aligned(uint64_t alignment)
{
    return (alignment & (alignment - 1)) == 0 && alignment <= PAGE_BYTES;
}

int handle_svm_alloc(struct session *session, const struct wire_header *header, struct reply *reply,
                     struct error *err)
{
    const struct wire_svm_alloc *record = (const void *)header;
    struct object *context, *object;
    if (object_get(session, record->context_id, OBJECT_CONTEXT, &context, err) < 0 ||
        object_place(session, record->id, &object, err) < 0)
        return -EPROTO;
    if (!svm_may_be_aligned(record->alignment))
        return BAD_RECORD(err, "memory aligned to %llu", (unsigned long long)record->alignment);
    struct svm_memory *svm = calloc(1, sizeof(*svm));
    if (!svm)
        return BAD_RECORD(err, "no memory for an object");
    svm->alignment = record->alignment;
    *object = (struct object){.kind = OBJECT_MEMORY,
                              .parent = record->context_id,
                              .is_buffer = 1,
                              .svm = svm,
                              .flags = record->flags,
                              .size_bytes = record->size_bytes};
    object->error = object_make(session, object);
    reply->status = object->error;
    reply->value = svm->address;
    return 0;
}

/* ---- what kernels reach ---- */

void svm_tell(struct session *session, const struct kernel *kernel, cl_kernel driver)
{
    uint32_t count = 0;
    if (kernel->pointer_count == 0 || kernel->pointer_count < kernel->pointer_total || !driver ||
        device_shares_memory(session->device)) /* which reaches all that there is */
        return;
    AUTO_FREE void **pointers = calloc(kernel->pointer_count, sizeof(*pointers));
    for (uint32_t i = 0; pointers && i < kernel->pointer_count; i++)
        if (svm_holds(session, kernel->pointers[i])) /* it may have been freed since */
            pointers[count++] = at(kernel->pointers[i]);
    if (count > 0) /* a refusal would show in what the kernel reads, as it does without a card */
        (void)clSetKernelExecInfo(driver, CL_KERNEL_EXEC_INFO_SVM_PTRS, count * sizeof(*pointers),
                                  pointers);
}

int handle_kernel_pointers(struct session *session, const struct wire_header *header,
                           struct reply *reply, struct error *err)
{
    const struct wire_kernel_pointers *record = (const void *)header;
    struct object *object;
    if (object_get(session, record->kernel_id, OBJECT_KERNEL, &object, err) < 0)
        return -EPROTO;
    struct kernel *kernel = object->extra;
    if (record->first == 0)
        kernel->pointer_count = 0;
    if (record->first != kernel->pointer_count || record->first > record->total ||
        record->total > POINTERS_MAX || record->count > record->total - record->first)
        return BAD_RECORD(err, "pointers from %u on, %u of %u", record->first, record->count,
                          record->total);
    const uint32_t count = record->first + record->count;
    uint64_t *pointers = realloc(kernel->pointers, (count + 1u) * sizeof(*pointers));
    if (!pointers)
        return BAD_RECORD(err, "no memory for pointers");
    memcpy(pointers + record->first, wire_kernel_pointers_pointers(record),
           record->count * sizeof(*pointers));
    kernel->pointers = pointers;
    kernel->pointer_count = count;
    kernel->pointer_total = record->total;
    svm_tell(session, kernel, object->driver);
    return 0;
}
