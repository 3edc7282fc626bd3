/* Dice, words, and what commands wait for. */
#include "world.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* splitmix64. */
static uint64_t roll(struct world *w)
{
    uint64_t z = w->dice += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

unsigned dice(struct world *w, unsigned sides)
{
    return (unsigned)((roll(w) >> 32) * sides >> 32);
}

bool chance(struct world *w, unsigned percent)
{
    return dice(w, 100) < percent;
}

unsigned wrong(struct world *w, unsigned ways)
{
    unsigned way = chance(w, 20) ? 1 + dice(w, ways) : 0;
    if (w->is_wrong || !way)
        return 0;
    w->is_wrong = true;
    return way;
}

void scatter(struct world *w, void *bytes, size_t count)
{
    unsigned char *at = bytes;
    uint64_t state = roll(w) | 1;
    for (size_t i = 0; i < count; i++) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        at[i] = (unsigned char)state;
    }
}

void *keep(struct world *w, size_t bytes)
{
    struct kept *kept = aligned_alloc(128, (sizeof(*kept) + bytes + 127) / 128 * 128);
    if (!kept)
        need(CL_OUT_OF_HOST_MEMORY, "memory");
    memset(kept->bytes, 0, bytes);
    kept->next = w->kept;
    w->kept = kept;
    return kept->bytes;
}

unsigned char *host_bytes(struct world *w, size_t bytes)
{
    unsigned char *host = keep(w, bytes + 64);
    scatter(w, host, bytes);
    return host;
}

void say(struct world *w, const char *format, ...)
{
    va_list values;
    w->said++;
    va_start(values, format);
    (void)vfprintf(w->out, format, values);
    va_end(values);
}

void say_bytes(struct world *w, const char *what, const void *bytes, size_t count)
{
    const unsigned char *at = bytes;
    uint64_t state = 14695981039346656037u; /* FNV-1a */
    for (size_t i = 0; i < count; i++)
        state = (state ^ at[i]) * 1099511628211u;
    say(w, " %s %zu:%016llx", what, count, (unsigned long long)state);
}

bool told(struct world *w, const char *call, cl_int code)
{
    say(w, " %s=%d", call, (int)code);
    return code == CL_SUCCESS;
}

void need(cl_int code, const char *what)
{
    if (code == CL_SUCCESS)
        return;
    (void)fprintf(stderr, "%s: %d\n", what, (int)code);
    exit(2);
}

bool in_order(const struct queue *queue)
{
    return !(queue->properties & CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE);
}

void promise_drop(struct promise *promise)
{
    if (promise->event)
        need(clReleaseEvent(promise->event), "clReleaseEvent");
    *promise = (struct promise){0};
}

static struct promise promise_copy(struct promise promise)
{
    if (promise.event)
        need(clRetainEvent(promise.event), "clRetainEvent");
    return promise;
}

void open_gates(struct world *w, uint64_t gates)
{
    for (unsigned i = 0; i < w->gate_count; i++)
        if (gates & ~w->opened & (uint64_t)1 << i) {
            w->opened |= (uint64_t)1 << i;
            (void)told(w, "open", clSetUserEventStatus(w->gates[i], CL_COMPLETE));
        }
}

void await(struct world *w, struct promise promise)
{
    open_gates(w, promise.gates);
    if (promise.event)
        (void)told(w, "wait", clWaitForEvents(1, &promise.event));
}

struct promise last_of(struct world *w, struct contents *contents)
{
    struct queue *queue = contents->queue;
    if (queue && !contents->last.event) {
        need(clEnqueueMarkerWithWaitList(queue->handle, 0, NULL, &contents->last.event), "marker");
        contents->last.gates = queue->gates;
    }
    return contents->last;
}

struct queue *any_queue(struct world *w)
{
    struct queue *queue = &w->queues[dice(w, QUEUES)];
    return queue->handle ? queue : &w->queues[0];
}

struct command command_on(struct world *w, struct queue *queue)
{
    return (struct command){.queue = queue, .handle = queue->handle, .blocks = false};
}

void command_uses(struct command *command, struct contents *contents)
{
    command->uses[command->use_count++] = contents;
}

static void wait_for(struct command *command, struct promise promise)
{
    if (!promise.event)
        return;
    command->list[command->count++] = promise.event;
    command->gates |= promise.gates;
}

/* A list that is no list, an event of elsewhere, a queue that is none. */
static void spoil(struct world *w, struct command *command)
{
    static const cl_event none[1];
    w->is_wrong = true;
    switch (dice(w, 2) + (command->list_is_right || dice(w, 2) ? 4 : 2 * dice(w, 2))) {
    case 0:
        command->waits = NULL;
        command->count = 1;
        break;
    case 1:
        command->waits = command->list;
        command->count = 0;
        break;
    case 2:
        command->waits = none;
        command->count = 1;
        break;
    case 3:
        command->waits = &w->other->gates[0];
        command->count = 1;
        break;
    case 4:
        command->handle = NULL;
        break;
    default:
        command->handle = w->other->queues[0].handle;
        break;
    }
}

void command_begin(struct world *w, struct command *command)
{
    bool loose = !in_order(command->queue);
    if (!loose)
        command->gates = command->queue->gates;
    for (unsigned i = 0; i < command->use_count; i++) {
        struct contents *contents = command->uses[i];
        if (contents->queue && (loose || contents->queue != command->queue || chance(w, 20)))
            wait_for(command, last_of(w, contents));
    }
    for (unsigned more = chance(w, 20) ? dice(w, 4) : 0; more; more--)
        wait_for(command, w->events[dice(w, EVENTS)]);
    command->waits = command->count ? command->list : NULL;
    command->ret_event = loose || chance(w, 60) ? &command->event : NULL;
    /* Of an out-of-order queue a barrier may be among what it waits for. */
    if (command->blocks)
        open_gates(w, command->gates | command->queue->gates);
    if (!w->is_wrong && chance(w, 5))
        spoil(w, command);
}

/* Taken by a queue of elsewhere all the same: it ends here, for not every call may wait for it. */
static void end_elsewhere(struct world *w, const struct command *command)
{
    open_gates(w, command->gates);
    open_gates(w->other, ~(uint64_t)0);
    (void)told(w, "finish elsewhere", clFinish(command->handle));
}

bool command_end(struct world *w, struct command *command, const char *call, cl_int code)
{
    const bool is_here = command->handle == command->queue->handle;
    if (!told(w, call, code))
        return false;
    if (!is_here)
        end_elsewhere(w, command);
    struct promise done = {command->event, command->gates | command->queue->gates};
    command->queue->gates |= command->gates;
    if (in_order(command->queue))
        done.gates = command->queue->gates;
    for (unsigned i = 0; i < command->use_count; i++) {
        promise_drop(&command->uses[i]->last);
        command->uses[i]->last = is_here ? promise_copy(done) : (struct promise){0};
        command->uses[i]->queue = command->queue;
    }
    if (done.event && chance(w, 40) && is_here) {
        struct promise *slot = &w->events[dice(w, EVENTS)];
        promise_drop(slot);
        *slot = done;
    } else {
        promise_drop(&done);
    }
    return true;
}

void expect_data(struct world *w, const struct command *command, unsigned char *data, size_t bytes)
{
    if (command->blocks) {
        say_bytes(w, "data", data, bytes);
        return;
    }
    struct pending *pending = keep(w, sizeof(*pending));
    *pending = (struct pending){.data = data, .bytes = bytes, .step = w->step};
    pending->done = promise_copy(last_of(w, command->uses[0]));
    *w->last_pending = pending;
    w->last_pending = &pending->next;
}

void settle(struct world *w)
{
    for (; w->pending; w->pending = w->pending->next) {
        await(w, w->pending->done);
        say(w, " of %u", w->pending->step);
        say_bytes(w, "data", w->pending->data, w->pending->bytes);
        promise_drop(&w->pending->done);
    }
    w->last_pending = &w->pending;
}

void finish_all(struct world *w)
{
    open_gates(w, ~(uint64_t)0);
    for (unsigned i = 0; i < QUEUES; i++)
        if (w->queues[i].handle)
            (void)told(w, "finish", clFinish(w->queues[i].handle));
}

struct contents *contents_new(struct world *w)
{
    struct contents *contents = keep(w, sizeof(*contents));
    contents->next = w->contents;
    w->contents = contents;
    return contents;
}
