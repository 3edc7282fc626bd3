/* What leatd is told: command line over configuration file over environment and built-in rules. */
#ifndef LEAT_LEATD_CONFIG_H
#define LEAT_LEATD_CONFIG_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

struct error;

enum config_action {
    CONFIG_INVALID,
    CONFIG_RUN,
    CONFIG_SHOW_HELP,
    CONFIG_SHOW_VERSION,
    CONFIG_SHOW_ROUTES
};

struct config {
    enum config_action action;
    char run_dir[PATH_MAX], state_dir[PATH_MAX], data_dir[PATH_MAX]; /* absolute */
    char cardd[PATH_MAX];                     /* leat-cardd to start; empty: none */
    char *listen;                             /* owned; NULL: no TCP */
    char *engine;                             /* owned; NULL: the default of core */
    uint64_t loan_minimum_ms, loan_notice_ms; /* 0: the defaults of core */
    bool no_preemption;
    uint64_t moves_per_hour;
};

/* Fills a zeroed config; config_finish is due also after a failure. The folders are found, not made
 * (except that they are when action is CONFIG_RUN and core starts). */
int config_read(int argc, char **argv, struct config *config, struct error *err);
void config_finish(struct config *config);
void config_print_help(void);

#endif
