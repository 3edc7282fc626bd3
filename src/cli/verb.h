/* What a verb of the `leat` command is: a row of a table with its help, its options and the
 * function that does it. The table is in verbs.c; each verb has a file of its own. */
#ifndef LEAT_CLI_VERB_H
#define LEAT_CLI_VERB_H

#include <stdbool.h>

#include "cli/args.h"

struct error;
struct leat_client;

#define EXIT_USAGE 2       /* the command line is wrong */
#define EXIT_LEAT 125      /* of run and wait: Leat failed, not the job */
#define EXIT_SIGNALLED 128 /* plus the number of the signal */

/* What a verb works with. */
struct cli {
    struct leat_client *client; /* made by cli_connect; owned */
    const char *host, *token, *run_dir;
    bool json;        /* answers are printed as the API gave them */
    bool answered;    /* leatd was there at least once */
    int interrupt_fd; /* while readable, waiting ends with -ECANCELED; -1: none */
};

enum verb_flags {
    VERB_PLAIN = 0,
    VERB_PASSES_ON = 1, /* what follows the first operand belongs to a program */
    VERB_RUNS_JOB = 2,  /* the exit status is a job's: failures of Leat are EXIT_LEAT */
};

struct verb {
    const char *group; /* "image" of `leat image list`; NULL: the verb stands alone */
    const char *name;
    const char *operands;                             /* for the usage line; NULL: none */
    int operands_min, operands_max;                   /* max -1: any number */
    const char *summary;                              /* one line, no full stop */
    const char *details;                              /* may be NULL; whole sentences */
    const char *example;                              /* a command line that works */
    const struct option_spec *options, *more_options; /* may be NULL */
    enum verb_flags flags;
    /* The exit status, or a negative errno with err set. */
    int (*run)(struct cli *cli, const struct args *args, struct error *err);
};

extern const struct verb *const verb_table[]; /* ended by NULL; the order of the help */
extern const struct option_spec global_options[];

/* Make cli->client unless it is there. */
int cli_connect(struct cli *cli, struct error *err);
/* Let `fd` interrupt what waits for leatd; -1: nothing does. The descriptor stays the caller's. */
int cli_interrupt_on(struct cli *cli, int fd, struct error *err);
/* A warning or a remark on standard error, with the command's name in front. */
void cli_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
