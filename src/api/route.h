/* The one table of what the interface offers. docs/openapi.yaml describes the same routes; a test
 * compares the two. */
#ifndef LEAT_API_ROUTE_H
#define LEAT_API_ROUTE_H

#include <stddef.h>

struct request;

#define ROUTE_PARAMS_MAX 2
#define ROUTE_PARAM_MAX 128 /* bytes, of one path parameter */

enum route_body { ROUTE_BODY_NONE, ROUTE_BODY_OPTIONAL, ROUTE_BODY_REQUIRED };

struct route {
    const char *method;
    const char *pattern; /* "/v1/jobs/{job}" */
    const char *query;   /* the parameters it takes, separated by spaces */
    enum route_body body;
    unsigned status; /* of its success */
    void (*handle)(struct request *request);
};

/* The table; its end has a NULL method. */
const struct route *route_table(void);

struct route_match {
    const struct route *route; /* NULL: none with this path and method */
    char params[ROUTE_PARAMS_MAX][ROUTE_PARAM_MAX + 1];
    char allow[64]; /* methods of this path, for 405; empty: no such path */
};

/* HEAD is served by GET. */
void route_find(const char *method, const char *path, struct route_match *ret_match);
/* Is `name` among the route's query parameters? */
int route_takes(const struct route *route, const char *name);

#endif
