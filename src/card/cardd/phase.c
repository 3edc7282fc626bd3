/* The phases of a card: see phase.h. */
#include "card/cardd/phase.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "card/cardd/card.h"
#include "card/cardd/cardd.h"
#include "card/cardd/control.h"
#include "card/cardd/device.h"
#include "card/cardd/elsewhere.h"
#include "card/cardd/keeper.h"
#include "card/cardd/session.h"
#include "card/cardd/spare.h"
#include "card/executor/checkpoint.h"
#include "card/executor/executor.h"

#define SEAT_SHIFT 56 /* of a card's place among those of a session, in the number of an order */

/* What each session of the card may keep in memory. What others have in files counts as if it were
 * in memory: the limit is kept, not used up. */
static uint64_t memory_for(const struct card *card)
{
    const struct cardd *cardd = card->cardd;
    uint64_t left = cardd->suspended_most_bytes;
    if (left == 0)
        return UINT64_MAX;
    LIST_EACH (link, &cardd->cards) {
        const struct card *other = LIST_ENTRY(link, struct card, link);
        uint64_t away = other == card ? 0 : ledger_away(other->ledger);
        left -= away < left ? away : left;
    }
    return left / (card->session_count ? card->session_count : 1);
}

static const enum executor_verb verbs[] = {
    [CARD_SUSPENDING] = EXECUTOR_SUSPEND, [CARD_RESUMING] = EXECUTOR_RESUME,
    [CARD_SAVING] = EXECUTOR_SAVE,        [CARD_LOADING] = EXECUTOR_LOAD,
    [CARD_OFFERING] = EXECUTOR_OFFER,     [CARD_MOVED] = EXECUTOR_DEPART,
    [CARD_RETURNING] = EXECUTOR_RETURN,
};

/* What `card` orders of one of its sessions. Numbers are a card's own, so that those of a session
 * with several say whose they are, too. */
static struct executor_order order_make(const struct card *card, const struct session *session,
                                        enum executor_verb verb)
{
    struct executor_order order = {
        .number = card->orders,
        .verb = verb,
        .memory_bytes = memory_for(card),
        .departs = card->departing && verb == EXECUTOR_SUSPEND,
        .file_fd = card->file_fd,
    };
    for (unsigned i = 0; i < session->seat_count; i++) {
        const struct card *own = session->seats[i].card;
        order.places[i] = (struct executor_place){own->device->platform_index,
                                                  own->device->device_index, own->device->turn};
        if (own == card)
            order.number |= (uint64_t)i << SEAT_SHIFT;
    }
    return order;
}

static bool is_settled(const struct card *card)
{
    return card->phase == CARD_ACTIVE || card->phase == CARD_SUSPENDED || card->phase == CARD_MOVED;
}

/* A session comes back with the last of its cards that are away. One that has not answered another
 * of its cards, which only a leat-cardd that was killed leaves behind, is given up. */
static void order_give(struct card *card, struct session *session)
{
    const enum executor_verb verb = verbs[card->phase];
    const struct executor_order order = order_make(card, session, verb);
    if (session->order && session->ordered_by != card)
        session_kill(session);
    else if (verb != EXECUTOR_RESUME || !session_is_away(session, card))
        session_order(session, card, &order);
}

/* Every executor of the card gets the order of its phase. */
static void order_all(struct card *card)
{
    for (unsigned slot = 0; slot < LEDGER_SLOTS; slot++) {
        if (card->sessions[slot])
            order_give(card, card->sessions[slot]);
    }
}

/* An order for one session alone, which is being rebuilt. */
static void order_one(struct session *session, enum executor_verb verb, int file_fd)
{
    struct card *card = session->card;
    card->orders++;
    card_save(card);
    struct executor_order order = order_make(card, session, verb);
    order.file_fd = file_fd;
    session_order(session, card, &order);
}

void phase_offer(struct session *session)
{
    const struct card *card = session->card;
    struct error err = {0};
    AUTO_FD int fd = elsewhere_call(card->elsewhere, session, &err);
    session->offered = true;
    if (fd >= 0)
        order_one(session, EXECUTOR_OFFER, fd);
    else if (card->phase == CARD_MOVED)
        session_kill(session);
    else if (!card->phase_error.errnum)
        (void)error_copy(&session->card->phase_error, &err);
}

/* The sessions that the other host has not been offered, those that have come meanwhile, too. */
static void offer_rest(struct card *card)
{
    for (unsigned slot = 0; slot < LEDGER_SLOTS; slot++) {
        if (card->sessions[slot] && !card->sessions[slot]->offered)
            phase_offer(card->sessions[slot]);
    }
}

bool phase_can_rebuild(const struct card *card)
{
    return card->saved_path && (card->phase == CARD_ACTIVE || card->phase == CARD_SUSPENDED);
}

void phase_rebuild(struct session *session)
{
    AUTO_FD int fd = -1;
    if (session->moved)
        fd = take_fd(&session->moved_fd);
    else
        fd = open(session->card->saved_path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd >= 0)
        order_one(session, EXECUTOR_REBUILD, fd);
    else
        session_kill(session);
}

/* A session that is being rebuilt is back in host memory, or on the device. */
static void rebuild_advance(struct session *session, const struct executor_notice *notice)
{
    const struct card *card = session->card;
    bool more = notice->verb == EXECUTOR_REBUILD && card->phase == CARD_ACTIVE;
    if (notice->status == 0 && more) {
        order_one(session, EXECUTOR_RESUME, -1);
        return;
    }
    log_event(notice->status ? LOG_WARN : LOG_INFO, "session.rebuilt",
              "card=%s slot=%u status=%d text=\"%s\"", card->name, session->slot, notice->status,
              notice->text);
    session_rebuilt(session, notice->status == 0, notice->text);
}

static void begin(struct card *card, enum card_phase phase)
{
    card->phase = phase;
    card->orders++;
    card_save(card);
    spares_drop(card); /* it would be on the device still */
    order_all(card);
}

/* One that has departed passes the order over; one that was not offered says so. */
static void depart_again(struct session *session)
{
    if (session && session->process.pid)
        order_one(session, EXECUTOR_DEPART, -1);
}

void phase_continue(struct card *card)
{
    for (unsigned slot = 0; card->phase == CARD_MOVED && slot < LEDGER_SLOTS; slot++)
        depart_again(card->sessions[slot]);
    if (is_settled(card))
        return;
    card->file_parts = 0;
    if (card->departing) /* what the other host has is gone with the connection */
        (void)error_set(&card->phase_error, -EINTR, "host-lost", "leat-cardd was killed");
    if (card->phase == CARD_SAVING) /* the parts of programs that have ended are not known */
        (void)error_set(&card->phase_error, -EINTR, "checkpoint-failed", "leat-cardd was killed");
    order_all(card);
    phase_advance(card->cardd, card); /* in case all have ended */
}

/* A checkpoint gets its name when it is whole. */
static int beside_name(const char *path, char beside[PATH_MAX], struct error *err)
{
    if (path[0] != '/' || snprintf(beside, PATH_MAX, "%s.new", path) >= PATH_MAX)
        return error_set(err, -EINVAL, "bad-path", "'%.64s' is no absolute path, or too long",
                         path);
    return 0;
}

static void set_caller(struct card *card, const struct phase_caller *caller)
{
    card->phase_connection = caller->connection;
    card->phase_request = caller->request;
    card->phase_since_ns = clock_monotonic_ns();
    card->phase_error = (struct error){0};
    card->failing = card->departing = false;
    card->move_to = NULL;
}

/* The phase is over: answer who asked. */
static void answer(struct cardd *cardd, struct card *card, const char *event)
{
    log_event(card->failing ? LOG_WARN : LOG_INFO, event, "card=%s device=%s text=\"%s\"",
              card->name, card->device->id, card->phase_error.text);
    if (cardd->control && card->failing)
        control_refuse(cardd->control, card->phase_connection, card->phase_request,
                       &card->phase_error);
    else if (cardd->control)
        control_answer(cardd->control, card->phase_connection, card->phase_request,
                       card_json(card));
    card->phase_connection = 0;
}

/* The card has come or gone: tell the subscribers, too. A move is noted when it begins to
 * resume. */
static void conclude(struct cardd *cardd, struct card *card)
{
    const char *event = card->phase == CARD_ACTIVE  ? "card.resumed"
                        : card->phase == CARD_MOVED ? "card.moved"
                                                    : "card.suspended";
    card->untold = false;
    card_save(card);
    answer(cardd, card, event);
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
    begin(card, CARD_RESUMING);
    phase_advance(cardd, card);
    return 0;
}

/* It holds nothing of its device any more. */
static void device_leave(struct card *card)
{
    if (!card->granted)
        return; /* it was suspended */
    card->share_kept_permille = card->share_permille;
    device_take_back(card->device, card->quota_bytes, card->share_permille);
    card->granted = false;
    card_set_share(card, 0);
}

/* Whoever hears of it may call the card home at once: its sessions have gone along by then. */
static void moved_tell(struct cardd *cardd, struct card *card)
{
    if (!card->untold || card_orders_out(card))
        return;
    conclude(cardd, card);
}

/* All that the card is has been brought to the other host, where it is from the moment on in which
 * the books say so. */
static void moved(struct cardd *cardd, struct card *card)
{
    device_leave(card);
    card->phase = CARD_MOVED;
    card->departing = false;
    free(card->saved_path); /* of what it was here */
    card->saved_path = NULL;
    card->orders++;
    elsewhere_keep(card->elsewhere);
    card_save(card);
    card->untold = true;
    order_all(card);
    moved_tell(cardd, card);
}

static void elsewhere_lost(struct card *card, const struct error *err);

/* It goes on there. Those that were brought back leave the device here. */
static void stayed(struct cardd *cardd, struct card *card)
{
    device_leave(card);
    if (elsewhere_is_lost(card->elsewhere)) {
        elsewhere_lost(card, &card->phase_error);
        return;
    }
    card->phase = CARD_MOVED;
    card->orders++;
    card_save(card);
    answer(cardd, card, "card.not_returned");
    order_all(card);
}

/* All that the card is is on its device here, where it is from the moment on in which the books say
 * so. What is there goes with the connection. */
static void returned(struct cardd *cardd, struct card *card)
{
    struct elsewhere *elsewhere = card->elsewhere;
    card->elsewhere = NULL;
    begin(card, CARD_RESUMING);
    keeper_hold(cardd->keeper, card->number, KEPT_ELSEWHERE, -1);
    elsewhere_close(elsewhere);
    phase_advance(cardd, card); /* in case nobody uses the card */
}

/* A suspended card was to go to another host, and is where it was. */
static void stayed_away(struct cardd *cardd, struct card *card)
{
    card->phase = CARD_SUSPENDED;
    card->departing = false;
    elsewhere_close(card->elsewhere);
    card->elsewhere = NULL;
    card_save(card);
    answer(cardd, card, "card.not_moved");
}

static void suspended(struct cardd *cardd, struct card *card)
{
    struct device *target = card->move_to;
    device_leave(card);
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
    card->departing = false;
    elsewhere_close(card->elsewhere);
    card->elsewhere = NULL;
    spares_want(card);
    if (!card->failing)
        card->resume_ns = clock_monotonic_ns() - card->phase_since_ns;
    conclude(cardd, card);
}

/* Saved or loaded, or not. What could not be written whole is not left behind. */
static void filed(struct cardd *cardd, struct card *card)
{
    struct error *err = &card->phase_error;
    bool saving = card->phase == CARD_SAVING;
    char beside[PATH_MAX];
    AUTO_FD int fd = take_fd(&card->file_fd);
    if (saving && !err->errnum)
        (void)checkpoint_end(fd, card->file_parts, err);
    else if (!err->errnum && card->file_parts == 0 && card->session_count > 0)
        (void)error_set(err, -EINVAL, "checkpoint-of-others",
                        "the checkpoint holds nothing of the programs that use card '%s' now",
                        card->name);
    if (saving && beside_name(card->file_path, beside, err) == 0) {
        if (!err->errnum && rename(beside, card->file_path) < 0)
            (void)error_errno(err, -errno, "checkpoint-failed", "cannot name '%.200s'",
                              card->file_path);
        if (err->errnum)
            (void)unlink(beside);
    }
    card->failing = err->errnum != 0;
    if (!card->failing) {
        free(card->saved_path);
        card->saved_path = saving ? take_pointer(&card->file_path) : NULL;
    }
    free(card->file_path);
    card->file_path = NULL;
    card->phase = CARD_SUSPENDED;
    card_save(card);
    keeper_hold(cardd->keeper, card->number, KEPT_FILE, -1);
    answer(cardd, card, saving ? "card.saved" : "card.loaded");
}

/* The contents are in host memory. */
static void suspended_for(struct cardd *cardd, struct card *card)
{
    if (!card->departing || card->failing) {
        suspended(cardd, card);
        return;
    }
    card->phase = CARD_OFFERING;
    card_save(card);
    phase_advance(cardd, card);
}

/* The other host has all that has been offered so far. */
static void offered(struct cardd *cardd, struct card *card)
{
    offer_rest(card);
    if (card->phase_error.errnum)
        phase_advance(cardd, card);
    else if (!card_orders_out(card))
        moved(cardd, card);
}

void phase_advance(struct cardd *cardd, struct card *card)
{
    static void (*const next[])(struct cardd * cardd, struct card * card) = {
        [CARD_SUSPENDING] = suspended_for,
        [CARD_RESUMING] = resumed,
        [CARD_SAVING] = filed,
        [CARD_LOADING] = filed,
        [CARD_OFFERING] = offered,
        [CARD_RETURNING] = returned,
    };
    if (card->phase == CARD_MOVED)
        moved_tell(cardd, card);
    if (is_settled(card) || card_orders_out(card))
        return;
    bool files = card->phase == CARD_SAVING || card->phase == CARD_LOADING;
    bool undo = !files && card->phase_error.errnum && !card->failing;
    card->failing |= undo;
    if (!undo || card->phase == CARD_RETURNING) {
        (undo ? stayed : next[card->phase])(cardd, card);
        return;
    }
    if (card->departing && !card->granted) {
        stayed_away(cardd, card);
        return;
    }
    begin(card, card->phase == CARD_RESUMING ? CARD_SUSPENDING : CARD_RESUMING);
    phase_advance(cardd, card); /* in case all have ended */
}

/* A session of a card that has moved. */
static void moved_advance(struct session *session, const struct executor_notice *notice)
{
    if (notice->status < 0 && strcmp(notice->code, "not-offered") == 0) {
        phase_offer(session); /* it came while the card was to come back */
    } else if (notice->status < 0) {
        log_event(LOG_WARN, "session.not_moved", "card=%s slot=%u code=%s text=\"%s\"",
                  session->card->name, session->slot, notice->code, notice->text);
        session_kill(session);
    } else if (notice->verb == EXECUTOR_OFFER) {
        order_one(session, EXECUTOR_DEPART, -1);
    }
}

static void answered(struct cardd *cardd, struct card *card, struct session *session,
                     const struct executor_notice *notice)
{
    if (card->leaving)
        return;
    if (session->rebuilding) {
        rebuild_advance(session, notice);
        return;
    }
    if (card->phase == CARD_MOVED) {
        moved_advance(session, notice);
        phase_advance(cardd, card);
        return;
    }
    card->file_parts += notice->parts;
    if (notice->status < 0 && card->failing)
        session_kill(session); /* neither here nor there: its program loses the device */
    else if (notice->status < 0 && !card->phase_error.errnum)
        (void)error_set(&card->phase_error, notice->status,
                        notice->verb == EXECUTOR_SUSPEND  ? "suspend-failed"
                        : notice->verb == EXECUTOR_RESUME ? "resume-failed"
                                                          : notice->code,
                        "%s", notice->text);
    phase_advance(cardd, card);
}

void cardd_session_answered(struct cardd *cardd, struct session *session,
                            const struct executor_notice *notice)
{
    struct card *card = session->ordered_by;
    answered(cardd, card, session, notice);
    for (unsigned i = 0; i < session->seat_count; i++) /* others wait for it, too */
        if (session->seats[i].card != card)
            phase_advance(cardd, session->seats[i].card);
}

static int expect(const struct card *card, enum card_phase phase, struct error *err)
{
    if (card->phase == phase && card_orders_out(card))
        return error_set(err, -EBUSY, "card-busy",
                         "a program of card '%s' is made again, or follows another of its cards",
                         card->name);
    if (card->phase == phase && (phase == CARD_MOVED || !card->elsewhere))
        return 0;
    if (card->phase == CARD_MOVED)
        return error_set(err, -EREMOTE, "card-moved", "card '%s' is on %s", card->name,
                         elsewhere_place(card->elsewhere)->host);
    if (card->elsewhere)
        return error_set(err, -EBUSY, "card-busy", "card '%s' is on its way", card->name);
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
    if (card_is_local(card))
        return error_set(err, -EOPNOTSUPP, "card-local",
                         "card '%s' is driven by its programs themselves and stays on its device",
                         card->name);
    set_caller(card, caller);
    card->move_to = move_to;
    card->needs_copy_room = true;
    cardd_confine_again(card->cardd, card);
    begin(card, CARD_SUSPENDING);
    phase_advance(card->cardd, card);
    return 0;
}

int phase_suspend(struct card *card, const struct phase_caller *caller, struct error *err)
{
    return suspend_to(card, NULL, caller, err);
}

/* A program with several cards has each device once. */
static int check_together(const struct card *card, const struct device *target, struct error *err)
{
    for (unsigned slot = 0; slot < LEDGER_SLOTS; slot++) {
        const struct session *session = card->sessions[slot];
        for (unsigned i = 0; session && i < session->seat_count; i++) {
            const struct card *other = session->seats[i].card;
            if (other != card && other->device == target)
                return error_set(err, -EXDEV, "same-device",
                                 "a program has card '%s' together with '%s', which is on %s",
                                 card->name, other->name, target->id);
        }
    }
    return 0;
}

/* The contexts of CUDA programs stay with the driver of their device. */
static int check_target(const struct card *card, const struct device *target, struct error *err)
{
    if (check_together(card, target, err) < 0)
        return err->errnum;
    if (!card->device->cuda || card_is_local(card) || target == card->device)
        return 0;
    return error_set(err, -EXDEV, "other-device",
                     "card '%s' can be suspended, but comes back to %s only: that is where the "
                     "contexts of its CUDA programs are",
                     card->name, card->device->id);
}

/* What is refused leaves the card there. */
static int return_to(struct card *card, struct device *device, const struct phase_caller *caller,
                     struct error *err)
{
    int r = expect(card, CARD_MOVED, err);
    if (r == 0)
        r = device_grant(device, card->quota_bytes, card->share_kept_permille, err);
    if (r < 0)
        return r;
    set_caller(card, caller);
    card->device = device;
    card->granted = true;
    card_set_share(card, card->share_kept_permille);
    begin(card, CARD_RETURNING);
    phase_advance(card->cardd, card); /* in case nobody uses the card */
    return 0;
}

int phase_move(struct card *card, const char *device, const struct phase_caller *caller,
               struct error *err)
{
    struct device *target =
        device ? devices_find(&card->cardd->devices, device, err) : card->device;
    if (!target)
        return -ENODEV;
    if (!device && !card_is_there(card))
        return error_set(err, -EALREADY, "card-here", "card '%s' is on no other host", card->name);
    if (card->phase == CARD_SUSPENDED)
        return phase_resume(card, device, 0, caller, err);
    int r = device_stands_in(target, card->device, err);
    if (r == 0)
        r = check_target(card, target, err);
    if (r < 0)
        return r;
    return card->phase == CARD_MOVED ? return_to(card, target, caller, err)
                                     : suspend_to(card, target, caller, err);
}

int phase_depart(struct card *card, const struct control_request *request,
                 const struct phase_caller *caller, struct error *err)
{
    const bool is_away = card->phase == CARD_SUSPENDED;
    int r = expect(card, is_away ? CARD_SUSPENDED : CARD_ACTIVE, err);
    if (r < 0)
        return r;
    if (card->device->cuda || !card->cardd->relay)
        return error_set(err, -EOPNOTSUPP, "cannot-move", "card '%s' of %s stays on this host",
                         card->name, card->device->id);
    for (unsigned slot = 0; slot < LEDGER_SLOTS; slot++)
        if (card->sessions[slot] && card->sessions[slot]->seat_count > 1)
            return error_set(err, -EOPNOTSUPP, "cannot-move",
                             "a program has card '%s' together with others of this host",
                             card->name);
    if ((is_away ? card->share_kept_permille : card->share_permille) == 0)
        return error_set(err, -EBUSY, "card-busy", "the share of card '%s' is lent to others",
                         card->name);
    if (!request->device)
        return error_set(err, -EINVAL, "missing-field", "the field 'device' is required");
    card->elsewhere = elsewhere_ask(card, request->relay, request->host, request->device, err);
    if (!card->elsewhere)
        return err->errnum;
    set_caller(card, caller);
    return 0;
}

/* All that was there is lost, and its programs with it. */
static void elsewhere_lost(struct card *card, const struct error *err)
{
    log_event(LOG_WARN, "card.lost_elsewhere", "card=%s text=\"%s\"", card->name, err->text);
    card->phase = CARD_SUSPENDED;
    card_save(card);
    keeper_hold(card->cardd->keeper, card->number, KEPT_ELSEWHERE, -1);
    elsewhere_close(card->elsewhere);
    card->elsewhere = NULL;
    for (unsigned slot = 0; slot < LEDGER_SLOTS; slot++) {
        if (card->sessions[slot])
            session_kill(card->sessions[slot]);
    }
    card->phase_error = *err;
    card->failing = true;
    conclude(card->cardd, card);
}

void phase_elsewhere_answered(struct card *card, const struct error *err)
{
    if (card->leaving)
        return;
    if (card->phase == CARD_MOVED) {
        elsewhere_lost(card, err);
    } else if (card->phase == CARD_RETURNING) {
        return; /* what was brought back already is here; what was not ends by itself */
    } else if (card->departing) { /* the connection has broken on the way */
        if (!card->phase_error.errnum)
            (void)error_copy(&card->phase_error, err);
    } else if (err->errnum) {
        card->phase_error = *err;
        card->failing = true;
        elsewhere_close(card->elsewhere);
        card->elsewhere = NULL;
        answer(card->cardd, card, "card.not_moved");
    } else {
        card->departing = card->needs_copy_room = true;
        for (unsigned slot = 0; slot < LEDGER_SLOTS; slot++) {
            if (card->sessions[slot])
                card->sessions[slot]->offered = false;
        }
        cardd_confine_again(card->cardd, card);
        begin(card, CARD_SUSPENDING);
        phase_advance(card->cardd, card);
    }
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
    r = check_target(card, target, err);
    if (r < 0)
        return r;
    set_caller(card, caller);
    r = resume_on(cardd, card, target, share_permille ? share_permille : card->share_kept_permille,
                  err);
    if (r < 0)
        card->phase_connection = 0;
    return r;
}

static int file_phase(struct card *card, enum card_phase phase)
{
    card->file_parts = 0;
    keeper_hold(card->cardd->keeper, card->number, KEPT_FILE, card->file_fd);
    begin(card, phase);
    phase_advance(card->cardd, card); /* in case nobody uses the card */
    return 0;
}

int phase_save(struct card *card, const char *path, const struct phase_caller *caller,
               struct error *err)
{
    char beside[PATH_MAX];
    int r = expect(card, CARD_SUSPENDED, err);
    if (r == 0)
        r = beside_name(path, beside, err);
    if (r < 0)
        return r;
    AUTO_FD int fd =
        open(beside, O_WRONLY | O_APPEND | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return error_errno(err, -errno, "checkpoint-failed", "cannot make '%.200s'", beside);
    r = checkpoint_begin(fd, err);
    char *copy = r == 0 ? strdup(path) : NULL;
    if (!copy) {
        (void)unlink(beside);
        return r < 0 ? r : error_set(err, -ENOMEM, "out-of-memory", "saving '%s'", card->name);
    }
    set_caller(card, caller);
    card->file_path = copy;
    card->file_fd = take_fd(&fd);
    return file_phase(card, CARD_SAVING);
}

int phase_load(struct card *card, const char *path, const struct phase_caller *caller,
               struct error *err)
{
    int r = expect(card, CARD_SUSPENDED, err);
    if (r < 0)
        return r;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return error_errno(err, -errno, "checkpoint-failed", "cannot open '%.200s'", path);
    set_caller(card, caller);
    card->file_fd = fd;
    return file_phase(card, CARD_LOADING);
}

void phase_abandon(struct cardd *cardd, struct card *card)
{
    struct error gone = {0};
    char beside[PATH_MAX];
    if (card->phase == CARD_SAVING && beside_name(card->file_path, beside, NULL) == 0)
        (void)unlink(beside);
    if (card->phase_connection && cardd->control) {
        (void)error_set(&gone, -ENOENT, "unknown-card", "card '%s' was removed", card->name);
        control_refuse(cardd->control, card->phase_connection, card->phase_request, &gone);
    }
    card->phase_connection = 0;
}
