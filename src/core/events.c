/* Who hears of events. */
#include <stdlib.h>

#include "core/core_impl.h"

struct core_subscription {
    struct list link;
    core_event_fn *deliver;
    void *arg;
};

struct core_subscription *core_events_subscribe(struct core *core, core_event_fn *deliver,
                                                void *arg)
{
    struct core_subscription *subscription = calloc(1, sizeof(*subscription));
    if (!subscription)
        return NULL;
    subscription->deliver = deliver;
    subscription->arg = arg;
    list_append(&core->subscriptions, &subscription->link);
    return subscription;
}

void core_events_unsubscribe(struct core_subscription *subscription)
{
    if (!subscription)
        return;
    list_remove(&subscription->link);
    free(subscription);
}

void events_publish(struct core *core, uint64_t seq, const struct json_t *event)
{
    LIST_EACH_SAFE (link, after, &core->subscriptions) {
        struct core_subscription *subscription = LIST_ENTRY(link, struct core_subscription, link);
        subscription->deliver(subscription->arg, seq, event);
    }
}
