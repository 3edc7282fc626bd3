/* Compute that is granted and not used goes to others, and comes back when it is wanted. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "core/carry.h"
#include "core/core_impl.h"
#include "core/devices.h"
#include "estimate/estimate.h"
#include "core/quota.h"
#include "core/repack.h"

void idle_count(struct live_job *live, uint64_t now_us)
{
    const struct job *job = &live->job;
    if (job->state == JOB_IDLE && now_us > job->changed_us)
        live->job.usage.idle_total_ms = live->idle_before_ms + (now_us - job->changed_us) / 1000;
}

void idle_usage(struct live_job *live, const struct card_usage *usage)
{
    struct job *job = &live->job;
    struct job_usage *to = &job->usage;
    to->memory_used_bytes = usage->memory_used_bytes;
    to->memory_peak_bytes = usage->memory_peak_bytes;
    to->memory_wanted_bytes = usage->memory_wanted_bytes;
    to->device_time_ns = usage->device_time_ns;
    to->throttled_ns = usage->throttled_ns;
    to->calls_local = usage->calls_local;
    to->calls_posted = usage->calls_posted;
    to->calls_waited = usage->calls_waited;
    to->records = usage->records;
    to->commands = usage->commands;
    to->refusals = usage->refusals;
    to->bytes_to_device = usage->bytes_to_device;
    to->bytes_from_device = usage->bytes_from_device;
    to->carried_to_device_bytes = usage->carried_to_device_bytes;
    to->carried_from_device_bytes = usage->carried_from_device_bytes;
    to->line_to_device_bytes = usage->line_to_device_bytes;
    to->line_from_device_bytes = usage->line_from_device_bytes;
    to->wait_ns = usage->wait_ns;
    to->queue_depth = usage->queue_depth;
    to->builds = usage->builds;
    to->build_hits = usage->build_hits;
    to->idle_ms = usage->idle_ms;
    live->runtime_refused = usage->runtime_refused;
    to->share_granted_permille = usage->share_permille;
    to->released_permille = live->released ? job->request.share_permille : 0;
    job->has_used = usage->commands > 0;
    uint64_t since_us = job->started_us ? clock_realtime_us() - job->started_us : 0;
    job->prediction.remaining_ms =
        job->ended_us
            ? 0
            : estimate_remaining_ms(&job->prediction, since_us / 1000, to->device_time_ns);
    uint64_t now_us = job->ended_us ? job->ended_us : clock_realtime_us();
    idle_count(live, now_us);
    uint64_t wall_us = now_us > job->started_us ? now_us - job->started_us : 0;
    uint64_t awake_us = wall_us > to->idle_total_ms * 1000 ? wall_us - to->idle_total_ms * 1000 : 0;
    if (job->started_us && awake_us)
        to->share_measured_permille = (uint32_t)(usage->device_time_ns / awake_us);
}

static json_t *share_params(const struct live_job *live, uint32_t share_permille)
{
    char id[JOB_ID_TEXT_MAX];
    return json_pack("{s:s, s:i}", "card", job_id_text(live->job.id, id), "share_permille",
                     (int)share_permille);
}

/* -- giving -- */

static const struct giving {
    const char *kind, *code, *text;
} givings[] = {
    [IDLE_UNUSED] =
        {"job.idle", "idle",
         "it has not used its card for its idle time; its compute is lent until its next command"},
    [IDLE_RECLAIMED] = {"loan.reclaimed", "reclaimed",
                        "its compute was borrowed and went back to the tenant that reserved it; it "
                        "goes on when some "
                        "is free"},
    [IDLE_PREEMPTED] =
        {"job.preempted", "preempted",
         "a job of higher priority has its place; it goes on when there is room again"},
    [IDLE_EXCHANGED] = {"job.idle", "moving",
                        "its card changes places with others so that a waiting job finds room; it "
                        "goes on at once"},
};

static void share_given(struct core *core, struct live_job *live)
{
    const struct giving *giving = &givings[live->taking];
    uint32_t share = live->job.request.share_permille;
    live->released = true;
    live->job.usage.released_permille = share;
    live->job.usage.share_granted_permille = 0;
    live->job.usage.times_idle += live->taking == IDLE_UNUSED;
    core->counters.preemptions += live->taking == IDLE_PREEMPTED;
    core->counters.idle_releases += live->taking == IDLE_UNUSED;
    life_move(
        core, live, JOB_IDLE,
        &(struct life_reason){
            .kind = giving->kind,
            .code = giving->code,
            .text = giving->text,
            .data = json_pack("{s:i, s:I, s:s}", "released_permille", (int)share, "idle_ms",
                              (json_int_t)live->job.usage.idle_ms, "device", live->job.device),
        });
}

static void on_released(struct core *core, uint64_t id, json_t *result, const struct error *err)
{
    struct live_job *live = core_find(core, id);
    (void)result;
    if (!live)
        return;
    live->sharing = false;
    bool taken = live->taking != IDLE_UNUSED;
    if (!err && !live->ending && live->job.state == JOB_RUNNING) {
        share_given(core, live);
        if (taken)
            idle_wants_share(core, live); /* it did not give it up by itself */
        if (!live->sharing && (taken || job_gives_memory(&live->job.request)))
            carry_away(core, live);
        idle_wake_all(core);
        place_soon(core);
    }
    live->taking = IDLE_UNUSED;
}

void idle_take(struct core *core, struct live_job *live, enum idle_why why)
{
    if (live->ending || live->sharing)
        return; /* the next poll tries again */
    live->sharing =
        cards_ask(core, "card.set_share", share_params(live, 0), on_released, live->job.id) == 0;
    live->taking = live->sharing ? why : IDLE_UNUSED;
}

static void consider(struct core *core, struct live_job *live, const struct card_usage *usage)
{
    const struct sched_activity activity = {
        .idle_ms = usage->idle_ms,
        .age_ms = usage->age_ms,
        .idle_after_ms = live->job.request.idle_after_ms,
        .used = live->job.has_used,
        .wanted = usage->share_wanted,
    };
    if (live->ending || live->sharing)
        return;
    live->away = usage->state && strcmp(usage->state, "suspended") == 0;
    if (live->job.state == JOB_RUNNING && !live->away && sched_is_idle(&activity))
        live->sharing = cards_ask(core, "card.set_share", share_params(live, 0), on_released,
                                  live->job.id) == 0;
    else if (live->job.state == JOB_IDLE && usage->share_wanted)
        idle_wants_share(core, live);
}

/* -- giving back -- */

static void on_woken(struct core *core, uint64_t id, json_t *result, const struct error *err)
{
    struct live_job *live = core_find(core, id);
    (void)result;
    if (!live)
        return;
    live->sharing = false;
    if (live->ending || live->job.state != JOB_IDLE)
        return;
    if (err) {
        live->released = true; /* the next poll sees that it still wants, and whether it is away */
        quota_drop(core, live);
        return;
    }
    uint32_t share = live->job.request.share_permille;
    live->job.usage.released_permille = 0;
    live->job.usage.share_granted_permille = share;
    preempt_over(live);
    core->counters.wakes++;
    life_move(core, live, JOB_RUNNING,
              &(struct life_reason){
                  .kind = "job.woken",
                  .code = "running",
                  .text = "its program runs; its compute is its own again",
                  .data = json_pack("{s:i, s:s}", "share_permille", (int)share, "device",
                                    live->job.device),
              });
}

/* How many woke earlier on the device and still wait. */
static size_t ahead_of(const struct core *core, const struct live_job *live, const char *device)
{
    size_t ahead = 0;
    LIST_EACH (link, &core->waking) {
        const struct live_job *other = LIST_ENTRY(link, struct live_job, waking);
        if (other == live)
            break;
        ahead += strcmp(other->job.device, device) == 0 && !quota_defers(core, other) &&
                 !preempt_defers(core, other);
    }
    return ahead;
}

/* A card that is away may come back elsewhere, unless its job asked for its device. */
static bool may_wake_on(const struct core *core, const struct live_job *live,
                        const struct device *device)
{
    const struct device *home = devices_find(core, live->job.device);
    if (!home || device == home)
        return device == home;
    return live->away && !live->job.request.device && !job_is_cuda(&live->job.request) &&
           devices_alike(home, device); /* a CUDA card's contexts stay on its device */
}

/* Where the job can have its card back now, its own device first; NULL: nowhere. */
static const char *wake_place(const struct core *core, const struct live_job *live)
{
    struct sched_state state;
    const char *found = NULL;
    uint32_t share = live->job.request.share_permille;
    uint64_t memory = live->away ? live->job.request.memory_bytes : 0;
    if (place_state_make(core, NULL, 0, &state) < 0)
        return NULL;
    for (size_t i = 0; i < state.device_count; i++) {
        const char *id = core->devices[i].id;
        if (!may_wake_on(core, live, &core->devices[i]) ||
            state.devices[i].memory_free_bytes < memory ||
            !sched_may_wake(share, state.devices[i].share_free_permille, ahead_of(core, live, id)))
            continue;
        if (!found || strcmp(id, live->job.device) == 0)
            found = id;
    }
    place_state_finish(&state);
    return found;
}

/* Ask for the job's share, and for its memory when that has gone, too. */
static int wake_ask(struct core *core, const struct live_job *live, const char *device)
{
    uint32_t share = live->job.request.share_permille;
    json_t *params = share_params(live, share);
    if (!live->away)
        return cards_ask(core, "card.set_share", params, on_woken, live->job.id);
    if (params && json_object_set_new(params, "device", json_string(device)) < 0) {
        json_decref(params);
        return -ENOMEM;
    }
    return cards_ask(core, "card.resume", params, on_woken, live->job.id);
}

void idle_wake_all(struct core *core)
{
    if (core->repacking.step_count)
        return; /* what is free belongs to the cards that are on their way */
    LIST_EACH_SAFE (link, after, &core->waking) {
        struct live_job *live = LIST_ENTRY(link, struct live_job, waking);
        uint32_t share = live->job.request.share_permille;
        const char *device;
        if (live->sharing || preempt_defers(core, live) ||
            quota_ask(core, live, share) != SCHED_PERMITTED)
            continue;
        device = wake_place(core, live);
        if (!device || wake_ask(core, live, device) < 0)
            continue;
        if (strcmp(device, live->job.device) != 0)
            (void)place_set(core, live, device); /* out of memory: the old name stays */
        live->sharing = true;
        live->released = live->away = false; /* taken from here on */
        quota_take(core, live);
        list_remove(&live->waking);
    }
}

/* It has to wait for its turn: the journal says so, and `explain` says for what. */
static void note_waiting(struct core *core, const struct live_job *live)
{
    struct store_event event = commit_event(core, "job.waking", live->job.id);
    AUTO_JSON json_t *data =
        json_pack("{s:s, s:b, s:i, s:I}", "device", live->job.device, "away", live->away,
                  "share_permille", (int)live->job.request.share_permille, "memory_bytes",
                  (json_int_t)live->job.request.memory_bytes);
    event.data = data;
    commit_note(core, &event);
}

void idle_wants_share(struct core *core, struct live_job *live)
{
    if (live->job.state != JOB_IDLE || live->sharing || !list_empty(&live->waking))
        return;
    list_append(&core->waking, &live->waking);
    idle_wake_all(core);
    if (!list_empty(&live->waking))
        note_waiting(core, live);
}

/* -- watching -- */

static void foreign_add(struct core *core, const struct card_usage *usage)
{
    for (size_t i = 0; usage->device && i < core->device_count; i++) {
        if (strcmp(core->devices[i].id, usage->device) == 0) {
            core->foreign[i].memory_bytes += usage->memory_quota_bytes;
            core->foreign[i].share_permille += usage->share_permille;
        }
    }
}

void idle_device_taken(struct core *core, const char *device)
{
    for (size_t i = 0; core->foreign && i < core->device_count; i++) {
        if (strcmp(core->devices[i].id, device) == 0)
            core->foreign[i] = (struct grant){.memory_bytes = core->devices[i].memory_bytes,
                                              .share_permille = SHARE_WHOLE_PERMILLE};
    }
}

static void card_look(struct core *core, const json_t *object, bool foreign)
{
    struct card_usage usage;
    if (card_usage_decode(object, &usage, NULL) < 0)
        return;
    struct live_job *live = core_find_text(core, usage.card);
    if (foreign && !live) {
        foreign_add(core, &usage);
    } else if (!foreign && live && !live->ending) {
        idle_usage(live, &usage);
        consider(core, live, &usage);
    }
    card_usage_finish(&usage);
}

void idle_cards_seen(struct core *core, const json_t *cards)
{
    size_t index;
    json_t *object;
    if (core->foreign)
        memset(core->foreign, 0, core->device_count * sizeof(*core->foreign));
    json_array_foreach (cards, index, object)
        card_look(core, object, true);
    json_array_foreach (cards, index, object)
        card_look(core, object, false); /* who wakes needs to know what all others have */
    idle_wake_all(core);                /* others' cards may have gone */
}

static void on_cards(struct core *core, uint64_t job, json_t *result, const struct error *err)
{
    (void)job;
    core->polling = false;
    if (!err && core->cards_known)
        idle_cards_seen(core, json_object_get(result, "cards"));
}

void idle_on_poll(uv_timer_t *timer)
{
    struct core *core = timer->data;
    if (list_empty(&core->jobs)) {
        (void)uv_timer_stop(timer); /* never fails */
        return;
    }
    if (uv_now(core->loop) >= core->cards_by_ms)
        reconcile_unread(core);
    if (core->cards_known && !core->polling)
        core->polling = cards_ask(core, "card.list", NULL, on_cards, 0) == 0;
    quota_poll(core);
    preempt_poll(core);
    notice_poll(core); /* whoever was called just now hears of it */
    repack_poll(core);
    if (!list_empty(&core->queue))
        place_soon(core);
}

void idle_watch(struct core *core)
{
    if (!uv_is_active((uv_handle_t *)&core->poll_timer) && !core->stopping)
        (void)uv_timer_start(&core->poll_timer, idle_on_poll, core->poll_ms,
                             core->poll_ms); /* never NULL */
}
