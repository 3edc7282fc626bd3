/* Moves of cards: see repack.h. */
#include "core/repack.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "core/core_impl.h"
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

static bool is_movable(const struct live_job *live)
{
    bool runs = live->job.state == JOB_RUNNING || live->job.state == JOB_IDLE;
    return runs && live->has_card && !live->sharing && !live->ending && list_empty(&live->waking) &&
           !live->job.request.device;
}

static size_t movables_find(const struct core *core, const struct sched_state *state,
                            struct sched_movable *movables)
{
    size_t count = 0;
    for (size_t i = 0; i < state->running_count; i++) {
        const struct live_job *live = core_find(core, state->running[i].job);
        if (live && is_movable(live))
            movables[count++] = (struct sched_movable){i, place_job(&live->job)};
    }
    return count;
}

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
    char id[JOB_ID_TEXT_MAX], other[JOB_ID_TEXT_MAX];
    AUTO_JSON json_t *options = json_pack("{s:s}", "device", device);
    AUTO_JSON json_t *data =
        json_pack("{s:s, s:s}", "device", device, "for", job_id_text(behind->job.id, other));
    struct store_event event = commit_event(core, "job.moving", job);
    event.data = data;
    commit_note(core, &event);
    core->repacking.moves_left--;
    core->repacking.moving = true;
    core_card_carry(core, "move", job_id_text(job, id), options, on_moved, core);
}

void repack_poll(struct core *core)
{
    struct sched_state state;
    if (core->repacking.moving || core->stopping || !core->cards_known || core->device_count < 2 ||
        list_empty(&core->queue) || !has_moves(core))
        return;
    const struct live_job *behind = waiter(core);
    if (!behind || place_state_make(core, NULL, 0, &state) < 0)
        return;
    struct sched_job asked = place_job(&behind->job);
    AUTO_FREE struct sched_movable *movables = calloc(state.running_count + 1, sizeof(*movables));
    size_t count = movables ? movables_find(core, &state, movables) : 0, which, device;
    if (count && sched_repack(choose_rules, &state, &asked, movables, count, &which, &device) == 1)
        move(core, movables[which].job.id, state.devices[device].id, behind);
    place_state_finish(&state);
}
