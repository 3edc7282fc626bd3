/* Spare executors: see spare.h. */
#include "card/cardd/spare.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

#include "base/cleanup.h"
#include "base/list.h"
#include "base/log.h"
#include "card/cardd/card.h"
#include "card/cardd/cardd.h"
#include "card/cardd/device.h"
#include "card/cardd/keeper.h"
#include "card/cardd/start.h"
#include "card/cardd/watch.h"

#define REST_MS 20 /* after anything that a client waits for */

struct spare {
    struct list link; /* in the order they were made */
    struct cardd *cardd;
    struct card *card; /* NULL: killed, and to be reaped */
    struct process process;
    struct watch *watch; /* for its fork, then for its end */
};

struct spares {
    struct cardd *cardd;
    struct list ready;
    unsigned count; /* of `ready` */
    uv_timer_t timer;
};

static void spare_free(struct spare *spare)
{
    watch_stop(spare->watch);
    process_close(&spare->process);
    free(spare);
}

static void spare_unlist(struct spare *spare)
{
    list_remove(&spare->link);
    spare->card->cardd->spares->count--;
    spare->card->spare = NULL;
    spare->card = NULL;
}

static void spare_ended(void *arg)
{
    struct spare *spare = arg;
    int status = 0;
    if (!keeper_reap(spare->cardd->keeper, spare->process.pid, &status))
        return;
    if (spare->card) {
        log_event(LOG_WARN, "spare.ended", "card=%s executor=%d status=%d", spare->card->name,
                  (int)spare->process.pid, status);
        cardd_spare_ended(spare->card);
        spare_unlist(spare);
    }
    spare_free(spare);
}

/* It cannot be waited for. The next client waits a little longer. */
static void spare_discard(struct spare *spare)
{
    watch_stop(spare->watch);
    spare->watch = NULL;
    process_discard(spare->cardd->keeper, &spare->process);
    spare_unlist(spare);
    spare_free(spare);
}

static void spare_kill(struct spare *spare)
{
    if (spare->process.pid == 0) {
        spare_discard(spare);
        return;
    }
    (void)kill(spare->process.pid, SIGKILL); /* the keeper's child, not yet reaped */
    spare_unlist(spare);
}

/* It is forked, or cannot be. */
static void spare_arrived(void *arg)
{
    struct spare *spare = arg;
    int r = process_arrive(&spare->process, false);
    if (r == 0)
        return;
    watch_stop(spare->watch);
    spare->watch = NULL;
    if (r > 0)
        spare->watch = watch_start(&spare->cardd->loop, spare->process.pidfd, spare_ended, spare);
    if (!spare->watch)
        spare_discard(spare);
}

static void spare_make(struct spares *spares, struct card *card)
{
    struct spare *spare = calloc(1, sizeof(*spare));
    if (!spare || process_ask(card, PROCESS_SPARE, 0, &spare->process) < 0) {
        free(spare);
        return;
    }
    if (spares->count == SPARES_MAX)
        spare_kill(LIST_ENTRY(spares->ready.next, struct spare, link));
    spare->cardd = spares->cardd;
    spare->card = card;
    card->spare = spare;
    list_append(&spares->ready, &spare->link);
    spares->count++;
    spare->watch =
        watch_start(&spares->cardd->loop, spare->process.control_fd, spare_arrived, spare);
    if (!spare->watch)
        spare_discard(spare);
}

static struct card *next_wanted(const struct cardd *cardd)
{
    LIST_EACH (link, &cardd->cards) {
        struct card *card = LIST_ENTRY(link, struct card, link);
        if (card->spare_wanted)
            return card;
    }
    return NULL;
}

static void rest_over(uv_timer_t *timer)
{
    struct spares *spares = timer->data;
    struct card *card = next_wanted(spares->cardd);
    if (!card)
        return;
    if (starter_rested(spares->cardd->starter)) {
        card->spare_wanted = false;
        spare_make(spares, card);
    }
    (void)uv_timer_start(timer, rest_over, REST_MS, 0); /* cannot fail */
}

struct spares *spares_open(struct cardd *cardd)
{
    struct spares *spares = calloc(1, sizeof(*spares));
    if (!spares)
        return NULL;
    spares->cardd = cardd;
    list_init(&spares->ready);
    (void)uv_timer_init(&cardd->loop, &spares->timer); /* cannot fail */
    spares->timer.data = spares;
    return spares;
}

static void timer_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void spares_close(struct spares *spares)
{
    if (spares)
        uv_close((uv_handle_t *)&spares->timer, timer_closed);
}

void spares_want(struct card *card)
{
    struct spares *spares = card->cardd->spares;
    if (card->spare || card->spare_wanted || card->leaving || card->device->cuda ||
        card->phase != CARD_ACTIVE)
        return;
    card->spare_wanted = true;
    (void)uv_timer_start(&spares->timer, rest_over, REST_MS, 0); /* cannot fail */
}

bool spares_take(struct card *card, struct process *ret_process)
{
    struct spare *spare = card->spare;
    if (!spare)
        return false;
    *ret_process = spare->process;
    spare->process = PROCESS_NONE;
    spare_unlist(spare);
    spare_free(spare);
    return true;
}

void spares_drop(struct card *card)
{
    card->spare_wanted = false;
    if (card->spare)
        spare_kill(card->spare);
}
