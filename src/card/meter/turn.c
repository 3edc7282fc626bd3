/* The turn word: owner in the low bits and two marks, changed by compare-and-swap only. A killed
 * process can leave a mark behind, never a lock: waiters look again every TURN_LOOK_NS, and
 * leat-cardd reaps. */
#include "card/meter/turn.h"

#include "card/ledger/futex.h"
#include "card/meter/meter.h"

#define TURN_BUSY 0x80000000u   /* the owner has commands in flight */
#define TURN_WANTED 0x40000000u /* somebody sleeps on the word */
#define TURN_OWNER 0x3fffffffu

static uint32_t load(const struct meter_device *device)
{
    return __atomic_load_n(&device->turn, __ATOMIC_SEQ_CST);
}

static int change(struct meter_device *device, uint32_t *word, uint32_t to)
{
    return __atomic_compare_exchange_n(&device->turn, word, to, 0, __ATOMIC_SEQ_CST,
                                       __ATOMIC_SEQ_CST);
}

static uint64_t held_ns(const struct meter_device *device, uint64_t now_ns)
{
    uint64_t since_ns = __atomic_load_n(&device->turn_since_ns, __ATOMIC_RELAXED);
    return now_ns > since_ns ? now_ns - since_ns : 0;
}

/* A free word, or a busy one whose owner outstays all patience: then the driver must share the
 * device between the two. */
static int is_takeable(const struct meter_device *device, uint32_t word, uint32_t owner,
                       unsigned flags, uint64_t now_ns)
{
    int own = (word & TURN_OWNER) == owner;
    if (!(word & TURN_BUSY))
        return !(own && (flags & TURN_POLITE));
    return own || held_ns(device, now_ns) > METER_PATIENCE_NS;
}

int turn_take(struct meter_device *device, uint32_t owner, unsigned flags, uint64_t now_ns)
{
    uint32_t word = load(device), wanted = flags & TURN_SLEPT ? TURN_WANTED : 0;
    do {
        if (!is_takeable(device, word, owner, flags, now_ns))
            return 0;
    } while (!change(device, &word, owner | TURN_BUSY | (word & TURN_WANTED) | wanted));
    if ((word & TURN_OWNER) != owner)
        __atomic_store_n(&device->turn_since_ns, now_ns, __ATOMIC_RELAXED);
    return 1;
}

int turn_retake(struct meter_device *device, uint32_t owner)
{
    uint32_t idle = owner;
    return change(device, &idle, owner | TURN_BUSY);
}

void turn_rest(struct meter_device *device, uint32_t owner)
{
    uint32_t word = load(device);
    do {
        if ((word & TURN_OWNER) != owner)
            return; /* taken over */
    } while (!change(device, &word, owner));
    if (word & TURN_WANTED)
        futex_wake(&device->turn, 1);
}

int turn_is_wanted(const struct meter_device *device)
{
    return (__atomic_load_n(&device->turn, __ATOMIC_RELAXED) & TURN_WANTED) != 0;
}

int turn_is_due(const struct meter_device *device, uint64_t now_ns)
{
    return turn_is_wanted(device) && held_ns(device, now_ns) > METER_QUANTUM_NS;
}

enum turn_flags turn_wait(struct meter_device *device, uint32_t owner, unsigned flags,
                          uint64_t timeout_ns)
{
    uint32_t word = load(device);
    if (!(word & TURN_BUSY)) {
        if ((flags & TURN_POLITE) && (word & TURN_OWNER) == owner)
            futex_sleep(&device->turn, word, timeout_ns);
        return TURN_PLAIN;
    }
    if (!(word & TURN_WANTED) && !change(device, &word, word | TURN_WANTED))
        return TURN_PLAIN;
    futex_sleep(&device->turn, word | TURN_WANTED, timeout_ns);
    return TURN_SLEPT;
}

void turn_reap(struct meter_device *device, uint32_t owner)
{
    uint32_t word = load(device);
    do {
        if ((word & TURN_OWNER) != owner)
            return;
    } while (!change(device, &word, 0));
    futex_wake(&device->turn, INT_MAX);
}
