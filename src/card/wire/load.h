/* Whether this machine has a CPU to spare for a thread that spins. Spinning saves a wake-up while
 * nobody else needs the CPU, and takes it from whom is waited for when somebody does. Who spins
 * yields now and then: a thread that gets its CPU back at once has it to itself. */
#ifndef LEAT_CARD_WIRE_LOAD_H
#define LEAT_CARD_WIRE_LOAD_H

#include <stdint.h>

#define WIRE_LOAD_ALONE_NS 4000u /* so long one may spin before its first yield */

/* Any thread; fields are atomic. */
struct wire_load {
    uint32_t cpus;       /* that this process may use */
    uint32_t pause_ns;   /* how long nobody spins after the last yield that was taken up */
    uint64_t crowded_ns; /* CLOCK_MONOTONIC: until then */
};

void wire_load_init(struct wire_load *load);
/* 1 unless somebody needed a spinning thread's CPU lately, or there is only one. */
int wire_load_has_room(struct wire_load *load, uint64_t now_ns);
/* Let another thread have this CPU if it waits for it, and note whether one kept it for long. */
void wire_load_yield(struct wire_load *load, uint64_t now_ns);
/* 1 unless many spins in line met nothing: `vain` counts them, who spins sets it back. Then those
 * left out are counted, too, and now and then one is tried. */
int wire_load_is_worth(uint32_t *vain);

#endif
