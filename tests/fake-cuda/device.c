#include "fake-cuda/device.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static struct fake_truth *truth;
static pthread_once_t truth_once = PTHREAD_ONCE_INIT;
static int own_pid;
static const char *failing; /* read once: a look-up in the environment is no part of a call */
static struct fake_process *own;
static int visible[FAKE_DEVICES], devices, concurrent;

uint64_t fake_now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void truth_init(struct fake_truth *t)
{
    pthread_mutexattr_t robust;
    (void)pthread_mutexattr_init(&robust);
    (void)pthread_mutexattr_setpshared(&robust, PTHREAD_PROCESS_SHARED);
    (void)pthread_mutexattr_setrobust(&robust, PTHREAD_MUTEX_ROBUST);
    (void)pthread_mutex_init(&t->lock, &robust);
    t->devices = FAKE_DEVICES;
    t->memory_bytes = FAKE_MEMORY_BYTES;
    t->magic = FAKE_MAGIC;
}

/* The names of devices end with their numbers. */
static void see_devices(void)
{
    const char *list = getenv("CUDA_VISIBLE_DEVICES");
    for (; !list && devices < FAKE_DEVICES; devices++)
        visible[devices] = devices;
    while (list && *list && devices < FAKE_DEVICES) {
        size_t length = strcspn(list, ",");
        int device = length ? list[length - 1] - '0' : -1;
        if (device < 0 || device >= FAKE_DEVICES)
            return; /* a wrong one ends the list */
        visible[devices++] = device;
        list += length + (list[length] == ',');
    }
}

int fake_devices(void)
{
    (void)fake_truth();
    return devices;
}

int fake_physical(int device)
{
    return visible[device];
}

static void truth_open(void)
{
    see_devices();
    concurrent = getenv("LEAT_FAKE_CUDA_CONCURRENT") != NULL;
    failing = getenv("LEAT_FAKE_CUDA_FAIL");
    const char *path = getenv("LEAT_FAKE_CUDA");
    int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666)
                  : memfd_create("fake-cuda", MFD_CLOEXEC);
    struct stat status;
    if (fd < 0 || lockf(fd, F_LOCK, 0) < 0 || fstat(fd, &status) < 0)
        return;
    if (status.st_size == 0 && ftruncate(fd, sizeof(*truth)) < 0)
        return;
    struct fake_truth *t = mmap(NULL, sizeof(*t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (t == MAP_FAILED)
        return;
    if (t->magic != FAKE_MAGIC)
        truth_init(t);
    (void)close(fd); /* and with it the lock */
    truth = t;
}

struct fake_truth *fake_truth(void)
{
    (void)pthread_once(&truth_once, truth_open);
    return truth;
}

static void truth_lock(struct fake_truth *t)
{
    if (pthread_mutex_lock(&t->lock) == EOWNERDEAD)
        (void)pthread_mutex_consistent(&t->lock); /* each word is right by itself */
}

/* Ended, or a zombie: its memory has gone by then. */
static int is_dead(int pid)
{
    char path[64], text[512];
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT;
    ssize_t got = read(fd, text, sizeof(text) - 1);
    (void)close(fd);
    if (got <= 0)
        return 1;
    text[got] = '\0';
    const char *state = strrchr(text, ')');
    return state && (state[2] == 'Z' || state[2] == 'X');
}

/* With the lock held. */
static void count_again(struct fake_truth *t)
{
    int saved = errno; /* for the test that nobody changes it */
    for (int d = 0; d < FAKE_DEVICES; d++)
        t->used_bytes[d] = 0;
    for (int i = 0; i < FAKE_PROCESSES; i++) {
        struct fake_process *p = &t->processes[i];
        if (p->pid && p != own && is_dead(p->pid))
            *p = (struct fake_process){0};
        for (int d = 0; d < FAKE_DEVICES; d++)
            t->used_bytes[d] += p->used_bytes[d];
    }
    errno = saved;
}

/* With the lock held. A child after fork has a slot of its own. */
static void find_own(struct fake_truth *t)
{
    if (own && own_pid == getpid())
        return;
    own = NULL;
    own_pid = getpid();
    count_again(t);
    for (int i = 0; i < FAKE_PROCESSES && !own; i++)
        if (!t->processes[i].pid)
            own = &t->processes[i];
    if (!own)
        abort();
    *own = (struct fake_process){.pid = own_pid};
}

int fake_take(int number, uint64_t bytes)
{
    struct fake_truth *t = fake_truth();
    int device = fake_physical(number);
    truth_lock(t);
    find_own(t);
    /* A killed neighbour is noticed when its memory would matter, as a new peak or a refusal. */
    if (t->used_bytes[device] + bytes > t->peak_bytes[device])
        count_again(t);
    int fits = bytes <= t->memory_bytes && t->used_bytes[device] <= t->memory_bytes - bytes;
    if (fits) {
        own->used_bytes[device] += bytes;
        t->used_bytes[device] += bytes;
        if (t->used_bytes[device] > t->peak_bytes[device])
            t->peak_bytes[device] = t->used_bytes[device];
    }
    (void)pthread_mutex_unlock(&t->lock);
    return fits ? 0 : -1;
}

void fake_give(int number, uint64_t bytes)
{
    struct fake_truth *t = fake_truth();
    int device = fake_physical(number);
    truth_lock(t);
    find_own(t);
    own->used_bytes[device] -= bytes;
    t->used_bytes[device] -= bytes;
    (void)pthread_mutex_unlock(&t->lock);
}

uint64_t fake_run(int number, uint64_t after_ns, uint64_t duration_ns, uint64_t *ret_start_ns)
{
    struct fake_truth *t = fake_truth();
    int device = fake_physical(number);
    uint64_t start = fake_now_ns();
    if (start < after_ns)
        start = after_ns;
    truth_lock(t);
    find_own(t);
    uint64_t until = t->busy_until_ns[device];
    if (start < until && !concurrent)
        start = until;
    /* What a stream waits for is its own work, so that the device is not idle before. */
    uint64_t end = start + duration_ns, from = start < until ? until : start;
    if (end > from) {
        t->busy_until_ns[device] = end;
        t->busy_ns[device] += end - from;
        own->busy_ns[device] += end - from;
    }
    (void)pthread_mutex_unlock(&t->lock);
    if (ret_start_ns)
        *ret_start_ns = start;
    return end;
}

int fake_fails(const char *name)
{
    const char *list = failing;
    size_t length = strlen(name);
    while (list && *list) {
        const char *end = strchr(list, ',');
        size_t part = end ? (size_t)(end - list) : strlen(list);
        if (part == length && strncmp(list, name, length) == 0)
            return 1;
        list = end ? end + 1 : NULL;
    }
    return 0;
}
