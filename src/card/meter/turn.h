/* The turn on a device: at most one executor has commands on it while others want it too, so that
 * measured device time is device time. One word, one owner; a holder without commands in flight can
 * be relieved by anybody at once. */
#ifndef LEAT_CARD_METER_TURN_H
#define LEAT_CARD_METER_TURN_H

#include <stdint.h>

struct meter_device;

enum turn_flags {
    TURN_PLAIN = 0,
    TURN_POLITE = 1, /* leave the turn to others if it was ours last */
    TURN_SLEPT = 2   /* the caller slept for it: others may sleep still */
};

/* 1: the device is ours and marked busy. 0: not now. */
int turn_take(struct meter_device *device, uint32_t owner, unsigned flags, uint64_t now_ns);
/* As turn_take, when it was ours last and nobody came: the usual case, without a look at the clock.
 */
int turn_retake(struct meter_device *device, uint32_t owner);
/* Nothing is in flight any more. */
void turn_rest(struct meter_device *device, uint32_t owner);
/* 1 when others wait and the quantum of `owner`, who has the turn, is over. */
int turn_is_due(const struct meter_device *device, uint64_t now_ns);
/* 1 when somebody waits for the turn. */
int turn_is_wanted(const struct meter_device *device);
/* Sleep until the turn may have become free; `timeout_ns` at most. TURN_SLEPT, or TURN_PLAIN when
 * it was nobody's: a sleep out of politeness is no sign that anybody wants the turn. */
enum turn_flags turn_wait(struct meter_device *device, uint32_t owner, unsigned flags,
                          uint64_t timeout_ns);
/* The owner has died. */
void turn_reap(struct meter_device *device, uint32_t owner);

#endif
