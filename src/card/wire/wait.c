/* Spinning, sleeping and looking after the executor: see wait.h. */
#include "card/wire/wait.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "card/wire/client.h"

#define SPIN_CAP_NS 100000u /* twice what a sleep and a wake-up cost on a virtual machine */
#define SPIN_FLOOR_NS 2000u
#define WAKE_NS 50000u     /* what a wake-up adds to a wait that was slept through */
#define SPIN_CHECKS 32     /* looks at the word between two looks at the clock */
#define ALIVE_CHECK_MS 100 /* a killed executor is noticed within this */

static void futex_sleep(uint32_t *word, uint32_t seen, unsigned timeout_ms)
{
    struct timespec timeout = {.tv_sec = timeout_ms / 1000,
                               .tv_nsec = (long)(timeout_ms % 1000) * 1000000};
    (void)syscall(SYS_futex, word, FUTEX_WAIT, seen, &timeout, NULL, 0); /* callers look again */
}

void futex_wake_all(uint32_t *word)
{
    (void)syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0); /* nobody there: fine */
}

static uint64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail for this clock */
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void cpu_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    __asm__ volatile("" ::: "memory");
#endif
}

/* How long a spin may be: a card of another host answers so much later. */
static uint32_t spin_cap_ns(const struct wire_client *client)
{
    return SPIN_CAP_NS + client->session->line_ns;
}

/* A short spin that meets nothing becomes longer; one of full length may be what is in the way. */
static void count_vain(struct wire_client *client, uint32_t budget_ns)
{
    if (budget_ns >= spin_cap_ns(client))
        (void)__atomic_add_fetch(&client->vain, 1, __ATOMIC_RELAXED);
}

/* Returns 1 when `done` came true while spinning. */
static int spin(struct wire_client *client, uint64_t since_ns, wire_done_fn done, const void *arg)
{
    uint32_t budget_ns = __atomic_load_n(&client->spin_ns, __ATOMIC_RELAXED);
    if (!wire_load_is_worth(&client->vain) || !wire_load_has_room(&client->load, since_ns))
        return 0;
    for (;;) {
        for (int i = 0; i < SPIN_CHECKS; i++) {
            if (done(arg)) {
                __atomic_store_n(&client->vain, 0, __ATOMIC_RELAXED);
                return 1;
            }
            cpu_relax();
        }
        uint64_t at_ns = now_ns();
        if (at_ns - since_ns >= budget_ns) {
            count_vain(client, budget_ns);
            return 0;
        }
        if (at_ns - since_ns >= WIRE_LOAD_ALONE_NS)
            wire_load_yield(&client->load, at_ns);
    }
}

/* The wait is over. One that a spin could have met makes the next spin longer, also when it was
 * slept through, and a longer one makes it shorter. */
static void count_wait(struct wire_client *client, uint64_t since_ns)
{
    const uint32_t cap_ns = spin_cap_ns(client);
    uint64_t waited_ns = now_ns() - since_ns;
    uint32_t spin_ns = __atomic_load_n(&client->spin_ns, __ATOMIC_RELAXED);
    (void)__atomic_fetch_add(&client->session->stats.wait_ns, waited_ns, __ATOMIC_RELAXED);
    if (waited_ns <= cap_ns + WAKE_NS)
        spin_ns = spin_ns + spin_ns / 4 < cap_ns ? spin_ns + spin_ns / 4 : cap_ns;
    else
        spin_ns = spin_ns - spin_ns / 4 > SPIN_FLOOR_NS ? spin_ns - spin_ns / 4 : SPIN_FLOOR_NS;
    __atomic_store_n(&client->spin_ns, spin_ns, __ATOMIC_RELAXED);
}

/* A word that is its own mark is slept on only while it is marked: who clears it wakes once, and
 * that may be over before the sleep. */
static int sleep_on_word(struct wire_client *client, uint32_t *word, uint32_t *waiting,
                         wire_done_fn done, const void *arg)
{
    for (;;) {
        uint32_t seen = word == waiting ? 1 : __atomic_load_n(word, __ATOMIC_SEQ_CST);
        if (waiting)
            __atomic_store_n(waiting, 1, __ATOMIC_SEQ_CST);
        if (done(arg))
            return 0;
        if (!wire_check_alive(client))
            return -EPIPE;
        futex_sleep(word, seen, ALIVE_CHECK_MS);
    }
}

int wire_wait_word(struct wire_client *client, uint32_t *word, uint32_t *waiting, wire_done_fn done,
                   const void *arg)
{
    if (done(arg))
        return 0;
    uint64_t since_ns = now_ns();
    int result = 0;
    if (!spin(client, since_ns, done, arg))
        result = sleep_on_word(client, word, waiting, done, arg);
    count_wait(client, since_ns);
    return result;
}

void wire_sleep_completion(struct wire_client *client, uint32_t seen, unsigned timeout_ms)
{
    struct wire_session *session = client->session;
    (void)__atomic_add_fetch(&session->waiters, 1, __ATOMIC_SEQ_CST);
    futex_sleep(&session->completion, seen, timeout_ms);
    (void)__atomic_sub_fetch(&session->waiters, 1, __ATOMIC_SEQ_CST);
}

void wire_wake_completion(struct wire_client *client)
{
    struct wire_session *session = client->session;
    (void)__atomic_add_fetch(&session->completion, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&session->waiters, __ATOMIC_SEQ_CST) != 0)
        futex_wake_all(&session->completion);
}

static int sleep_on_completion(struct wire_client *client, wire_done_fn done, const void *arg)
{
    struct wire_session *session = client->session;
    int result = 0;
    (void)__atomic_add_fetch(&session->waiters, 1, __ATOMIC_SEQ_CST);
    for (;;) {
        uint32_t seen = __atomic_load_n(&session->completion, __ATOMIC_SEQ_CST);
        if (done(arg))
            break;
        if (!wire_check_alive(client)) {
            result = done(arg) ? 0 : -EPIPE;
            break;
        }
        futex_sleep(&session->completion, seen, ALIVE_CHECK_MS);
    }
    (void)__atomic_sub_fetch(&session->waiters, 1, __ATOMIC_SEQ_CST);
    return result;
}

int wire_wait_completion(struct wire_client *client, wire_done_fn done, const void *arg)
{
    if (done(arg))
        return 0;
    uint64_t since_ns = now_ns();
    int result = 0;
    if (!spin(client, since_ns, done, arg))
        result = sleep_on_completion(client, done, arg);
    count_wait(client, since_ns);
    return result;
}

struct queue_wait {
    struct wire_queue_state *queue;
    uint64_t target;
};

static int queue_is_there(const void *arg)
{
    const struct queue_wait *wait = arg;
    uint64_t completed = __atomic_load_n(&wait->queue->completed, __ATOMIC_SEQ_CST);
    return (int64_t)(completed - wait->target) >= 0;
}

/* Be woken at the target, if nobody is to be woken before. */
static void lower_wanted(const struct queue_wait *wait)
{
    uint64_t *word = &wait->queue->wanted, wanted = __atomic_load_n(word, __ATOMIC_SEQ_CST);
    while ((wanted == 0 || (int64_t)(wanted - wait->target) > 0) &&
           !__atomic_compare_exchange_n(word, &wanted, wait->target, 0, __ATOMIC_SEQ_CST,
                                        __ATOMIC_SEQ_CST))
        continue;
}

static int sleep_on_queue(struct wire_client *client, const struct queue_wait *wait)
{
    for (;;) {
        uint32_t seen = __atomic_load_n(&wait->queue->woken, __ATOMIC_SEQ_CST);
        lower_wanted(wait);
        if (queue_is_there(wait))
            return 0;
        if (!wire_check_alive(client))
            return queue_is_there(wait) ? 0 : -EPIPE;
        futex_sleep(&wait->queue->woken, seen, ALIVE_CHECK_MS);
    }
}

static void count_sleeper(struct wire_client *client, uint32_t change)
{
    (void)__atomic_add_fetch(&client->session->sleepers, change, __ATOMIC_SEQ_CST);
}

int wire_wait_queue(struct wire_client *client, struct wire_queue_state *queue, uint64_t target)
{
    const struct queue_wait wait = {queue, target};
    if (queue_is_there(&wait))
        return 0;
    uint64_t since_ns = now_ns();
    int result = 0;
    count_sleeper(client, 1);
    if (!spin(client, since_ns, queue_is_there, &wait))
        result = sleep_on_queue(client, &wait);
    count_sleeper(client, -1u);
    count_wait(client, since_ns);
    return result;
}

static int event_is_there(const void *arg)
{
    const struct wire_event_state *event = arg;
    return __atomic_load_n(&event->status, __ATOMIC_SEQ_CST) <= 0;
}

int wire_wait_event(struct wire_client *client, struct wire_event_state *event)
{
    if (event_is_there(event))
        return 0;
    count_sleeper(client, 1);
    int result =
        wire_wait_word(client, (uint32_t *)&event->status, &event->waited, event_is_there, event);
    count_sleeper(client, -1u);
    return result;
}
