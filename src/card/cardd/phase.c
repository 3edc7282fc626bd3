/* The phases of a card: see phase.h. */
#include "card/cardd/phase.h"

#include <errno.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "card/cardd/card.h"
#include "card/cardd/cardd.h"
#include "card/cardd/control.h"
#include "card/cardd/device.h"
#include "card/cardd/session.h"
#include "card/executor/executor.h"

static void begin(struct card *card, enum card_phase phase, enum executor_verb verb)
{
    const struct executor_order order = {
        .verb = verb,
        .platform_index = card->device->platform_index,
        .device_index = card->device->device_index,
        .device = card->device->turn,
    };
    card->phase = phase;
    for (unsigned slot = 0; slot < LEDGER_SLOTS; slot++) {
        if (card->sessions[slot])
            session_order(card->sessions[slot], &order);
    }
}

static void set_caller(struct card *card, const struct phase_caller *caller)
{
    card->phase_connection = caller->connection;
    card->phase_request = caller->request;
    card->phase_since_ns = clock_monotonic_ns();
    card->phase_error = (struct error){0};
    card->failing = false;
    card->move_to = NULL;
}

/* The phase is over: answer who asked and tell the subscribers. */
static void conclude(struct cardd *cardd, struct card *card)
{
    const char *event = card->phase == CARD_ACTIVE ? "card.resumed" : "card.suspended";
    log_event(card->failing ? LOG_WARN : LOG_INFO, event, "card=%s device=%s text=\"%s\"",
              card->name, card->device->id, card->phase_error.text);
    if (cardd->control && card->failing)
        control_refuse(cardd->control, card->phase_connection, card->phase_request,
                       &card->phase_error);
    else if (cardd->control)
        control_answer(cardd->control, card->phase_connection, card->phase_request,
                       card_json(card));
    card->phase_connection = 0;
    if (cardd->control)
        control_event(cardd->control, event,
                      json_pack("{ss ss}", "card", card->name, "device", card->device->id));
}

/* Grant the card its part of `device` and order its executors there. */
static int resume_on(struct cardd *cardd, struct card *card, struct device *device,
                     uint32_t share_permille, struct error *err)
{
    int r = device_stands_in(device, card->device, err);
    if (r == 0)
        r = device_grant(device, card->quota_bytes, share_permille, err);
    if (r < 0)
        return r;
    card->device = device;
    card->granted = true;
    card_set_share(card, share_permille);
    begin(card, CARD_RESUMING, EXECUTOR_RESUME);
    phase_advance(cardd, card);
    return 0;
}

static void suspended(struct cardd *cardd, struct card *card)
{
    struct device *target = card->move_to;
    card->share_kept_permille = card->share_permille;
    device_take_back(card->device, card->quota_bytes, card->share_permille);
    card->granted = false;
    card_set_share(card, 0);
    card->phase = CARD_SUSPENDED;
    card->move_to = NULL;
    if (!card->failing) {
        card->suspensions++;
        card->suspend_ns = clock_monotonic_ns() - card->phase_since_ns;
        card->phase_since_ns += card->suspend_ns;
    }
    if (!target || card->failing) {
        conclude(cardd, card);
        return;
    }
    if (resume_on(cardd, card, target, card->share_kept_permille, &card->phase_error) == 0)
        return;
    card->failing = true; /* back to where it was */
    if (resume_on(cardd, card, card->device, card->share_kept_permille, NULL) < 0)
        conclude(cardd, card);
}

static void resumed(struct cardd *cardd, struct card *card)
{
    card->phase = CARD_ACTIVE;
    if (!card->failing)
        card->resume_ns = clock_monotonic_ns() - card->phase_since_ns;
    conclude(cardd, card);
}

void phase_advance(struct cardd *cardd, struct card *card)
{
    if (card->phase == CARD_ACTIVE || card->phase == CARD_SUSPENDED || card_orders_out(card))
        return;
    bool undo = card->phase_error.errnum && !card->failing;
    card->failing |= undo;
    if (card->phase == CARD_SUSPENDING && undo) {
        begin(card, CARD_RESUMING, EXECUTOR_RESUME);
        phase_advance(cardd, card); /* in case all have ended */
    } else if (card->phase == CARD_RESUMING && undo) {
        begin(card, CARD_SUSPENDING, EXECUTOR_SUSPEND);
        phase_advance(cardd, card);
    } else if (card->phase == CARD_SUSPENDING) {
        suspended(cardd, card);
    } else {
        resumed(cardd, card);
    }
}

void cardd_session_answered(struct cardd *cardd, struct session *session,
                            const struct executor_notice *notice)
{
    struct card *card = session->card;
    if (card->leaving)
        return;
    if (notice->status < 0 && card->failing)
        session_kill(session); /* neither here nor there: its program loses the device */
    else if (notice->status < 0 && !card->phase_error.errnum)
        (void)error_set(&card->phase_error, notice->status,
                        notice->verb == EXECUTOR_SUSPEND ? "suspend-failed" : "resume-failed", "%s",
                        notice->text);
    phase_advance(cardd, card);
}

static int expect(const struct card *card, enum card_phase phase, struct error *err)
{
    if (card->phase == phase)
        return 0;
    if (card->phase == CARD_ACTIVE)
        return error_set(err, -EALREADY, "card-active", "card '%s' is on its device", card->name);
    if (card->phase == CARD_SUSPENDED)
        return error_set(err, -EALREADY, "card-suspended", "card '%s' is suspended already",
                         card->name);
    return error_set(err, -EBUSY, "card-busy", "card '%s' is on its way", card->name);
}

static int suspend_to(struct card *card, struct device *move_to, const struct phase_caller *caller,
                      struct error *err)
{
    int r = expect(card, CARD_ACTIVE, err);
    if (r < 0)
        return r;
    if (card->device->local)
        return error_set(err, -EOPNOTSUPP, "card-local",
                         "card '%s' is driven by its programs themselves and stays on its device",
                         card->name);
    set_caller(card, caller);
    card->move_to = move_to;
    card->needs_copy_room = true;
    cardd_confine_again(card->cardd, card);
    begin(card, CARD_SUSPENDING, EXECUTOR_SUSPEND);
    phase_advance(card->cardd, card);
    return 0;
}

int phase_suspend(struct card *card, const struct phase_caller *caller, struct error *err)
{
    return suspend_to(card, NULL, caller, err);
}

int phase_move(struct card *card, const char *device, const struct phase_caller *caller,
               struct error *err)
{
    struct device *target = devices_find(&card->cardd->devices, device, err);
    if (!target)
        return -ENODEV;
    if (card->phase == CARD_SUSPENDED)
        return phase_resume(card, device, 0, caller, err);
    int r = device_stands_in(target, card->device, err);
    return r < 0 ? r : suspend_to(card, target, caller, err);
}

int phase_resume(struct card *card, const char *device, uint32_t share_permille,
                 const struct phase_caller *caller, struct error *err)
{
    struct cardd *cardd = card->cardd;
    int r = expect(card, CARD_SUSPENDED, err);
    struct device *target =
        r == 0 && device ? devices_find(&cardd->devices, device, err) : card->device;
    if (r < 0 || !target)
        return r < 0 ? r : -ENODEV;
    set_caller(card, caller);
    r = resume_on(cardd, card, target, share_permille ? share_permille : card->share_kept_permille,
                  err);
    if (r < 0)
        card->phase_connection = 0;
    return r;
}

void phase_abandon(struct cardd *cardd, struct card *card)
{
    struct error gone = {0};
    if (card->phase_connection && cardd->control) {
        (void)error_set(&gone, -ENOENT, "unknown-card", "card '%s' was removed", card->name);
        control_refuse(cardd->control, card->phase_connection, card->phase_request, &gone);
    }
    card->phase_connection = 0;
}
