/* What to do with an estimate: cheaper ways to run the same model, and how many cards of a device
 * hold it. Pure. */
#ifndef LEAT_ESTIMATE_ADVICE_H
#define LEAT_ESTIMATE_ADVICE_H

#include <stddef.h>
#include <stdint.h>

#include "estimate/memory.h"

#define ALTERNATIVES_MAX 7

struct alternative {
    const char *change; /* what to say on the command line; static text */
    struct memory_estimate estimate;
};

/* Fill up to ALTERNATIVES_MAX that need less than `request` does, cheapest last. How many. */
size_t memory_alternatives(const struct memory_request *request, const struct profiles *profiles,
                           struct alternative alternatives[ALTERNATIVES_MAX]);
/* The fewest cards of `device_bytes` each whose part of the run is safe there, at most 64; 0 when
 * no such number is. *ret_card_bytes is what one of them reserves. */
uint32_t memory_cards(const struct memory_request *request, const struct profiles *profiles,
                      uint64_t device_bytes, uint64_t *ret_card_bytes);
/* The whole answer: estimate, alternatives, and cards for each of `devices` (an array of objects
 * with name and memory_bytes, or NULL; equal ones count once). A new reference, or NULL with err
 * set. */
struct json_t *memory_advise(const struct memory_request *request, const struct profiles *profiles,
                             const struct json_t *devices, struct error *err);

#endif
