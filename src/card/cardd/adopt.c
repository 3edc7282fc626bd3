/* Taking over from a leat-cardd that was killed: its cards, their sessions and connections, as the
 * books say, with what the keeper has kept of them. Programs have gone on meanwhile; whoever had a
 * request open sees its connection broken, and what it asked for is done or was never begun. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/list.h"
#include "base/log.h"
#include "card/cardd/card.h"
#include "card/cardd/cardd.h"
#include "card/cardd/control.h"
#include "card/cardd/device.h"
#include "card/cardd/keeper.h"
#include "card/cardd/phase.h"
#include "card/cardd/process.h"
#include "card/cardd/session.h"
#include "card/cardd/spare.h"

static void grant(struct card *card)
{
    struct error error;
    if (card->granted &&
        device_grant(card->device, card->quota_bytes, card->share_permille, &error) < 0) {
        card->granted = false; /* cannot be: it was granted before */
        log_event(LOG_ERROR, "card.not_granted", "card=%s text=\"%s\"", card->name, error.text);
    }
}

/* Of several cards that are bound to one connection the first brings it. */
static bool is_brought(const struct cardd *cardd, uint64_t connection)
{
    LIST_EACH (link, &cardd->cards) {
        if (LIST_ENTRY(link, const struct card, link)->bound_to == connection)
            return true;
    }
    return false;
}

/* A connection with an open request is broken, as any other, and its cards go with it. */
static void connection_adopt(struct cardd *cardd, const struct card *card)
{
    AUTO_FD int fd = keeper_kept(cardd->keeper, card->number, KEPT_CONNECTION);
    if (fd >= 0 && !card->book->connection_busy && !is_brought(cardd, card->bound_to))
        (void)control_adopt(cardd->control, card->bound_to, take_fd(&fd));
}

static bool connection_lives(const struct cardd *cardd, const struct card *card)
{
    return !card->bound_to || control_has(cardd->control, card->bound_to);
}

static void adopt_one(struct cardd *cardd, unsigned number)
{
    struct error error = {0};
    struct card *card = card_adopt(cardd, number, &error);
    if (!card) {
        log_event(LOG_ERROR, "card.lost", "text=\"%s\"", error.text);
        return; /* its executors are killed as ones that nobody knows */
    }
    grant(card);
    connection_adopt(cardd, card);
    if (cardd_card_enlist(cardd, card) < 0) {
        log_event(LOG_ERROR, "card.lost", "card=%s text=\"out of memory\"", card->name);
        card_destroy(card);
        return;
    }
}

/* When all cards are there, for a session may have several. */
static void sessions_adopt(struct cardd *cardd, struct card *card)
{
    for (unsigned slot = 0; slot < LEDGER_SLOTS; slot++) {
        const uint32_t step = card->book->sessions[slot].step;
        if (step != BOOK_FREE && step != BOOK_FURTHER)
            session_adopt(cardd, card, slot);
    }
    if (card->sessions_most < card->session_count)
        card->sessions_most = card->session_count;
    log_event(LOG_INFO, "card.adopted", "card=%s sessions=%u", card->name, card->session_count);
}

/* Places in further cards whose session never came to be, or has gone. */
static void slots_free(struct card *card)
{
    for (unsigned slot = 0; slot < LEDGER_SLOTS; slot++) {
        struct book_session *book = &card->book->sessions[slot];
        if ((book->step != BOOK_FURTHER && book->step != BOOK_FREE) || card->sessions[slot])
            continue;
        book_uncount_session(&card->counted, slot); /* its client was not welcomed */
        if (book->step == BOOK_FREE)
            continue;
        card_slot_reap(card, slot, NULL);
        card_save(card);
        book_step(book, BOOK_FREE);
    }
}

static bool is_known(const struct cardd *cardd, pid_t pid)
{
    LIST_EACH (link, &cardd->sessions) {
        if (LIST_ENTRY(link, const struct session, link)->process.pid == pid)
            return true;
    }
    return false;
}

/* Spare executors, and those whose forking or end was not noted. */
static void strangers_end(struct cardd *cardd)
{
    pid_t pid;
    for (unsigned i = 0; (pid = keeper_child(cardd->keeper, i)); i++) {
        if (is_known(cardd, pid))
            continue;
        struct process stranger = {pid, (int)syscall(SYS_pidfd_open, pid, 0), -1};
        process_discard(cardd->keeper, &stranger);
    }
}

/* Go on with what the card was at. */
static void card_continue(struct cardd *cardd, struct card *card)
{
    if (card->leaving || !connection_lives(cardd, card)) {
        cardd_card_remove(cardd, card, 0, 0);
        return;
    }
    phase_continue(card);
    if (card->session_count == 0)
        spares_want(card);
}

void cardd_adopt(struct cardd *cardd)
{
    for (unsigned number = 0; number < BOOKS_CARDS; number++) {
        if (keeper_kept(cardd->keeper, number, KEPT_LEDGER) >= 0)
            adopt_one(cardd, number);
    }
    LIST_EACH (link, &cardd->cards)
        sessions_adopt(cardd, LIST_ENTRY(link, struct card, link));
    LIST_EACH (link, &cardd->cards)
        slots_free(LIST_ENTRY(link, struct card, link));
    strangers_end(cardd);
    LIST_EACH_SAFE (link, after, &cardd->cards)
        card_continue(cardd, LIST_ENTRY(link, struct card, link));
}
