/* What a process's CUDA cards are made of: the table of blocks, batches, and all of it under
 * threads on the fake driver, with limits of the environment for cards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "card/cuda/batch.h"
#include "card/cuda/blocks.h"
#include "card/cuda/driver.h"
#include "card/cuda/launch.h"
#include "card/cuda/measure.h"
#include "card/cuda/process.h"
#include "card/ledger/ledger.h"
#include "cuda_api.h"

#define THREADS 6
#define ROUNDS 60
#define KIB 1024u

/* The library that uses these parts says what is behind it. */

int driver_refuses(void)
{
    return CUDA_ERROR_NOT_SUPPORTED;
}

const struct driver_library driver_library = {
    .variable = "LEAT_CUDA_DRIVER", .file = "libcuda.so.1", .missing = (void *)driver_refuses};

/* ---- blocks ---- */

static uint64_t freed[2];

static void on_freed(struct charge charge)
{
    if (charge.bytes)
        freed[charge.device] += charge.bytes;
}

static void add_up(const struct charge *charge, void *sums)
{
    ((uint64_t *)sums)[charge->device] += charge->bytes;
}

/* A handle's bytes are its device's until neither handle nor mapping is left. */
static void test_mapped_memory_keeps_its_device(void **state)
{
    assert_int_equal(blocks_add(BLOCK_HANDLE, 7, (struct charge){1, 100}), 0);
    assert_int_equal(blocks_map(7, 0x1000, 50), 0);
    assert_int_equal(blocks_map(7, 0x2000, 50), 0);
    assert_int_equal(blocks_retain(7, 0x2010), 0);
    assert_int_equal(blocks_take(BLOCK_HANDLE, 7).bytes, 0);
    assert_int_equal(blocks_take(BLOCK_HANDLE, 7).bytes, 0);
    assert_int_equal(blocks_take(BLOCK_HANDLE, 7).bytes, 0); /* one too many */
    blocks_unmap(0x1000, 50, on_freed);
    assert_int_equal(freed[1], 0);
    assert_int_equal(blocks_add(BLOCK_HANDLE, 8, (struct charge){0, 30}), 0);
    assert_int_equal(blocks_map(8, 0x3000, 30), 0);
    assert_int_equal(blocks_take(BLOCK_HANDLE, 8).bytes, 0);
    blocks_unmap(0x2000, 0x2000, on_freed); /* both, of two devices, at once */
    assert_int_equal(freed[0], 30);
    assert_int_equal(freed[1], 100);
}

static void test_a_graph_has_bytes_on_each_device(void **state)
{
    uint64_t sums[2] = {0};
    assert_int_equal(blocks_add(BLOCK_GRAPH, 9, (struct charge){0, 10}), 0);
    assert_int_equal(blocks_add(BLOCK_GRAPH, 9, (struct charge){1, 20}), 0);
    assert_int_equal(blocks_add(BLOCK_MEMORY, 9, (struct charge){1, 40}), 0);
    blocks_visit(BLOCK_GRAPH, 9, add_up, sums);
    assert_int_equal(sums[0], 10);
    assert_int_equal(sums[1], 20);
    assert_int_equal(blocks_take(BLOCK_GRAPH, 9).bytes + blocks_take(BLOCK_GRAPH, 9).bytes, 30);
    assert_int_equal(blocks_take(BLOCK_GRAPH, 9).bytes, 0);
    assert_int_equal(blocks_take(BLOCK_MEMORY, 9).bytes, 40);
    blocks_clear();
}

/* ---- batches ---- */

static CUstream stream_of(uintptr_t number)
{
    return (CUstream)(0x1000 * number);
}

static void test_a_batch_has_streams_and_an_end(void **state)
{
    struct measurement m = {.device = 3, .queued_ns = 5}, *over;
    assert_int_equal(batch_join(3, stream_of(1), STREAM_LEGACY, 10, &over), 0);
    assert_null(over);
    assert_int_equal(batch_open(&m), 0);
    assert_int_equal(batch_open(&m), -EBUSY);
    assert_int_equal(batch_join(2, stream_of(1), STREAM_LEGACY, 10, &over), 0); /* another device */
    for (uintptr_t i = 1; i <= MEASURE_STREAMS; i++) {
        assert_int_equal(batch_join(3, stream_of(i), STREAM_LEGACY, 10, &over), 1);
        assert_int_equal(batch_join(3, stream_of(i), STREAM_LEGACY, 10, &over), 0); /* busy */
        assert_null(over);
        batch_leave(3);
    }
    assert_null(batch_close(3, 5));
    assert_int_equal(batch_close_stream(3, stream_of(99), &over), 0);
    assert_null(over);
    assert_true(batch_is_open(3));
    assert_int_equal(m.known_ns, 10 * MEASURE_STREAMS);
    assert_int_equal(batch_join(3, stream_of(99), STREAM_LEGACY, 10, &over), 0); /* one too many */
    assert_ptr_equal(over, &m);
    assert_int_equal(batch_close_stream(3, stream_of(1), &over), -EBUSY);
    assert_null(over);
    batch_over(3);
    assert_false(batch_is_open(3));
}

static void test_a_batch_ends_with_its_budget_and_its_streams(void **state)
{
    struct measurement m = {.streams_count = 0}, *over;
    assert_int_equal(batch_open(&m), 0);
    assert_int_equal(batch_join(0, stream_of(1), STREAM_LEGACY, BATCH_NS, &over), 1);
    batch_leave(0);
    assert_int_equal(batch_close_stream(0, stream_of(1), &over), 0);
    assert_ptr_equal(over, &m);
    batch_over(0);
    assert_int_equal(batch_open(&m), 0);
    assert_int_equal(batch_join(0, stream_of(1), STREAM_LEGACY, 1, &over), 0);
    assert_ptr_equal(over, &m);
    batch_over(0);
}

/* ---- threads ---- */

/* The null stream and two others of a context, with memory of several kinds. */
static void work(CUdevice device, unsigned round)
{
    static const uint32_t us = 1;
    void *params[] = {(void *)(uintptr_t)&us};
    const struct cuda_memory_kind kind = {
        .type = 1, .location_type = CUDA_LOCATION_DEVICE, .location_id = !device};
    CUdeviceptr linear, pooled;
    CUmemHandle handle;
    CUstream streams[3] = {NULL};
    CUmodule module;
    CUfunction function;
    assert_int_equal(driver_cuModuleLoadData(&module, "image"), 0);
    assert_int_equal(driver_cuModuleGetFunction(&function, module, "spin_us"), 0);
    assert_int_equal(driver_cuStreamCreate(&streams[1], 0), 0);
    assert_int_equal(driver_cuStreamCreate(&streams[2], 0), 0);
    assert_int_equal(api_cuMemAlloc_v2(&linear, 64 * KIB), 0);
    assert_int_equal(api_cuMemAllocAsync(&pooled, 64 * KIB, streams[1]), 0);
    assert_int_equal(api_cuMemCreate(&handle, 64 * KIB, &kind, 0), 0); /* of the other device */
    for (unsigned i = 0; i < 12; i++)
        assert_int_equal(api_cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, streams[(i + round) % 3],
                                            params, NULL),
                         0);
    assert_int_equal(api_cuMemFreeAsync(linear, streams[2]), 0);
    assert_int_equal(api_cuMemFreeAsync(pooled, streams[1]), 0);
    assert_int_equal(api_cuMemRelease(handle), 0);
    assert_int_equal(api_cuStreamDestroy_v2(streams[1]), 0);
    assert_int_equal(api_cuStreamDestroy_v2(streams[2]), 0);
    assert_int_equal(driver_cuModuleUnload(module), 0);
}

static void *run(void *number)
{
    CUcontext context;
    CUdevice device = (CUdevice)((uintptr_t)number % 2);
    assert_int_equal(driver_cuDevicePrimaryCtxRetain(&context, device), 0);
    assert_int_equal(driver_cuCtxSetCurrent(context), 0);
    for (unsigned round = 0; round < ROUNDS; round++)
        work(device, round);
    return NULL;
}

static void test_threads_on_two_devices(void **state)
{
    pthread_t threads[THREADS];
    assert_int_equal(driver_cuInit(0), 0);
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run, (void *)i), 0);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    launch_drain();
    for (CUdevice device = 0; device < 2; device++) {
        struct card_view view;
        CUmemPool pool;
        assert_int_equal(driver_cuDeviceGetDefaultMemPool(&pool, device), 0);
        assert_int_equal(api_cuMemPoolTrimTo(pool, 0), 0);
        assert_int_equal(process_card(device, &view), CARD_READY);
        assert_int_equal(view.ledger->quota_bytes, device ? 96u << 20 : 64u << 20);
        assert_int_equal(ledger_used(view.ledger), 0);
        assert_int_equal(view.ledger->slots[view.slot].commands, THREADS / 2 * ROUNDS * 12);
        assert_true(view.ledger->device_time_ns > 0);
    }
}

int main(void)
{
    char cache[] = "/tmp/leat-cuda-parts-XXXXXX";
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mapped_memory_keeps_its_device),
        cmocka_unit_test(test_a_graph_has_bytes_on_each_device),
        cmocka_unit_test(test_a_batch_has_streams_and_an_end),
        cmocka_unit_test(test_a_batch_ends_with_its_budget_and_its_streams),
        cmocka_unit_test(test_threads_on_two_devices),
    };
    char file[64];
    if (!mkdtemp(cache))
        return 1;
    (void)snprintf(file, sizeof(file), "%s/cache", cache);
    (void)setenv("LEAT_CUDA_DRIVER", FAKE_CUDA, 1);
    (void)setenv("CUDA_DEVICE_MEMORY_LIMIT", "64m", 1);
    (void)setenv("CUDA_DEVICE_MEMORY_LIMIT_1", "96m", 1);
    (void)setenv("CUDA_DEVICE_MEMORY_SHARED_CACHE", file, 1);
    (void)unsetenv("LEAT_CARD_SOCKET");
    (void)unsetenv("CUDA_VISIBLE_DEVICES");
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)snprintf(file, sizeof(file), "%s/cache.leat", cache);
    (void)unlink(file);
    (void)rmdir(cache);
    return failed;
}
