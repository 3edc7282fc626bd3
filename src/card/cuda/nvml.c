/* Leat's libnvidia-ml.so.1: there is one device, its memory is the card's quota, its processes are
 * those of the card, and how busy it is says how much of its share the card uses. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "card/cuda/attach.h"
#include "card/cuda/driver.h"
#include "card/ledger/ledger.h"
#include "nvml_api.h"

#define SAMPLE_NS 100000000ull /* how busy the card is, is told of at least so long a time */

static struct {
    pthread_mutex_t lock; /* guards the rest */
    enum card_state state;
    struct ledger_card *ledger;
    uint64_t sample_ns, sample_busy_ns; /* when the last sample was taken, and of what */
    unsigned busy_percent;
} monitor = {.lock = PTHREAD_MUTEX_INITIALIZER};

int driver_refuses(void)
{
    return NVML_ERROR_NOT_SUPPORTED;
}

static nvmlReturn_t missing(void)
{
    return NVML_ERROR_FUNCTION_NOT_FOUND;
}

const struct driver_library driver_library = {"LEAT_NVML_DRIVER", "libnvidia-ml.so.1",
                                              (void *)missing};

static uint64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail for this clock */
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The card's page, or NULL: there is no card, and everything is the library's own. A card that is
 * not to be had is no card of anybody's: `ret_failed`. It is only read, so that a child may go on
 * with its parent's. */
static const struct ledger_card *card_ledger(int *ret_failed)
{
    struct attachment a;
    (void)pthread_mutex_lock(&monitor.lock);
    if (monitor.state == CARD_UNKNOWN) {
        monitor.state = card_attach(&a);
        if (monitor.state == CARD_READY) {
            monitor.ledger = a.ledger;
            monitor.sample_ns = now_ns();
            monitor.sample_busy_ns = __atomic_load_n(&a.ledger->device_time_ns, __ATOMIC_RELAXED);
            if (a.notify_fd >= 0)
                (void)close(a.notify_fd);
        }
        if (monitor.state == CARD_REMOTE) {
            wire_disconnect(&a.client);
            monitor.state = CARD_FAILED; /* the real library is with the device */
        }
    }
    const struct ledger_card *ledger = monitor.ledger;
    *ret_failed = monitor.state == CARD_FAILED;
    (void)pthread_mutex_unlock(&monitor.lock);
    return ledger;
}

static int has_card(void)
{
    int failed;
    return card_ledger(&failed) || failed;
}

/* ---- which device ---- */

/* The device of the card: the first that CUDA programs see. */
static nvmlReturn_t card_device(nvmlDevice_t *device)
{
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    char first[96] = "0";
    if (visible && *visible && strcspn(visible, ",") < sizeof(first)) {
        size_t length = strcspn(visible, ",");
        memcpy(first, visible, length);
        first[length] = '\0';
    }
    if (first[0] < '0' || first[0] > '9')
        return driver_nvmlDeviceGetHandleByUUID(first, device);
    return driver_nvmlDeviceGetHandleByIndex_v2((unsigned)strtoul(first, NULL, 10), device);
}

nvmlReturn_t api_nvmlDeviceGetCount_v2(unsigned *count)
{
    if (!has_card())
        return driver_nvmlDeviceGetCount_v2(count);
    if (!count)
        return NVML_ERROR_INVALID_ARGUMENT;
    *count = 1;
    return NVML_SUCCESS;
}

nvmlReturn_t api_nvmlDeviceGetCount(unsigned *count)
{
    return has_card() ? api_nvmlDeviceGetCount_v2(count) : driver_nvmlDeviceGetCount(count);
}

nvmlReturn_t api_nvmlDeviceGetHandleByIndex_v2(unsigned index, nvmlDevice_t *device)
{
    if (!has_card())
        return driver_nvmlDeviceGetHandleByIndex_v2(index, device);
    return index == 0 && device ? card_device(device) : NVML_ERROR_INVALID_ARGUMENT;
}

nvmlReturn_t api_nvmlDeviceGetHandleByIndex(unsigned index, nvmlDevice_t *device)
{
    return has_card() ? api_nvmlDeviceGetHandleByIndex_v2(index, device)
                      : driver_nvmlDeviceGetHandleByIndex(index, device);
}

/* A device that was found by another way than its index: only the card's is there. */
static nvmlReturn_t only_card(nvmlReturn_t result, nvmlDevice_t *device)
{
    nvmlDevice_t own;
    if (result != NVML_SUCCESS || !has_card())
        return result;
    if (card_device(&own) == NVML_SUCCESS && own == *device)
        return NVML_SUCCESS;
    *device = NULL;
    return NVML_ERROR_NOT_FOUND;
}

nvmlReturn_t api_nvmlDeviceGetHandleByUUID(const char *uuid, nvmlDevice_t *device)
{
    return only_card(driver_nvmlDeviceGetHandleByUUID(uuid, device), device);
}

nvmlReturn_t api_nvmlDeviceGetHandleByPciBusId(const char *bus, nvmlDevice_t *device)
{
    return only_card(driver_nvmlDeviceGetHandleByPciBusId(bus, device), device);
}

nvmlReturn_t api_nvmlDeviceGetHandleByPciBusId_v2(const char *bus, nvmlDevice_t *device)
{
    return only_card(driver_nvmlDeviceGetHandleByPciBusId_v2(bus, device), device);
}

nvmlReturn_t api_nvmlDeviceGetHandleBySerial(const char *serial, nvmlDevice_t *device)
{
    return only_card(driver_nvmlDeviceGetHandleBySerial(serial, device), device);
}

nvmlReturn_t api_nvmlDeviceGetIndex(nvmlDevice_t device, unsigned *index)
{
    nvmlReturn_t result = driver_nvmlDeviceGetIndex(device, index);
    if (result == NVML_SUCCESS && has_card())
        *index = 0;
    return result;
}

/* ---- memory ---- */

static uint64_t lower_of(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Nothing is there of a card that is not to be had. */
static void tell_memory(const struct ledger_card *ledger, unsigned long long *total,
                        unsigned long long *free_bytes, unsigned long long *used)
{
    *total = ledger ? lower_of(*total, __atomic_load_n(&ledger->quota_bytes, __ATOMIC_RELAXED)) : 0;
    *used = ledger ? lower_of(*total, ledger_used(ledger)) : 0;
    *free_bytes = lower_of(*free_bytes, *total - *used);
}

nvmlReturn_t api_nvmlDeviceGetMemoryInfo(nvmlDevice_t device, struct nvml_memory *memory)
{
    int failed;
    nvmlReturn_t result = driver_nvmlDeviceGetMemoryInfo(device, memory);
    const struct ledger_card *ledger = card_ledger(&failed);
    if (result == NVML_SUCCESS && (ledger || failed))
        tell_memory(ledger, &memory->total, &memory->free, &memory->used);
    return result;
}

nvmlReturn_t api_nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, struct nvml_memory_v2 *memory)
{
    int failed;
    nvmlReturn_t result = driver_nvmlDeviceGetMemoryInfo_v2(device, memory);
    const struct ledger_card *ledger = card_ledger(&failed);
    if (result == NVML_SUCCESS && (ledger || failed)) {
        memory->reserved = 0;
        tell_memory(ledger, &memory->total, &memory->free, &memory->used);
    }
    return result;
}

/* ---- use ---- */

/* With the lock held: the device time since the last sample, against what the share allows. */
static void sample(void)
{
    uint64_t now = now_ns(), took_ns = now - monitor.sample_ns;
    uint32_t share = __atomic_load_n(&monitor.ledger->share_permille, __ATOMIC_RELAXED);
    if (took_ns < SAMPLE_NS)
        return;
    uint64_t busy_ns = __atomic_load_n(&monitor.ledger->device_time_ns, __ATOMIC_RELAXED);
    uint64_t allowed_ns = took_ns / 1000 * share;
    uint64_t percent = allowed_ns ? (busy_ns - monitor.sample_busy_ns) * 100 / allowed_ns : 0;
    monitor.busy_percent = (unsigned)lower_of(percent, 100);
    monitor.sample_ns = now;
    monitor.sample_busy_ns = busy_ns;
}

nvmlReturn_t api_nvmlDeviceGetUtilizationRates(nvmlDevice_t device,
                                               struct nvml_utilization *utilization)
{
    int failed;
    nvmlReturn_t result = driver_nvmlDeviceGetUtilizationRates(device, utilization);
    const struct ledger_card *ledger = card_ledger(&failed);
    if (result != NVML_SUCCESS || (!ledger && !failed))
        return result;
    *utilization = (struct nvml_utilization){0}; /* traffic of memory is not known per card */
    if (!ledger)
        return result;
    (void)pthread_mutex_lock(&monitor.lock);
    sample();
    utilization->gpu = monitor.busy_percent;
    (void)pthread_mutex_unlock(&monitor.lock);
    return result;
}

/* ---- processes ---- */

/* Those of the card that hold memory, by the numbers that they know themselves by, `put` into a
 * list that has room for `*count`. */
static nvmlReturn_t list_processes(const struct ledger_card *ledger, unsigned *count, void *list,
                                   void (*put)(void *list, unsigned at, unsigned pid,
                                               uint64_t used))
{
    unsigned room = *count, found = 0;
    for (unsigned i = 0; ledger && i < LEDGER_SLOTS; i++) {
        const struct ledger_slot *slot = &ledger->slots[i];
        uint64_t used = __atomic_load_n(&slot->used_bytes, __ATOMIC_RELAXED);
        if (!__atomic_load_n(&slot->state, __ATOMIC_ACQUIRE) || !used)
            continue;
        if (found < room && list)
            put(list, found, __atomic_load_n(&slot->own_pid, __ATOMIC_RELAXED), used);
        found++;
    }
    *count = found;
    return found > room ? NVML_ERROR_INSUFFICIENT_SIZE : NVML_SUCCESS;
}

static void put_v1(void *list, unsigned at, unsigned pid, uint64_t used)
{
    ((struct nvml_process_v1 *)list)[at] = (struct nvml_process_v1){pid, used};
}

static void put_v2(void *list, unsigned at, unsigned pid, uint64_t used)
{
    ((struct nvml_process *)list)[at] =
        (struct nvml_process){pid, used, NVML_NO_INSTANCE, NVML_NO_INSTANCE};
}

/* All of a card's processes compute. */
#define LIST(name, type, put, compute) \
    nvmlReturn_t api_##name(nvmlDevice_t device, unsigned *count, type *processes) \
    { \
        int failed; \
        const struct ledger_card *ledger = card_ledger(&failed); \
        if (!ledger && !failed) \
            return driver_##name(device, count, processes); \
        if (!count) \
            return NVML_ERROR_INVALID_ARGUMENT; \
        return list_processes((compute) ? ledger : NULL, count, processes, put); \
    }

LIST(nvmlDeviceGetComputeRunningProcesses, struct nvml_process_v1, put_v1, 1)
LIST(nvmlDeviceGetComputeRunningProcesses_v2, struct nvml_process, put_v2, 1)
LIST(nvmlDeviceGetComputeRunningProcesses_v3, struct nvml_process, put_v2, 1)
LIST(nvmlDeviceGetGraphicsRunningProcesses, struct nvml_process_v1, put_v1, 0)
LIST(nvmlDeviceGetGraphicsRunningProcesses_v2, struct nvml_process, put_v2, 0)
LIST(nvmlDeviceGetGraphicsRunningProcesses_v3, struct nvml_process, put_v2, 0)
LIST(nvmlDeviceGetMPSComputeRunningProcesses, struct nvml_process_v1, put_v1, 0)
LIST(nvmlDeviceGetMPSComputeRunningProcesses_v2, struct nvml_process, put_v2, 0)
LIST(nvmlDeviceGetMPSComputeRunningProcesses_v3, struct nvml_process, put_v2, 0)
