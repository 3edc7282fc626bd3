/* Routes of everything that is looked up by name: devices, cards, templates, images, the daemon. */
#include <errno.h>

#include "api/handlers.h"
#include "api/request.h"
#include "base/error.h"
#include "base/json.h"
#include "core/core.h"

typedef void lookup_fn(struct core *core, const char *id, core_reply_fn *reply, void *arg);

static void lookup(struct request *request, lookup_fn *find, const char *id)
{
    find(request_core(request), id, request_reply, request_await(request));
}

/* For what must have a value: NULL is not "no content" here. */
static void answer_value(struct request *request, json_t *value)
{
    struct error err;
    error_set(&err, -ENOMEM, "out-of-memory", "making the answer");
    request_reply(request_await(request), value, value ? NULL : &err);
}

void handle_version(struct request *request)
{
    answer_value(request, core_version(request_core(request)));
}

/* A degraded centre still answers 200: the body says what is wrong, and it serves what it can. */
void handle_health(struct request *request)
{
    answer_value(request, core_health(request_core(request)));
}

void handle_device_list(struct request *request)
{
    lookup(request, core_devices, NULL);
}

void handle_device_get(struct request *request)
{
    lookup(request, core_devices, request_param(request, 0));
}

void handle_device_set(struct request *request)
{
    core_device_set(request_core(request), request_param(request, 0), request_body(request),
                    request_reply, request_await(request));
}

void handle_card_list(struct request *request)
{
    lookup(request, core_cards, NULL);
}

void handle_card_get(struct request *request)
{
    lookup(request, core_cards, request_param(request, 0));
}

static void carry(struct request *request, const char *verb)
{
    core_card_carry(request_core(request), verb, request_param(request, 0), request_body(request),
                    request_reply, request_await(request));
}

void handle_card_suspend(struct request *request)
{
    carry(request, "suspend");
}

void handle_card_resume(struct request *request)
{
    carry(request, "resume");
}

void handle_card_move(struct request *request)
{
    carry(request, "move");
}

void handle_card_resize(struct request *request)
{
    core_card_resize(request_core(request), request_param(request, 0), request_body(request),
                     request_reply, request_await(request));
}

void handle_card_trace(struct request *request)
{
    core_card_trace(request_core(request), request_param(request, 0), request_body(request),
                    request_reply, request_await(request));
}

void handle_template_list(struct request *request)
{
    core_templates(request_core(request), NULL, NULL, request_reply, request_await(request));
}

void handle_template_get(struct request *request)
{
    core_templates(request_core(request), request_param(request, 0), request_param(request, 1),
                   request_reply, request_await(request));
}

typedef void question_fn(struct core *core, const json_t *body, core_reply_fn *reply, void *arg);

static void question(struct request *request, question_fn *ask)
{
    ask(request_core(request), request_body(request), request_reply, request_await(request));
}

void handle_estimate(struct request *request)
{
    question(request, core_estimate);
}

void handle_knowledge_put(struct request *request)
{
    question(request, core_knowledge_put);
}

void handle_knowledge_search(struct request *request)
{
    question(request, core_knowledge_search);
}

void handle_knowledge_similar(struct request *request)
{
    question(request, core_knowledge_similar);
}

void handle_knowledge_suggest(struct request *request)
{
    question(request, core_knowledge_suggest);
}

void handle_knowledge_get(struct request *request)
{
    lookup(request, core_knowledge_get, request_param(request, 0));
}

void handle_knowledge_remove(struct request *request)
{
    lookup(request, core_knowledge_remove, request_param(request, 0));
}

void handle_model_list(struct request *request)
{
    lookup(request, core_models, NULL);
}

void handle_model_get(struct request *request)
{
    lookup(request, core_models, request_param(request, 0));
}

void handle_model_set(struct request *request)
{
    core_model_set(request_core(request), request_param(request, 0), request_body(request),
                   request_reply, request_await(request));
}

void handle_model_remove(struct request *request)
{
    lookup(request, core_model_remove, request_param(request, 0));
}

void handle_tenant_list(struct request *request)
{
    lookup(request, core_tenants, NULL);
}

void handle_tenant_get(struct request *request)
{
    lookup(request, core_tenants, request_param(request, 0));
}

void handle_tenant_set(struct request *request)
{
    core_tenant_set(request_core(request), request_param(request, 0), request_body(request),
                    request_reply, request_await(request));
}

void handle_tenant_remove(struct request *request)
{
    lookup(request, core_tenant_remove, request_param(request, 0));
}

void handle_loan_list(struct request *request)
{
    core_loans(request_core(request), request_reply, request_await(request));
}

void handle_queue(struct request *request)
{
    core_queue(request_core(request), request_reply, request_await(request));
}

void handle_image_list(struct request *request)
{
    lookup(request, core_images, NULL);
}

void handle_image_get(struct request *request)
{
    lookup(request, core_images, request_param(request, 0));
}

void handle_image_remove(struct request *request)
{
    lookup(request, core_image_remove, request_param(request, 0));
}

void handle_image_build(struct request *request)
{
    request_locate(request, "/v1/images/", request_param(request, 0));
    lookup(request, core_image_build, request_param(request, 0));
}

static void import_reply(void *request, struct json_t *result, const struct error *err)
{
    const char *name = json_string_value(json_object_get(result, "name"));
    if (name)
        request_locate(request, "/v1/images/", name);
    request_reply(request, result, err);
}

void handle_image_import(struct request *request)
{
    core_image_import(request_core(request), request_body(request), import_reply,
                      request_await(request));
}
