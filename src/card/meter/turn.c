/* The turn word: owner in the low bits and two marks, changed by compare-and-swap only. A killed
 * process can leave a mark or a wish behind, never a lock: a turn that the best one does not take
 * is everybody's after METER_GRACE_NS, and leat-cardd reaps. */
#include "card/meter/turn.h"

#include <stddef.h>

#include "card/ledger/futex.h"
#include "card/meter/meter.h"

#define TURN_BUSY 0x80000000u   /* the owner has commands in flight */
#define TURN_WANTED 0x40000000u /* somebody may be asking */
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

static uint64_t since(const uint64_t *then_ns, uint64_t now_ns)
{
    uint64_t then = __atomic_load_n(then_ns, __ATOMIC_RELAXED);
    return now_ns > then ? now_ns - then : 0;
}

static uint32_t owner_of(const struct meter_wish *wish)
{
    return __atomic_load_n(&wish->owner, __ATOMIC_SEQ_CST);
}

static struct turn_rank rank_of(const struct meter_wish *wish)
{
    return (struct turn_rank){__atomic_load_n(&wish->class, __ATOMIC_RELAXED),
                              __atomic_load_n(&wish->virtual_ns, __ATOMIC_RELAXED)};
}

static int is_before(struct turn_rank a, struct turn_rank b)
{
    return a.class < b.class || (a.class == b.class && a.virtual_ns < b.virtual_ns);
}

/* Whoever goes first of those who ask, `owner` not counted; NULL: nobody asks. */
static struct meter_wish *first_wish(const struct meter_device *device, uint32_t owner)
{
    const struct meter_wish *first = NULL;
    struct turn_rank first_rank = {0};
    for (unsigned i = 0; i < METER_WISHES; i++) {
        const struct meter_wish *wish = &device->wishes[i];
        uint32_t asks = owner_of(wish);
        struct turn_rank rank = rank_of(wish);
        if (asks == 0 || asks == owner || (first && !is_before(rank, first_rank)))
            continue;
        first = wish;
        first_rank = rank;
    }
    return (struct meter_wish *)(uintptr_t)first;
}

static struct meter_wish *wish_of(struct meter_device *device, uint32_t owner)
{
    for (unsigned i = 0; i < METER_WISHES; i++) {
        if (owner_of(&device->wishes[i]) == owner)
            return &device->wishes[i];
    }
    return NULL;
}

static int goes_before(const struct meter_wish *wish, struct turn_rank rank)
{
    return wish && is_before(rank_of(wish), rank);
}

/* A free word, unless somebody goes before us and may be on the way to it; or a busy one whose
 * owner outstays all patience: then the driver must share the device between the two. */
static int is_takeable(const struct meter_device *device, uint32_t word, uint32_t owner,
                       struct turn_rank rank, uint64_t now_ns)
{
    if (word & TURN_BUSY)
        return (word & TURN_OWNER) == owner ||
               (since(&device->turn_since_ns, now_ns) > METER_PATIENCE_NS &&
                since(&device->life_ns, now_ns) > METER_PATIENCE_NS);
    return !(word & TURN_WANTED) || !goes_before(first_wish(device, owner), rank) ||
           since(&device->free_since_ns, now_ns) > METER_GRACE_NS;
}

static void drop_wish(struct meter_device *device, uint32_t owner)
{
    struct meter_wish *wish = wish_of(device, owner);
    if (wish)
        __atomic_store_n(&wish->owner, 0, __ATOMIC_SEQ_CST);
}

static void mark_wanted(struct meter_device *device)
{
    uint32_t word = load(device);
    while (!(word & TURN_WANTED) && !change(device, &word, word | TURN_WANTED))
        continue;
}

/* Wake who goes first, if the turn is there to be taken. */
static void call_first(struct meter_device *device)
{
    struct meter_wish *first = first_wish(device, 0);
    if (!first || load(device) & TURN_BUSY)
        return;
    __atomic_add_fetch(&first->called, 1, __ATOMIC_SEQ_CST);
    futex_wake(&first->called, 1);
}

/* Those who went before us and did not come in time: dead, and nobody reaps them, or without a CPU.
 * The living wake and ask again. */
static void drop_absent(struct meter_device *device, uint32_t owner, struct turn_rank rank)
{
    struct meter_wish *wish;
    while (goes_before(wish = first_wish(device, owner), rank)) {
        __atomic_store_n(&wish->owner, 0, __ATOMIC_SEQ_CST);
        __atomic_add_fetch(&wish->called, 1, __ATOMIC_SEQ_CST);
        futex_wake(&wish->called, 1);
    }
}

int turn_take(struct meter_device *device, uint32_t owner, struct turn_rank rank, uint64_t now_ns)
{
    uint32_t word = load(device);
    do {
        if (!is_takeable(device, word, owner, rank, now_ns))
            return 0;
    } while (!change(device, &word, owner | TURN_BUSY));
    if ((word & TURN_OWNER) != owner)
        __atomic_store_n(&device->turn_since_ns, now_ns, __ATOMIC_RELAXED);
    if ((int64_t)(rank.virtual_ns - __atomic_load_n(&device->virtual_ns, __ATOMIC_RELAXED)) > 0)
        __atomic_store_n(&device->virtual_ns, rank.virtual_ns, __ATOMIC_RELAXED);
    drop_wish(device, owner);
    if (word & TURN_WANTED && since(&device->free_since_ns, now_ns) > METER_GRACE_NS)
        drop_absent(device, owner, rank);
    if (first_wish(device, owner))
        mark_wanted(device); /* after the word was set: who asks later marks it again */
    return 1;
}

int turn_retake(struct meter_device *device, uint32_t owner)
{
    uint32_t idle = owner;
    return change(device, &idle, owner | TURN_BUSY);
}

void turn_rest(struct meter_device *device, uint32_t owner, uint64_t now_ns)
{
    uint32_t word = load(device);
    do {
        if ((word & TURN_OWNER) != owner || !(word & TURN_BUSY))
            return; /* taken over, or rests already */
        if (word & TURN_WANTED)
            __atomic_store_n(&device->free_since_ns, now_ns, __ATOMIC_RELAXED);
    } while (!change(device, &word, word & ~TURN_BUSY));
    if (word & TURN_WANTED)
        call_first(device);
}

void turn_show_life(struct meter_device *device, uint64_t now_ns)
{
    __atomic_store_n(&device->life_ns, now_ns, __ATOMIC_RELAXED);
}

int turn_is_wanted(const struct meter_device *device)
{
    return (__atomic_load_n(&device->turn, __ATOMIC_RELAXED) & TURN_WANTED) != 0;
}

int turn_is_due(const struct meter_device *device, struct turn_rank rank, uint64_t now_ns)
{
    const struct meter_wish *first = turn_is_wanted(device) ? first_wish(device, 0) : NULL;
    return goes_before(first, rank) && (rank_of(first).class < rank.class ||
                                        since(&device->turn_since_ns, now_ns) > METER_QUANTUM_NS);
}

/* NULL: too many ask. */
static struct meter_wish *ask(struct meter_device *device, uint32_t owner, struct turn_rank rank)
{
    struct meter_wish *wish = wish_of(device, owner);
    for (unsigned i = 0; !wish && i < METER_WISHES; i++) {
        uint32_t none = 0;
        if (__atomic_compare_exchange_n(&device->wishes[i].owner, &none, owner, 0, __ATOMIC_SEQ_CST,
                                        __ATOMIC_SEQ_CST))
            wish = &device->wishes[i];
    }
    if (wish) {
        __atomic_store_n(&wish->class, rank.class, __ATOMIC_SEQ_CST);
        __atomic_store_n(&wish->virtual_ns, rank.virtual_ns, __ATOMIC_SEQ_CST);
    }
    mark_wanted(device);
    return wish;
}

void turn_wait(struct meter_device *device, uint32_t owner, struct turn_rank rank, uint64_t now_ns,
               uint64_t timeout_ns)
{
    static const uint32_t nobody;
    const struct meter_wish *wish = ask(device, owner, rank);
    const uint32_t *called = wish ? &wish->called : &nobody;
    uint32_t seen = __atomic_load_n(called, __ATOMIC_SEQ_CST), word = load(device);
    if ((wish && owner_of(wish) != owner) || /* we were given up as absent meanwhile */
        is_takeable(device, word, owner, rank, now_ns))
        return;
    if ((!wish || !(word & TURN_BUSY)) && timeout_ns > METER_GRACE_NS)
        timeout_ns = METER_GRACE_NS; /* who goes before us may not come */
    futex_sleep(called, seen, timeout_ns);
}

void turn_leave(struct meter_device *device, uint32_t owner)
{
    drop_wish(device, owner);
    call_first(device); /* we may have been the one who was called */
}

uint64_t turn_virtual_ns(const struct meter_device *device, uint64_t *virtual_ns)
{
    uint64_t mine = __atomic_load_n(virtual_ns, __ATOMIC_RELAXED), near = mine;
    uint64_t last = __atomic_load_n(&device->virtual_ns, __ATOMIC_RELAXED);
    if ((int64_t)(mine - last) > (int64_t)METER_LEAD_NS)
        near = last + METER_LEAD_NS;
    else if ((int64_t)(last - mine) > (int64_t)METER_LAG_NS)
        near = last - METER_LAG_NS;
    if (near != mine) /* lost to another session of the card: that one does it */
        (void)__atomic_compare_exchange_n(virtual_ns, &mine, near, 0, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED);
    return near;
}

uint64_t turn_weigh_ns(uint64_t device_ns, uint32_t share_permille)
{
    return device_ns * 1000 / (share_permille ? share_permille : 1);
}

void turn_reap(struct meter_device *device, uint32_t owner)
{
    uint32_t word = load(device);
    drop_wish(device, owner);
    while ((word & TURN_OWNER) == owner && !change(device, &word, word & TURN_WANTED))
        continue;
    call_first(device);
}
