/* What a yield says about free CPUs: see load.h. */
#include "card/wire/load.h"

#include <sched.h>
#include <time.h>

/* The driver's thread may have the CPU for a short kernel; another program's has it for its slice,
 * a millisecond and more. */
#define TAKEN_NS 200000
#define PAUSE_LEAST_NS 2000000u
#define PAUSE_MOST_NS 1024000000u
#define VAIN_MOST 8   /* so many vain spins in line, and only one in ... */
#define VAIN_PAUSE 64 /* ... so many is tried */

void wire_load_init(struct wire_load *load)
{
    cpu_set_t mine;
    int known = sched_getaffinity(0, sizeof(mine), &mine) == 0; /* fails with more than 1024 CPUs */
    *load = (struct wire_load){.cpus = known ? (uint32_t)CPU_COUNT(&mine) : CPU_SETSIZE};
}

int wire_load_has_room(struct wire_load *load, uint64_t now_ns)
{
    return load->cpus > 1 && now_ns >= __atomic_load_n(&load->crowded_ns, __ATOMIC_RELAXED);
}

/* The first yields after a pause tell whether the CPU is still wanted: then the next is longer. */
static uint32_t next_pause_ns(const struct wire_load *load, uint64_t now_ns)
{
    uint32_t pause_ns = __atomic_load_n(&load->pause_ns, __ATOMIC_RELAXED);
    uint64_t crowded_ns = __atomic_load_n(&load->crowded_ns, __ATOMIC_RELAXED);
    if (pause_ns == 0 || now_ns > crowded_ns + 2ull * pause_ns)
        return PAUSE_LEAST_NS;
    return pause_ns < PAUSE_MOST_NS ? 2 * pause_ns : PAUSE_MOST_NS;
}

void wire_load_yield(struct wire_load *load, uint64_t now_ns)
{
    struct timespec now;
    (void)sched_yield();                        /* cannot fail */
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail for this clock */
    uint64_t after_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    if ((int64_t)(after_ns - now_ns) <= TAKEN_NS)
        return;
    uint32_t pause_ns = next_pause_ns(load, now_ns);
    __atomic_store_n(&load->pause_ns, pause_ns, __ATOMIC_RELAXED);
    __atomic_store_n(&load->crowded_ns, after_ns + pause_ns, __ATOMIC_RELAXED);
}

int wire_load_is_worth(uint32_t *vain)
{
    uint32_t seen = __atomic_load_n(vain, __ATOMIC_RELAXED);
    if (seen < VAIN_MOST)
        return 1;
    (void)__atomic_add_fetch(vain, 1, __ATOMIC_RELAXED);
    return seen % VAIN_PAUSE == 0;
}
