/* Things the API lists and shows by id: one table each, one list and one show for all. */
#ifndef LEAT_CLI_RESOURCE_H
#define LEAT_CLI_RESOURCE_H

#include "base/json.h"

struct cli;
struct error;
struct view_column;

struct resource {
    const char *kind; /* "devices": the path after /v1/ and the member that holds the list */
    const char *none; /* printed on standard error when the list is empty */
    const struct view_column *columns; /* of the list */
    const struct view_column *fields;  /* of one */
};

int resource_list(struct cli *cli, const struct resource *resource, struct error *err);
int resource_show(struct cli *cli, const struct resource *resource, const char *id,
                  struct error *err);

extern const struct resource device_resource;

#endif
