/* Amounts as people write them: bytes, shares of a device, durations. */
#ifndef LEAT_BASE_UNITS_H
#define LEAT_BASE_UNITS_H

#include <stdint.h>

struct error;

/* "2GiB", "512MiB", "1.5G" (decimal: 10^9), "4096" or "4096B". Refuses fractions of a byte,
 * negatives and what exceeds 2^63-1. */
int bytes_parse(const char *text, uint64_t *ret_bytes, struct error *err);
/* "25%", "12.5%", "0.25" (a part of one) or "250m" (thousandths). Result 1..1000 thousandths. */
int share_parse(const char *text, uint32_t *ret_permille, struct error *err);
/* "90s", "10m", "1.5h", "250ms", "2d"; "0" is allowed; a bare number is refused as ambiguous. */
int duration_parse(const char *text, uint64_t *ret_ms, struct error *err);
/* Decimal digits only. */
int u64_parse(const char *text, uint64_t *ret_value, struct error *err);

#define UNITS_TEXT_MAX 32
const char *bytes_text(uint64_t bytes, char text[UNITS_TEXT_MAX]);    /* "1.5 GiB" */
const char *share_text(uint32_t permille, char text[UNITS_TEXT_MAX]); /* "12.5 %" */
const char *duration_text(uint64_t ms, char text[UNITS_TEXT_MAX]);    /* "1h02m", "3.4 s" */

#endif
