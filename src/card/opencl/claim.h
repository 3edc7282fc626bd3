/* What this process claims of the memory of its cards, so that a buffer is refused without a round
 * trip. Memory counts on each card of its context. */
#ifndef LEAT_CARD_OPENCL_CLAIM_H
#define LEAT_CARD_OPENCL_CLAIM_H

#include <CL/cl.h>
#include <stdint.h>

struct ledger_card;
struct ledger_claims;
struct wire_further;

struct claimed_card {
    const struct ledger_card *ledger; /* mapped, as what follows */
    struct ledger_claims *claims;
    unsigned slot;
};

/* Map the pages, whose descriptors are taken over: 0, or -ENOMEM, and what is there stays. */
int claimed_open(struct claimed_card *card, const struct wire_further *pages);
void claimed_finish(struct claimed_card *card);

/* The cards, a bit each, that devices are, or are parts of. */
uint32_t cards_of_devices(const cl_device_id *devices, cl_uint count);

/* Claim room on each of `cards`. CL_SUCCESS, CL_MEM_OBJECT_ALLOCATION_FAILURE, or
 * CL_DEVICE_NOT_AVAILABLE. */
cl_int cards_claim(uint32_t cards, uint64_t bytes);
void cards_unclaim(uint32_t cards, uint64_t bytes);
/* The program is told that there is no room on them. */
void cards_note_refusal(uint32_t cards, uint64_t bytes);

#endif
