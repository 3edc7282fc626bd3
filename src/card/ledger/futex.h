/* Sleep and wake on a word of shared memory, between processes. Spurious returns are normal:
 * callers look at their condition again. errno is left as it was. */
#ifndef LEAT_CARD_FUTEX_H
#define LEAT_CARD_FUTEX_H

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define FUTEX_FOREVER UINT64_MAX

/* Sleep while `*word` is `value`, for `timeout_ns` at most. */
static inline void futex_sleep(const uint32_t *word, uint32_t value, uint64_t timeout_ns)
{
    int saved = errno;
    struct timespec limit = {(time_t)(timeout_ns / 1000000000u), (long)(timeout_ns % 1000000000u)};
    (void)syscall(SYS_futex, word, FUTEX_WAIT, value, timeout_ns == FUTEX_FOREVER ? NULL : &limit,
                  NULL, 0);
    errno = saved;
}

static inline void futex_wake(const uint32_t *word, int sleepers)
{
    int saved = errno;
    (void)syscall(SYS_futex, word, FUTEX_WAKE, sleepers, NULL, NULL, 0);
    errno = saved;
}

#endif
