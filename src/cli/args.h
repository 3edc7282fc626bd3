/* The one parser of options: tables of specifications in, the values that were given out. */
#ifndef LEAT_CLI_ARGS_H
#define LEAT_CLI_ARGS_H

#include <stdbool.h>
#include <stddef.h>

struct error;

struct option_spec {
    const char *name;  /* long name without dashes; NULL ends a table */
    char letter;       /* 0: no short form */
    const char *value; /* how the help calls its value; NULL: a flag */
    const char *help;  /* one line */
};

struct given {
    const struct option_spec *spec;
    const char *value; /* NULL for a flag */
};

/* Values point into argv and live as long as it does. */
struct args {
    struct given *given; /* in the order of the command line; owned */
    size_t given_count;
    char **operands; /* borrowed, ended by NULL */
    int operand_count;
    bool separated; /* the operands came after a "--" */
};

enum args_order {
    ARGS_ORDER_INVALID,
    ARGS_MIXED,         /* options may follow operands */
    ARGS_OPTIONS_FIRST, /* the first operand ends the options: the rest belongs to a program */
};

#define ARGS_TABLES 3

/* Parse argv[1..] by the tables (NULL ones are skipped), adding to `args`. An unknown option, a
 * missing or unwanted value is refused with code "usage". */
int args_parse(struct args *args, const struct option_spec *const tables[ARGS_TABLES],
               enum args_order order, int argc, char **argv, struct error *err);
void args_finish(struct args *args);

bool args_has(const struct args *args, const char *name);
const char *args_text(const struct args *args, const char *name); /* the last one; NULL: absent */
/* The values of a repeatable option: start with *cursor = 0; NULL ends it. */
const char *args_next(const struct args *args, const char *name, size_t *cursor);

#endif
