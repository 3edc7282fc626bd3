/* Questions to leatd with JSON both ways, for the verbs. */
#ifndef LEAT_CLI_ASK_H
#define LEAT_CLI_ASK_H

#include "base/json.h"

struct cli;
struct error;
struct leat_error;
struct leat_request;

/* Send `request`; an empty answer gives JSON null. `ret_answer` is a new reference. */
int ask(struct cli *cli, const struct leat_request *request, json_t **ret_answer,
        struct error *err);
/* GET of a path made by printf. */
int ask_get(struct cli *cli, json_t **ret_answer, struct error *err, const char *path, ...)
    __attribute__((format(printf, 4, 5)));
/* The path "/v1/KIND/ID" or, with `rest`, "/v1/KIND/ID/rest", `id` escaped. Owned by the caller. */
int ask_path(const char *kind, const char *id, const char *rest, char **ret_path,
             struct error *err);
/* GET of such a path. */
int ask_about(struct cli *cli, const char *kind, const char *id, const char *rest,
              json_t **ret_answer, struct error *err);
/* One line of compact JSON on standard output. */
void ask_print(const json_t *answer);
/* What libleat says about a failure, in the house's form. Returns the errno. */
int ask_failed(struct error *err, const struct leat_error *reason);

#endif
