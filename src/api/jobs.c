/* Routes of jobs. */
#include <errno.h>
#include <string.h>

#include "api/api_impl.h"
#include "api/handlers.h"
#include "api/request.h"
#include "base/error.h"
#include "base/json.h"
#include "base/units.h"
#include "core/core.h"

/* The job that was accepted is found where its id says. */
static void submit_reply(void *request, struct json_t *result, const struct error *err)
{
    const char *id = json_string_value(json_object_get(result, "id"));
    if (id)
        request_locate(request, "/v1/jobs/", id);
    request_reply(request, result, err);
}

/* A dry run takes nothing on, so it answers 200 instead of the route's 202. */
static void describe_reply(void *arg, struct json_t *result, const struct error *err)
{
    struct request *request = arg;
    if (err) {
        request_reply(request, NULL, err);
        return;
    }
    request_answer(request, 200, result);
    request_unref(request);
}

static int key_check(const char *key, struct error *err)
{
    size_t length = key ? strlen(key) : 1;
    bool plain = true;
    for (const char *c = key; c && *c; c++)
        plain = plain && *c > ' ' && *c < 0x7f;
    if (length >= 1 && length <= API_KEY_MAX && plain)
        return 0;
    return error_set(err, -EINVAL, "bad-idempotency-key",
                     "an Idempotency-Key has 1 to %d visible characters; given: %zu", API_KEY_MAX,
                     length);
}

void handle_job_submit(struct request *request)
{
    struct error err;
    bool dry_run = false;
    const char *key = request_header(request, "Idempotency-Key");
    if (request_query_bool(request, "dry_run", &dry_run, &err) < 0 || key_check(key, &err) < 0)
        request_answer_problem(request, &err);
    else if (dry_run)
        core_job_describe(request_core(request), request_body(request), describe_reply,
                          request_await(request));
    else
        core_job_submit(request_core(request), request_body(request), key, submit_reply,
                        request_await(request));
}

void handle_job_list(struct request *request)
{
    struct error err;
    struct core_job_filter filter = {.states = request_query(request, "state"),
                                     .cursor = request_query(request, "cursor")};
    if (request_query_limit(request, &filter.limit, &err) < 0)
        request_answer_problem(request, &err);
    else
        core_job_list(request_core(request), &filter, request_reply, request_await(request));
}

void handle_job_get(struct request *request)
{
    core_job_get(request_core(request), request_param(request, 0), request_reply,
                 request_await(request));
}

void handle_job_stop(struct request *request)
{
    core_job_stop(request_core(request), request_param(request, 0), request_body(request),
                  submit_reply, request_await(request));
}

void handle_job_checkpointed(struct request *request)
{
    core_job_checkpointed(request_core(request), request_param(request, 0), request_reply,
                          request_await(request));
}

void handle_job_remove(struct request *request)
{
    core_job_remove(request_core(request), request_param(request, 0), request_reply,
                    request_await(request));
}

void handle_job_wait(struct request *request)
{
    struct error err;
    uint64_t timeout_ms = API_WAIT_DEFAULT_MS;
    const char *timeout = request_query(request, "timeout");
    if (timeout && duration_parse(timeout, &timeout_ms, &err) < 0) {
        request_answer_problem(request, &err);
        return;
    }
    if (timeout_ms > API_WAIT_MAX_MS)
        timeout_ms = API_WAIT_MAX_MS;
    core_job_wait(request_core(request), request_param(request, 0), timeout_ms, request_reply,
                  request_await(request));
}

void handle_job_explain(struct request *request)
{
    core_job_explain(request_core(request), request_param(request, 0), request_reply,
                     request_await(request));
}
