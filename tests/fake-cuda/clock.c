/* Virtual time for programs on the fake driver, preloaded into each: the clock stands still while
 * any of their threads has something to do, and leaps to the next time that one waits for when all
 * of them wait. So a test of shares is exact on a machine however busy, and takes no longer than
 * its computing.
 *
 * LEAT_FAKE_CLOCK names the file that the processes share, LEAT_FAKE_CLOCK_PARTIES how many there
 * must be before time moves. Without the first, time is the machine's. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define API __attribute__((visibility("default")))
#define WAITERS 256
#define PARTIES 64
#define NEVER UINT64_MAX
#define SECOND_NS 1000000000u

struct waiter {
    int32_t pid; /* 0: free */
    uint32_t awake;
    uint64_t key, deadline_ns, number;
};

static struct sim {
    uint32_t ready, parties, seen;
    int32_t runnable; /* threads of all processes that do not wait */
    uint64_t now_ns, waits;
    struct {
        int32_t pid, runnable;
    } processes[PARTIES];
    struct waiter waiters[WAITERS];
    pthread_mutex_t lock;
} * sim; /* NULL: the machine's time */

static unsigned own;     /* of processes */
static uint32_t leaving; /* the process ends: its threads are not counted any more */
static long (*real_syscall)(long, ...);
static int (*real_create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
static int (*real_join)(pthread_t, void **);

static uint64_t machine_ns(void)
{
    struct timespec now;
    (void)real_syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

/* ---- with the lock held ---- */

static void count(int32_t pid, int change)
{
    for (unsigned i = 0; i < PARTIES; i++) {
        if (sim->processes[i].pid != pid)
            continue;
        sim->processes[i].runnable += change;
        sim->runnable += change;
    }
}

static void awaken(struct waiter *waiter)
{
    count(waiter->pid, 1);
    __atomic_store_n(&waiter->awake, 1, __ATOMIC_SEQ_CST);
    /* All: a thread of a process that ends may still sleep on a place that was given away. */
    (void)real_syscall(SYS_futex, &waiter->awake, FUTEX_WAKE, PARTIES, NULL, NULL, 0);
}

static int is_sooner(const struct waiter *a, const struct waiter *b)
{
    if (a->deadline_ns != b->deadline_ns)
        return a->deadline_ns < b->deadline_ns;
    return a->number < b->number;
}

/* When everybody waits, it is the time at which the first of them does not. */
static void leap(void)
{
    struct waiter *next = NULL;
    if (sim->runnable > 0 || sim->seen < sim->parties)
        return;
    for (struct waiter *w = sim->waiters; w < sim->waiters + WAITERS; w++)
        if (w->pid && !w->awake && w->deadline_ns != NEVER && (!next || is_sooner(w, next)))
            next = w;
    if (!next)
        return;
    if (next->deadline_ns > sim->now_ns)
        __atomic_store_n(&sim->now_ns, next->deadline_ns, __ATOMIC_SEQ_CST);
    awaken(next);
}

static void wake(uint64_t key)
{
    for (struct waiter *w = sim->waiters; w < sim->waiters + WAITERS; w++)
        if (w->pid && !w->awake && w->key == key)
            awaken(w);
}

static struct waiter *join(uint64_t key, uint64_t deadline_ns)
{
    for (struct waiter *w = sim->waiters; w < sim->waiters + WAITERS; w++) {
        if (w->pid)
            continue;
        *w = (struct waiter){getpid(), 0, key, deadline_ns, sim->waits++};
        count(w->pid, -1);
        leap();
        return w;
    }
    abort();
}

/* ---- with the lock to be taken ---- */

static void sim_lock(void)
{
    if (pthread_mutex_lock(&sim->lock) == EOWNERDEAD)
        (void)pthread_mutex_consistent(&sim->lock);
    while (leaving) { /* only the thread that ends the process goes on */
        (void)pthread_mutex_unlock(&sim->lock);
        (void)real_syscall(SYS_pause);
        (void)pthread_mutex_lock(&sim->lock);
    }
}

static void sim_unlock(void)
{
    (void)pthread_mutex_unlock(&sim->lock);
}

static void sleep_on(struct waiter *waiter)
{
    while (!__atomic_load_n(&waiter->awake, __ATOMIC_SEQ_CST))
        (void)real_syscall(SYS_futex, &waiter->awake, FUTEX_WAIT, 0, NULL, NULL, 0);
    sim_lock();
    waiter->pid = 0;
    sim_unlock();
}

static uint64_t in_time(const struct timespec *time)
{
    return (uint64_t)time->tv_sec * SECOND_NS + (uint64_t)time->tv_nsec;
}

/* Words of shared pages lie elsewhere in each process, but at the same place of the page. A thread
 * that is woken for nothing looks and waits again. */
static long sim_futex(const uint32_t *word, int operation, uint32_t value,
                      const struct timespec *limit)
{
    uint64_t key = (uintptr_t)word & 4095;
    struct waiter *waiter = NULL;
    sim_lock();
    if (operation == FUTEX_WAKE)
        wake(key);
    else if (__atomic_load_n(word, __ATOMIC_SEQ_CST) == value)
        waiter = join(key, limit ? sim->now_ns + in_time(limit) : NEVER);
    sim_unlock();
    if (waiter)
        sleep_on(waiter);
    return 0;
}

/* ---- what programs call ---- */

API int clock_gettime(clockid_t clock, struct timespec *now)
{
    if (!sim || clock != CLOCK_MONOTONIC)
        return (int)syscall(SYS_clock_gettime, clock, now);
    uint64_t ns = __atomic_load_n(&sim->now_ns, __ATOMIC_SEQ_CST);
    *now = (struct timespec){(time_t)(ns / SECOND_NS), (long)(ns % SECOND_NS)};
    return 0;
}

API int clock_nanosleep(clockid_t clock, int flags, const struct timespec *time,
                        struct timespec *left)
{
    struct waiter *waiter = NULL;
    if (!sim || clock != CLOCK_MONOTONIC)
        return syscall(SYS_clock_nanosleep, clock, flags, time, left) < 0 ? errno : 0;
    sim_lock();
    uint64_t deadline_ns = in_time(time) + (flags & TIMER_ABSTIME ? 0 : sim->now_ns);
    if (deadline_ns > sim->now_ns)
        waiter = join(NEVER, deadline_ns);
    sim_unlock();
    if (waiter)
        sleep_on(waiter);
    return 0;
}

API long syscall(long number, ...)
{
    long a[6];
    va_list list;
    va_start(list, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(list, long);
    va_end(list);
    if (number == SYS_futex && sim && (a[1] == FUTEX_WAIT || a[1] == FUTEX_WAKE))
        return sim_futex((const uint32_t *)a[0], (int)a[1], (uint32_t)a[2],
                         (const struct timespec *)a[3]);
    return real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

struct start {
    void *(*routine)(void *);
    void *argument;
};

static void *begin(void *argument)
{
    struct start start = *(struct start *)argument;
    free(argument);
    void *result = start.routine(start.argument);
    sim_lock();
    count(getpid(), -1);
    leap();
    sim_unlock();
    return result;
}

API int pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                       void *(*routine)(void *), void *argument)
{
    struct start *start = sim ? malloc(sizeof(*start)) : NULL;
    if (!start)
        return real_create(thread, attributes, routine, argument);
    *start = (struct start){routine, argument};
    sim_lock();
    count(getpid(), 1);
    sim_unlock();
    return real_create(thread, attributes, begin, start);
}

/* Who waits for a thread does not hold up the time in which it ends. */
API int pthread_join(pthread_t thread, void **ret_result)
{
    if (sim) {
        sim_lock();
        count(getpid(), -1);
        leap();
        sim_unlock();
    }
    int r = real_join(thread, ret_result);
    if (sim) {
        sim_lock();
        count(getpid(), 1);
        sim_unlock();
    }
    return r;
}

/* ---- a process comes and goes ---- */

static struct sim *sim_open(const char *path)
{
    struct stat status;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || lockf(fd, F_LOCK, 0) < 0 || fstat(fd, &status) < 0 ||
        (status.st_size == 0 && ftruncate(fd, sizeof(struct sim)) < 0))
        abort();
    struct sim *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (s == MAP_FAILED)
        abort();
    if (!s->ready) {
        const char *parties = getenv("LEAT_FAKE_CLOCK_PARTIES");
        pthread_mutexattr_t robust;
        (void)pthread_mutexattr_init(&robust);
        (void)pthread_mutexattr_setpshared(&robust, PTHREAD_PROCESS_SHARED);
        (void)pthread_mutexattr_setrobust(&robust, PTHREAD_MUTEX_ROBUST);
        (void)pthread_mutex_init(&s->lock, &robust);
        s->parties = parties ? (uint32_t)strtoul(parties, NULL, 10) : 1;
        s->now_ns = machine_ns();
        s->ready = 1;
    }
    (void)close(fd); /* and with it the lock */
    return s;
}

__attribute__((constructor)) static void come(void)
{
    const char *path = getenv("LEAT_FAKE_CLOCK");
    *(void **)&real_syscall = dlsym(RTLD_NEXT, "syscall");
    *(void **)&real_create = dlsym(RTLD_NEXT, "pthread_create");
    *(void **)&real_join = dlsym(RTLD_NEXT, "pthread_join");
    if (!path)
        return;
    struct sim *opened = sim_open(path);
    (void)pthread_mutex_lock(&opened->lock);
    while (own < PARTIES && opened->processes[own].pid)
        own++;
    if (own == PARTIES)
        abort();
    opened->processes[own].pid = getpid();
    opened->processes[own].runnable = 1;
    opened->runnable++;
    opened->seen++;
    (void)pthread_mutex_unlock(&opened->lock);
    sim = opened;
}

__attribute__((destructor)) static void go(void)
{
    if (!sim)
        return;
    sim_lock();
    leaving = 1;
    sim->runnable -= sim->processes[own].runnable;
    sim->processes[own].pid = 0;
    for (struct waiter *w = sim->waiters; w < sim->waiters + WAITERS; w++)
        if (w->pid == getpid())
            w->pid = 0;
    leap();
    sim_unlock();
}
