/* A card with its running programs goes to another host. */
#ifndef LEAT_CLI_CARD_DEPART_H
#define LEAT_CLI_CARD_DEPART_H

#include "cli/card_relay.h"

struct cli;
struct error;
struct leat_card_status;

/* To `device` of the host, or (NULL) to the first that equals the card's and has room. */
int card_depart(const struct cli *cli, const char *card, const char *device,
                const struct card_relay_host *host, struct leat_card_status *ret_status,
                struct error *err);

#endif
