/* Asking /proc/loadavg for a free CPU: see load.h. */
#include "card/wire/load.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOOK_NS 20000000u
#define LOADAVG \
    "/proc/loadavg" /* "0.33 0.26 0.13 1/96 11778": the fourth begins with what we want */

void wire_load_init(struct wire_load *load)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    *load = (struct wire_load){.cpus = cpus > 0 ? (uint32_t)cpus : 1};
}

/* 0 when it cannot be told. */
static uint32_t runnable_now(void)
{
    char text[64], *rest = text;
    int fd = open(LOADAVG, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        (void)close(fd); /* only read from */
    if (length <= 0)
        return 0;
    text[length] = '\0';
    for (int field = 0; field < 3 && rest; field++) {
        rest = strchr(rest, ' ');
        rest += rest != NULL;
    }
    return rest ? (uint32_t)strtoul(rest, NULL, 10) : 0;
}

int wire_load_has_room(struct wire_load *load, uint64_t now_ns)
{
    if (now_ns - __atomic_load_n(&load->looked_ns, __ATOMIC_RELAXED) >= LOOK_NS) {
        __atomic_store_n(&load->looked_ns, now_ns, __ATOMIC_RELAXED);
        __atomic_store_n(&load->runnable, runnable_now(), __ATOMIC_RELAXED);
    }
    return __atomic_load_n(&load->runnable, __ATOMIC_RELAXED) <= load->cpus;
}
