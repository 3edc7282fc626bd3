/* leat card suspend, resume, move: contents leave the device and come back. Cards of jobs through
 * leatd; where none runs, the cards of `leat card exec` through leat-cardd. */
#include <errno.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "cli/ask.h"
#include "cli/verb.h"
#include "cli/verbs.h"
#include "cli/view.h"
#include "leat/card.h"
#include "leat/client.h"

DEFINE_CLEANUP(control, struct leat_card_control, leat_card_control_close)

enum carry { CARRY_SUSPEND, CARRY_RESUME, CARRY_MOVE };

static const char *const verbs[] = {"suspend", "resume", "move"};

/* What became of the card, as `card.show` tells it. */
static json_t *carry_directly(const struct cli *cli, enum carry carry, const char *card,
                              const char *device, struct error *err)
{
    CLEANUP(cleanup_control) struct leat_card_control *control = NULL;
    struct leat_error why = {0};
    struct leat_card_status status;
    int r = leat_card_control_connect(cli->run_dir, &control, &why);
    if (r == 0 && carry == CARRY_SUSPEND)
        r = leat_card_suspend(control, card, &status, &why);
    else if (r == 0 && carry == CARRY_RESUME)
        r = leat_card_resume(control, card, device, &status, &why);
    else if (r == 0)
        r = leat_card_move(control, card, device, &status, &why);
    if (r < 0) {
        (void)ask_failed(err, &why);
        return NULL;
    }
    return json_pack("{ss ss ss sI sI sI}", "card", status.card, "device", status.device, "state",
                     status.state, "suspended_bytes", (json_int_t)status.suspended_bytes,
                     "suspend_ns", (json_int_t)status.suspend_ns, "resume_ns",
                     (json_int_t)status.resume_ns);
}

static int carry_by_leatd(struct cli *cli, enum carry carry, const char *card, const char *device,
                          json_t **ret_answer, struct error *err)
{
    AUTO_FREE char *path = NULL;
    AUTO_JSON json_t *options = device ? json_pack("{s:s}", "device", device) : NULL;
    AUTO_FREE char *body = options ? json_text(options) : NULL;
    int r = ask_path("cards", card, verbs[carry], &path, err);
    if (r < 0)
        return r;
    const struct leat_request request = {.method = "POST", .path = path, .body = body};
    return ask(cli, &request, ret_answer, err);
}

static int carry_run(struct cli *cli, enum carry carry, const char *card, const char *device,
                     struct error *err)
{
    AUTO_JSON json_t *answer = NULL;
    int r = carry_by_leatd(cli, carry, card, device, &answer, err);
    if (r < 0 && !cli->answered && !cli->host) {
        answer = carry_directly(cli, carry, card, device, err);
        r = answer ? 0 : err->errnum;
    }
    if (r < 0)
        return r;
    if (cli->json)
        ask_print(answer);
    else
        cli_say("card '%s' is %s on %s", card, view_text(answer, "state", "?"),
                view_text(answer, "device", "?"));
    return 0;
}

static int card_suspend(struct cli *cli, const struct args *args, struct error *err)
{
    return carry_run(cli, CARRY_SUSPEND, args->operands[0], NULL, err);
}

static int card_resume(struct cli *cli, const struct args *args, struct error *err)
{
    return carry_run(cli, CARRY_RESUME, args->operands[0], args_text(args, "device"), err);
}

static int card_move(struct cli *cli, const struct args *args, struct error *err)
{
    return carry_run(cli, CARRY_MOVE, args->operands[0], args->operands[1], err);
}

static const struct option_spec resume_options[] = {
    {"device", 0, "ID", "come back to this device"},
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
    .operands = "CARD DEVICE",
    .operands_min = 2,
    .operands_max = 2,
    .summary = "Move a card to an equal device of the node, its programs running",
    .example = "leat card move 12 gpu-1",
    .run = card_move,
};
