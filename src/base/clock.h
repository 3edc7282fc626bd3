/* Clocks and times of day. Pure rooms take time as an argument; only callers at the edge ask
 * here. */
#ifndef LEAT_BASE_CLOCK_H
#define LEAT_BASE_CLOCK_H

#include <stdint.h>

#define NS_PER_S 1000000000ull
#define NS_PER_MS 1000000ull
#define US_PER_S 1000000ull

uint64_t clock_monotonic_ns(void);
uint64_t clock_realtime_us(void); /* since 1970, UTC */

#define TIME_TEXT_MAX 40
/* RFC 3339 in UTC with milliseconds: 2026-01-31T09:15:00.123Z */
const char *time_text(uint64_t realtime_us, char text[TIME_TEXT_MAX]);

#endif
