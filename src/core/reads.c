/* Reads of the store on the pool: one worker at a time takes all that have come together. Until
 * the start is over the loop reads itself, and they wait. */
#include <stdlib.h>

#include "core/core_impl.h"

static void reads_work(uv_work_t *work)
{
    struct core *core = work->data;
    LIST_EACH (link, &core->reading) {
        struct read_request *request = LIST_ENTRY(link, struct read_request, link);
        request->work(core->store, request);
    }
}

static void reads_start(struct core *core);

static void reads_after(uv_work_t *work, int status)
{
    (void)status; /* nothing cancels it */
    struct core *core = work->data;
    while (!list_empty(&core->reading)) {
        struct read_request *request = LIST_ENTRY(core->reading.next, struct read_request, link);
        list_remove(&request->link);
        request->done(core, request);
    }
    core->read_busy = false; /* not before: what `done` asks for is the next round's */
    reads_start(core);
    core_stop_step(core);
}

static void reads_start(struct core *core)
{
    if (core->read_busy || list_empty(&core->reads) || !list_empty(&core->reading))
        return;
    while (!list_empty(&core->reads)) {
        struct list *link = core->reads.next;
        list_remove(link);
        list_append(&core->reading, link);
    }
    core->read_busy = true;
    core->read_work.data = core;
    if (uv_queue_work(core->loop, &core->read_work, reads_work, reads_after) < 0)
        abort(); /* only for a NULL callback */
}

void reads_add(struct core *core, struct read_request *request)
{
    list_append(&core->reads, &request->link);
    reads_start(core);
}

void reads_begin(struct core *core)
{
    core->read_busy = false;
    reads_start(core);
}
