/* The phases of a card: its contents leave the device, wait in the host memory of its executors and
 * come back, to the same device or to one that can stand in for it. A card that is away holds
 * nothing of its device: neither memory nor share. */
#ifndef LEAT_CARDD_PHASE_H
#define LEAT_CARDD_PHASE_H

#include <stdbool.h>
#include <stdint.h>

struct card;
struct cardd;
struct control_request;
struct error;
struct session;

/* The request of a control connection that gets the answer when the phase is over: the card's
 * figures or a refusal. */
struct phase_caller {
    uint64_t connection, request;
};

/* 0: it has begun. A negative errno with err set: nothing has changed and nobody gets an answer. */
int phase_suspend(struct card *card, const struct phase_caller *caller, struct error *err);
/* `device` NULL: the one it was on; `share_permille` 0: the share that it had. */
int phase_resume(struct card *card, const char *device, uint32_t share_permille,
                 const struct phase_caller *caller, struct error *err);
/* Suspend and resume in one; a target that has no room leaves the card where it was. From another
 * host it comes back here: `device` NULL: to the one that it left. */
int phase_move(struct card *card, const char *device, const struct phase_caller *caller,
               struct error *err);
/* To a device of the host to which the request's relay leads. What fails leaves the card where it
 * was; when it is over the card is there, and its executors forward what its programs say. */
int phase_depart(struct card *card, const struct control_request *request,
                 const struct phase_caller *caller, struct error *err);
/* The other host has made a card, or (err set) has not; or, later, it is lost. */
void phase_elsewhere_answered(struct card *card, const struct error *err);
/* A program comes to a card that has moved: bring its session there, too. */
void phase_offer(struct session *session);
/* What a suspended card holds, to a file at an absolute path and back; it stays suspended. */
int phase_save(struct card *card, const char *path, const struct phase_caller *caller,
               struct error *err);
int phase_load(struct card *card, const char *path, const struct phase_caller *caller,
               struct error *err);
/* Taken over from a leat-cardd that was killed: give the orders of its phase once more. */
void phase_continue(struct card *card);
/* True when a session whose executor was killed may go on from a checkpoint; phase_rebuild orders
 * it of its new executor. It can when no record was carried out since; else it ends. */
bool phase_can_rebuild(const struct card *card);
void phase_rebuild(struct session *session);
/* An executor has answered or ended: go on when it was the last. */
void phase_advance(struct cardd *cardd, struct card *card);
/* The card is being removed. */
void phase_abandon(struct cardd *cardd, struct card *card);

#endif
