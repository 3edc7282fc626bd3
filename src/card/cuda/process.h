/* The cards of this process, one for each of its devices: their pages, mapped when the first
 * function needs them. The process is its own executor here: it writes its slots of the ledgers and
 * is trusted to, like everything that can open the devices. Any thread; a child after fork begins
 * anew. */
#ifndef LEAT_CARD_CUDA_PROCESS_H
#define LEAT_CARD_CUDA_PROCESS_H

#include <stdint.h>

#include "card/cuda/attach.h"
#include "card/cuda/blocks.h"

struct ledger_card;
struct meter;

struct wire_client;

struct card_view {
    struct ledger_card *ledger;
    struct meter *meter;
    unsigned slot;
};

/* The device of the thread's current context; < 0: there is no context, as the driver will say. A
 * process with one device is not asked. */
CUdevice process_device(void);
/* The card of a device, < 0: none. `ret_view` is filled when CARD_READY is returned; what it points
 * to lives as long as the process. With a remote card there is nothing to count here: CARD_NONE. */
enum card_state process_card(CUdevice device, struct card_view *ret_view);
/* 1 when there may be something to count here, for any device. */
int process_has_cards(void);
/* The session with the executor and the card's page, when the card is a remote one; else NULL.
 * Until the next fork. */
struct wire_client *process_remote(const struct ledger_card **ret_ledger);

/* In an executor: this is the card of every device, and `call_off` is called when a wait for its
 * share was called off, by the thread that waited, which then waits on. Before any other call. */
void process_adopt(const struct card_view *view, void (*call_off)(void *arg), void *arg);
/* A wait was called off. */
void process_called_off(void);

/* Charge the device's card: 0 or -ENOSPC. Without a card 0, with a failed one -EIO. */
int process_reserve(struct charge charge);
void process_release(struct charge charge);

#endif
