/* What the verbs of `leat kb` share. */
#ifndef LEAT_CLI_KB_H
#define LEAT_CLI_KB_H

#include <stdbool.h>

#include "base/json.h"
#include "cli/args.h"

struct cli;
struct error;

/* POST `body` (borrowed) to /v1/knowledge or, with `verb`, to /v1/knowledge/VERB. A new
 * reference. */
int kb_post(struct cli *cli, const char *verb, const json_t *body, json_t **ret_answer,
            struct error *err);
/* The entries of that name, and of the kind of --kind; -ENOENT when there are none. A new reference
 * to their list. */
int kb_named(struct cli *cli, const struct args *args, json_t **ret_entries, struct error *err);
/* Put a text that is given; false: no memory. */
bool kb_put_text(json_t *object, const char *member, const char *text);
/* What has to fit: --fits with --batch, --seq, --train and --model-setting, as the member
 * "fits". */
int kb_put_fits(json_t *body, const struct args *args, struct error *err);
/* The values of -a as attributes of an object. */
int kb_attributes(const struct args *args, json_t *attributes, struct error *err);
/* The values of a repeatable option, with a text in front of each, as a list. 0 or -ENOMEM. */
int kb_put_texts(json_t *body, const char *member, const struct args *args, const char *option,
                 const char *prefix);

extern const struct option_spec kb_fits_options[];

#endif
