/* leat card stats: how cards are used now, out of two looks at their counters. */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/units.h"
#include "cli/ask.h"
#include "cli/verb.h"
#include "cli/verbs.h"
#include "cli/view.h"
#include "leat/client.h"

#define INTERVAL_DEFAULT_MS 1000u

static const struct option_spec stats_options[] = {
    {"follow", 'f', NULL, "look again and again, until interrupted"},
    {"interval", 'i', "TIME", "between two looks: 1s"},
    {0},
};

static const struct view_column stats_columns[] = {
    {"CARD", "card", VIEW_TEXT},
    {"LOCAL/S", "rates.calls_local", VIEW_COUNT},
    {"POSTED/S", "rates.calls_posted", VIEW_COUNT},
    {"WAITED/S", "rates.calls_waited", VIEW_COUNT},
    {"RECORDS/S", "rates.records", VIEW_COUNT},
    {"TO/S", "rates.bytes_to_device", VIEW_BYTES},
    {"FROM/S", "rates.bytes_from_device", VIEW_BYTES},
    {"LINE TO/S", "rates.line_to_device_bytes", VIEW_BYTES},
    {"LINE FROM/S", "rates.line_from_device_bytes", VIEW_BYTES},
    {"WAITING", "rates.wait_permille", VIEW_SHARE},
    {"QUEUE", "queue_depth", VIEW_COUNT},
    {"SHARE", "share_permille", VIEW_SHARE},
    {"USED", "rates.device_permille", VIEW_SHARE},
    {"MEMORY", "memory_quota_bytes", VIEW_BYTES},
    {"USED", "memory_used_bytes", VIEW_BYTES},
    {"PEAK", "memory_peak_bytes", VIEW_BYTES},
    {0},
};

/* Counters, and what is told of them: so many in `per` nanoseconds. */
static const struct rate {
    const char *counter, *name;
    double per;
} rates[] = {
    {"calls_local", "calls_local", 1e9},
    {"calls_posted", "calls_posted", 1e9},
    {"calls_waited", "calls_waited", 1e9},
    {"records", "records", 1e9},
    {"commands", "commands", 1e9},
    {"bytes_to_device", "bytes_to_device", 1e9},
    {"bytes_from_device", "bytes_from_device", 1e9},
    {"carried_to_device_bytes", "carried_to_device_bytes", 1e9},
    {"carried_from_device_bytes", "carried_from_device_bytes", 1e9},
    {"line_to_device_bytes", "line_to_device_bytes", 1e9},
    {"line_from_device_bytes", "line_from_device_bytes", 1e9},
    {"wait_ns", "wait_permille", 1e3},
    {"device_time_ns", "device_permille", 1e3},
};

static const json_t *card_find(const json_t *cards, const json_t *card)
{
    size_t i;
    json_t *other;
    json_array_foreach (cards, i, other) {
        if (json_equal(json_object_get(other, "card"), json_object_get(card, "card")))
            return other;
    }
    return NULL;
}

/* Add to a card its rates since `before`, or since it was made when that is NULL. */
static void card_compare(json_t *card, const json_t *before)
{
    json_t *result = json_object();
    uint64_t age_ms = view_number(card, "age_ms"), old_ms = view_number(before, "age_ms");
    double passed_ns = age_ms > old_ms ? (double)(age_ms - old_ms) * (double)NS_PER_MS : 0;
    for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        uint64_t now = view_number(card, rates[i].counter);
        uint64_t old = view_number(before, rates[i].counter);
        double value =
            passed_ns > 0 && now > old ? (double)(now - old) * rates[i].per / passed_ns : 0;
        (void)json_object_set_new(result, rates[i].name, json_integer((json_int_t)(value + 0.5)));
    }
    (void)json_object_set_new(card, "rates", result); /* without it the rates are shown as "-" */
}

/* The cards, or the one that was named, as an array. */
static int cards_get(struct cli *cli, const char *id, json_t **ret_cards, struct error *err)
{
    AUTO_JSON json_t *answer = NULL;
    AUTO_FREE char *path = NULL;
    int r = id ? ask_path("cards", id, NULL, &path, err) : 0;
    if (r == 0 && id)
        r = ask(cli, &(struct leat_request){.method = "GET", .path = path}, &answer, err);
    else if (r == 0)
        r = ask_get(cli, &answer, err, "/v1/cards");
    if (r < 0)
        return r;
    json_t *cards = id ? json_pack("[O]", answer) : json_incref(json_object_get(answer, "cards"));
    if (!cards)
        return error_set(err, -ENOMEM, "out-of-memory", "reading the cards");
    *ret_cards = cards;
    return 0;
}

static void stats_print(const struct cli *cli, const json_t *cards)
{
    AUTO_BUF struct buf out = BUF_INIT;
    AUTO_JSON json_t *object = cli->json ? json_pack("{sO}", "cards", cards) : NULL;
    if (cli->json) {
        ask_print(object);
    } else if (json_array_size(cards) == 0) {
        cli_say("there are no cards: a card lives as long as its job");
    } else {
        view_list(&out, cards, stats_columns);
        view_flush(&out);
    }
    (void)fflush(stdout); /* main looks at the state of standard output */
}

/* One look, compared with the one before, which it replaces. */
static int stats_look(struct cli *cli, const char *id, json_t **before, struct error *err)
{
    json_t *cards, *card;
    size_t i;
    int r = cards_get(cli, id, &cards, err);
    if (r < 0)
        return r;
    json_array_foreach (cards, i, card)
        card_compare(card, card_find(*before, card));
    stats_print(cli, cards);
    json_decref(*before);
    *before = cards;
    return 0;
}

static int card_stats(struct cli *cli, const struct args *args, struct error *err)
{
    const char *text = args_text(args, "interval"), *id = args->operands[0];
    uint64_t interval_ms = INTERVAL_DEFAULT_MS;
    AUTO_JSON json_t *before = NULL;
    int r = text ? duration_parse(text, &interval_ms, err) : 0;
    if (r < 0)
        return error_context(err, "--interval");
    if (interval_ms == 0 || interval_ms > INT_MAX)
        return error_set(err, -EINVAL, "bad-duration", "--interval must be longer than nothing");
    r = stats_look(cli, id, &before, err);
    while (r == 0 && args_has(args, "follow") && !ferror(stdout)) {
        (void)poll(NULL, 0, (int)interval_ms); /* an early look does no harm */
        r = stats_look(cli, id, &before, err);
    }
    return r;
}

const struct verb verb_card_stats = {
    .group = "card",
    .name = "stats",
    .operands = "[CARD]",
    .operands_max = 1,
    .summary = "Show how cards are used: calls, crossings, bytes, waiting, share, memory",
    .details =
        "The first look tells the rates since the card was made, later ones those since the\n"
        "look before.",
    .example = "leat card stats 12 --follow",
    .options = stats_options,
    .run = card_stats,
};
