/* Leat's libnvidia-ml.so.1: there are as many devices as cards, the memory of each is the card's
 * quota, its processes are those of the card, and how busy it is says how much of its share the
 * card uses. */
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

/* One card. */
struct seen {
    enum card_state state;
    struct ledger_card *ledger;
    uint64_t sample_ns, sample_busy_ns; /* when the last sample was taken, and of what */
    unsigned busy_percent;
};

static struct {
    pthread_mutex_t lock;                    /* guards the rest */
    struct seen cards[CARD_DEVICES_MAX + 1]; /* the last is for what is none of the process's */
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

/* ---- which device ---- */

/* The devices that CUDA programs see, in their order: an entry of CUDA_VISIBLE_DEVICES each, or all
 * there are. */
static const char *visible_list(void)
{
    const char *list = getenv("CUDA_VISIBLE_DEVICES");
    return list && *list ? list : NULL;
}

static unsigned visible_count(void)
{
    unsigned count = 0, all = 0, cards = card_count();
    for (const char *list = visible_list(); list; count++)
        list = (list = strchr(list, ',')) ? list + 1 : NULL;
    if (driver_nvmlDeviceGetCount_v2(&all) == NVML_SUCCESS && (!count || count > all))
        count = all;
    return cards && count > cards ? cards : count;
}

/* The device with that number in the process. */
static nvmlReturn_t card_device(unsigned number, nvmlDevice_t *device)
{
    char name[96];
    const char *list = visible_list();
    if (!list)
        return driver_nvmlDeviceGetHandleByIndex_v2(number, device);
    for (; number && list; number--)
        list = (list = strchr(list, ',')) ? list + 1 : NULL;
    size_t length = list ? strcspn(list, ",") : sizeof(name);
    if (length >= sizeof(name))
        return NVML_ERROR_INVALID_ARGUMENT;
    memcpy(name, list, length);
    name[length] = '\0';
    if (name[0] < '0' || name[0] > '9')
        return driver_nvmlDeviceGetHandleByUUID(name, device);
    return driver_nvmlDeviceGetHandleByIndex_v2((unsigned)strtoul(name, NULL, 10), device);
}

/* The number of a device; CARD_DEVICES_MAX: it is not one of the process's. The parts and the whole
 * of the only one are that one. */
static unsigned number_of(nvmlDevice_t device)
{
    nvmlDevice_t own;
    unsigned count = visible_count();
    for (unsigned i = 0; i < count && i < CARD_DEVICES_MAX; i++)
        if (card_device(i, &own) == NVML_SUCCESS && own == device)
            return i;
    return count == 1 ? 0 : CARD_DEVICES_MAX;
}

/* ---- its card ---- */

/* With the lock held, once. */
static void attach(unsigned number, struct seen *card)
{
    struct attachment a;
    card->state = card_attach(number, &a);
    if (card->state == CARD_READY) {
        card->ledger = a.ledger;
        card->sample_ns = now_ns();
        card->sample_busy_ns = __atomic_load_n(&a.ledger->device_time_ns, __ATOMIC_RELAXED);
        if (a.notify_fd >= 0)
            (void)close(a.notify_fd);
    }
    if (card->state == CARD_REMOTE) {
        wire_disconnect(&a.client);
        card->state = CARD_FAILED; /* the real library is with the device */
    }
}

/* The card of a device, with its page or without: nothing is to be told of a device whose card is
 * not to be had. NULL: the device has no card, and everything is the library's own. The page is
 * only read, so that a child may go on with its parent's. */
static struct seen *card_of(nvmlDevice_t device)
{
    if (!card_is_named())
        return NULL;
    unsigned number = number_of(device);
    struct seen *card = &monitor.cards[number];
    (void)pthread_mutex_lock(&monitor.lock);
    if (card->state == CARD_UNKNOWN)
        attach(number, card);
    (void)pthread_mutex_unlock(&monitor.lock);
    return card->state == CARD_NONE ? NULL : card;
}

/* ---- finding devices ---- */

nvmlReturn_t api_nvmlDeviceGetCount_v2(unsigned *count)
{
    if (!card_is_named())
        return driver_nvmlDeviceGetCount_v2(count);
    if (!count)
        return NVML_ERROR_INVALID_ARGUMENT;
    *count = visible_count();
    return NVML_SUCCESS;
}

nvmlReturn_t api_nvmlDeviceGetCount(unsigned *count)
{
    return card_is_named() ? api_nvmlDeviceGetCount_v2(count) : driver_nvmlDeviceGetCount(count);
}

nvmlReturn_t api_nvmlDeviceGetHandleByIndex_v2(unsigned index, nvmlDevice_t *device)
{
    if (!card_is_named())
        return driver_nvmlDeviceGetHandleByIndex_v2(index, device);
    return device && index < visible_count() ? card_device(index, device)
                                             : NVML_ERROR_INVALID_ARGUMENT;
}

nvmlReturn_t api_nvmlDeviceGetHandleByIndex(unsigned index, nvmlDevice_t *device)
{
    return card_is_named() ? api_nvmlDeviceGetHandleByIndex_v2(index, device)
                           : driver_nvmlDeviceGetHandleByIndex(index, device);
}

/* A device that was found by another way than its index: only the process's own are there. */
static nvmlReturn_t only_own(nvmlReturn_t result, nvmlDevice_t *device)
{
    nvmlDevice_t own;
    if (result != NVML_SUCCESS || !card_is_named())
        return result;
    unsigned number = number_of(*device);
    if (number < CARD_DEVICES_MAX && card_device(number, &own) == NVML_SUCCESS && own == *device)
        return NVML_SUCCESS;
    *device = NULL;
    return NVML_ERROR_NOT_FOUND;
}

nvmlReturn_t api_nvmlDeviceGetHandleByUUID(const char *uuid, nvmlDevice_t *device)
{
    return only_own(driver_nvmlDeviceGetHandleByUUID(uuid, device), device);
}

nvmlReturn_t api_nvmlDeviceGetHandleByPciBusId(const char *bus, nvmlDevice_t *device)
{
    return only_own(driver_nvmlDeviceGetHandleByPciBusId(bus, device), device);
}

nvmlReturn_t api_nvmlDeviceGetHandleByPciBusId_v2(const char *bus, nvmlDevice_t *device)
{
    return only_own(driver_nvmlDeviceGetHandleByPciBusId_v2(bus, device), device);
}

nvmlReturn_t api_nvmlDeviceGetHandleBySerial(const char *serial, nvmlDevice_t *device)
{
    return only_own(driver_nvmlDeviceGetHandleBySerial(serial, device), device);
}

nvmlReturn_t api_nvmlDeviceGetIndex(nvmlDevice_t device, unsigned *index)
{
    nvmlReturn_t result = driver_nvmlDeviceGetIndex(device, index);
    if (result != NVML_SUCCESS || !card_is_named())
        return result;
    *index = number_of(device);
    return *index < CARD_DEVICES_MAX ? NVML_SUCCESS : NVML_ERROR_NOT_FOUND;
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
    nvmlReturn_t result = driver_nvmlDeviceGetMemoryInfo(device, memory);
    const struct seen *card = result == NVML_SUCCESS ? card_of(device) : NULL;
    if (card)
        tell_memory(card->ledger, &memory->total, &memory->free, &memory->used);
    return result;
}

nvmlReturn_t api_nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, struct nvml_memory_v2 *memory)
{
    nvmlReturn_t result = driver_nvmlDeviceGetMemoryInfo_v2(device, memory);
    const struct seen *card = result == NVML_SUCCESS ? card_of(device) : NULL;
    if (card) {
        memory->reserved = 0;
        tell_memory(card->ledger, &memory->total, &memory->free, &memory->used);
    }
    return result;
}

/* ---- use ---- */

/* The device time since the last sample, against what the share allows; in percent. */
static unsigned sample(struct seen *card)
{
    (void)pthread_mutex_lock(&monitor.lock);
    uint64_t now = now_ns(), took_ns = now - card->sample_ns;
    uint32_t share = __atomic_load_n(&card->ledger->share_permille, __ATOMIC_RELAXED);
    if (took_ns >= SAMPLE_NS) {
        uint64_t busy_ns = __atomic_load_n(&card->ledger->device_time_ns, __ATOMIC_RELAXED);
        uint64_t allowed_ns = took_ns / 1000 * share;
        uint64_t percent = allowed_ns ? (busy_ns - card->sample_busy_ns) * 100 / allowed_ns : 0;
        card->busy_percent = (unsigned)lower_of(percent, 100);
        card->sample_ns = now;
        card->sample_busy_ns = busy_ns;
    }
    unsigned percent = card->busy_percent;
    (void)pthread_mutex_unlock(&monitor.lock);
    return percent;
}

nvmlReturn_t api_nvmlDeviceGetUtilizationRates(nvmlDevice_t device,
                                               struct nvml_utilization *utilization)
{
    nvmlReturn_t result = driver_nvmlDeviceGetUtilizationRates(device, utilization);
    struct seen *card = result == NVML_SUCCESS ? card_of(device) : NULL;
    if (card) /* traffic of memory is not known per card */
        *utilization = (struct nvml_utilization){.gpu = card->ledger ? sample(card) : 0};
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
        const struct seen *card = card_of(device); \
        if (!card) \
            return driver_##name(device, count, processes); \
        if (!count) \
            return NVML_ERROR_INVALID_ARGUMENT; \
        return list_processes((compute) ? card->ledger : NULL, count, processes, put); \
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
