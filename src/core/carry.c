/* Cards that leave their device and come back when somebody asks for it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "core/core_impl.h"

struct carry {
    core_reply_fn *reply;
    void *arg;
};

/* A job follows its card to another device, and its journal tells of it. */
static void note(struct core *core, json_t *card)
{
    const char *id = json_string_value(json_object_get(card, "card"));
    const char *device = json_string_value(json_object_get(card, "device"));
    const char *state = json_string_value(json_object_get(card, "state"));
    struct live_job *live = id ? core_find_text(core, id) : NULL;
    if (!live || live->ending || !device || !state)
        return;
    if (live->job.device && strcmp(live->job.device, device) != 0)
        (void)place_set(core, live, device); /* out of memory: the old name stays */
    struct store_event event = commit_event(
        core, strcmp(state, "suspended") == 0 ? "job.suspended" : "job.resumed", live->job.id);
    AUTO_JSON json_t *data = json_pack("{s:s, s:O, s:O}", "device", device, "suspend_ns",
                                       json_object_get(card, "suspend_ns"), "resume_ns",
                                       json_object_get(card, "resume_ns"));
    event.data = data;
    commit_job(core, live, &event);
    place_soon(core);
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
    json_t *params = json_pack("{s:s, s:O*}", "card", id, "device", device);
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
