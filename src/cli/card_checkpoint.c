/* leat card checkpoint, restore: what a card's programs hold on the device, to a file and back.
 * Through leat-cardd, on whose host the file is. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/path.h"
#include "cli/ask.h"
#include "cli/verb.h"
#include "cli/verbs.h"
#include "leat/card.h"

DEFINE_CLEANUP(control, struct leat_card_control, leat_card_control_close)

static const struct option_spec restore_options[] = {
    {"device", 0, "ID", "come back to this device"},
    {0},
};

/* A job for `work` while the card is away; it comes back if it was there before. */
struct visit {
    const char *card, *file, *device;
    int (*work)(struct leat_card_control *control, const char *card, const char *file,
                struct leat_card_status *ret_status, struct leat_error *error);
};

static int away(struct leat_card_control *control, const struct visit *visit,
                struct leat_error *why)
{
    struct leat_card_status status;
    struct leat_error ignored;
    int r = leat_card_show(control, visit->card, &status, why);
    int was_there = r == 0 && strcmp(status.state, "active") == 0;
    if (was_there)
        r = leat_card_suspend(control, visit->card, NULL, why);
    if (r < 0)
        return r;
    r = visit->work(control, visit->card, visit->file, NULL, why);
    if (r < 0 && was_there) /* what went wrong first is what is told */
        (void)leat_card_resume(control, visit->card, NULL, NULL, &ignored);
    else if (r == 0 && (was_there || visit->device))
        r = leat_card_resume(control, visit->card, visit->device, NULL, why);
    return r;
}

static int visit_run(const struct cli *cli, struct visit *visit, struct error *err)
{
    char here[PATH_MAX], path[PATH_MAX];
    CLEANUP(cleanup_control) struct leat_card_control *control = NULL;
    struct leat_error why = {0};
    if (!getcwd(here, sizeof(here)))
        return error_errno(err, -errno, "bad-path", "where are we?");
    if (visit->file[0] != '/') {
        int r = path_join(here, visit->file, path, err);
        if (r < 0)
            return r;
        visit->file = path;
    }
    int r = leat_card_control_connect(cli->run_dir, &control, &why);
    if (r == 0)
        r = away(control, visit, &why);
    return r < 0 ? ask_failed(err, &why) : 0;
}

static int card_checkpoint(struct cli *cli, const struct args *args, struct error *err)
{
    struct visit visit = {
        .card = args->operands[0], .file = args->operands[1], .work = leat_card_save};
    return visit_run(cli, &visit, err);
}

static int card_restore(struct cli *cli, const struct args *args, struct error *err)
{
    struct visit visit = {.card = args->operands[0],
                          .file = args->operands[1],
                          .device = args_text(args, "device"),
                          .work = leat_card_load};
    return visit_run(cli, &visit, err);
}

const struct verb verb_card_checkpoint = {
    .group = "card",
    .name = "checkpoint",
    .operands = "CARD FILE",
    .operands_min = 2,
    .operands_max = 2,
    .summary = "Write what a card's programs hold on the device to a file",
    .details =
        "A running card is suspended for that time. Only the same programs can have it back.",
    .example = "leat card checkpoint 12 before.ckpt",
    .run = card_checkpoint,
};

const struct verb verb_card_restore = {
    .group = "card",
    .name = "restore",
    .operands = "CARD FILE",
    .operands_min = 2,
    .operands_max = 2,
    .summary = "Give a card's running programs back what they held at a checkpoint",
    .details = "What they made on the card since then stays as it is.",
    .example = "leat card restore 12 before.ckpt",
    .options = restore_options,
    .run = card_restore,
};
