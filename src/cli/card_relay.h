/* The near end of a card of another host: a leat-relay that lives as long as one command, or as the
 * card. */
#ifndef LEAT_CLI_CARD_RELAY_H
#define LEAT_CLI_CARD_RELAY_H

#include <limits.h>

struct card_relay;
struct error;

struct card_relay_host {
    const char *address;     /* HOST or HOST:PORT */
    const char *token_file;  /* holds the host's secret */
    const char *fingerprint; /* of its certificate; NULL: in the clear, on loopback only */
};

enum card_relay_life { CARD_RELAY_COMMAND, CARD_RELAY_CARD };

/* Start one with a folder of its own below `run_dir`, and wait until it serves. `ret_dir` is that
 * folder, which stands for the run folder of the host's leat-cardd. Free with card_relay_stop or
 * card_relay_leave. */
int card_relay_start(const char *run_dir, const struct card_relay_host *host,
                     enum card_relay_life life, char ret_dir[PATH_MAX],
                     struct card_relay **ret_relay, struct error *err);
/* End it and wait until its folder is gone. NULL is fine. */
void card_relay_stop(struct card_relay *relay);
/* One of a card's life goes on without us, until nobody is connected to it any more. */
void card_relay_leave(struct card_relay *relay);

#endif
