/* One HTTP request from its first header to its last answered byte.
 *
 * A handler answers exactly once, with one of the request_answer calls; when it leaves without an
 * answer the connection is suspended until the answer comes. What is waited for holds a reference
 * (request_await), because a client may vanish first; answering such a request does nothing. */
#ifndef LEAT_API_REQUEST_H
#define LEAT_API_REQUEST_H

#include <microhttpd.h>
#include <stdbool.h>
#include <stdint.h>

struct api;
struct core;
struct error;
struct json_t;
struct request;
struct stream;

/* What the handler works with; texts are borrowed and live as long as the request. */
struct core *request_core(const struct request *request);
struct api *request_api(const struct request *request);
const char *request_param(const struct request *request, unsigned index);    /* from the path */
const char *request_query(const struct request *request, const char *name);  /* NULL: not given */
const char *request_header(const struct request *request, const char *name); /* NULL: not given */
const struct json_t *request_body(const struct request *request);            /* NULL: no body */
/* Query parameters of a kind; not given: ret stays. Refusals are -EINVAL. */
int request_query_bool(const struct request *request, const char *name, bool *ret_value,
                       struct error *err);
int request_query_u64(const struct request *request, const char *name, uint64_t *ret_value,
                      struct error *err);
int request_query_limit(const struct request *request, uint32_t *ret_limit, struct error *err);

/* Answers. A value or text is taken, also on failure; a NULL value is no content (204). */
void request_answer(struct request *request, unsigned status, struct json_t *value);
void request_answer_text(struct request *request, unsigned status, const char *content_type,
                         char *text);
void request_answer_problem(struct request *request, const struct error *err);
/* The answer is made by `reader` (see stream.c), which awaits the request; `finish` ends that with
 * request_stream_over. */
void request_answer_stream(struct request *request, const char *content_type,
                           MHD_ContentReaderCallback reader, MHD_ContentReaderFreeCallback finish,
                           struct stream *stream);
void request_stream_over(struct request *request);
/* The accepted thing is found at `folder` + `id`; to be set before answering. */
void request_locate(struct request *request, const char *folder, const char *id);

/* A reference to give to core as the arg of request_reply, which answers with the route's status
 * and drops it. */
struct request *request_await(struct request *request);
void request_reply(void *request, struct json_t *result, const struct error *err);
void request_unref(struct request *request);

/* For streams: stop sending until request_resume; both do nothing when that is so already. */
void request_suspend(struct request *request);
void request_resume(struct request *request);

/* For the doors. The first takes a request through its stages; arg is the struct door. */
enum MHD_Result request_access(void *arg, struct MHD_Connection *connection, const char *url,
                               const char *method, const char *version, const char *data,
                               size_t *length, void **slot);
void request_completed(void *arg, struct MHD_Connection *connection, void **slot,
                       enum MHD_RequestTerminationCode code);
/* Let go of requests whose client has vanished, and give streams a tick. */
void request_sweep(struct api *api);
/* End the streams. */
void request_drain(struct api *api);

#endif
