/* Count the stretches of code that make a system call, exactly and without a tracer. */
#ifndef BENCH_SYSCALLS_H
#define BENCH_SYSCALLS_H

/* Returns 0, or -1 where the kernel or the processor cannot do it. For the calling thread only. */
int syscalls_watch(void);
/* Between the two, the first system call of this thread counts. */
void syscalls_arm(void);
void syscalls_disarm(void);
unsigned long syscalls_seen(void);

#endif
