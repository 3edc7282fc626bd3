/* Completion and its order of publication: see completion.h. Runs on the driver's threads, too. */
#include "card/executor/completion.h"

#include <stdlib.h>

#include "card/executor/command.h"
#include "card/executor/session.h"
#include "card/ledger/futex.h"
#include "card/ledger/ledger.h"
#include "card/ledger/trace.h"
#include "card/meter/meter.h"
#include "card/wire/wake.h"

/* `follower` is published after the command that has this edge in its list. */
struct edge {
    struct command *follower;
    struct edge *next;
    int embedded; /* in the follower; not to be freed */
};

struct times {
    uint64_t queued_ns, submit_ns, start_ns, end_ns;
};

#define LOOK_EVERY 32 /* quiet commands between two looks for their ends, while records come */

struct command {
    struct list link; /* in session->commands until it is published, then among what is ready */
    struct list quiet_link; /* in session->quiet until somebody has claimed its end */
    struct session *session;
    const struct seat *seat; /* of its queue */
    cl_event event;          /* one reference, released when the command has ended */
    uint32_t event_slot, queue_slot;
    uint64_t estimate_ns, copied_ns;
    uint64_t *pace;
    int metered; /* the meter knows it */
    int timed;   /* the client may ask for its times */
    int quiet;
    int user_waits; /* for an event of the user that was open */
    cl_int error;   /* it ends with this whatever the driver says; 0: with the driver's status */
    struct trace_entry *traced; /* to be completed and written; NULL: nobody looks; owned */

    /* Under commands_lock. */
    int done;       /* somebody has claimed its end */
    int reported;   /* a quiet one that the driver reports after all */
    int kept;       /* swept: the driver may still call back, so the struct stays */
    int cascaded;   /* it failed because what it waited for did */
    unsigned holds; /* commands to be published before, and 1 until it has ended itself */
    struct edge *followers;
    struct edge queue_edge; /* used to follow the queue's last command */
    cl_int status;
    struct times times;
};

static void write_end(struct command *command)
{
    struct session *session = command->session;
    struct wire_queue_state *queue = &session->queue_states[command->queue_slot];
    struct wire_event_state *event = &session->event_states[command->event_slot];
    if (command->event_slot) {
        event->queued_ns = command->times.queued_ns;
        event->submit_ns = command->times.submit_ns;
        event->start_ns = command->times.start_ns;
        event->end_ns = command->times.end_ns;
    }
    if (command->status < 0 && !command->cascaded) {
        int32_t none = 0; /* the first error stays */
        (void)__atomic_compare_exchange_n(&queue->error, &none, command->status, 0,
                                          __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    }
    /* The event first: whom the counter lets go finds it ended. */
    if (command->event_slot) {
        __atomic_store_n(&event->status, command->status, __ATOMIC_SEQ_CST);
        if (wire_event_wakes(event))
            futex_wake((const uint32_t *)&event->status, INT_MAX);
    }
    __atomic_add_fetch(&queue->completed, 1, __ATOMIC_SEQ_CST);
    if (wire_queue_wakes(queue))
        futex_wake(&queue->woken, INT_MAX);
}

static void tell_client(struct session *session)
{
    struct wire_session *shared = session->shared;
    __atomic_add_fetch(&shared->completion, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&shared->waiters, __ATOMIC_SEQ_CST))
        futex_wake(&shared->completion, INT_MAX);
}

/* Take one hold off; with the last the command moves to `ready`. */
static void drop_hold(struct command *command, struct list *ready)
{
    if (--command->holds)
        return;
    list_remove(&command->link);
    list_append(ready, &command->link);
}

static void forget(struct command *command)
{
    struct session *session = command->session;
    struct event_slot *slot = &session->events[command->event_slot];
    if (session->queue_last[command->queue_slot] == command)
        session->queue_last[command->queue_slot] = NULL;
    if (slot->command == command)
        slot->command = NULL;
    list_append(command->kept ? &session->swept : &session->spare, &command->link);
}

/* The command has ended: publish it, unless something must come first, and what waited for it. */
static void publish(struct command *command)
{
    struct session *session = command->session;
    struct list ready = LIST_INIT(ready);
    int published = 0,
        waited_for = __atomic_load_n(&session->shared->sleepers, __ATOMIC_SEQ_CST) != 0;
    pthread_mutex_lock(&session->commands_lock);
    drop_hold(command, &ready);
    while (!list_empty(&ready)) {
        struct command *next = LIST_ENTRY(ready.next, struct command, link);
        list_remove(&next->link);
        write_end(next);
        published = 1;
        while (next->followers) {
            struct edge *edge = next->followers;
            next->followers = edge->next;
            edge->follower->cascaded |= next->status < 0;
            drop_hold(edge->follower, &ready);
            if (!edge->embedded)
                free(edge);
        }
        forget(next);
    }
    int last = list_empty(&session->commands);
    pthread_mutex_unlock(&session->commands_lock);
    if (published)
        tell_client(session);
    if (published && waited_for && last)
        consumer_expect(&session->consumer);
}

/* The meter needs three of the times. */
static struct times read_times(cl_event event, int all)
{
    struct times times = {0};
    const size_t bytes = sizeof(uint64_t);
    /* A driver without times leaves a command that took none. */
    (void)clGetEventProfilingInfo(event, CL_PROFILING_COMMAND_QUEUED, bytes, &times.queued_ns,
                                  NULL);
    if (all)
        (void)clGetEventProfilingInfo(event, CL_PROFILING_COMMAND_SUBMIT, bytes, &times.submit_ns,
                                      NULL);
    (void)clGetEventProfilingInfo(event, CL_PROFILING_COMMAND_START, bytes, &times.start_ns, NULL);
    (void)clGetEventProfilingInfo(event, CL_PROFILING_COMMAND_END, bytes, &times.end_ns, NULL);
    return times;
}

/* A moving average: an eighth of the newest. */
static void learn_pace(uint64_t *pace, uint64_t took_ns)
{
    uint64_t old = __atomic_load_n(pace, __ATOMIC_RELAXED);
    uint64_t learned = old ? old - old / 8 + took_ns / 8 : took_ns;
    __atomic_store_n(pace, learned ? learned : 1, __ATOMIC_RELAXED);
}

static struct trace_entry *trace_begin(const struct session *session, const struct order *order)
{
    const struct seat *seat = order_seat(session, order);
    if (!seat->trace || !__atomic_load_n(&seat->ledger->tracing, __ATOMIC_RELAXED))
        return NULL;
    struct trace_entry *entry = calloc(1, sizeof(*entry));
    if (!entry)
        return NULL; /* one that is not seen */
    const char *name = order->kernel ? order->kernel : wire_opcode_name(session->opcode);
    (void)snprintf(entry->name, sizeof(entry->name), "%s", name);
    entry->slot = seat->slot;
    entry->queue = order->queue->slot;
    return entry;
}

/* Only what ran has times. */
static void trace_end(struct command *command)
{
    struct trace_entry *entry = command->traced;
    if (entry && command->status == CL_COMPLETE && command->event) {
        entry->queued_ns = command->times.queued_ns;
        entry->submit_ns = command->times.submit_ns;
        entry->start_ns = command->times.start_ns;
        entry->end_ns = command->times.end_ns;
        trace_write(command->seat->trace, entry);
    }
    free(entry);
    command->traced = NULL;
}

/* The caller has claimed the end of this command. */
static void end_command(struct command *command, cl_int status)
{
    command->status = command->error ? command->error : status;
    if (command->status == CL_COMPLETE && command->event) {
        command->times = read_times(command->event, command->timed || command->traced);
        if (command->pace && command->times.end_ns >= command->times.start_ns)
            learn_pace(command->pace, command->times.end_ns - command->times.start_ns);
    }
    if (command->metered) {
        struct meter_span span = {command->times.queued_ns, command->times.start_ns,
                                  command->times.end_ns + command->copied_ns};
        if (!command->event) /* the driver never had it */
            span = (struct meter_span){.aside_ns = command->copied_ns};
        meter_charge(command->seat->meter, &span, command->estimate_ns);
    }
    trace_end(command);
    if (command->event)
        (void)clReleaseEvent(command->event); /* ours */
    publish(command);
}

static int claim_end(struct command *command)
{
    pthread_mutex_lock(&command->session->commands_lock);
    int first = !command->done;
    command->done = 1;
    pthread_mutex_unlock(&command->session->commands_lock);
    return first;
}

static cl_int status_of(cl_event event)
{
    cl_int status = CL_QUEUED;
    (void)clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof(status), &status, NULL);
    return status;
}

/* With the lock, as all that follows up to reap, which give it away for calls into the driver. Only
 * the thread that reaps takes commands off. */
static struct command *quiet_at(struct session *session, uint32_t slot, int last)
{
    struct list *quiet = &session->quiet[slot];
    return list_empty(quiet)
               ? NULL
               : LIST_ENTRY(last ? quiet->prev : quiet->next, struct command, quiet_link);
}

static void quiet_remove(struct session *session, struct command *command)
{
    list_remove(&command->quiet_link);
    __atomic_sub_fetch(&session->quiet_count, 1, __ATOMIC_RELAXED);
    command->done = 1;
}

static void end_quiet(struct session *session, uint32_t slot)
{
    struct command *command;
    while ((command = quiet_at(session, slot, 0)) != NULL) {
        pthread_mutex_unlock(&session->commands_lock);
        cl_int status = status_of(command->event);
        pthread_mutex_lock(&session->commands_lock);
        if (status > CL_COMPLETE)
            return;
        quiet_remove(session, command);
        pthread_mutex_unlock(&session->commands_lock);
        end_command(command, status);
        pthread_mutex_lock(&session->commands_lock);
    }
}

static void CL_CALLBACK on_quiet(cl_event event, cl_int status, void *arg);

static void report(struct session *session, struct command *command)
{
    if (command->reported)
        return;
    command->reported = 1;
    pthread_mutex_unlock(&session->commands_lock);
    /* May call back at once. If the driver cannot, the next look finds the end. */
    (void)clSetEventCallback(command->event, CL_COMPLETE, on_quiet, session);
    pthread_mutex_lock(&session->commands_lock);
}

/* The first whose end leaves no more than `most_ns` in flight, if that is not all of them
 * anyhow. */
static struct command *before_tail(struct session *session, uint32_t slot, uint64_t most_ns)
{
    struct command *command = quiet_at(session, slot, 1);
    struct list *quiet = &session->quiet[slot];
    uint64_t tail_ns = 0;
    while (command->quiet_link.prev != quiet && (tail_ns += command->estimate_ns) <= most_ns)
        command = LIST_ENTRY(command->quiet_link.prev, struct command, quiet_link);
    return tail_ns > most_ns ? command : NULL;
}

/* The one after which the meter lets more commands through, and the last, so that all are known to
 * have ended. */
static void report_last(struct session *session, uint32_t slot)
{
    if (list_empty(&session->quiet[slot]))
        return;
    struct command *command = before_tail(session, slot, METER_IN_FLIGHT_NS / 2);
    if (command)
        report(session, command);
    if ((command = quiet_at(session, slot, 1)) != NULL) /* others may have ended meanwhile */
        report(session, command);
}

enum reap { REAP_LOOK, REAP_REST };

/* End the quiet commands that have ended. A thread that finds another at it leaves it to that. */
static void reap(struct session *session, enum reap what)
{
    if (__atomic_load_n(&session->quiet_count, __ATOMIC_RELAXED) == 0)
        return;
    pthread_mutex_lock(&session->commands_lock);
    session->reap_again = 1;
    session->reap_rest |= what == REAP_REST;
    while (session->reap_again && !session->reaping) {
        int rest = session->reap_rest;
        session->reaping = 1;
        session->reap_again = session->reap_rest = 0;
        for (uint32_t slot = 0; slot < session->quiet_end; slot++) {
            end_quiet(session, slot);
            if (rest)
                report_last(session, slot);
        }
        session->reaping = 0;
    }
    pthread_mutex_unlock(&session->commands_lock);
}

static void CL_CALLBACK on_quiet(cl_event event, cl_int status, void *arg)
{
    reap(arg, REAP_LOOK);
}

static void CL_CALLBACK on_complete(cl_event event, cl_int status, void *arg)
{
    struct command *command = arg;
    /* Quiet commands before this one first: they hold back its end, and the meter is told of ends
     * in their order. */
    reap(command->session, REAP_LOOK);
    if (claim_end(command))
        end_command(command, status);
}

/* `command` is published after `earlier`, if that is not published yet. */
static void follow(struct command *command, struct command *earlier, struct edge *edge)
{
    int embedded = edge != NULL;
    if (!earlier || earlier == command)
        return;
    if (!edge)
        edge = malloc(sizeof(*edge));
    if (!edge)
        return; /* out of memory: the order is the driver's then */
    *edge = (struct edge){command, earlier->followers, embedded};
    earlier->followers = edge;
    command->holds++;
}

static void follow_queue(struct session *session, struct command *command)
{
    LIST_EACH (link, &session->commands) {
        struct command *earlier = LIST_ENTRY(link, struct command, link);
        if (earlier->queue_slot == command->queue_slot)
            follow(command, earlier, NULL);
    }
}

static void wait_for_slot(struct session *session, struct command *command,
                          const struct event_slot *slot)
{
    follow(command, slot->command, NULL);
    command->user_waits |= slot->user_open;
}

/* Find what must be published first and enter the command for those that come later. */
static void take_place(struct session *session, struct command *command, const struct order *order)
{
    struct command **last = &session->queue_last[command->queue_slot];
    follow(command, *last, &command->queue_edge);
    for (uint32_t i = 0; i < order->slot_count; i++)
        wait_for_slot(session, command, &session->events[order->slots[i]]);
    if (order->kind != ORDER_PLAIN && !order->queue->in_order && order->slot_count == 0)
        follow_queue(session, command);
    list_append(&session->commands, &command->link);
    if (order->queue->in_order || order->kind == ORDER_BARRIER)
        *last = command;
    if (order->event) {
        session->events[order->event].command = command;
        session->events[order->event].error = command->error;
    }
}

/* With the lock. NULL: out of memory. */
static struct command *command_take(struct session *session)
{
    if (list_empty(&session->spare))
        return malloc(sizeof(struct command));
    struct command *command = LIST_ENTRY(session->spare.prev, struct command, link);
    list_remove(&command->link);
    return command;
}

static void quiet_append(struct session *session, struct command *command)
{
    list_append(&session->quiet[command->queue_slot], &command->quiet_link);
    __atomic_add_fetch(&session->quiet_count, 1, __ATOMIC_RELAXED);
    if (command->queue_slot >= session->quiet_end)
        session->quiet_end = command->queue_slot + 1;
}

/* NULL: out of memory. A quiet one belongs to who reaps when this returns. */
static struct command *command_create(struct session *session, const struct order *order,
                                      cl_event event, int quiet)
{
    pthread_mutex_lock(&session->commands_lock);
    struct command *command = command_take(session);
    if (!command) {
        pthread_mutex_unlock(&session->commands_lock);
        return NULL;
    }
    *command =
        (struct command){.session = session,
                         .seat = order_seat(session, order),
                         .event = event,
                         .event_slot = order->event,
                         .queue_slot = order->queue->slot,
                         .estimate_ns = order->estimate_ns,
                         .copied_ns = order->copied_ns,
                         .pace = order->pace,
                         .metered = order->metered,
                         .timed = order->queue->timed,
                         .quiet = quiet,
                         .error = order->error,
                         .cascaded = order->error == CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST,
                         .traced = trace_begin(session, order),
                         .holds = 1};
    take_place(session, command, order);
    if (quiet)
        quiet_append(session, command);
    pthread_mutex_unlock(&session->commands_lock);
    return command;
}

/* Put the driver's event into the slot the client named; what was there has ended. */
static void fill_slot(struct session *session, uint32_t slot, cl_event event)
{
    struct event_slot *place = &session->events[slot];
    if (!slot)
        return;
    event_clear(session, slot);
    if (event)
        (void)clRetainEvent(event); /* the slot's reference */
    place->driver = event;
    event_use(session, slot);
}

void completion_watch(struct session *session, const struct order *order, cl_event event)
{
    int quiet = order->queue->in_order && !order->event && !order->holds_slab;
    fill_slot(session, order->event, event);
    struct command *command = command_create(session, order, event, quiet);
    if (!command) {
        struct order lost = *order;
        lost.error = CL_OUT_OF_HOST_MEMORY;
        (void)clWaitForEvents(1, &event); /* no way to be told: stand still for this one */
        (void)clReleaseEvent(event);
        completion_fail(session, &lost);
        return;
    }
    if (quiet) {
        if (++session->unlooked % LOOK_EVERY == 0)
            reap(session, REAP_LOOK);
        return;
    }
    /* May call back at once, here or on another thread, which lets go of the command's reference:
     * the event must outlive the call. If the driver cannot call back, the sweep finds the end. */
    if (!order->event)
        (void)clRetainEvent(event);
    (void)clSetEventCallback(event, CL_COMPLETE, on_complete, command);
    if (!order->event)
        (void)clReleaseEvent(event);
}

void completion_fail(struct session *session, const struct order *order)
{
    fill_slot(session, order->event, NULL);
    struct command *command = command_create(session, order, NULL, 0);
    if (!command)
        abort(); /* a command without an end would leave the client waiting for ever */
    command->done = 1;
    end_command(command, order->error);
}

int completion_may_pass(struct session *session, const struct order *order)
{
    if (!order->queue->in_order || order->wait_count || (order->event && order->queue->timed))
        return 0;
    reap(session, REAP_LOOK);
    pthread_mutex_lock(&session->commands_lock);
    int first = !session->queue_last[order->queue->slot];
    for (uint32_t i = 0; i < order->slot_count; i++)
        first = first && !session->events[order->slots[i]].command;
    pthread_mutex_unlock(&session->commands_lock);
    return first;
}

void completion_pass(struct session *session, const struct order *order)
{
    fill_slot(session, order->event, NULL);
    struct command *command = command_create(session, order, NULL, 0);
    if (!command)
        abort(); /* as above */
    session->events[order->event].settled = order->event != 0;
    command->done = 1;
    end_command(command, CL_COMPLETE);
}

void completion_expect_failures(struct session *session)
{
    pthread_mutex_lock(&session->commands_lock);
    LIST_EACH (link, &session->commands) {
        struct command *command = LIST_ENTRY(link, struct command, link);
        command->cascaded |= command->user_waits;
    }
    pthread_mutex_unlock(&session->commands_lock);
}

void completion_set_event(struct session *session, uint32_t slot, cl_int status)
{
    __atomic_store_n(&session->event_states[slot].status, status, __ATOMIC_RELEASE);
    tell_client(session);
}

void completion_rest(struct session *session)
{
    reap(session, REAP_REST);
}

void completion_sweep(struct session *session)
{
    struct command *failed;
    cl_int status;
    reap(session, REAP_LOOK);
    do {
        failed = NULL;
        pthread_mutex_lock(&session->commands_lock);
        LIST_EACH (link, &session->commands) {
            struct command *command = LIST_ENTRY(link, struct command, link);
            if (command->done || command->quiet || !command->event)
                continue;
            status = status_of(command->event);
            if (status >= 0)
                continue;
            command->done = command->kept = 1;
            failed = command;
            break;
        }
        pthread_mutex_unlock(&session->commands_lock);
        if (failed)
            end_command(failed, status);
    } while (failed);
}

void completion_finish(struct session *session)
{
    struct list *const lists[] = {&session->swept, &session->spare};
    reap(session, REAP_LOOK);
    for (unsigned i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        LIST_EACH_SAFE (link, after, lists[i]) {
            free(LIST_ENTRY(link, struct command, link));
        }
        list_init(lists[i]);
    }
}

int completion_pending(struct session *session)
{
    pthread_mutex_lock(&session->commands_lock);
    int pending = !list_empty(&session->commands);
    pthread_mutex_unlock(&session->commands_lock);
    return pending;
}
