/* The kernel's counts of a connection: see line.h. Apart from conn.c, whose header of TCP lacks
 * them and cannot be had together with this one. */
#include "card/relay/line.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#define LEARN_US 40000u /* many of the kernel's ticks */
#define US_PER_S 1000000u
/* Of what was known, this part is replaced: who gets no CPU for a while is no slow line. */
#define NEW_PART 4

void line_learn(struct line *line, const struct line_seen *seen)
{
    const uint64_t busy_us = seen->busy_us - line->busy_us;
    const uint64_t bytes = seen->acked_bytes - line->acked_bytes;
    if (busy_us >= LEARN_US && bytes > 0) {
        uint64_t most_us = busy_us - busy_us / 8; /* waits are estimated */
        uint64_t carried_us = busy_us - (line->waits_us < most_us ? line->waits_us : most_us);
        uint64_t now = bytes * US_PER_S / carried_us;
        line->bytes_per_s = line->bytes_per_s
                                ? line->bytes_per_s - line->bytes_per_s / NEW_PART + now / NEW_PART
                                : now;
        line->acked_bytes = seen->acked_bytes;
        line->busy_us = seen->busy_us;
        line->waits_us = 0;
    }
    if (seen->is_idle) /* what comes next ends with one */
        line->waits_us += seen->round_trip_us;
}

static int ask(int fd, struct tcp_info *ret_info)
{
    socklen_t length = sizeof(*ret_info);
    memset(ret_info, 0, sizeof(*ret_info));
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, ret_info, &length) == 0 &&
           length >= offsetof(struct tcp_info, tcpi_busy_time) + sizeof(ret_info->tcpi_busy_time);
}

uint64_t line_round_trip_us(int fd)
{
    struct tcp_info info;
    return ask(fd, &info) ? info.tcpi_min_rtt : 0;
}

void line_look(struct line *line, int fd)
{
    struct tcp_info info;
    if (!ask(fd, &info))
        return; /* stays unknown */
    line_learn(line, &(struct line_seen){.acked_bytes = info.tcpi_bytes_acked,
                                         .busy_us = info.tcpi_busy_time,
                                         .round_trip_us = info.tcpi_min_rtt,
                                         .is_idle = info.tcpi_unacked == 0});
}
