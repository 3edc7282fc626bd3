/* leat card suspend, resume, move, resize: contents leave the device and come back, and a card's
 * size changes. Cards of jobs through leatd; where none runs, the cards of `leat card exec` through
 * leat-cardd. */
#include <errno.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/units.h"
#include "cli/ask.h"
#include "cli/card_depart.h"
#include "cli/verb.h"
#include "cli/verbs.h"
#include "cli/view.h"
#include "leat/card.h"
#include "leat/client.h"

DEFINE_CLEANUP(control, struct leat_card_control, leat_card_control_close)

enum carry { CARRY_SUSPEND, CARRY_RESUME, CARRY_MOVE, CARRY_RESIZE };

static const char *const verbs[] = {"suspend", "resume", "move", "resize"};

struct errand {
    enum carry carry;
    const char *card;
    const char *device;          /* NULL: not said */
    uint64_t memory_bytes;       /* of a resize, as what follows; 0: as it is */
    uint32_t share_permille;     /* 0: as it is */
    bool suspend;                /* rather than to refuse */
    struct card_relay_host host; /* of a move to another; its address NULL: this one */
};

static json_t *status_json(const struct leat_card_status *status)
{
    return json_pack("{ss ss ss ss sI sI sI sI sI sI}", "card", status->card, "device",
                     status->device, "state", status->state, "host", status->host,
                     "suspended_bytes", (json_int_t)status->suspended_bytes, "suspend_ns",
                     (json_int_t)status->suspend_ns, "resume_ns", (json_int_t)status->resume_ns,
                     "memory_quota_bytes", (json_int_t)status->memory_quota_bytes,
                     "memory_used_bytes", (json_int_t)status->memory_used_bytes,
                     "share_asked_permille", (json_int_t)status->share_asked_permille);
}

/* What became of the card, as `card.show` tells it. */
static json_t *carry_directly(const struct cli *cli, const struct errand *errand, struct error *err)
{
    CLEANUP(cleanup_control) struct leat_card_control *control = NULL;
    struct leat_error why = {0};
    struct leat_card_status status;
    int r = leat_card_control_connect(cli->run_dir, &control, &why);
    if (r == 0 && errand->carry == CARRY_SUSPEND)
        r = leat_card_suspend(control, errand->card, &status, &why);
    else if (r == 0 && errand->carry == CARRY_RESUME)
        r = leat_card_resume(control, errand->card, errand->device, &status, &why);
    else if (r == 0 && errand->carry == CARRY_MOVE)
        r = leat_card_move(control, errand->card, errand->device, &status, &why);
    else if (r == 0)
        r = leat_card_resize(control, errand->card, errand->memory_bytes, errand->share_permille,
                             errand->suspend ? LEAT_CARD_RESIZE_SUSPEND : LEAT_CARD_RESIZE_PLAIN,
                             &status, &why);
    if (r < 0) {
        (void)ask_failed(err, &why);
        return NULL;
    }
    return status_json(&status);
}

/* NULL: the request has none, or there is no memory for it, which leatd then refuses. */
static json_t *errand_body(const struct errand *errand)
{
    char share[16];
    if (errand->carry != CARRY_RESIZE)
        return errand->device ? json_pack("{s:s}", "device", errand->device) : NULL;
    json_t *body = json_pack("{s:b}", "suspend", errand->suspend);
    (void)snprintf(share, sizeof(share), "%um", errand->share_permille);
    if (errand->memory_bytes)
        (void)json_object_set_new(body, "memory", json_integer((json_int_t)errand->memory_bytes));
    if (errand->share_permille)
        (void)json_object_set_new(body, "share", json_string(share));
    return body;
}

static int carry_by_leatd(struct cli *cli, const struct errand *errand, json_t **ret_answer,
                          struct error *err)
{
    AUTO_FREE char *path = NULL;
    AUTO_JSON json_t *options = errand_body(errand);
    AUTO_FREE char *body = options ? json_text(options) : NULL;
    int r = ask_path("cards", errand->card, verbs[errand->carry], &path, err);
    if (r < 0)
        return r;
    const struct leat_request request = {.method = "POST", .path = path, .body = body};
    return ask(cli, &request, ret_answer, err);
}

static void carry_say(const struct cli *cli, const struct errand *errand, const json_t *answer)
{
    char memory[UNITS_TEXT_MAX], share[UNITS_TEXT_MAX];
    const char *host = view_text(answer, "host", "");
    if (cli->json)
        ask_print(answer);
    else
        cli_say("card '%s' of %s and %s is %s on %s", errand->card,
                bytes_text(view_number(answer, "memory_quota_bytes"), memory),
                share_text((uint32_t)view_number(answer, "share_asked_permille"), share),
                host[0] ? "now" : view_text(answer, "state", "?"),
                host[0] ? host : view_text(answer, "device", "?"));
}

static int carry_run(struct cli *cli, const struct errand *errand, struct error *err)
{
    AUTO_JSON json_t *answer = NULL;
    int r = carry_by_leatd(cli, errand, &answer, err);
    if (r < 0 && !cli->answered && !cli->host) {
        answer = carry_directly(cli, errand, err);
        r = answer ? 0 : err->errnum;
    }
    if (r == 0)
        carry_say(cli, errand, answer);
    return r;
}

/* By leat-cardd alone: it is the host's administrator who knows the other host's secret. */
static int carry_away(struct cli *cli, const struct errand *errand, struct error *err)
{
    struct leat_card_status status;
    int r = card_depart(cli, errand->card, errand->device, &errand->host, &status, err);
    AUTO_JSON json_t *answer = r == 0 ? status_json(&status) : NULL;
    if (answer)
        carry_say(cli, errand, answer);
    return r;
}

static int card_suspend(struct cli *cli, const struct args *args, struct error *err)
{
    const struct errand errand = {.carry = CARRY_SUSPEND, .card = args->operands[0]};
    return carry_run(cli, &errand, err);
}

static int card_resume(struct cli *cli, const struct args *args, struct error *err)
{
    const struct errand errand = {
        .carry = CARRY_RESUME, .card = args->operands[0], .device = args_text(args, "device")};
    return carry_run(cli, &errand, err);
}

/* By leat-cardd alone, as it went. */
static int carry_home(struct cli *cli, const struct errand *errand, struct error *err)
{
    AUTO_JSON json_t *answer = carry_directly(cli, errand, err);
    if (!answer)
        return err->errnum;
    carry_say(cli, errand, answer);
    return 0;
}

static int card_move(struct cli *cli, const struct args *args, struct error *err)
{
    const struct errand errand = {.carry = CARRY_MOVE,
                                  .card = args->operands[0],
                                  .device = args->operand_count > 1 ? args->operands[1] : NULL,
                                  .host = {args_text(args, "on"), args_text(args, "host-token"),
                                           args_text(args, "host-fingerprint")}};
    if (errand.host.address && !errand.host.token_file)
        return error_set(err, -EINVAL, "usage", "--on needs --host-token");
    if (errand.host.address && args_has(args, "home"))
        return error_set(err, -EINVAL, "usage", "either --home or --on");
    if (args_has(args, "home"))
        return carry_home(cli, &errand, err);
    if (!errand.host.address && !errand.device)
        return error_set(err, -EINVAL, "usage", "say where to: a device, --home or --on a host");
    return errand.host.address ? carry_away(cli, &errand, err) : carry_run(cli, &errand, err);
}

static int card_resize(struct cli *cli, const struct args *args, struct error *err)
{
    const char *memory = args_text(args, "memory"), *share = args_text(args, "share");
    struct errand errand = {
        .carry = CARRY_RESIZE, .card = args->operands[0], .suspend = args_has(args, "suspend")};
    if (!memory && !share)
        return error_set(err, -EINVAL, "usage", "say what changes: --memory, --share or both");
    int r = memory ? bytes_parse(memory, &errand.memory_bytes, err) : 0;
    if (r == 0 && share)
        r = share_parse(share, &errand.share_permille, err);
    return r < 0 ? r : carry_run(cli, &errand, err);
}

static const struct option_spec move_options[] = {
    {"home", 0, NULL, "back from another host (default device: the one that it left)"},
    {"on", 0, "HOST[:PORT]", "to a host where leat-relay listens (default device: an equal one)"},
    {"host-token", 0, "FILE", "holds the secret of that host"},
    {"host-fingerprint", 0, "SHA256", "of that host's certificate, as its leat-relay logs it"},
    {0},
};

static const struct option_spec resume_options[] = {
    {"device", 0, "ID", "come back to this device"},
    {0},
};

static const struct option_spec resize_options[] = {
    {"memory", 'm', "SIZE", "new memory quota of the card, as 2GiB"},
    {"share", 's', "SHARE", "new share of the device's compute, as 25%"},
    {"suspend", 0, NULL, "suspend the card when it holds more than it is to have"},
    {0},
};

const struct verb verb_card_suspend = {
    .group = "card",
    .name = "suspend",
    .operands = "CARD",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Take a card's contents off its device",
    .details = "Its programs wait when they next use it; its memory and share are free for others.",
    .example = "leat card suspend 12",
    .run = card_suspend,
};

const struct verb verb_card_resume = {
    .group = "card",
    .name = "resume",
    .operands = "CARD",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Bring a suspended card back",
    .details = "Needs room for the whole card; without it the card stays suspended.",
    .example = "leat card resume 12",
    .options = resume_options,
    .run = card_resume,
};

const struct verb verb_card_move = {
    .group = "card",
    .name = "move",
    .operands = "CARD [DEVICE]",
    .operands_min = 1,
    .operands_max = 2,
    .summary =
        "Move a card to an equal device of the node or of another host, its programs running",
    .details = "On another host it stays as long as the connection lasts.",
    .example = "leat card move 12 gpu-1",
    .options = move_options,
    .run = card_move,
};

const struct verb verb_card_resize = {
    .group = "card",
    .name = "resize",
    .operands = "CARD",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Change a card's memory or share, its programs running",
    .details = "It grows while its device has room, and shrinks down to what its programs hold.",
    .example = "leat card resize --memory 4GiB --share 50% 12",
    .options = resize_options,
    .run = card_resize,
};
