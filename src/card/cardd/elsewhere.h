/* The card that stands for one of ours on another host: made over a connection that leads to the
 * leat-cardd there, and gone with that. Whose run folder `dir` is, is a near relay (card/relay). */
#ifndef LEAT_CARDD_ELSEWHERE_H
#define LEAT_CARDD_ELSEWHERE_H

#include <stdbool.h>
#include <stdint.h>

struct book_elsewhere;
struct card;
struct elsewhere;
struct error;
struct session;

/* Ask for a card of `card`'s size on that host's `device`; phase_elsewhere_answered follows. `host`
 * is its name for people. NULL with err set. */
struct elsewhere *elsewhere_ask(struct card *card, const char *dir, const char *host,
                                const char *device, struct error *err);
/* Take over from a leat-cardd that was killed. NULL: out of memory. */
struct elsewhere *elsewhere_adopt(struct card *card, const struct book_elsewhere *place);
/* The card there goes. NULL is fine. */
void elsewhere_close(struct elsewhere *elsewhere);
/* Of a card that is not on its way by the books: what the keeper held for it before they said so,
 * or after they did. */
void elsewhere_let_go(const struct card *card);
/* Have the keeper hold the connection, before the books say that the card is there. */
void elsewhere_keep(const struct elsewhere *elsewhere);
/* True when the connection is broken. */
bool elsewhere_is_lost(const struct elsewhere *elsewhere);
const struct book_elsewhere *elsewhere_place(const struct elsewhere *elsewhere);
/* A connection over which an executor brings `session` there: a descriptor, which becomes the
 * caller's, or a negative errno with err set. */
int elsewhere_call(const struct elsewhere *elsewhere, const struct session *session,
                   struct error *err);

#endif
