/* Claims on the ledgers of all cards: see claim.h. */
#include "card/opencl/claim.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "card/ledger/ledger.h"
#include "card/opencl/process.h"

static void *map_page(int fd, size_t bytes, int protection)
{
    void *memory = mmap(NULL, bytes, protection, MAP_SHARED, fd, 0);
    (void)close(fd);
    return memory == MAP_FAILED ? NULL : memory;
}

int claimed_open(struct claimed_card *card, const struct wire_further *pages)
{
    card->ledger = map_page(pages->ledger_fd, sizeof(*card->ledger), PROT_READ);
    card->claims = map_page(pages->claims_fd, sizeof(*card->claims), PROT_READ | PROT_WRITE);
    card->slot = pages->slot;
    return card->ledger && card->claims ? 0 : -ENOMEM;
}

void claimed_finish(struct claimed_card *card)
{
    if (card->ledger)
        (void)munmap((void *)(uintptr_t)card->ledger, sizeof(*card->ledger));
    if (card->claims)
        (void)munmap(card->claims, sizeof(*card->claims));
    *card = (struct claimed_card){0};
}

uint32_t cards_of_devices(const cl_device_id *devices, cl_uint count)
{
    uint32_t cards = 0;
    for (cl_uint i = 0; i < count; i++) {
        cl_device_id device = devices[i];
        while (device->parent)
            device = device->parent;
        cards |= 1u << device->object.id;
    }
    return cards;
}

/* On all of them or on none. */
static int try_claim(uint32_t cards, uint64_t bytes)
{
    for (unsigned i = 0; i < process.card_count; i++) {
        const struct claimed_card *card = &process.cards[i];
        if (!(cards >> i & 1) || ledger_claim(card->ledger, card->claims, card->slot, bytes) == 0)
            continue;
        cards_unclaim(cards & ((1u << i) - 1), bytes);
        return -ENOSPC;
    }
    return 0;
}

void cards_unclaim(uint32_t cards, uint64_t bytes)
{
    for (unsigned i = 0; i < process.card_count; i++)
        if (cards >> i & 1)
            ledger_unclaim(process.cards[i].claims, process.cards[i].slot, bytes);
}

void cards_note_refusal(uint32_t cards, uint64_t bytes)
{
    for (unsigned i = 0; i < process.card_count; i++)
        if (cards >> i & 1)
            ledger_note_refusal(process.cards[i].ledger, process.cards[i].claims, bytes);
}

/* Wait until the executor has accounted for every release sent so far. */
static cl_int drain(void)
{
    __atomic_store_n(&process.frees_sent, 0, __ATOMIC_RELAXED);
    struct wire_drain *record = record_begin(sizeof(*record));
    if (!record)
        return CL_DEVICE_NOT_AVAILABLE;
    return record_wait(record, WIRE_DRAIN, sizeof(*record), NULL, NULL);
}

cl_int cards_claim(uint32_t cards, uint64_t bytes)
{
    if (try_claim(cards, bytes) == 0)
        return CL_SUCCESS;
    if (__atomic_load_n(&process.frees_sent, __ATOMIC_RELAXED) > 0) {
        cl_int result = drain();
        if (result != CL_SUCCESS)
            return result;
        if (try_claim(cards, bytes) == 0)
            return CL_SUCCESS;
    }
    cards_note_refusal(cards, bytes);
    return CL_MEM_OBJECT_ALLOCATION_FAILURE;
}
