/* Compute that is not used, or that others need more, and how it comes back: idle.c as the other
 * files of core use it. Loop thread only. */
#ifndef LEAT_CORE_IDLE_H
#define LEAT_CORE_IDLE_H

#include <stdint.h>
#include <uv.h>

struct card_usage;
struct core;
struct json_t;
struct live_job;

/* Why a job's compute goes to others. */
enum idle_why {
    IDLE_UNUSED,    /* it has not used its card for its idle time */
    IDLE_RECLAIMED, /* it was borrowed, and its owner wants it */
    IDLE_PREEMPTED, /* a job of higher priority has its place */
    IDLE_EXCHANGED  /* its card is on its way to another device */
};

void idle_on_poll(uv_timer_t *timer);
void idle_watch(struct core *core); /* there are jobs: poll cards until there are none */
void idle_cards_seen(struct core *core, const struct json_t *cards); /* the answer of card.list */
/* leat-cardd refused a card for want of room: take the device for full until its cards are seen. */
void idle_device_taken(struct core *core, const char *device);
void idle_wants_share(struct core *core, struct live_job *live);
void idle_wake_all(struct core *core);                   /* who can be given its share again is */
void idle_count(struct live_job *live, uint64_t now_us); /* how long it has been idle in all */
void idle_usage(struct live_job *live, const struct card_usage *usage);
/* Take the share and then the memory of a running job; it goes on as soon as it may. */
void idle_take(struct core *core, struct live_job *live, enum idle_why why);

#endif
