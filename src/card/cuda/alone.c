/* The shared file and its slots: see alone.h. A file lock guards the taking of slots; everything
 * else is as with a daemon. */
#include "card/cuda/alone.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "card/ledger/ledger.h"
#include "card/meter/meter.h"

/* Of one device; the file has one for each. */
struct page {
    _Alignas(4096) struct ledger_card ledger;
    struct meter_device device;
};

static uint64_t bytes_of(const char *text)
{
    char *end = NULL;
    uint64_t value = text ? strtoull(text, &end, 10) : 0;
    static const char units[] = "kmg";
    const char *unit = end && *end ? strchr(units, *end | 0x20) : NULL;
    unsigned shift = unit ? 10 * (unsigned)(unit - units + 1) : 0;
    return value > UINT64_MAX >> shift ? UINT64_MAX : value << shift;
}

static uint64_t percent_of(const char *text)
{
    return text ? strtoul(text, NULL, 10) : 0;
}

/* The device's own limit, else that of all; 0: none. */
static uint64_t limit(const char *name, unsigned device, uint64_t (*read)(const char *text))
{
    char own[64];
    (void)snprintf(own, sizeof(own), "%s_%u", name, device);
    uint64_t value = read(getenv(own));
    return value ? value : read(getenv(name));
}

static uint64_t memory_limit(unsigned device)
{
    return limit("CUDA_DEVICE_MEMORY_LIMIT", device, bytes_of);
}

static uint64_t share_limit(unsigned device)
{
    uint64_t percent = limit("CUDA_DEVICE_SM_LIMIT", device, percent_of);
    return percent < 100 ? percent : 0;
}

int alone_is_named(void)
{
    unsigned device = 0;
    while (device < CARD_DEVICES_MAX && !memory_limit(device) && !share_limit(device))
        device++;
    return device < CARD_DEVICES_MAX;
}

/* Field 22 of /proc/PID/stat; 0: no such process. */
static uint64_t start_time(uint32_t pid)
{
    char path[32], text[1024];
    (void)snprintf(path, sizeof(path), "/proc/%u/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        (void)close(fd);
    if (got <= 0)
        return 0;
    text[got] = '\0';
    char *at = strrchr(text, ')');
    if (!at || at[2] == 'Z' || at[2] == 'X')
        return 0;
    for (int field = 2; field < 22 && at; field++)
        at = strchr(at + 1, ' ');
    return at ? strtoull(at, NULL, 10) : 0;
}

static void free_slot(struct ledger_slot *slot)
{
    struct ledger_slot empty = {.state = 1};
    memcpy((char *)slot + sizeof(slot->state), (char *)&empty + sizeof(slot->state),
           sizeof(*slot) - sizeof(slot->state));
    __atomic_store_n(&slot->state, 0, __ATOMIC_SEQ_CST);
}

void alone_reap(struct ledger_card *ledger, struct meter_device *device)
{
    for (unsigned i = 0; i < LEDGER_SLOTS; i++) {
        struct ledger_slot *slot = &ledger->slots[i];
        uint32_t pid = __atomic_load_n(&slot->pid, __ATOMIC_SEQ_CST);
        if (!__atomic_load_n(&slot->state, __ATOMIC_SEQ_CST) || !pid ||
            start_time(pid) == slot->start_time)
            continue;
        meter_reap(device, pid);
        free_slot(slot);
    }
}

static void begin(struct ledger_card *ledger, unsigned device)
{
    struct timespec now;
    uint64_t quota = memory_limit(device), percent = share_limit(device);
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail for this clock */
    ledger->quota_bytes = quota ? quota : UINT64_MAX;
    ledger->share_permille = percent ? (uint32_t)percent * 10 : 1000;
    ledger->credit_time_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    ledger->magic = LEDGER_MAGIC;
}

/* With the file locked. */
static int take_slot(struct page *page, unsigned *ret_slot)
{
    alone_reap(&page->ledger, &page->device);
    for (unsigned i = 0; i < LEDGER_SLOTS; i++) {
        struct ledger_slot *slot = &page->ledger.slots[i];
        if (slot->state)
            continue;
        slot->pid = (uint32_t)getpid();
        slot->start_time = start_time(slot->pid);
        ledger_open_slot(&page->ledger, i);
        *ret_slot = i;
        return 0;
    }
    return -EUSERS;
}

#define FILE_BYTES (CARD_DEVICES_MAX * (off_t)sizeof(struct page)) /* sparse */

static int open_file(void)
{
    char path[PATH_MAX];
    const char *cache = getenv("CUDA_DEVICE_MEMORY_SHARED_CACHE");
    int length = cache ? snprintf(path, sizeof(path), "%s.leat", cache)
                       : snprintf(path, sizeof(path), "/tmp/leat-card-%u", (unsigned)getuid());
    struct stat status;
    if (length >= (int)sizeof(path))
        return -1;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -1;
    if (flock(fd, LOCK_EX) == 0 && fstat(fd, &status) == 0 &&
        (status.st_size == FILE_BYTES || (status.st_size == 0 && ftruncate(fd, FILE_BYTES) == 0)))
        return fd;
    (void)close(fd);
    return -1;
}

enum card_state alone_attach(unsigned device, struct attachment *ret)
{
    if (!memory_limit(device) && !share_limit(device))
        return CARD_NONE;
    int fd = device < CARD_DEVICES_MAX ? open_file() : -1;
    if (fd < 0)
        return CARD_FAILED;
    unsigned slot = 0;
    struct page *page = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, fd,
                             device * (off_t)sizeof(*page));
    int taken = 0;
    if (page != MAP_FAILED) {
        if (page->ledger.magic != LEDGER_MAGIC)
            begin(&page->ledger, device);
        taken = take_slot(page, &slot) == 0;
    }
    (void)flock(fd, LOCK_UN); /* the mapping keeps the file open, and would keep the lock */
    (void)close(fd);
    if (!taken)
        return CARD_FAILED;
    *ret = (struct attachment){.ledger = &page->ledger,
                               .device = &page->device,
                               .notify_fd = -1,
                               .slot = slot,
                               .alone = 1};
    return CARD_READY;
}
