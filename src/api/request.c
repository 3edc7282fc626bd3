/* A request's stages: see request.h. Headers are judged first; a refused body is still read, within
 * a limit, so that the client sees the answer instead of a reset connection. */
#include "api/request.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/api_impl.h"
#include "api/problem.h"
#include "api/route.h"
#include "api/server.h"
#include "api/stream.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/random.h"
#include "base/units.h"

struct request {
    struct list link; /* in api->requests */
    struct api *api;
    const struct door *door;
    struct MHD_Connection *connection; /* NULL: the client is served or gone */
    struct MHD_Response *response;     /* NULL: not answered yet; owned until it is queued */
    unsigned status;
    unsigned refs;
    bool handled;   /* the handler was called */
    bool failed;    /* no memory even for a refusal */
    bool suspended; /* MHD leaves the connection alone */
    struct route_match match;
    struct buf body;
    uint64_t received_bytes; /* of the body */
    json_t *value;           /* the decoded body */
    struct stream *stream;   /* borrowed; while it sends */
    char location[64 + ROUTE_PARAM_MAX];
};

/* ---- what handlers ask ---- */

struct core *request_core(const struct request *request)
{
    return request->api->core;
}

struct api *request_api(const struct request *request)
{
    return request->api;
}

const char *request_param(const struct request *request, unsigned index)
{
    return request->match.params[index];
}

const struct json_t *request_body(const struct request *request)
{
    return request->value;
}

const char *request_query(const struct request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, name);
}

const char *request_header(const struct request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

int request_query_bool(const struct request *request, const char *name, bool *ret_value,
                       struct error *err)
{
    const char *text = request_query(request, name);
    if (!text)
        return 0;
    if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
        return error_set(err, -EINVAL, "bad-parameter",
                         "'%s' must be true or false; given: '%.64s'", name, text);
    *ret_value = strcmp(text, "true") == 0;
    return 0;
}

int request_query_u64(const struct request *request, const char *name, uint64_t *ret_value,
                      struct error *err)
{
    const char *text = request_query(request, name);
    if (!text)
        return 0;
    uint64_t value;
    if (u64_parse(text, &value, NULL) < 0 || value > INT64_MAX)
        return error_set(err, -EINVAL, "bad-parameter",
                         "'%s' must be a whole number; given: '%.64s'", name, text);
    *ret_value = value;
    return 0;
}

int request_query_limit(const struct request *request, uint32_t *ret_limit, struct error *err)
{
    uint64_t limit = *ret_limit;
    int r = request_query_u64(request, "limit", &limit, err);
    if (r < 0)
        return r;
    if (request_query(request, "limit") && (limit < 1 || limit > API_PAGE_MAX))
        return error_set(err, -EINVAL, "bad-parameter",
                         "'limit' must lie between 1 and %d; given: %llu", API_PAGE_MAX,
                         (unsigned long long)limit);
    *ret_limit = (uint32_t)limit;
    return 0;
}

/* ---- suspension and references ---- */

void request_suspend(struct request *request)
{
    if (request->suspended || !request->connection)
        return;
    request->suspended = true;
    MHD_suspend_connection(request->connection);
}

void request_resume(struct request *request)
{
    if (!request->suspended || !request->connection)
        return;
    request->suspended = false;
    MHD_resume_connection(request->connection);
    if (request->door->server)
        server_wake(request->door->server);
}

struct request *request_await(struct request *request)
{
    request->refs++;
    return request;
}

void request_unref(struct request *request)
{
    if (--request->refs > 0)
        return;
    list_remove(&request->link);
    if (request->response)
        MHD_destroy_response(request->response);
    json_decref(request->value);
    buf_finish(&request->body);
    free(request);
}

/* ---- answers ---- */

static void header_add(struct MHD_Response *response, const char *name, const char *value)
{
    if (value && *value)
        (void)MHD_add_response_header(response, name, value); /* refuses only line breaks */
}

/* There is an answer, if only that there is no memory for one. */
static bool is_answered(const struct request *request)
{
    return request->response || request->failed;
}

/* Take the response as the answer, unless there is one already or nobody to hear it. */
static void request_settle(struct request *request, unsigned status, struct MHD_Response *response)
{
    if (response && (is_answered(request) || !request->connection)) {
        MHD_destroy_response(response);
        return;
    }
    if (response && status < 300)
        header_add(response, "Location", request->location);
    request->failed = !response && !request->response; /* the connection will be closed */
    if (response) {
        request->status = status;
        request->response = response;
    }
    request_resume(request);
}

/* `text` is taken; NULL is no content. */
static void settle_text(struct request *request, unsigned status, const char *content_type,
                        char *text)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(
        text ? strlen(text) : 0, text, text ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
    if (!response)
        free(text);
    else if (text)
        header_add(response, "Content-Type", content_type);
    if (response && status == 405)
        header_add(response, "Allow", request->match.allow);
    if (response && status == 401)
        header_add(response, "WWW-Authenticate", "Bearer realm=\"leat\"");
    request_settle(request, status, response);
}

static void settle_problem(struct request *request, unsigned status, const struct error *err)
{
    char *text = problem_text(status, err);
    if (text)
        settle_text(request, status, "application/problem+json", text);
    else
        request_settle(request, status, NULL);
}

void request_answer_problem(struct request *request, const struct error *err)
{
    settle_problem(request, problem_status(err->errnum), err);
}

void request_answer_text(struct request *request, unsigned status, const char *content_type,
                         char *text)
{
    if (text)
        settle_text(request, status, content_type, text);
    else
        request_settle(request, status, NULL);
}

void request_answer(struct request *request, unsigned status, struct json_t *value)
{
    if (!value) {
        settle_text(request, 204, NULL, NULL);
        return;
    }
    request_answer_text(request, status, "application/json", json_text(value));
    json_decref(value);
}

void request_answer_stream(struct request *request, const char *content_type,
                           MHD_ContentReaderCallback reader, MHD_ContentReaderFreeCallback finish,
                           struct stream *stream)
{
    struct MHD_Response *response = MHD_create_response_from_callback(
        MHD_SIZE_UNKNOWN, STREAM_BLOCK_BYTES, reader, stream, finish);
    if (!response) {
        finish(stream);
        request_settle(request, 503, NULL);
        return;
    }
    header_add(response, "Content-Type", content_type);
    header_add(response, "Cache-Control", "no-store");
    header_add(response, "Connection", "close"); /* the connection loses its time limit here */
    (void)MHD_set_connection_option(request->connection, MHD_CONNECTION_OPTION_TIMEOUT, 0u);
    request->stream = stream;
    request_settle(request, 200, response);
}

void request_stream_over(struct request *request)
{
    request->stream = NULL;
    request_unref(request);
}

void request_locate(struct request *request, const char *folder, const char *id)
{
    (void)snprintf(request->location, sizeof(request->location), "%s%s", folder, id); /* short */
}

void request_reply(void *arg, struct json_t *result, const struct error *err)
{
    struct request *request = arg;
    if (err)
        request_answer_problem(request, err);
    else
        request_answer(request, request->match.route->status, result);
    request_unref(request);
}

/* ---- the first headers ---- */

static bool token_is_shown(const struct door *door, struct MHD_Connection *connection)
{
    static const char scheme[] = "Bearer ";
    const char *shown = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Authorization");
    return !door->token || (shown && strncasecmp(shown, scheme, sizeof(scheme) - 1) == 0 &&
                            token_equal(shown + sizeof(scheme) - 1, door->token));
}

static enum MHD_Result query_check(void *arg, enum MHD_ValueKind kind, const char *key,
                                   size_t key_length, const char *value, size_t value_length)
{
    const struct route **route = arg;
    bool plain = strlen(key) == key_length && (!value || strlen(value) == value_length);
    if (plain && value && route_takes(*route, key))
        return MHD_YES;
    *route = NULL;
    return MHD_NO;
}

static unsigned refuse_route(struct request *request, const char *method, const char *url,
                             struct error *err)
{
    struct route_match *match = &request->match;
    route_find(method, url, match);
    if (match->route)
        return 0;
    if (match->allow[0]) {
        error_set(err, -EINVAL, "method-not-allowed",
                  "%.16s is not possible on %.128s; allowed: %s", method, url, match->allow);
        return 405;
    }
    error_set(err, -ENOENT, "no-such-route", "there is nothing at %.256s", url);
    return 404;
}

static bool body_is_json(const struct request *request)
{
    static const char json[] = "application/json";
    const char *type = request_header(request, MHD_HTTP_HEADER_CONTENT_TYPE);
    if (!type)
        return true;
    return strncasecmp(type, json, sizeof(json) - 1) == 0 &&
           strchr(" ;", type[sizeof(json) - 1]); /* the end of the text counts */
}

/* What stands against this request by its headers: 0 or the status of the refusal. */
static unsigned refuse_headers(struct request *request, const char *method, const char *url,
                               struct error *err)
{
    if (!token_is_shown(request->door, request->connection)) {
        error_set(
            err, -EACCES, "unauthorized",
            "this address needs the header 'Authorization: Bearer TOKEN'; the token is in the "
            "file 'token' of the state folder");
        return 401;
    }
    if (request->api->draining) {
        error_set(err, -ECANCELED, "shutting-down", "leatd is stopping; try again later");
        return 503;
    }
    unsigned status = refuse_route(request, method, url, err);
    if (status)
        return status;
    const struct route *route = request->match.route;
    (void)MHD_get_connection_values_n(request->connection, MHD_GET_ARGUMENT_KIND, query_check,
                                      &route);
    if (!route) {
        route = request->match.route;
        error_set(err, -EINVAL, "bad-parameter", "%s takes %s%s, each as name=value",
                  route->pattern, *route->query ? "only the parameters " : "no parameters",
                  route->query);
        return 400;
    }
    if (route->body != ROUTE_BODY_NONE && !body_is_json(request)) {
        error_set(err, -EINVAL, "not-json", "send the body with 'Content-Type: application/json'");
        return 415;
    }
    return 0;
}

/* How much body is announced; UINT64_MAX when it is not known beforehand. */
static uint64_t body_announced(const struct request *request)
{
    uint64_t length;
    const char *text = request_header(request, MHD_HTTP_HEADER_CONTENT_LENGTH);
    if (text && u64_parse(text, &length, NULL) == 0)
        return length;
    return request_header(request, MHD_HTTP_HEADER_TRANSFER_ENCODING) ? UINT64_MAX : 0;
}

static void refuse_body(struct request *request)
{
    struct error err;
    error_set(&err, -EFBIG, "body-too-large", "the body is larger than the limit of %u bytes",
              API_BODY_MAX_BYTES);
    request_answer_problem(request, &err);
}

static enum MHD_Result request_queue(struct request *request)
{
    if (!request->response)
        return MHD_NO;
    struct MHD_Response *response = request->response;
    request->api->answers[request->status / 100 % 6]++;
    enum MHD_Result queued = MHD_queue_response(request->connection, request->status, response);
    MHD_destroy_response(response); /* MHD holds its own reference while it sends */
    request->response = NULL;
    return queued;
}

/* The headers are here. A body that is announced as too large to be read through is refused before
 * it is sent. */
static enum MHD_Result request_begin(struct request *request, const char *method, const char *url)
{
    struct error err = {0};
    unsigned status = refuse_headers(request, method, url, &err);
    uint64_t announced = body_announced(request);
    if (status)
        settle_problem(request, status, &err);
    else if (announced != UINT64_MAX && announced > API_BODY_MAX_BYTES)
        refuse_body(request);
    bool waits = request_header(request, MHD_HTTP_HEADER_EXPECT) != NULL;
    bool hopeless = announced != UINT64_MAX && announced > API_DRAIN_MAX_BYTES;
    if (is_answered(request) && (waits || hopeless)) {
        request->handled = true;
        return request_queue(request);
    }
    return MHD_YES;
}

/* ---- the body, and the handler ---- */

static enum MHD_Result request_receive(struct request *request, const char *data, size_t length)
{
    request->received_bytes += length;
    if (request->received_bytes > API_DRAIN_MAX_BYTES)
        return MHD_NO;
    if (is_answered(request) || request->match.route->body == ROUTE_BODY_NONE)
        return MHD_YES; /* refused, or of no interest */
    if (request->received_bytes > API_BODY_MAX_BYTES) {
        buf_finish(&request->body);
        refuse_body(request);
        return MHD_YES;
    }
    return buf_append(&request->body, data, length) < 0 ? MHD_NO : MHD_YES;
}

static int body_decode(struct request *request, struct error *err)
{
    const struct route *route = request->match.route;
    if (request->body.length == 0) {
        if (route->body != ROUTE_BODY_REQUIRED)
            return 0;
        return error_set(err, -EINVAL, "missing-body", "%s %s needs a JSON body", route->method,
                         route->pattern);
    }
    request->value = json_parse(request->body.data, request->body.length, API_BODY_MAX_BYTES, err);
    buf_finish(&request->body);
    if (!request->value)
        return err->errnum;
    if (!json_is_object(request->value))
        return error_set(err, -EINVAL, "bad-json", "the body must be a JSON object");
    return 0;
}

static void request_handle(struct request *request)
{
    struct error err;
    request->handled = true;
    if (is_answered(request))
        return;
    if (body_decode(request, &err) < 0)
        request_answer_problem(request, &err);
    else
        request->match.route->handle(request);
}

static struct request *request_create(const struct door *door, struct MHD_Connection *connection)
{
    struct request *request = calloc(1, sizeof(*request));
    if (!request)
        return NULL;
    request->api = door->api;
    request->door = door;
    request->connection = connection;
    request->refs = 1;
    list_append(&door->api->requests, &request->link);
    return request;
}

enum MHD_Result request_access(void *arg, struct MHD_Connection *connection, const char *url,
                               const char *method, const char *version, const char *data,
                               size_t *length, void **slot)
{
    const struct door *door = arg;
    struct request *request = *slot;
    if (!request) {
        *slot = request = request_create(door, connection);
        return request ? request_begin(request, method, url) : MHD_NO;
    }
    if (*length) {
        size_t taken = *length;
        *length = 0;
        return request_receive(request, data, taken);
    }
    bool answered_late = request->handled;
    if (!request->handled)
        request_handle(request);
    if (is_answered(request) || answered_late)
        return request_queue(request);
    request_suspend(request);
    return MHD_YES;
}

void request_completed(void *arg, struct MHD_Connection *connection, void **slot,
                       enum MHD_RequestTerminationCode code)
{
    struct request *request = *slot;
    *slot = NULL;
    if (!request)
        return;
    request->connection = NULL;
    request->suspended = false;
    request_unref(request);
}

/* ---- the sweep ---- */

/* A suspended connection is not watched by MHD, so a vanished client has to be looked for. */
static bool client_is_gone(const struct request *request)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct pollfd poll_fd = {.fd = info ? info->connect_fd : -1, .events = POLLRDHUP};
    return poll(&poll_fd, 1, 0) == 1 && (poll_fd.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

static void request_abandon(struct request *request)
{
    struct error err;
    if (request->stream) {
        stream_end(request->stream);
        return;
    }
    error_set(&err, -ECANCELED, "client-gone", "the client has gone");
    request_answer_problem(request, &err);
}

void request_sweep(struct api *api)
{
    LIST_EACH_SAFE (link, after, &api->requests) {
        struct request *request = LIST_ENTRY(link, struct request, link);
        if (!request->connection || !request->suspended)
            continue;
        if (client_is_gone(request))
            request_abandon(request);
        else if (request->stream)
            stream_tick(request->stream);
    }
}

void request_drain(struct api *api)
{
    LIST_EACH_SAFE (link, after, &api->requests) {
        struct request *request = LIST_ENTRY(link, struct request, link);
        if (request->connection && request->stream)
            stream_end(request->stream);
    }
}
