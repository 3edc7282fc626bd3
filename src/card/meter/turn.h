/* The turn on a device: at most one executor has commands on it while others want it too, so that
 * measured device time is device time. One word, one owner; a holder without commands in flight can
 * be relieved at once, by the one of those who ask whose virtual time is the lowest.
 *
 * Virtual time is a card's device time divided by its share. Who is let go by it gets what is there
 * in the proportion of the shares, also when the device gives less than their sum. */
#ifndef LEAT_CARD_METER_TURN_H
#define LEAT_CARD_METER_TURN_H

#include <stdint.h>

struct meter_device;

/* Who goes first: the lower class, in it the lower virtual time. */
struct turn_rank {
    uint32_t class;
    uint64_t virtual_ns;
};

/* 1: the device is ours and marked busy, and we ask no more. 0: not now. */
int turn_take(struct meter_device *device, uint32_t owner, struct turn_rank rank, uint64_t now_ns);
/* As turn_take, when it was ours last and nobody asks: the usual case, without a look at the
 * clock. */
int turn_retake(struct meter_device *device, uint32_t owner);
/* Nothing is in flight any more, or so little that the next one may get ready. */
void turn_rest(struct meter_device *device, uint32_t owner, uint64_t now_ns);
/* A command of the owner has ended: it does not hang. */
void turn_show_life(struct meter_device *device, uint64_t now_ns);
/* 1 when somebody asks who goes before the owner, who has the turn and is at `rank`, and who is of
 * a lower class or has waited until the owner's quantum was over. */
int turn_is_due(const struct meter_device *device, struct turn_rank rank, uint64_t now_ns);
/* 1 when somebody asks for the turn. */
int turn_is_wanted(const struct meter_device *device);
/* Ask for the turn, and sleep until we are called to take it; `timeout_ns` at most. We go on asking
 * until we take it or leave. */
void turn_wait(struct meter_device *device, uint32_t owner, struct turn_rank rank, uint64_t now_ns,
               uint64_t timeout_ns);
/* We ask no more. */
void turn_leave(struct meter_device *device, uint32_t owner);
/* A card's virtual time, brought near that of the last turn first: whoever was away, or had the
 * device to itself, is not owed all of that and does not owe it. */
uint64_t turn_virtual_ns(const struct meter_device *device, uint64_t *virtual_ns);
/* What `device_ns` of a card with this share come to in virtual time. */
uint64_t turn_weigh_ns(uint64_t device_ns, uint32_t share_permille);
/* The owner has died. */
void turn_reap(struct meter_device *device, uint32_t owner);

#endif
