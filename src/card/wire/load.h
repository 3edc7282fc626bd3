/* Whether this machine has a CPU to spare for a thread that spins. Spinning saves a wake-up while
 * nobody else needs the CPU, and takes it from whom is waited for when somebody does. */
#ifndef LEAT_CARD_WIRE_LOAD_H
#define LEAT_CARD_WIRE_LOAD_H

#include <stdint.h>

/* Any thread; fields are atomic. */
struct wire_load {
    uint32_t cpus;
    uint32_t runnable;  /* tasks on CPUs or waiting for one, when that was looked at */
    uint64_t looked_ns; /* CLOCK_MONOTONIC */
};

void wire_load_init(struct wire_load *load);
/* 1 when the runnable tasks, the caller among them, have a CPU each. Looks at the machine now and
 * then: a system call every 20 ms at most. */
int wire_load_has_room(struct wire_load *load, uint64_t now_ns);

#endif
