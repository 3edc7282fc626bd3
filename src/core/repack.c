/* Moves of cards: see repack.h. */
#include "core/repack.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "core/core_impl.h"
#include "core/devices.h"
#include "sched/choose.h"

#define HOUR_MS 3600000.0

void repack_init(struct core *core, uint32_t moves_per_hour)
{
    core->repacking = (struct repacking){
        .moves_per_hour = moves_per_hour,
        .moves_left = moves_per_hour,
        .counted_ms = uv_now(core->loop),
    };
}

/* Moves come back by and by, up to an hour's. */
static bool has_moves(struct core *core)
{
    struct repacking *repacking = &core->repacking;
    uint64_t now_ms = uv_now(core->loop);
    double hour = repacking->moves_per_hour;
    double left = repacking->moves_left + hour * (double)(now_ms - repacking->counted_ms) / HOUR_MS;
    repacking->moves_left = left > hour ? hour : left;
    repacking->counted_ms = now_ms;
    return repacking->moves_left >= 1;
}

/* The first of the queue, when only the devices are in its way. */
static const struct live_job *waiter(const struct core *core)
{
    const struct live_job *live = LIST_ENTRY(core->queue.next, struct live_job, queued);
    enum sched_why why = live->finding.why;
    bool lacks = why == SCHED_WHY_SHARE || why == SCHED_WHY_FULL || why == SCHED_WHY_MEMORY;
    return live->finding.start_us && lacks && !live->job.request.gang ? live : NULL;
}

/* -- who can move -- */

static bool is_movable(const struct live_job *live)
{
    bool runs = live->job.state == JOB_RUNNING || live->job.state == JOB_IDLE;
    return runs && live->has_card && !live->sharing && !live->ending && list_empty(&live->waking) &&
           !live->job.request.device && !live->stays;
}

/* The devices that can stand in for the job's; the contexts of CUDA programs stay. */
static uint64_t devices_for(const struct core *core, const struct live_job *live)
{
    const struct device *home = devices_find(core, live->job.device);
    uint64_t devices = 0;
    for (size_t i = 0; home && i < core->device_count && i < SCHED_DEVICES_MAX; i++) {
        const struct device *device = &core->devices[i];
        bool suits =
            device == home || (!job_is_cuda(&live->job.request) && devices_alike(home, device));
        devices |= (uint64_t)suits << i;
    }
    return devices;
}

static size_t movables_find(const struct core *core, const struct sched_state *state,
                            struct sched_movable *movables)
{
    size_t count = 0;
    for (size_t i = 0; i < state->running_count; i++) {
        const struct live_job *live = core_find(core, state->running[i].job);
        if (live && is_movable(live))
            movables[count++] =
                (struct sched_movable){i, place_job(&live->job), devices_for(core, live)};
    }
    return count;
}

static void note_moving(struct core *core, uint64_t job, const char *device,
                        const struct live_job *behind)
{
    char other[JOB_ID_TEXT_MAX];
    AUTO_JSON json_t *data =
        json_pack("{s:s, s:s}", "device", device, "for", job_id_text(behind->job.id, other));
    struct store_event event = commit_event(core, "job.moving", job);
    event.data = data;
    commit_note(core, &event);
    core->repacking.moves_left--;
}

/* -- one card -- */

static void on_moved(void *arg, json_t *result, const struct error *err)
{
    struct core *core = arg;
    json_decref(result);
    core->repacking.moving = false;
    if (err)
        log_event(LOG_WARN, "card.move", "code=%s text=\"%s\"", err->code, err->text);
}

static void move(struct core *core, uint64_t job, const char *device, const struct live_job *behind)
{
    char id[JOB_ID_TEXT_MAX];
    AUTO_JSON json_t *options = json_pack("{s:s}", "device", device);
    note_moving(core, job, device, behind);
    core->repacking.moving = true;
    core_card_carry(core, "move", job_id_text(job, id), options, on_moved, core);
}

/* -- several that change places -- */

static bool is_on_its_way(const struct live_job *live)
{
    return live && live->sharing && !live->ending && !live->away;
}

/* Its room is free. */
static bool has_left(const struct live_job *live)
{
    return !live || live->ending || live->away;
}

/* Whoever is away goes to the device that is meant for it, ahead of all others that wake. When one
 * could not leave, all go back. */
static void exchange_end(struct core *core, bool whole)
{
    struct repacking *repacking = &core->repacking;
    size_t count = repacking->step_count;
    repacking->step_count = 0;
    for (size_t i = count; i-- > 0;) {
        struct live_job *live = core_find(core, repacking->steps[i].job);
        if (!live || live->ending)
            continue;
        if (whole)
            (void)place_set(core, live, repacking->steps[i].device); /* or the old one stays */
        if (!list_empty(&live->waking)) {
            list_remove(&live->waking);
            list_append(core->waking.next, &live->waking);
        }
    }
    if (!whole)
        log_event(LOG_WARN, "card.exchange", "text=\"a card could not leave its device\"");
    idle_wake_all(core);
    place_soon(core);
}

bool repack_is_busy(struct core *core)
{
    const struct repacking *repacking = &core->repacking;
    bool whole = true;
    for (size_t i = 0; i < repacking->step_count; i++) {
        const struct live_job *live = core_find(core, repacking->steps[i].job);
        if (is_on_its_way(live))
            return true;
        whole = whole && has_left(live);
    }
    if (repacking->step_count)
        exchange_end(core, whole);
    return false;
}

static void exchange_begin(struct core *core, const struct sched_state *state,
                           const struct sched_movable *movables, const struct sched_move *moves,
                           size_t count, const struct live_job *behind)
{
    struct repacking *repacking = &core->repacking;
    for (size_t i = 0; i < count; i++) {
        struct repack_step *step = &repacking->steps[i];
        step->job = movables[moves[i].movable].job.id;
        (void)snprintf(step->device, sizeof(step->device), "%s",
                       state->devices[moves[i].device].id);
        note_moving(core, step->job, step->device, behind);
        idle_take(core, core_find(core, step->job), IDLE_EXCHANGED);
    }
    repacking->step_count = count;
}

/* -- when -- */

/* Idle jobs leave no compute behind that they would come back to, so only running ones change
 * places. */
static size_t running_only(const struct core *core, struct sched_movable *movables, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (core_find(core, movables[i].job.id)->job.state == JOB_RUNNING)
            movables[kept++] = movables[i];
    }
    return kept;
}

static void seek(struct core *core, const struct sched_state *state, const struct live_job *behind)
{
    struct sched_job asked = place_job(&behind->job);
    struct sched_move moves[SCHED_MOVES_MAX];
    AUTO_FREE struct sched_movable *movables = calloc(state->running_count + 1, sizeof(*movables));
    size_t count = movables ? movables_find(core, state, movables) : 0;
    if (count == 0)
        return;
    if (sched_repack(choose_rules, state, &asked, movables, count, moves) == 1) {
        move(core, movables[moves->movable].job.id, state->devices[moves->device].id, behind);
        return;
    }
    count = running_only(core, movables, count);
    int found = sched_exchange(choose_rules, state, &asked, movables, count, moves);
    if (found > 0 && found <= core->repacking.moves_left && list_empty(&core->waking))
        exchange_begin(core, state, movables, moves, (size_t)found, behind);
}

void repack_poll(struct core *core)
{
    struct sched_state state;
    if (core->repacking.step_count) {
        (void)repack_is_busy(core); /* the next poll sees what has become of it */
        return;
    }
    if (core->repacking.moving || core->stopping || !core->cards_known || core->device_count < 2 ||
        list_empty(&core->queue) || !has_moves(core))
        return;
    const struct live_job *behind = waiter(core);
    if (!behind || place_state_make(core, NULL, 0, &state) < 0)
        return;
    seek(core, &state, behind);
    place_state_finish(&state);
}
