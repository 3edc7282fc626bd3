/* The executor against raw records, on whatever OpenCL device the machine has (PoCL in CI). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "card/executor/opencl.h"
#include "card/executor/sandbox.h"
#include "executor_rig.h"

#define MIB (1ull << 20)
#define QUOTA_BYTES (64 * MIB)
#define ITEMS 4096u

enum ids { CONTEXT = 1, QUEUE, BUFFER_A, BUFFER_B, BUFFER_C, PROGRAM, KERNEL };

static const char source[] =
    "kernel void add(global const int *a, global const int *b, global int *c, int n)\n"
    "{ int i = get_global_id(0); if (i < n) c[i] = a[i] + b[i]; }\n"
    "struct pair { int x, y; float z; };\n"
    "kernel void odd(struct pair p, float4 v, local int *l, char c) { l[0] = p.x; }\n\0"
    "-cl-kernel-arg-info"; /* the options of its build */

static void create_basics(struct rig *rig, uint64_t queue_properties)
{
    struct wire_context_create context = {.id = CONTEXT};
    struct wire_queue_create queue = {
        .id = QUEUE, .context_id = CONTEXT, .properties = queue_properties};
    RIG_POST(rig, WIRE_CONTEXT_CREATE, context);
    RIG_POST(rig, WIRE_QUEUE_CREATE, queue);
}

static void create_buffer(struct rig *rig, uint32_t id, uint64_t bytes)
{
    struct wire_buffer_create buffer = {
        .id = id, .context_id = CONTEXT, .flags = CL_MEM_READ_WRITE, .size_bytes = bytes};
    RIG_POST(rig, WIRE_BUFFER_CREATE, buffer);
}

static void release(struct rig *rig, uint32_t id)
{
    struct wire_release record = {.id = id};
    RIG_POST(rig, WIRE_RELEASE, record);
}

static void drain(struct rig *rig)
{
    struct wire_drain record = {0};
    assert_int_equal(RIG_CALL(rig, WIRE_DRAIN, record), 0);
}

static void write_buffer(struct rig *rig, uint32_t id, uint64_t slab_offset, uint64_t bytes,
                         uint32_t event)
{
    struct wire_write record = {.queue_id = QUEUE,
                                .buffer_id = id,
                                .event = event,
                                .size_bytes = bytes,
                                .slab_offset = slab_offset};
    RIG_POST(rig, WIRE_WRITE, record);
}

static void read_buffer(struct rig *rig, uint32_t id, uint64_t slab_offset, uint64_t bytes,
                        uint32_t event)
{
    struct wire_read record = {.queue_id = QUEUE,
                               .buffer_id = id,
                               .event = event,
                               .size_bytes = bytes,
                               .slab_offset = slab_offset};
    RIG_POST(rig, WIRE_READ, record);
}

/* Build the program above; its reply is at slab offset 64 KiB. */
static const struct wire_build_reply *build(struct rig *rig)
{
    const uint64_t length = strlen(source);
    memcpy(rig_slab(rig), source, sizeof(source));
    struct wire_program_source program = {.id = PROGRAM, .context_id = CONTEXT, .length = length};
    assert_int_equal(RIG_CALL(rig, WIRE_PROGRAM_SOURCE, program), CL_SUCCESS);
    struct wire_program_build record = {.id = PROGRAM, .reply_offset = 65536, .reply_room = 65536};
    record.slab_offset = length + 1;
    record.length = sizeof(source) - length - 2;
    assert_int_equal(RIG_CALL(rig, WIRE_PROGRAM_BUILD, record), CL_SUCCESS);
    return (const void *)(rig_slab(rig) + 65536);
}

struct add_launch {
    struct wire_launch head;
    struct {
        struct wire_arg arg;
        uint32_t value, zero;
    } args[4];
};

static void create_kernel(struct rig *rig, const char *name)
{
    struct {
        struct wire_kernel_create head;
        char name[16];
    } kernel = {.head = {.id = KERNEL, .program_id = PROGRAM}};
    (void)snprintf(kernel.name, sizeof(kernel.name), "%s", name);
    kernel.head.name_length = (uint32_t)strlen(name) + 1;
    RIG_POST(rig, WIRE_KERNEL_CREATE, kernel);
}

static void launch_add(struct rig *rig, uint32_t event)
{
    struct add_launch launch = {
        .head = {.queue_id = QUEUE,
                 .kernel_id = KERNEL,
                 .event = event,
                 .args_bytes = sizeof(launch.args),
                 .dims = 1,
                 .global_0 = ITEMS},
        .args = {{{0, WIRE_ARG_MEMORY, 4}, BUFFER_A, 0},
                 {{1, WIRE_ARG_MEMORY, 4}, BUFFER_B, 0},
                 {{2, WIRE_ARG_MEMORY, 4}, BUFFER_C, 0},
                 {{3, WIRE_ARG_VALUE, 4}, ITEMS, 0}},
    };
    RIG_POST(rig, WIRE_LAUNCH, launch);
}

static void open_rig(struct rig *rig, uint64_t quota_bytes)
{
    assert_int_equal(rig_open(rig, rig_card(quota_bytes, 1000), 3), 0);
}

static void close_clean(struct rig *rig)
{
    int status = rig_close(rig);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void close_empty(struct rig *rig, uint32_t last)
{
    for (uint32_t id = BUFFER_A; id <= last; id++)
        release(rig, id);
    drain(rig);
    assert_int_equal(ledger_used(rig->ledger), 0);
    close_clean(rig);
}

static void test_vector_add(void **state)
{
    struct rig rig;
    open_rig(&rig, QUOTA_BYTES);
    create_basics(&rig, 0);
    const struct wire_build_reply *reply = build(&rig);
    assert_int_equal(reply->status, CL_SUCCESS);
    assert_int_equal(reply->build_status, CL_BUILD_SUCCESS);
    assert_int_equal(reply->kernel_count, 2);
    create_kernel(&rig, "add");
    int *a = (int *)(rig_slab(&rig) + MIB), *b = a + ITEMS, *c = b + ITEMS;
    for (unsigned i = 0; i < ITEMS; i++) {
        a[i] = (int)i;
        b[i] = 3 * (int)i;
        c[i] = -1;
    }
    for (uint32_t id = BUFFER_A; id <= BUFFER_C; id++)
        create_buffer(&rig, id, ITEMS * sizeof(int));
    write_buffer(&rig, BUFFER_A, MIB, ITEMS * sizeof(int), 0);
    write_buffer(&rig, BUFFER_B, MIB + ITEMS * sizeof(int), ITEMS * sizeof(int), 0);
    launch_add(&rig, 7);
    read_buffer(&rig, BUFFER_C, MIB + 2 * ITEMS * sizeof(int), ITEMS * sizeof(int), 8);
    rig_wait_completed(&rig, 0, 4);
    for (unsigned i = 0; i < ITEMS; i++)
        assert_int_equal(c[i], 4 * (int)i);
    assert_int_equal(rig_event_status(&rig, 7), CL_COMPLETE);
    const struct wire_event_state *event = rig_event(&rig, 7);
    assert_true(event->queued_ns <= event->start_ns && event->start_ns < event->end_ns);
    assert_int_equal(rig_queue(&rig, 0)->error, 0);
    assert_int_equal(ledger_used(rig.ledger), 3 * ITEMS * sizeof(int));
    assert_int_equal(rig.ledger->slots[3].commands, 4);
    assert_int_equal(rig.ledger->slots[3].commands_in_flight, 0);
    assert_true(rig.ledger->device_time_ns > 0);
    close_empty(&rig, KERNEL);
}

/* Launches without events are ended many at a time; one with an event among them ends in its turn,
 * and all are accounted for. */
static void test_quiet_launches(void **state)
{
    const unsigned launches = 300, with_event = 150;
    struct rig rig;
    open_rig(&rig, QUOTA_BYTES);
    create_basics(&rig, 0);
    (void)build(&rig);
    create_kernel(&rig, "add");
    for (uint32_t id = BUFFER_A; id <= BUFFER_C; id++)
        create_buffer(&rig, id, ITEMS * sizeof(int));
    rig_event(&rig, 7)->status = CL_QUEUED;
    for (unsigned i = 0; i < launches; i++)
        launch_add(&rig, i == with_event ? 7 : 0);
    rig_wait_event(&rig, 7);
    assert_true(rig_queue(&rig, 0)->completed > with_event);
    rig_wait_completed(&rig, 0, launches);
    assert_int_equal(rig_queue(&rig, 0)->completed, launches);
    assert_int_equal(rig_queue(&rig, 0)->error, 0);
    assert_int_equal(rig.ledger->slots[3].commands, launches);
    assert_int_equal(rig.ledger->slots[3].commands_in_flight, 0);
    close_clean(&rig);
}

struct waiting_write {
    struct wire_write head;
    uint32_t wait, zero;
};

static void write_after(struct rig *rig, uint32_t wait, uint32_t event)
{
    struct waiting_write record = {.head = {.queue_id = QUEUE,
                                            .buffer_id = BUFFER_A,
                                            .event = event,
                                            .wait_count = 1,
                                            .size_bytes = 64},
                                   .wait = wait};
    RIG_POST(rig, WIRE_WRITE, record);
}

/* What the driver refuses of a posted launch is told by its event and by its queue; what came
 * before and what comes after runs, what waits for it does not, and nothing stays in flight. */
static void test_refused_launch(void **state)
{
    struct rig rig;
    open_rig(&rig, QUOTA_BYTES);
    create_basics(&rig, 0);
    (void)build(&rig);
    create_kernel(&rig, "add");
    for (uint32_t id = BUFFER_A; id <= BUFFER_C; id++)
        create_buffer(&rig, id, ITEMS * sizeof(int));
    for (uint32_t event = 7; event <= 10; event++)
        rig_event(&rig, event)->status = CL_QUEUED;
    launch_add(&rig, 7);
    struct wire_launch refused = {.queue_id = QUEUE,
                                  .kernel_id = KERNEL,
                                  .event = 8,
                                  .dims = 1,
                                  .shape_flags = WIRE_SHAPE_LOCAL,
                                  .global_0 = 1u << 30,
                                  .local_0 = 1u << 30};
    RIG_POST(&rig, WIRE_LAUNCH, refused);
    launch_add(&rig, 9);
    write_after(&rig, 8, 10);
    rig_wait_completed(&rig, 0, 4);
    assert_int_equal(rig_event_status(&rig, 7), CL_COMPLETE);
    assert_int_equal(rig_event_status(&rig, 8), CL_INVALID_WORK_GROUP_SIZE);
    assert_int_equal(rig_event_status(&rig, 9), CL_COMPLETE);
    assert_int_equal(rig_event_status(&rig, 10), CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST);
    assert_int_equal(rig_queue(&rig, 0)->error, CL_INVALID_WORK_GROUP_SIZE);
    assert_int_equal(rig.ledger->slots[3].commands_in_flight, 0);
    close_clean(&rig);
}

/* Markers of an idle queue end without the driver, in their turn, and what waits for them runs. */
static void test_markers_of_an_idle_queue(void **state)
{
    struct rig rig;
    open_rig(&rig, QUOTA_BYTES);
    create_basics(&rig, 0);
    create_buffer(&rig, BUFFER_A, 64);
    for (uint32_t event = 5; event <= 7; event++)
        rig_event(&rig, event)->status = CL_QUEUED;
    struct wire_sync_point marker = {
        .queue_id = QUEUE, .event = 5, .shape = 2, .copied_bytes = 4 * MIB};
    RIG_POST(&rig, WIRE_SYNC_POINT, marker);
    write_after(&rig, 5, 6);
    marker.event = 7;
    RIG_POST(&rig, WIRE_SYNC_POINT, marker);
    rig_wait_completed(&rig, 0, 3);
    for (uint32_t event = 5; event <= 7; event++)
        assert_int_equal(rig_event_status(&rig, event), CL_COMPLETE);
    assert_int_equal(rig_queue(&rig, 0)->error, 0);
    assert_int_equal(rig.ledger->slots[3].commands, 3);
    assert_int_equal(rig.ledger->slots[3].commands_in_flight, 0);
    assert_true(rig.ledger->slots[3].device_time_ns >= 2 * MIB); /* what the client copied */
    close_clean(&rig);
}

/* Step over the texts of a kernel to its arguments. */
static const struct wire_arg_info *first_arg(const struct wire_kernel_info *kernel)
{
    return (const void *)((const uint8_t *)(kernel + 1) + wire_pad8(kernel->name_length) +
                          wire_pad8(kernel->attributes_length));
}

static const struct wire_arg_info *next_arg(const struct wire_arg_info *arg)
{
    return (const void *)((const uint8_t *)(arg + 1) + wire_pad8(arg->type_name_length) +
                          wire_pad8(arg->name_length));
}

static void test_build_reply(void **state)
{
    static const struct {
        uint32_t kind, size_bytes;
    } expected[2][4] = {
        {{WIRE_ARG_MEMORY, 8}, {WIRE_ARG_MEMORY, 8}, {WIRE_ARG_MEMORY, 8}, {WIRE_ARG_VALUE, 4}},
        /* PoCL takes a structure of any size: 0 */
        {{WIRE_ARG_VALUE, 0}, {WIRE_ARG_VALUE, 16}, {WIRE_ARG_LOCAL, 0}, {WIRE_ARG_VALUE, 1}},
    };
    struct rig rig;
    open_rig(&rig, QUOTA_BYTES);
    create_basics(&rig, 0);
    const struct wire_build_reply *reply = build(&rig);
    const uint8_t *at = (const uint8_t *)(reply + 1) + wire_pad8(reply->log_length);
    at += wire_pad8(strlen((const char *)at) + 1); /* options */
    for (unsigned i = 0; i < 2; i++) {
        const struct wire_kernel_info *kernel = (const void *)at;
        const char *name = (const char *)(kernel + 1);
        unsigned row = strcmp(name, "add") == 0 ? 0 : 1;
        assert_int_equal(kernel->arg_count, 4);
        assert_true(kernel->has_arg_info);
        assert_true(kernel->work_group_size > 0);
        const struct wire_arg_info *arg = first_arg(kernel);
        for (unsigned a = 0; a < 4; a++, arg = next_arg(arg)) {
            assert_int_equal(arg->kind, expected[row][a].kind);
            assert_int_equal(arg->size_bytes, expected[row][a].size_bytes);
        }
        at = (const uint8_t *)arg;
    }
    struct wire_program_get_build again = {.id = PROGRAM, .reply_offset = 1 * MIB, .reply_room = 8};
    assert_int_equal(RIG_CALL(&rig, WIRE_PROGRAM_GET_BUILD, again), CL_SUCCESS);
    close_clean(&rig);
}

static void test_failed_build(void **state)
{
    static const char wrong[] = "kernel void f( { nonsense }";
    struct rig rig;
    open_rig(&rig, QUOTA_BYTES);
    create_basics(&rig, 0);
    memcpy(rig_slab(&rig), wrong, sizeof(wrong));
    struct wire_program_source program = {
        .id = PROGRAM, .context_id = CONTEXT, .length = sizeof(wrong) - 1};
    assert_int_equal(RIG_CALL(&rig, WIRE_PROGRAM_SOURCE, program), CL_SUCCESS);
    struct wire_program_build record = {.id = PROGRAM, .reply_offset = 65536, .reply_room = 65536};
    assert_int_equal(RIG_CALL(&rig, WIRE_PROGRAM_BUILD, record), CL_SUCCESS);
    const struct wire_build_reply *reply = (const void *)(rig_slab(&rig) + 65536);
    assert_int_equal(reply->status, CL_BUILD_PROGRAM_FAILURE);
    assert_int_equal(reply->build_status, CL_BUILD_ERROR);
    assert_true(reply->log_length > 1);
    /* A kernel of it fails, and so does its launch, but the session lives on. */
    create_kernel(&rig, "f");
    for (uint32_t id = BUFFER_A; id <= BUFFER_C; id++)
        create_buffer(&rig, id, 64);
    rig_event(&rig, 1)->status = CL_QUEUED;
    launch_add(&rig, 1);
    rig_wait_event(&rig, 1);
    assert_true(rig_event_status(&rig, 1) < 0);
    drain(&rig);
    close_clean(&rig);
}

/* Divide device `id` equally, into parts of `units`, under the numbers from `first`. */
static int divide(struct rig *rig, uint32_t id, uint64_t units, uint32_t first, uint32_t count)
{
    struct {
        struct wire_device_partition head;
        uint64_t properties[3];
        uint32_t ids[2];
    } record = {
        .head = {.device_id = id, .reply_room = 65536, .property_count = 3, .id_count = count},
        .properties = {CL_DEVICE_PARTITION_EQUALLY, units},
        .ids = {first, first + 1}};
    return RIG_CALL(rig, WIRE_DEVICE_PARTITION, record);
}

static void test_subdevices(void **state)
{
    enum { PART = 20, PART_OF_PART, PARTS_END };
    struct rig rig;
    open_rig(&rig, QUOTA_BYTES);
    const struct wire_info *info = (const void *)rig_slab(&rig);
    cl_uint units = 0;
    while (divide(&rig, 0, units + 1, PARTS_END, 0) == CL_SUCCESS)
        units++;
    assert_true(units >= 1);
    assert_int_equal(divide(&rig, 0, units, PART, 1), CL_SUCCESS);
    assert_int_equal(info->of, WIRE_INFO_PART);
    assert_true(info->length > 0);
    assert_int_equal(divide(&rig, PART, units + 1, PART_OF_PART, 1), CL_INVALID_VALUE);
    struct {
        struct wire_context_create head;
        uint32_t devices[2];
    } context = {.head = {.id = CONTEXT, .device_count = 2}, .devices = {PART, 0}};
    RIG_POST(&rig, WIRE_CONTEXT_CREATE, context);
    struct wire_context_devices ask = {.id = CONTEXT, .reply_room = 64};
    assert_int_equal(RIG_CALL(&rig, WIRE_CONTEXT_DEVICES, ask), CL_SUCCESS);
    struct wire_queue_create queue = {.id = QUEUE, .context_id = CONTEXT, .device_id = PART};
    RIG_POST(&rig, WIRE_QUEUE_CREATE, queue);
    struct wire_object_status status = {.id = QUEUE};
    assert_int_equal(RIG_CALL(&rig, WIRE_OBJECT_STATUS, status), CL_SUCCESS);
    create_buffer(&rig, BUFFER_A, 64);
    write_buffer(&rig, BUFFER_A, 0, 64, 0);
    rig_wait_completed(&rig, 0, 1);
    for (uint32_t id = BUFFER_A; id >= CONTEXT; id--)
        release(&rig, id);
    release(&rig, PART);
    drain(&rig);
    close_clean(&rig);
}

static void test_quota(void **state)
{
    struct rig rig;
    open_rig(&rig, 10 * MIB);
    create_basics(&rig, 0);
    create_buffer(&rig, BUFFER_A, 6 * MIB);
    create_buffer(&rig, BUFFER_B, 6 * MIB);
    write_buffer(&rig, BUFFER_A, 0, 6 * MIB, 1);
    write_buffer(&rig, BUFFER_B, 0, 6 * MIB, 2);
    rig_wait_completed(&rig, 0, 2);
    assert_int_equal(rig_event_status(&rig, 1), CL_COMPLETE);
    assert_int_equal(rig_event_status(&rig, 2), CL_MEM_OBJECT_ALLOCATION_FAILURE);
    assert_int_equal(rig_queue(&rig, 0)->error, CL_MEM_OBJECT_ALLOCATION_FAILURE);
    assert_int_equal(ledger_used(rig.ledger), 6 * MIB);
    assert_int_equal(rig.ledger->refusals, 1);
    release(&rig, BUFFER_A);
    release(&rig, BUFFER_B);
    drain(&rig);
    assert_int_equal(ledger_used(rig.ledger), 0);
    create_buffer(&rig, BUFFER_B, 10 * MIB);
    drain(&rig);
    assert_int_equal(ledger_used(rig.ledger), 10 * MIB);
    assert_int_equal(rig.ledger->peak_bytes, 10 * MIB);
    assert_int_equal(rig.ledger->slots[3].freed_total_bytes, 12 * MIB); /* the refused one, too */
    close_clean(&rig);
}

static void set_user_event(struct rig *rig, uint32_t event, int32_t status)
{
    struct wire_user_event_set set = {.event = event, .status = status};
    RIG_POST(rig, WIRE_USER_EVENT_SET, set);
}

static void test_user_events(void **state)
{
    static const int32_t outcomes[] = {CL_COMPLETE, -7};
    for (unsigned i = 0; i < 2; i++) {
        struct rig rig;
        open_rig(&rig, QUOTA_BYTES);
        create_basics(&rig, i ? CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE : 0);
        create_buffer(&rig, BUFFER_A, 64);
        struct wire_user_event_create create = {.event = 5, .context_id = CONTEXT};
        RIG_POST(&rig, WIRE_USER_EVENT_CREATE, create);
        rig_event(&rig, 6)->status = rig_event(&rig, 7)->status = CL_QUEUED;
        write_after(&rig, 5, 6);
        write_after(&rig, 6, 7);
        drain(&rig);
        assert_int_equal(rig_event_status(&rig, 6), CL_QUEUED);
        set_user_event(&rig, 5, outcomes[i]);
        rig_wait_event(&rig, 6);
        rig_wait_event(&rig, 7);
        rig_wait_completed(&rig, 0, 2);
        assert_int_equal(rig_event_status(&rig, 5), outcomes[i]);
        assert_int_equal(rig_event_status(&rig, 6) < 0, outcomes[i] < 0);
        assert_int_equal(rig_event_status(&rig, 7) < 0, outcomes[i] < 0);
        assert_int_equal(rig.ledger->slots[3].commands_in_flight, 0);
        close_clean(&rig);
    }
}

static void create_in_arena(struct rig *rig, uint64_t offset, uint64_t bytes, uint32_t range)
{
    struct wire_buffer_create buffer = {.id = BUFFER_A,
                                        .context_id = CONTEXT,
                                        .flags = CL_MEM_READ_WRITE,
                                        .size_bytes = bytes,
                                        .arena_offset = offset,
                                        .range = range};
    *rig_range(rig, range) = 1;
    RIG_POST(rig, WIRE_BUFFER_CREATE, buffer);
}

/* A buffer in the arena is the same bytes on both sides, and its pages go when it goes. */
static void test_arena(void **state)
{
    const uint64_t bytes = 64 * 1024;
    struct rig rig;
    open_rig(&rig, QUOTA_BYTES);
    drain(&rig); /* the driver has been started */
    if (rig.session->arena_bytes == 0) {
        close_clean(&rig);
        skip(); /* a device with memory of its own */
    }
    create_basics(&rig, 0);
    create_in_arena(&rig, 4096, bytes, 5);
    uint8_t *memory = rig_arena(&rig) + 4096;
    memset(memory, 7, bytes);
    read_buffer(&rig, BUFFER_A, 0, bytes, 0);
    rig_wait_completed(&rig, 0, 1);
    assert_memory_equal(rig_slab(&rig), memory, bytes);
    memset(rig_slab(&rig), 9, bytes);
    write_buffer(&rig, BUFFER_A, 0, bytes, 0);
    rig_wait_completed(&rig, 0, 2);
    assert_memory_equal(rig_slab(&rig), memory, bytes);
    assert_int_equal(*rig_range(&rig, 5), 1);
    release(&rig, BUFFER_A);
    drain(&rig);
    assert_int_equal(*rig_range(&rig, 5), 0);
    assert_int_equal(memory[0] | memory[bytes - 1], 0);
    close_clean(&rig);
}

/* A creation that the quota refuses keeps no range. */
static void test_arena_quota(void **state)
{
    struct rig rig;
    open_rig(&rig, 4096);
    drain(&rig);
    if (rig.session->arena_bytes > 0) {
        create_basics(&rig, 0);
        create_in_arena(&rig, 0, 8192, 6);
        drain(&rig);
        assert_int_equal(*rig_range(&rig, 6), 0);
    }
    close_clean(&rig);
}

static int allocate_shared(struct rig *rig, uint32_t id, uint64_t bytes, uint64_t alignment)
{
    struct wire_svm_alloc record = {
        .id = id, .context_id = CONTEXT, .size_bytes = bytes, .alignment = alignment};
    return RIG_CALL(rig, WIRE_SVM_ALLOC, record);
}

/* Shared virtual memory is charged as a buffer is, and its bytes cross as those of one. */
static void test_shared_memory(void **state)
{
    struct rig rig;
#ifdef __SANITIZE_THREAD__
    skip(); /* the sanitizer keeps the addresses of the region (svm.c) for itself */
#endif
    open_rig(&rig, MIB);
    create_basics(&rig, 0);
    assert_int_equal(allocate_shared(&rig, BUFFER_A, MIB / 2, 128), CL_SUCCESS);
    assert_int_equal(ledger_used(rig.ledger), MIB / 2);
    assert_int_not_equal(allocate_shared(&rig, BUFFER_B, MIB / 2 + 1, 0), CL_SUCCESS);
    assert_int_equal(allocate_shared(&rig, BUFFER_C, 100, 4096), CL_SUCCESS);
    memset(rig_slab(&rig), 9, 64);
    write_buffer(&rig, BUFFER_C, 0, 64, 0);
    read_buffer(&rig, BUFFER_C, 4096, 64, 0);
    rig_wait_completed(&rig, 0, 2);
    assert_memory_equal(rig_slab(&rig), rig_slab(&rig) + 4096, 64);
    close_empty(&rig, BUFFER_C);
}

/* Every way to break the protocol ends this session, and nothing else, with its own exit status. */
static void expect_end(struct rig *rig)
{
    int status = rig_wait_end(rig);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 11);
}

static void hostile_unknown_object(struct rig *rig)
{
    release(rig, 99);
}

static void hostile_wrong_kind(struct rig *rig)
{
    create_basics(rig, 0);
    write_buffer(rig, QUEUE, 0, 4, 0);
}

static void hostile_device(struct rig *rig)
{
    struct wire_context_create context = {.id = CONTEXT};
    struct wire_queue_create queue = {.id = QUEUE, .context_id = CONTEXT, .device_id = CONTEXT};
    RIG_POST(rig, WIRE_CONTEXT_CREATE, context);
    RIG_POST(rig, WIRE_QUEUE_CREATE, queue);
}

static void hostile_partition(struct rig *rig)
{
    struct {
        struct wire_device_partition head;
        uint64_t properties[2];
    } record = {.head = {.property_count = 2}, .properties = {CL_DEVICE_PARTITION_EQUALLY, 1}};
    RIG_POST(rig, WIRE_DEVICE_PARTITION, record);
}

static void hostile_slab(struct rig *rig)
{
    create_basics(rig, 0);
    create_buffer(rig, BUFFER_A, 64);
    write_buffer(rig, BUFFER_A, UINT64_MAX - 8, 64, 0);
}

static void hostile_arena(struct rig *rig)
{
    create_basics(rig, 0);
    create_in_arena(rig, RIG_ARENA_BYTES - 256, 257, 1);
}

static void hostile_arena_overflow(struct rig *rig)
{
    create_basics(rig, 0);
    create_in_arena(rig, UINT64_MAX - 255, 512, 1);
}

static void hostile_arena_place(struct rig *rig)
{
    create_basics(rig, 0);
    create_in_arena(rig, 8, 8, 1);
}

static void hostile_region(struct rig *rig)
{
    create_basics(rig, 0);
    create_buffer(rig, BUFFER_A, 64);
    struct wire_rect_slab rect = {.queue_id = QUEUE,
                                  .buffer_id = BUFFER_A,
                                  .region_0 = 1ull << 32,
                                  .region_1 = 1ull << 31,
                                  .region_2 = 4};
    RIG_POST(rig, WIRE_RECT_SLAB, rect);
}

static uint32_t create_image(struct rig *rig, uint32_t id, uint64_t width, int32_t refusal)
{
    struct wire_image_create image = {.id = id,
                                      .context_id = CONTEXT,
                                      .flags = CL_MEM_READ_WRITE,
                                      .channel_order = CL_RGBA,
                                      .channel_type = CL_UNSIGNED_INT8,
                                      .image_type = CL_MEM_OBJECT_IMAGE2D,
                                      .width = width,
                                      .height = 16,
                                      .refusal = refusal};
    return (uint32_t)RIG_CALL(rig, WIRE_IMAGE_CREATE, image);
}

/* The slab would hold less than the driver moves. */
static void hostile_pixels(struct rig *rig)
{
    create_basics(rig, 0);
    assert_int_equal(create_image(rig, BUFFER_A, 16, 0), CL_SUCCESS);
    struct wire_image_read read = {.queue_id = QUEUE,
                                   .image_id = BUFFER_A,
                                   .region_0 = 16,
                                   .region_1 = 16,
                                   .region_2 = 1,
                                   .size_bytes = 16};
    RIG_POST(rig, WIRE_IMAGE_READ, read);
}

static void hostile_wait_list(struct rig *rig)
{
    create_basics(rig, 0);
    struct wire_sync_point sync = {.queue_id = QUEUE, .wait_count = 0x40000000};
    RIG_POST(rig, WIRE_SYNC_POINT, sync);
}

static void hostile_opcode(struct rig *rig)
{
    struct wire_header header = {0};
    RIG_POST(rig, 60000, header);
}

static void hostile_sequence(struct rig *rig)
{
    create_basics(rig, 0);
    rig->sequence = 0;
    release(rig, QUEUE);
}

/* A header that claims more than is published. */
static void hostile_length(struct rig *rig)
{
    const struct wire_header header = {.opcode = WIRE_DRAIN, .length = WIRE_LANE_BYTES / 2};
    rig_post_raw(rig, &header, sizeof(header));
}

static void hostile_tail(struct rig *rig)
{
    const struct wire_header header = {.opcode = WIRE_DRAIN, .length = sizeof(header)};
    rig->tail = 3 * WIRE_LANE_BYTES;
    rig_post_raw(rig, &header, sizeof(header));
}

static void hostile_event(struct rig *rig)
{
    create_basics(rig, 0);
    create_buffer(rig, BUFFER_A, 64);
    write_buffer(rig, BUFFER_A, 0, 64, WIRE_EVENTS);
}

static void hostile_alignment(struct rig *rig)
{
    create_basics(rig, 0);
    struct wire_svm_alloc record = {.id = BUFFER_A, .context_id = CONTEXT, .alignment = 3};
    RIG_POST(rig, WIRE_SVM_ALLOC, record);
}

static void test_hostile(void **state)
{
    static void (*const attacks[])(struct rig * rig) = {
        hostile_device,   hostile_partition, hostile_unknown_object, hostile_wrong_kind,
        hostile_slab,     hostile_arena,     hostile_arena_overflow, hostile_arena_place,
        hostile_region,   hostile_wait_list, hostile_opcode,         hostile_length,
        hostile_sequence, hostile_tail,      hostile_event,          hostile_pixels,
        hostile_alignment};
    for (unsigned i = 0; i < sizeof(attacks) / sizeof(attacks[0]); i++) {
        struct rig rig;
        open_rig(&rig, QUOTA_BYTES);
        attacks[i](&rig);
        expect_end(&rig);
    }
}

/* Images are charged with their pixels; what cannot be made gives its bytes back, and a refusal
 * that is only asked for takes no number. */
static void test_images(void **state)
{
    struct rig rig;
    open_rig(&rig, MIB);
    create_basics(&rig, 0);
    assert_int_equal(create_image(&rig, BUFFER_A, 8192, 0), CL_SUCCESS); /* half a MiB */
    assert_int_equal(ledger_used(rig.ledger), MIB / 2);
    assert_int_equal(create_image(&rig, BUFFER_B, 8193, 0),
                     (uint32_t)CL_MEM_OBJECT_ALLOCATION_FAILURE);
    assert_int_equal(create_image(&rig, BUFFER_C, 8192, 0), CL_SUCCESS);
    assert_int_equal(ledger_used(rig.ledger), MIB);
    assert_int_not_equal(create_image(&rig, 0, 0, CL_INVALID_IMAGE_SIZE), CL_SUCCESS);
    assert_int_equal(create_image(&rig, 0, 16, CL_INVALID_IMAGE_SIZE),
                     (uint32_t)CL_INVALID_IMAGE_SIZE); /* the driver would make it */
    close_empty(&rig, BUFFER_C);
}

/* Exit status of a child that has entered the sandbox: what it can still do. */
static int try_sandboxed(void)
{
    struct error err = {0};
    int entered = sandbox_enter(&err);
    if (entered == -ENOSYS)
        return 77;
    if (entered < 0)
        return 1;
    if (open("/etc/hostname", O_RDONLY) >= 0 || open("/proc/1/environ", O_RDONLY) >= 0)
        return 2;
    if (open("/usr/bin/env", O_RDONLY) < 0 || open("/proc/self/stat", O_RDONLY) < 0)
        return 3;
    if (chroot("/usr") == 0 || errno != EPERM)
        return 4; /* no rights of root are left */
    return 0;
}

static void test_sandbox(void **state)
{
    int status;
    pid_t pid = fork();
    if (pid == 0)
        _exit(try_sandboxed());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip(); /* a kernel without Landlock */
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* More records than a ring holds, so that it wraps and the producer waits. */
static void test_ring_wraps(void **state)
{
    enum { ROUNDS = 20000 };
    struct rig rig;
    open_rig(&rig, QUOTA_BYTES);
    create_basics(&rig, 0);
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct wire_sampler_create filler = {.id = 100, .context_id = CONTEXT};
        RIG_POST(&rig, WIRE_SAMPLER_CREATE, filler);
        release(&rig, 100);
    }
    drain(&rig);
    close_clean(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vector_add),     cmocka_unit_test(test_quiet_launches),
        cmocka_unit_test(test_refused_launch), cmocka_unit_test(test_markers_of_an_idle_queue),
        cmocka_unit_test(test_build_reply),    cmocka_unit_test(test_failed_build),
        cmocka_unit_test(test_subdevices),     cmocka_unit_test(test_quota),
        cmocka_unit_test(test_user_events),    cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_arena),          cmocka_unit_test(test_arena_quota),
        cmocka_unit_test(test_shared_memory),  cmocka_unit_test(test_ring_wraps),
        cmocka_unit_test(test_sandbox),        cmocka_unit_test(test_images),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
