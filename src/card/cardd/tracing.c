/* Traces of cards: see tracing.h. */
#include "card/cardd/tracing.h"

#include <errno.h>
#include <sys/mman.h>

#include "base/error.h"
#include "base/json.h"
#include "card/cardd/card.h"
#include "card/cardd/device.h"
#include "card/cardd/session.h"
#include "card/ledger/trace.h"

static void set(struct card *card, uint32_t on)
{
    __atomic_store_n(&card->ledger->tracing, on, __ATOMIC_SEQ_CST);
}

/* Its memory goes, and with it every number. */
static void empty(struct card *card)
{
    (void)madvise(card->trace, sizeof(*card->trace), MADV_REMOVE); /* else old ones stay a while */
}

int tracing_start(struct card *card, struct error *err)
{
    if (card->device->cuda)
        return error_set(err, -EOPNOTSUPP, "card-local",
                         "the commands of card '%s' go to the driver without leat-cardd",
                         card->name);
    empty(card);
    set(card, 1);
    return 0;
}

static json_t *encode(const struct trace_entry *entry)
{
    const double us = 1000;
    uint64_t end_ns = entry->end_ns > entry->start_ns ? entry->end_ns : entry->start_ns;
    AUTO_JSON json_t *name = json_string(entry->name);
    return json_pack("{s:O, s:s, s:s, s:f, s:f, s:I, s:I, s:{s:f, s:f}}", "name",
                     name ? name : json_null(), "cat", "device", "ph", "X", "ts",
                     (double)entry->start_ns / us, "dur", (double)(end_ns - entry->start_ns) / us,
                     "pid", (json_int_t)entry->slot, "tid", (json_int_t)entry->queue, "args",
                     "queued_us", (double)entry->queued_ns / us, "submitted_us",
                     (double)entry->submit_ns / us);
}

/* Which program a session is, where it still runs. */
static int name_sessions(const struct card *card, json_t *events)
{
    char name[64];
    for (unsigned slot = 0; slot < LEDGER_SLOTS; slot++) {
        if (!card->sessions[slot])
            continue;
        (void)snprintf(name, sizeof(name), "process %d", (int)card->sessions[slot]->client_pid);
        if (json_array_append_new(events,
                                  json_pack("{s:s, s:s, s:i, s:{s:s}}", "name", "process_name",
                                            "ph", "M", "pid", (int)slot, "args", "name", name)) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int collect(const struct card *card, json_t *events, uint64_t *ret_lost)
{
    uint64_t first, last;
    trace_span(card->trace, &first, &last);
    *ret_lost = first - 1;
    for (uint64_t number = first; number <= last; number++) {
        struct trace_entry entry;
        if (trace_read(card->trace, number, &entry) < 0)
            ++*ret_lost;
        else if (json_array_append_new(events, encode(&entry)) < 0)
            return -ENOMEM;
    }
    return name_sessions(card, events);
}

struct json_t *tracing_stop(struct card *card, struct error *err)
{
    uint64_t lost = 0;
    AUTO_JSON json_t *events = json_array();
    if (!__atomic_load_n(&card->ledger->tracing, __ATOMIC_SEQ_CST)) {
        error_set(err, -EALREADY, "not-tracing", "no trace of card '%s' was begun", card->name);
        return NULL;
    }
    set(card, 0);
    json_t *trace =
        events && collect(card, events, &lost) == 0
            ? json_pack("{s:O, s:s, s:{s:s, s:s, s:I}}", "traceEvents", events, "displayTimeUnit",
                        "ns", "otherData", "card", card->name, "device", card->device->id, "lost",
                        (json_int_t)(lost & INT64_MAX))
            : NULL;
    if (!trace)
        error_set(err, -ENOMEM, "out-of-memory", "writing the trace of card '%s'", card->name);
    empty(card);
    return trace;
}
