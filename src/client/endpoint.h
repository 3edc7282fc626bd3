/* Where a leatd is to be found: decides between socket and URL from what the user wrote and from
 * the environment. Connects to nothing. */
#ifndef LEAT_CLIENT_ENDPOINT_H
#define LEAT_CLIENT_ENDPOINT_H

struct error;

struct endpoint {
    char *place;  /* what a human would write: the socket's path or the URL */
    char *socket; /* path of a Unix socket; NULL for TCP */
    char *base;   /* URL without a trailing slash that paths are appended to */
};

/* As leat_client_create explains `host`. On failure nothing is left to finish. */
int endpoint_init(struct endpoint *ret_endpoint, const char *host, struct error *err);
void endpoint_finish(struct endpoint *endpoint);

#endif
