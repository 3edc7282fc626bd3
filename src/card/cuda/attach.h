/* Getting at the pages of the card that the environment names. Any thread; nothing is kept here. */
#ifndef LEAT_CARD_CUDA_ATTACH_H
#define LEAT_CARD_CUDA_ATTACH_H

#include <stdint.h>

#include "card/wire/client.h"

struct ledger_card;
struct meter_device;

enum card_state {
    CARD_UNKNOWN, /* not asked yet */
    CARD_NONE,    /* the environment names no card: everything passes */
    CARD_READY,
    CARD_REMOTE, /* an executor calls the driver */
    CARD_FAILED  /* named, but not to be had: nothing may be allocated or launched */
};

struct attachment {
    struct ledger_card *ledger; /* mapped as long as the process lives, like the device; of a remote
                                   card to be read only, and there is no device then */
    struct meter_device *device;
    int notify_fd; /* the caller's; -1: nobody is to be told */
    unsigned slot;
    struct wire_client client; /* of a remote card */
    int alone; /* no daemon looks after the slots of dead processes: alone_reap does */
};

/* LEAT_CARD_SOCKET and LEAT_CARD_TOKEN name a card of leat-cardd; else limits in the environment
 * make one (alone.h). Anything but CARD_UNKNOWN. */
enum card_state card_attach(struct attachment *ret);

#endif
