/* Syscall user dispatch (Linux 5.11): while armed, a system call of this thread raises SIGSYS. The
 * handler counts it, disarms (its own return is a system call, too) and does the call. */
#include "syscalls.h"

#include <signal.h>
#include <sys/prctl.h>
#include <ucontext.h>
#include <unistd.h>

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#define PR_SYS_DISPATCH_ON 1
#endif
#define ALLOW 0
#define BLOCK 1

static volatile char selector = ALLOW;
static volatile unsigned long seen;

static long syscall_do(const greg_t *r)
{
    long result = r[REG_RAX];
    register long r10 __asm__("r10") = r[REG_R10];
    register long r8 __asm__("r8") = r[REG_R8];
    register long r9 __asm__("r9") = r[REG_R9];
    __asm__ volatile("syscall"
                     : "+a"(result)
                     : "D"(r[REG_RDI]), "S"(r[REG_RSI]), "d"(r[REG_RDX]), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

static void on_sigsys(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)info;
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    selector = ALLOW;
    seen++;
    registers[REG_RAX] = syscall_do(registers);
}

int syscalls_watch(void)
{
    struct sigaction action = {.sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO};
    if (sigaction(SIGSYS, &action, NULL) < 0)
        return -1;
    return prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, 0, 0, &selector);
}

void syscalls_arm(void)
{
    selector = BLOCK;
}

void syscalls_disarm(void)
{
    selector = ALLOW;
}

unsigned long syscalls_seen(void)
{
    return seen;
}
