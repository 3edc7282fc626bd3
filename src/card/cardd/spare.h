/* Spare executors: forked for a card before it has a client, with its driver started, so that a
 * program's first command waits for neither. A spare is confined to its card as any executor; a
 * card has at most one, all cards together SPARES_MAX, of which the oldest makes room. They are
 * made one at a time while nobody knocks. */
#ifndef LEAT_CARDD_SPARE_H
#define LEAT_CARDD_SPARE_H

#include <stdbool.h>

#include "card/cardd/process.h"

struct card;
struct cardd;
struct spares;

#define SPARES_MAX 8

/* NULL: out of memory. */
struct spares *spares_open(struct cardd *cardd);
/* Frees itself on the loop; every spare has been dropped. NULL is fine. */
void spares_close(struct spares *spares);

/* The card will do with one soon. */
void spares_want(struct card *card);
/* Take over the card's spare; false when there is none. It may have ended, or only be asked for. */
bool spares_take(struct card *card, struct process *ret_process);
/* The card leaves its device, or goes: kill its spare and make no other until one is wanted. */
void spares_drop(struct card *card);

#endif
