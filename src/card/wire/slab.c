/* The bitmap of the slab's pages: see slab.h. */
#include "card/wire/slab.h"

#include <errno.h>

static unsigned pages_of(uint64_t bytes)
{
    return bytes == 0 ? 1 : (unsigned)((bytes + SLAB_PAGE_BYTES - 1) / SLAB_PAGE_BYTES);
}

void slab_init(struct slab *slab)
{
    *slab = (struct slab){0};
}

static void mark(struct slab *slab, unsigned page, unsigned count, int used)
{
    while (count > 0) {
        unsigned bit = page % 64;
        unsigned run = 64 - bit < count ? 64 - bit : count;
        uint64_t mask = (run == 64 ? ~0ull : (1ull << run) - 1) << bit;
        if (used)
            slab->used[page / 64] |= mask;
        else
            slab->used[page / 64] &= ~mask;
        page += run;
        count -= run;
    }
}

/* First page at or after `page` whose state is `used`; SLAB_PAGES when there is none. */
static unsigned find(const struct slab *slab, unsigned page, int used)
{
    while (page < SLAB_PAGES) {
        uint64_t word = slab->used[page / 64];
        if (!used)
            word = ~word;
        word >>= page % 64;
        if (word)
            return page + (unsigned)__builtin_ctzll(word);
        page = (page / 64 + 1) * 64;
    }
    return SLAB_PAGES;
}

int slab_take(struct slab *slab, uint64_t limit, uint64_t bytes, uint64_t *ret_offset)
{
    if (bytes > limit)
        return -E2BIG;
    unsigned need = pages_of(bytes), most = (unsigned)(limit / SLAB_PAGE_BYTES);
    unsigned start = find(slab, slab->first_free * 64, 0);
    slab->first_free = start / 64;
    while (start + need <= most) {
        unsigned end = find(slab, start, 1);
        if (end - start >= need) {
            mark(slab, start, need, 1);
            *ret_offset = (uint64_t)start * SLAB_PAGE_BYTES;
            return 0;
        }
        start = find(slab, end, 0);
    }
    return -ENOSPC;
}

void slab_give(struct slab *slab, uint64_t offset, uint64_t bytes)
{
    unsigned page = (unsigned)(offset / SLAB_PAGE_BYTES);
    mark(slab, page, pages_of(bytes), 0);
    if (page / 64 < slab->first_free)
        slab->first_free = page / 64;
}
