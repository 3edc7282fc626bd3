/* Removal of a container, whatever state it is in: end the processes that work on it, let the
 * runtime delete it, then remove what a killed runtime would leave. Every step is fine when there
 * is nothing to do, so a removal that was cut off is simply asked for again. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/list.h"
#include "engine/cgroup.h"
#include "engine/local.h"
#include "engine/proc.h"

struct waiter {
    struct list link;
    engine_done done;
    void *context;
};

struct removal {
    struct list link;
    struct local_engine *local;
    char id[ENGINE_ID_MAX];
    bool begun;
    struct list waiters;
};

/* What the pool works on: copies only. */
struct clearance {
    char cid[CID_MAX], cgroup[CID_MAX];
    char bundle[PATH_MAX], record[PATH_MAX], attach[PATH_MAX];
    struct error err;
};

static int clearance_create(struct local_engine *local, const char *id, struct clearance **ret,
                            struct error *err)
{
    AUTO_FREE struct clearance *clear = calloc(1, sizeof(*clear));
    if (!clear)
        return error_set(err, -ENOMEM, "no-memory", "no memory to remove task '%s'", id);
    local_cid(local, id, clear->cid);
    (void)snprintf(clear->cgroup, sizeof(clear->cgroup), "%s/%s", local->prefix, id);
    int result = local_path(clear->bundle, err, "%s/jobs/%s/bundle", local->state_dir, id);
    if (!result)
        result = local_path(clear->record, err, "%s/runtime/%s", local->run_dir, clear->cid);
    if (!result)
        result = local_path(clear->attach, err, "%s/attach/%s", local->run_dir, clear->cid);
    if (!result)
        *ret = TAKE(clear);
    return result;
}

static void removal_free(struct removal *removal)
{
    LIST_EACH_SAFE (link, after, &removal->waiters)
        free(LIST_ENTRY(link, struct waiter, link));
    list_remove(&removal->link);
    free(removal);
}

void local_removals_free(struct local_engine *local)
{
    LIST_EACH_SAFE (link, after, &local->removals)
        removal_free(LIST_ENTRY(link, struct removal, link));
}

static void removal_finish(struct removal *removal, const struct error *err)
{
    struct list waiters = LIST_INIT(waiters);
    char id[ENGINE_ID_MAX];
    memcpy(id, removal->id, sizeof(id));
    LIST_EACH_SAFE (link, after, &removal->waiters) {
        list_remove(link);
        list_append(&waiters, link);
    }
    local_task_free(local_find(removal->local, id));
    removal_free(removal); /* before the callbacks: they may ask for anything */
    LIST_EACH_SAFE (link, after, &waiters) {
        AUTO_FREE struct waiter *waiter = LIST_ENTRY(link, struct waiter, link);
        list_remove(link);
        if (waiter->done)
            waiter->done(waiter->context, id, err);
    }
}

/* -- step 3, in the pool: what the runtime did not know or did not finish -- */

static void clear_rest(void *input)
{
    struct clearance *clear = input;
    if (cgroup_remove(clear->cgroup, &clear->err) ||
        dir_remove_tree(AT_FDCWD, clear->record, &clear->err) ||
        dir_remove_tree(AT_FDCWD, clear->attach, &clear->err))
        return;
    (void)dir_remove_tree(AT_FDCWD, clear->bundle, &clear->err); /* err tells */
}

static void on_cleared(void *context, void *input)
{
    const struct clearance *clear = input;
    struct error err = clear->err;
    removal_finish(context, err.errnum ? &err : NULL);
}

/* -- step 2: the runtime -- */

static void on_deleted(void *context, int status)
{
    struct removal *removal = context;
    struct clearance *clear;
    struct error err = {0};
    /* A failure of the runtime is not the last word: the next step ends what is left by itself. */
    if (clearance_create(removal->local, removal->id, &clear, &err) ||
        run_in_pool(&removal->local->runner, clear_rest, on_cleared, removal, clear, free, &err))
        removal_finish(removal, &err);
}

/* -- step 1, in the pool: nobody works on the container any more -- */

static void end_workers(void *input)
{
    static const char *const programs[] = {"conmon", "runc", "crun", "slirp4netns", NULL};
    struct clearance *clear = input;
    if (proc_kill_all(programs, clear->cid))
        (void)error_set(&clear->err, -EBUSY, "task-busy", "a process of '%s' does not end",
                        clear->cid);
}

static void on_workers_ended(void *context, void *input)
{
    struct removal *removal = context;
    const struct clearance *clear = input;
    const char *const args[] = {"delete", "--force", clear->cid, NULL};
    struct error err = clear->err;
    if (!err.errnum && (access(clear->record, F_OK) || !removal->local->commander[0])) {
        on_deleted(removal, 0); /* no runtime knows it */
        return;
    }
    if (err.errnum || local_runtime(removal->local, NULL, args, on_deleted, removal, &err))
        removal_finish(removal, &err);
}

static int removal_begin(struct removal *removal, struct error *err)
{
    struct clearance *clear;
    int result = clearance_create(removal->local, removal->id, &clear, err);
    if (result)
        return result;
    removal->begun = true;
    return run_in_pool(&removal->local->runner, end_workers, on_workers_ended, removal, clear, free,
                       err);
}

/* -- asking -- */

static struct removal *find_removal(struct local_engine *local, const char *id)
{
    LIST_EACH (link, &local->removals) {
        struct removal *removal = LIST_ENTRY(link, struct removal, link);
        if (strcmp(removal->id, id) == 0)
            return removal;
    }
    return NULL;
}

static struct removal *add_removal(struct local_engine *local, const char *id)
{
    struct removal *removal = calloc(1, sizeof(*removal));
    if (!removal)
        return NULL;
    removal->local = local;
    list_init(&removal->waiters);
    (void)snprintf(removal->id, sizeof(removal->id), "%s", id);
    list_append(&local->removals, &removal->link);
    return removal;
}

int local_remove(struct engine *engine, const char *id, engine_done done, void *context,
                 struct error *err)
{
    struct local_engine *local = local_of(engine);
    struct local_task *task = local_find(local, id);
    struct removal *removal = find_removal(local, id);
    struct waiter *waiter = calloc(1, sizeof(*waiter));
    if (waiter && !removal)
        removal = add_removal(local, id);
    if (!waiter || !removal) {
        free(waiter);
        return error_set(err, -ENOMEM, "no-memory", "no memory to remove task '%s'", id);
    }
    waiter->done = done;
    waiter->context = context;
    list_append(&removal->waiters, &waiter->link);
    if (removal->begun)
        return 0;
    if (task && task->state < LOCAL_RUNNING) {
        task->doomed = true; /* its next step begins the removal */
        return 0;
    }
    if (task) {
        run_watch_cancel(task->watch); /* its end is not news any more */
        task->watch = NULL;
    }
    int result = removal_begin(removal, err);
    if (result)
        removal_free(removal);
    return result;
}
