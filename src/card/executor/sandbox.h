/* What an executor may touch: it runs what strangers compile, with the rights of leat-cardd. Kernel
 * sources may name any file in an #include, and on a CPU device a kernel is machine code in this
 * process. */
#ifndef LEAT_CARD_EXECUTOR_SANDBOX_H
#define LEAT_CARD_EXECUTOR_SANDBOX_H

struct error;

/* Give up all capabilities and, where the kernel has Landlock, all files but the system's
 * libraries, what drivers read about the machine, device nodes and the drivers' caches of compiled
 * kernels. For ever, threads and programs started later included. One thread. 0; -ENOSYS when there
 * is no Landlock; another negative errno when it is there and refused. */
int sandbox_enter(struct error *err);

#endif
