/* Calls that the user asked for: made by one thread of the process, started by the first of them,
 * never by a thread of the driver, so that they may use the API and release what they are called
 * for. */
#include "card/opencl/event.h"

#include <errno.h>
#include <stdio.h>

#include "card/opencl/context.h"
#include "card/opencl/process.h"
#include "card/wire/wait.h"

#define LOOK_MS 100 /* when nothing else wakes us, look whether the executor lives */

struct callback {
    struct callback *next;
    cl_event event;     /* one reference; NULL: of the context, due at once */
    cl_context context; /* whose notification it is, one reference, or NULL */
    cl_int error;       /* what the context is told */
    cl_int type;
    void(CL_CALLBACK *notify)(cl_event, cl_int, void *);
    int (*ended)(const void *user_data); /* of callback_when; else NULL */
    void (*act)(void *user_data);
    void *user_data;
};

/* The status to report, when it is time. */
static int is_due(const struct callback *callback, cl_int *ret_status)
{
    *ret_status = CL_COMPLETE;
    if (callback->ended)
        return callback->ended(callback->user_data);
    cl_int status = callback->event ? event_status(callback->event) : callback->error;
    if (status > callback->type)
        return 0;
    *ret_status = status < CL_COMPLETE ? status : callback->type;
    return 1;
}

/* The link to the first call of `first`'s event for the earliest stage: an event's calls are made
 * in the order of its stages, those for one stage in the order in which they were asked for. */
static struct callback **first_stage(struct callback **first)
{
    struct callback **found = first;
    if (!(*first)->event)
        return first;
    for (struct callback **link = first; *link; link = &(*link)->next)
        if ((*link)->event == (*first)->event && (*link)->type > (*found)->type)
            found = link;
    return found;
}

/* Take the next call that is due off the list. */
static struct callback *take_due(cl_int *ret_status)
{
    struct callback *found = NULL;
    (void)pthread_mutex_lock(&process.callback_lock);
    for (struct callback **link = &process.callbacks; *link; link = &(*link)->next) {
        if (!is_due(*link, ret_status))
            continue;
        link = first_stage(link);
        found = *link;
        (void)is_due(found, ret_status); /* an earlier stage is due, too: its own status */
        *link = found->next;
        break;
    }
    (void)pthread_mutex_unlock(&process.callback_lock);
    return found;
}

static void wait_for_work(void)
{
    (void)pthread_mutex_lock(&process.callback_lock);
    while (!process.callbacks)
        (void)pthread_cond_wait(&process.callback_added, &process.callback_lock);
    (void)pthread_mutex_unlock(&process.callback_lock);
}

static void call(struct callback *callback, cl_int status)
{
    cl_context context = callback->context;
    if (callback->act) {
        callback->act(callback->user_data);
        return;
    }
    if (!context) {
        event_observe(callback->event);
        callback->notify(callback->event, status, callback->user_data);
        object_release(&callback->event->object);
        return;
    }
    char text[64];
    (void)snprintf(text, sizeof(text), "a command failed: OpenCL error %d", (int)status);
    context->notify(text, &status, sizeof(status), context->user_data);
    object_release(&context->object);
}

static void *callback_main(void *arg)
{
    for (;;) {
        wait_for_work();
        uint32_t seen = __atomic_load_n(&process.client.session->completion, __ATOMIC_SEQ_CST);
        cl_int status;
        struct callback *callback;
        while ((callback = take_due(&status)) != NULL) {
            call(callback, status);
            free(callback);
        }
        wire_sleep_completion(&process.client, seen, LOOK_MS);
        (void)wire_check_alive(&process.client);
    }
    return NULL;
}

/* Signals are the program's own threads' business. */
static int start_thread(void)
{
    sigset_t all, before;
    pthread_t thread;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int result = pthread_create(&thread, NULL, callback_main, NULL);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (result == 0)
        (void)pthread_detach(thread);
    return -result;
}

/* Take over a callback; CL_OUT_OF_RESOURCES when no thread can be had to make it. */
static cl_int enqueue(struct callback *callback)
{
    (void)pthread_mutex_lock(&process.callback_lock);
    struct callback **end = &process.callbacks;
    while (*end)
        end = &(*end)->next;
    *end = callback;
    int result = process.callback_thread ? 0 : start_thread();
    process.callback_thread = result == 0;
    if (result == 0)
        (void)pthread_cond_signal(&process.callback_added);
    else
        *end = NULL;
    (void)pthread_mutex_unlock(&process.callback_lock);
    if (result < 0)
        return CL_OUT_OF_RESOURCES;
    wire_wake_completion(&process.client);
    return CL_SUCCESS;
}

cl_int callback_add(cl_event event, cl_int type,
                    void(CL_CALLBACK *notify)(cl_event, cl_int, void *), void *user_data)
{
    struct callback *callback = malloc(sizeof(*callback));
    if (!callback)
        return CL_OUT_OF_HOST_MEMORY;
    *callback =
        (struct callback){.event = event, .type = type, .notify = notify, .user_data = user_data};
    object_retain(&event->object);
    cl_int result = enqueue(callback);
    if (result == CL_SUCCESS)
        return CL_SUCCESS;
    object_release(&event->object);
    free(callback);
    return result;
}

cl_int callback_when(int (*ended)(const void *arg), void (*act)(void *arg), void *arg)
{
    struct callback *callback = malloc(sizeof(*callback));
    if (!callback)
        return CL_OUT_OF_HOST_MEMORY;
    *callback = (struct callback){.ended = ended, .act = act, .user_data = arg};
    cl_int result = enqueue(callback);
    if (result != CL_SUCCESS)
        free(callback);
    return result;
}

void callback_tell(cl_context context, cl_int error)
{
    struct callback *callback = context->notify ? malloc(sizeof(*callback)) : NULL;
    if (!callback)
        return;
    *callback = (struct callback){.context = context, .error = error};
    object_retain(&context->object);
    if (enqueue(callback) == CL_SUCCESS)
        return;
    object_release(&context->object);
    free(callback);
}
