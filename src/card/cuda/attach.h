/* Getting at the pages of the cards that the environment names, one for each device of the process
 * at most. Any thread; nothing is kept here. */
#ifndef LEAT_CARD_CUDA_ATTACH_H
#define LEAT_CARD_CUDA_ATTACH_H

#include <stdint.h>

#include "card/wire/client.h"

struct ledger_card;
struct meter_device;

/* A process can have cards of so many devices; HAMi has the same limit. */
#define CARD_DEVICES_MAX 16

enum card_state {
    CARD_UNKNOWN, /* not asked yet */
    CARD_NONE,    /* the environment names no card of this device: everything passes */
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

/* The card of a device, by the number that the driver gives it in this process. LEAT_CARD_SOCKET
 * and LEAT_CARD_TOKEN name cards of leat-cardd: a token for each device, with commas between; a
 * device beyond them is not to be had. Else limits in the environment make cards (alone.h).
 * Anything but CARD_UNKNOWN. */
enum card_state card_attach(unsigned device, struct attachment *ret);
/* How many devices the process has, where that is how many tokens there are; 0: all of them. */
unsigned card_count(void);
/* 1 when the environment names a card of any device. */
int card_is_named(void);

#endif
