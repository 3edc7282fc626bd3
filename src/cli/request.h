/* A job request from the command line: shared by `leat run` and `leat submit`. */
#ifndef LEAT_CLI_REQUEST_H
#define LEAT_CLI_REQUEST_H

#include "base/json.h"
#include "cli/args.h"

struct cli;
struct error;

#define REQUEST_OPERANDS "PROGRAM [ARGUMENT...] | -- COMMAND [ARGUMENT...]"

extern const struct option_spec request_options[];

/* The body of POST /v1/jobs; says on standard error what it guessed. A new reference. */
int request_make(const struct args *args, json_t **ret_request, struct error *err);
/* Hand the request in; safe against a leatd that restarts meanwhile. `ret_job` is a new
 * reference. */
int request_submit(struct cli *cli, const json_t *request, json_t **ret_job, struct error *err);
/* Print the filled description instead (--dry-run). */
int request_describe(struct cli *cli, const json_t *request, struct error *err);

#endif
