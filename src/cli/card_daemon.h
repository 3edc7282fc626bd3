/* The leat-cardd of a run folder: connect to it, start one where none runs. */
#ifndef LEAT_CLI_CARD_DAEMON_H
#define LEAT_CLI_CARD_DAEMON_H

struct error;
struct leat_card_control;

/* A leat-cardd that we start stays that long after its last use. */
#define CARD_DAEMON_LINGER_MS 3000

/* Connect to the leat-cardd that serves `run_dir` (absolute), or start one that leaves by itself,
 * its log going to cardd.log there. Several callers at once start one. */
int card_daemon_connect(const char *run_dir, struct leat_card_control **ret_control,
                        struct error *err);

#endif
