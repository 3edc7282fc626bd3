/* A trace in time: see replay.h. */
#include "sched/replay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "sched/plan.h"
#include "sched/repack.h"

#define WINDOW 256 /* waiting tasks looked at in one decision */
#define HEADS 4    /* of them those that have waited longest, when nothing has come free */
#define COVER_USUAL 0.95
#define HOLD_AFTER_US (600ull * 1000000)
#define REPACKS 4 /* waiting tasks for which moves are sought, per decision */
#define HOPELESS_MAX 256
#define SECOND_US 1000000.0
#define SLOWDOWN_MIN_S 10 /* shorter tasks would drown the others in the mean */

struct sample {
    uint64_t at_us;
    double used; /* thousandths of a device */
};

/* Sums of one tenant. */
struct account {
    double slowdown;
    size_t count;
};

struct replay {
    const struct trace *trace;
    const struct replay_options *options;
    struct fleet_node *nodes;
    struct fragment_usual usual;
    struct chooser *chooser;
    uint64_t *arrives_us; /* by place in the order of arrival */
    uint32_t *queue;      /* such places; the longest waiting first */
    size_t queue_count, arrived;
    size_t fresh;                 /* of the end of the queue: not looked at yet */
    struct plan_running *running; /* oldest first */
    uint32_t *runs;               /* their places in the order of arrival */
    size_t running_count;
    struct sample *samples;
    size_t sample_count;
    double *waits, *jcts; /* seconds, of those that started and of those that ended */
    size_t wait_count, jct_count;
    struct account accounts[TRACE_TENANTS_MAX];
    uint64_t *times_ns;
    size_t decision_count;
    uint64_t now_us, decide_at_us;
    double capacity, used, area, peak;
    double moves_left; /* of this hour's */
    size_t moves;
    struct fleet_shape hopeless[HOPELESS_MAX]; /* that no move lets in as it is */
    size_t hopeless_count;
    bool freed; /* something came free since the last decision */
};

static const struct trace_task *task_of(const struct replay *replay, uint32_t place)
{
    return &replay->trace->tasks[replay->trace->order[place]];
}

static double size_of(const struct fleet_shape *shape)
{
    return (double)shape->count * shape->share_permille;
}

/* -- making -- */

static void replay_finish(struct replay *replay)
{
    chooser_destroy(replay->chooser);
    free(replay->nodes);
    free(replay->arrives_us);
    free(replay->queue);
    free(replay->running);
    free(replay->runs);
    free(replay->samples);
    free(replay->waits);
    free(replay->jcts);
    free(replay->times_ns);
}

static void arrivals_set(struct replay *replay)
{
    const struct trace *trace = replay->trace;
    bool timed = false;
    for (uint32_t i = 0; i < trace->order_count; i++)
        timed = timed || task_of(replay, i)->arrival_s > 0;
    for (uint32_t i = 0; i < trace->order_count; i++)
        replay->arrives_us[i] =
            (uint64_t)((timed ? task_of(replay, i)->arrival_s : (double)i) * SECOND_US);
}

static int usual_learn(struct replay *replay)
{
    size_t count = replay->trace->task_count;
    struct fleet_shape *shapes = calloc(count + 1, sizeof(*shapes));
    if (!shapes)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        shapes[i] = replay->trace->tasks[i].shape;
    int r = fragment_learn(&replay->usual, shapes, count, COVER_USUAL);
    free(shapes);
    return r;
}

static int replay_init(struct replay *replay, const struct trace *trace,
                       const struct replay_options *options)
{
    size_t count = trace->order_count;
    *replay = (struct replay){
        .trace = trace,
        .options = options,
        .nodes = malloc((trace->node_count + 1) * sizeof(*replay->nodes)),
        .arrives_us = calloc(count + 1, sizeof(*replay->arrives_us)),
        .queue = calloc(count + 1, sizeof(*replay->queue)),
        .running = calloc(count + 1, sizeof(*replay->running)),
        .runs = calloc(count + 1, sizeof(*replay->runs)),
        .samples = calloc(4 * count + 4, sizeof(*replay->samples)),
        .waits = calloc(count + 1, sizeof(*replay->waits)),
        .jcts = calloc(count + 1, sizeof(*replay->jcts)),
        .times_ns = calloc(4 * count + 4, sizeof(*replay->times_ns)),
    };
    if (!replay->nodes || !replay->arrives_us || !replay->queue || !replay->running ||
        !replay->runs || !replay->samples || !replay->waits || !replay->jcts || !replay->times_ns)
        return -ENOMEM;
    memcpy(replay->nodes, trace->nodes, trace->node_count * sizeof(*trace->nodes));
    arrivals_set(replay);
    if (usual_learn(replay) < 0)
        return -ENOMEM;
    for (size_t i = 0; i < trace->node_count; i++)
        replay->capacity += (double)trace->nodes[i].device_count * FLEET_WHOLE;
    replay->chooser = chooser_create(options->rule, replay->nodes, trace->node_count,
                                     &replay->usual, options->seed);
    return replay->chooser ? 0 : -ENOMEM;
}

/* -- what happens -- */

static void use(struct replay *replay, double change)
{
    replay->used += change;
    if (change < 0)
        replay->hopeless_count = 0;
    replay->peak = replay->used > replay->peak ? replay->used : replay->peak;
    if (replay->sample_count && replay->samples[replay->sample_count - 1].at_us == replay->now_us)
        replay->sample_count--;
    replay->samples[replay->sample_count++] = (struct sample){replay->now_us, replay->used};
}

static void clock_advance(struct replay *replay, uint64_t to_us)
{
    double past_s = (double)(to_us - replay->now_us) / SECOND_US;
    double hour = replay->options->moves_per_hour;
    replay->area += replay->used * past_s;
    replay->moves_left += hour * past_s / 3600;
    replay->moves_left = replay->moves_left > hour ? hour : replay->moves_left;
    replay->now_us = to_us;
}

/* It has its place in the fleet. */
static void start(struct replay *replay, uint32_t place, struct fleet_place where)
{
    const struct trace_task *task = task_of(replay, place);
    size_t at = replay->running_count++;
    uint64_t length_us = task->duration_s > 0 ? (uint64_t)(task->duration_s * SECOND_US) : PLAN_FAR;
    replay->running[at] =
        (struct plan_running){task->shape, where, plan_later(replay->now_us, length_us)};
    replay->runs[at] = place;
    replay->waits[replay->wait_count++] =
        (double)(replay->now_us - replay->arrives_us[place]) / SECOND_US;
    use(replay, size_of(&task->shape));
}

static void end(struct replay *replay, size_t index)
{
    const struct plan_running *running = &replay->running[index];
    uint32_t place = replay->runs[index];
    const struct trace_task *task = task_of(replay, place);
    double jct_s = (double)(replay->now_us - replay->arrives_us[place]) / SECOND_US;
    replay->jcts[replay->jct_count++] = jct_s;
    if (task->duration_s >= SLOWDOWN_MIN_S) {
        replay->accounts[task->tenant].slowdown += jct_s / task->duration_s;
        replay->accounts[task->tenant].count++;
    }
    chooser_give(replay->chooser, &running->shape, running->place);
    use(replay, -size_of(&running->shape));
    size_t rest = --replay->running_count - index;
    memmove(&replay->running[index], &replay->running[index + 1], rest * sizeof(*running));
    memmove(&replay->runs[index], &replay->runs[index + 1], rest * sizeof(*replay->runs));
    replay->freed = true;
}

static uint64_t next_end(const struct replay *replay)
{
    uint64_t at_us = PLAN_FAR;
    for (size_t i = 0; i < replay->running_count; i++)
        at_us = replay->running[i].ends_us < at_us ? replay->running[i].ends_us : at_us;
    return at_us;
}

/* -- deciding -- */

/* What is looked at: all that wait when something came free, else the new ones, and with backfill
 * those whose places they must not take. Places in the queue, in order. */
static size_t window_fill(const struct replay *replay, uint32_t window[WINDOW])
{
    size_t count = 0, old = replay->queue_count - replay->fresh;
    size_t heads = replay->freed ? WINDOW : replay->options->backfill ? HEADS : 0;
    for (size_t i = 0; i < old && i < heads && count < WINDOW; i++)
        window[count++] = (uint32_t)i;
    for (size_t i = old; i < replay->queue_count && count < WINDOW; i++)
        window[count++] = (uint32_t)i;
    return count;
}

static int plan_window(struct replay *replay, const uint32_t *window, size_t count,
                       struct plan_outcome *outcomes)
{
    const struct replay_options *options = replay->options;
    struct plan_task tasks[WINDOW];
    for (size_t i = 0; i < count; i++) {
        uint32_t place = replay->queue[window[i]];
        const struct trace_task *task = task_of(replay, place);
        tasks[i] = (struct plan_task){
            .shape = task->shape,
            .length_us = task->duration_s > 0 ? (uint64_t)(task->duration_s * SECOND_US) : PLAN_FAR,
            .since_us = options->backfill ? replay->arrives_us[place] : replay->now_us,
        };
    }
    const struct plan plan = {
        .chooser = replay->chooser,
        .nodes = replay->nodes,
        .node_count = replay->trace->node_count,
        .running = replay->running,
        .running_count = options->backfill ? replay->running_count : 0,
        .tasks = tasks,
        .task_count = count,
        .now_us = replay->now_us,
        .hold_after_us = HOLD_AFTER_US,
        .search = options->search,
    };
    uint64_t begin_ns = options->now_ns ? options->now_ns(options->clock_arg) : 0;
    int r = plan_make(&plan, outcomes);
    if (options->now_ns && replay->decision_count < 4 * replay->trace->order_count)
        replay->times_ns[replay->decision_count++] =
            (options->now_ns(options->clock_arg) - begin_ns) / (count ? count : 1);
    return r;
}

static bool is_hopeless(const struct replay *replay, const struct fleet_shape *shape)
{
    for (size_t i = 0; i < replay->hopeless_count; i++) {
        if (fleet_shape_equal(&replay->hopeless[i], shape))
            return true;
    }
    return false;
}

/* Let one waiting task in by moving others. 1 when it starts, 0, or -ENOMEM. */
static int repack(struct replay *replay, uint32_t place)
{
    struct repack_move moves[REPACK_MOVES_MAX];
    struct fleet_place where;
    const struct fleet_shape *shape = &task_of(replay, place)->shape;
    struct repack_task *tasks = malloc((replay->running_count + 1) * sizeof(*tasks));
    if (!tasks)
        return -ENOMEM;
    for (size_t i = 0; i < replay->running_count; i++)
        tasks[i] = (struct repack_task){replay->running[i].shape, replay->running[i].place, true};
    const struct repack problem = {.chooser = replay->chooser,
                                   .nodes = replay->nodes,
                                   .running = tasks,
                                   .running_count = replay->running_count,
                                   .may_stay = true,
                                   .may_swap = true};
    int count = repack_find(&problem, shape, moves, &where);
    free(tasks);
    if (count == 0 && replay->hopeless_count < HOPELESS_MAX)
        replay->hopeless[replay->hopeless_count++] = *shape;
    if (count <= 0 || count > replay->moves_left)
        return count < 0 ? count : 0;
    for (int i = 0; i < count; i++) {
        struct plan_running *moved = &replay->running[moves[i].task];
        chooser_give(replay->chooser, &moved->shape, moved->place);
    }
    for (int i = 0; i < count; i++) {
        struct plan_running *moved = &replay->running[moves[i].task];
        chooser_take(replay->chooser, &moved->shape, moves[i].to);
        moved->place = moves[i].to;
    }
    chooser_take(replay->chooser, shape, where);
    replay->moves_left -= count;
    replay->moves += (size_t)count;
    start(replay, place, where);
    return 1;
}

/* Those of the window that have started leave the queue. */
static void queue_sweep(struct replay *replay, const uint32_t *window, size_t count,
                        const bool *started)
{
    size_t kept = count ? window[0] : replay->queue_count, next = 0;
    for (size_t i = kept; i < replay->queue_count; i++) {
        bool gone = next < count && window[next] == i && started[next];
        next += next < count && window[next] == i;
        if (!gone)
            replay->queue[kept++] = replay->queue[i];
    }
    replay->queue_count = kept;
}

/* Moves for those that still wait, the newest first, at most for `tries`; each shape that none
 * helps is tried once until something ends. */
static int queue_repack(struct replay *replay, size_t tries)
{
    size_t tried = 0;
    for (size_t i = replay->queue_count; i-- > 0 && tried < tries && replay->moves_left >= 1;) {
        uint32_t place = replay->queue[i];
        if (is_hopeless(replay, &task_of(replay, place)->shape))
            continue;
        tried++;
        int r = repack(replay, place);
        if (r < 0)
            return r;
        if (r > 0) {
            memmove(&replay->queue[i], &replay->queue[i + 1],
                    (--replay->queue_count - i) * sizeof(*replay->queue));
        }
    }
    return 0;
}

static int decide(struct replay *replay)
{
    uint32_t window[WINDOW];
    struct plan_outcome outcomes[WINDOW];
    bool started[WINDOW] = {false};
    size_t count = window_fill(replay, window);
    int r = plan_window(replay, window, count, outcomes);
    for (size_t i = 0; r >= 0 && i < count; i++) {
        started[i] = outcomes[i].verdict == PLAN_STARTS;
        if (started[i])
            start(replay, replay->queue[window[i]], outcomes[i].place);
    }
    size_t beyond = replay->queue_count - (count ? window[count - 1] + 1 : 0);
    queue_sweep(replay, window, count, started);
    replay->fresh = replay->fresh > beyond ? beyond : replay->fresh;
    replay->freed = replay->freed && count == WINDOW && r > 0;
    if (r >= 0 && replay->fresh == 0)
        r = queue_repack(replay, REPACKS);
    replay->decide_at_us = replay->now_us + (uint64_t)(replay->options->window_s * SECOND_US);
    return r < 0 ? r : 0;
}

static bool is_pending(const struct replay *replay)
{
    return replay->fresh || (replay->freed && replay->queue_count);
}

/* Nothing comes and nothing ends any more: whoever one move has let in may have made room for the
 * next. */
static int settle(struct replay *replay)
{
    size_t before = SIZE_MAX;
    int r = 0;
    while (r == 0 && before != replay->moves && replay->moves_left >= 1) {
        before = replay->moves;
        replay->hopeless_count = 0;
        r = queue_repack(replay, SIZE_MAX);
    }
    return r;
}

static int play(struct replay *replay)
{
    size_t total = replay->trace->order_count;
    for (int r = 0; r == 0;) {
        uint64_t arrival_us =
            replay->arrived < total ? replay->arrives_us[replay->arrived] : PLAN_FAR;
        uint64_t next_us = next_end(replay);
        next_us = arrival_us < next_us ? arrival_us : next_us;
        if (is_pending(replay)) {
            uint64_t due_us =
                replay->decide_at_us > replay->now_us ? replay->decide_at_us : replay->now_us;
            if (due_us < next_us || due_us == replay->now_us) {
                clock_advance(replay, due_us);
                r = decide(replay);
                if (r < 0)
                    return r;
                continue;
            }
        }
        if (next_us == PLAN_FAR)
            break;
        clock_advance(replay, next_us);
        for (size_t i = replay->running_count; i-- > 0;) {
            if (replay->running[i].ends_us <= next_us)
                end(replay, i);
        }
        for (; replay->arrived < total && replay->arrives_us[replay->arrived] <= next_us;
             replay->arrived++, replay->fresh++)
            replay->queue[replay->queue_count++] = (uint32_t)replay->arrived;
    }
    return settle(replay);
}

/* -- the sums -- */

static int by_real(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static int by_value(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

static double mean(const double *values, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += values[i];
    return count ? sum / (double)count : 0;
}

static double part(double *values, size_t count, size_t percent)
{
    if (count == 0)
        return 0;
    qsort(values, count, sizeof(*values), by_real);
    return values[(count - 1) * percent / 100];
}

static void tenants_sum(const struct replay *replay, struct replay_result *result)
{
    double sum = 0, squares = 0, tenants = 0, all = 0, count = 0;
    for (size_t i = 0; i < TRACE_TENANTS_MAX; i++) {
        const struct account *account = &replay->accounts[i];
        if (account->count == 0)
            continue;
        double slowdown = account->slowdown / (double)account->count;
        sum += slowdown;
        squares += slowdown * slowdown;
        tenants++;
        all += account->slowdown;
        count += (double)account->count;
    }
    result->slowdown_mean = count > 0 ? all / count : 0;
    result->fairness = squares > 0 ? sum * sum / (tenants * squares) : 1;
}

static void series_fill(const struct replay *replay, struct replay_result *result)
{
    size_t at = 0;
    double used = 0;
    for (size_t i = 0; i < REPLAY_SERIES; i++) {
        double until_us = (double)replay->now_us * (double)(i + 1) / REPLAY_SERIES;
        for (; at < replay->sample_count && (double)replay->samples[at].at_us <= until_us; at++)
            used = replay->samples[at].used;
        result->series_percent[i] = replay->capacity > 0 ? used / replay->capacity * 100 : 0;
    }
}

static void summarise(struct replay *replay, struct replay_result *result)
{
    double whole = replay->capacity > 0 ? replay->capacity : 1;
    result->started = replay->wait_count;
    result->waiting = replay->queue_count;
    result->moves = replay->moves;
    result->makespan_s = (double)replay->now_us / SECOND_US;
    result->wait_mean_s = mean(replay->waits, replay->wait_count);
    result->wait_p50_s = part(replay->waits, replay->wait_count, 50);
    result->wait_p95_s = part(replay->waits, replay->wait_count, 95);
    result->wait_max_s = part(replay->waits, replay->wait_count, 100);
    result->jct_mean_s = mean(replay->jcts, replay->jct_count);
    result->jct_p95_s = part(replay->jcts, replay->jct_count, 95);
    result->used_percent =
        result->makespan_s > 0 ? replay->area / (whole * result->makespan_s) * 100 : 0;
    result->peak_percent = replay->peak / whole * 100;
    tenants_sum(replay, result);
    series_fill(replay, result);
    if (replay->decision_count == 0)
        return;
    qsort(replay->times_ns, replay->decision_count, sizeof(*replay->times_ns), by_value);
    result->decision_p50_ns = replay->times_ns[replay->decision_count / 2];
    result->decision_p99_ns =
        replay->times_ns[replay->decision_count - 1 - replay->decision_count / 100];
}

int replay_run(const struct trace *trace, const struct replay_options *options,
               struct replay_result *ret_result, struct error *err)
{
    struct replay *replay = calloc(1, sizeof(*replay));
    struct replay_result result = {0};
    int r = replay ? replay_init(replay, trace, options) : -ENOMEM;
    if (r == 0)
        r = play(replay);
    if (r == 0)
        summarise(replay, &result);
    if (replay)
        replay_finish(replay);
    free(replay);
    if (r < 0)
        return error_set(err, r, "out-of-memory", "replaying %zu tasks", trace->order_count);
    *ret_result = result;
    return 0;
}
