/* Run a program in the foreground as if it had been started in our place. */
#ifndef LEAT_CLI_CHILD_H
#define LEAT_CLI_CHILD_H

struct error;

struct child_variable {
    const char *name, *value; /* value NULL: unset */
};

/* Run `argv` (NULL-ended) with `variables` (ended by a NULL name) set, pass on the signals that are
 * sent to us, and wait for its end. Returns its exit status, or 128 and the signal that ended it;
 * 126 or 127 when it cannot be started, said on standard error; a negative errno with err set when
 * there is no process for it. The program gets a SIGTERM if we are killed. */
int child_run(char *const *argv, const struct child_variable *variables, struct error *err);

#endif
