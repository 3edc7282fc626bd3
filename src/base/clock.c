/* Clocks: see clock.h. */
#include "base/clock.h"

#include <time.h>

uint64_t clock_monotonic_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail for this clock */
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

uint64_t clock_realtime_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail for this clock */
    return (uint64_t)now.tv_sec * US_PER_S + (uint64_t)now.tv_nsec / 1000;
}

const char *time_text(uint64_t realtime_us, char text[TIME_TEXT_MAX])
{
    time_t seconds = (time_t)(realtime_us / US_PER_S);
    struct tm parts;
    if (!gmtime_r(&seconds, &parts)) {
        (void)snprintf(text, TIME_TEXT_MAX, "-");
        return text;
    }
    size_t used = strftime(text, TIME_TEXT_MAX, "%Y-%m-%dT%H:%M:%S", &parts);
    (void)snprintf(text + used, TIME_TEXT_MAX - used, ".%03uZ",
                   (unsigned)(realtime_us / 1000 % 1000));
    return text;
}
