/* Who uses which pages of the session's slab: a first-fit bitmap, so that the pages used are the
 * same warm ones again and again. Offsets count from the slab's start. The caller locks. */
#ifndef LEAT_CARD_WIRE_SLAB_H
#define LEAT_CARD_WIRE_SLAB_H

#include <stdint.h>

#include "card/wire/wire.h"

#define SLAB_PAGE_BYTES 4096u
#define SLAB_PAGES (WIRE_SLAB_BYTES / SLAB_PAGE_BYTES)

struct slab {
    uint64_t used[SLAB_PAGES / 64]; /* bit per page */
    unsigned first_free;            /* no free page before this word */
};

void slab_init(struct slab *slab);
/* A run of pages in the first `limit` bytes: 0, or -ENOSPC when no run of free ones is long enough
 * now, -E2BIG when none ever will be. */
int slab_take(struct slab *slab, uint64_t limit, uint64_t bytes, uint64_t *ret_offset);
void slab_give(struct slab *slab, uint64_t offset, uint64_t bytes);

#endif
