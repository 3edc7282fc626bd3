/* Cards that leave their device, come back, and change their size. */
#include "core/carry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "core/core_impl.h"
#include "core/quota.h"

struct carry {
    core_reply_fn *reply;
    void *arg;
};

static void carry_done(struct core *core, struct live_job *live, const struct card_usage *card)
{
    live->away = card->state && strcmp(card->state, "suspended") == 0;
    if (!card->device || !live->job.device || strcmp(live->job.device, card->device) == 0)
        return;
    (void)place_set(core, live, card->device); /* out of memory: the old name stays */
}

/* The job asks for what its card now is, so that it counts as that from here on. */
static bool follow_size(struct core *core, struct live_job *live, const struct card_usage *card)
{
    struct job_request *request = &live->job.request;
    if (request->memory_bytes == card->memory_quota_bytes &&
        request->share_permille == card->share_asked_permille)
        return false;
    quota_drop(core, live);
    request->memory_bytes = card->memory_quota_bytes;
    request->share_permille = card->share_asked_permille;
    quota_follow(core, live);
    return true;
}

/* A job follows its card to another device or size, and its journal tells of it. */
static void note(struct core *core, json_t *answer)
{
    struct card_usage card;
    if (card_usage_decode(answer, &card, NULL) < 0)
        return;
    struct live_job *live = core_find_text(core, card.card);
    if (live && !live->ending && card.device) {
        carry_done(core, live, &card);
        bool resized = follow_size(core, live, &card);
        const char *kind = resized ? "job.resized" : live->away ? "job.suspended" : "job.resumed";
        struct store_event event = commit_event(core, kind, live->job.id);
        AUTO_JSON json_t *data = json_pack("{s:s, s:O*, s:O*, s:I, s:i}", "device", card.device,
                                           "suspend_ns", json_object_get(answer, "suspend_ns"),
                                           "resume_ns", json_object_get(answer, "resume_ns"),
                                           "memory_bytes", (json_int_t)card.memory_quota_bytes,
                                           "share_permille", (int)card.share_asked_permille);
        event.data = data;
        commit_job(core, live, &event);
        place_soon(core);
    }
    card_usage_finish(&card);
}

static void on_carried(struct core *core, uint64_t slot, json_t *result, const struct error *err)
{
    AUTO_FREE struct carry *carry = (struct carry *)(uintptr_t)slot;
    if (err) {
        carry->reply(carry->arg, NULL, err);
        return;
    }
    note(core, result);
    core_reply_value(carry->reply, carry->arg, json_incref(result));
}

/* Ask leat-cardd for `op`; `params` is taken over and may be NULL (out of memory). */
static void carry_ask(struct core *core, const char *op, json_t *params, core_reply_fn *reply,
                      void *arg)
{
    struct error err;
    AUTO_FREE struct carry *carry = malloc(sizeof(*carry));
    if (!carry || !params) {
        json_decref(params);
        core_reply_value(reply, arg, NULL);
        return;
    }
    *carry = (struct carry){reply, arg};
    if (cards_ask(core, op, params, on_carried, (uint64_t)(uintptr_t)carry) == 0) {
        (void)TAKE(carry);
        return;
    }
    (void)error_set(&err, -EAGAIN, "card-daemon-away",
                    "leat-cardd does not answer; leatd keeps trying, ask again");
    reply(arg, NULL, &err);
}

struct size {
    uint64_t memory_bytes;
    uint32_t share_permille; /* 0, as above: as it is */
    bool suspend;
};

#define SIZE(name, kind, member) \
    { \
        name, kind, offsetof(struct size, member), JSON_OPTIONAL \
    }

static const struct json_field size_fields[] = {
    SIZE("memory", JSON_KIND_BYTES, memory_bytes),
    SIZE("share", JSON_KIND_SHARE, share_permille),
    SIZE("suspend", JSON_KIND_BOOL, suspend),
    {NULL, JSON_KIND_INVALID, 0, JSON_OPTIONAL},
};

void core_card_resize(struct core *core, const char *id, const struct json_t *request,
                      core_reply_fn *reply, void *arg)
{
    struct error err;
    struct size size = {0};
    int r = json_decode(request, size_fields, &size, &err);
    struct live_job *live = r == 0 ? core_find_text(core, id) : NULL;
    if (live)
        r = quota_may_grow(core, live, size.share_permille, &err);
    if (r < 0) {
        reply(arg, NULL, &err);
        return;
    }
    json_t *params = json_pack("{s:s, s:b}", "card", id, "suspend", size.suspend);
    if (params && size.memory_bytes)
        (void)json_object_set_new(params, "memory_bytes",
                                  json_integer((json_int_t)size.memory_bytes));
    if (params && size.share_permille)
        (void)json_object_set_new(params, "share_permille",
                                  json_integer((json_int_t)size.share_permille));
    carry_ask(core, "card.resize", params, reply, arg);
}

void core_card_trace(struct core *core, const char *id, const struct json_t *request,
                     core_reply_fn *reply, void *arg)
{
    struct error err;
    const json_t *on = json_object_get(request, "on");
    if (!json_is_boolean(on) || json_object_size(request) != 1) {
        (void)error_set(&err, -EINVAL, "bad-request",
                        "the body is {\"on\":true} or {\"on\":false}");
        reply(arg, NULL, &err);
        return;
    }
    carry_ask(core, "card.trace", json_pack("{s:s, s:b}", "card", id, "on", json_is_true(on)),
              reply, arg);
}

void core_card_carry(struct core *core, const char *verb, const char *id,
                     const struct json_t *options, core_reply_fn *reply, void *arg)
{
    struct error err;
    char op[32];
    const json_t *device = options ? json_object_get(options, "device") : NULL;
    if (options && (!json_is_object(options) || json_object_size(options) != (device != NULL))) {
        (void)error_set(&err, -EINVAL, "bad-request", "the body is {\"device\":ID} or nothing");
        reply(arg, NULL, &err);
        return;
    }
    (void)snprintf(op, sizeof(op), "card.%s", verb);
    carry_ask(core, op, json_pack("{s:s, s:O*}", "card", id, "device", device), reply, arg);
}

/* -- of idle jobs -- */

static void on_away(struct core *core, uint64_t id, json_t *result, const struct error *err)
{
    struct live_job *live = core_find(core, id);
    if (!live)
        return;
    live->sharing = false;
    if (err) { /* then others get its compute alone */
        preempt_stays(core, live);
        log_event(LOG_INFO, "job.not_suspended", "job=%llu code=%s text=\"%s\"",
                  (unsigned long long)id, err->code, err->text);
    } else {
        note(core, result);
    }
    idle_wake_all(core);
    place_soon(core); /* which goes on with an exchange, too */
}

void carry_away(struct core *core, struct live_job *live)
{
    char id[JOB_ID_TEXT_MAX];
    json_t *params = json_pack("{s:s}", "card", job_id_text(live->job.id, id));
    live->sharing = cards_ask(core, "card.suspend", params, on_away, live->job.id) == 0;
}
