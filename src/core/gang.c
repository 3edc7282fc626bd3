/* Gangs whose members could not all start: see gang.h. */
#include "core/gang.h"

#include <stdio.h>
#include <string.h>

#include "core/core_impl.h"

static bool placed_with(const struct live_job *live, const struct live_job *member)
{
    enum job_state state = live->job.state;
    return live != member && live->job.mustered && live->job.request.gang && !live->ending &&
           (state == JOB_STARTING || state == JOB_RUNNING || state == JOB_IDLE) &&
           strcmp(live->job.request.gang, member->job.request.gang) == 0 &&
           strcmp(live->job.request.tenant, member->job.request.tenant) == 0;
}

static size_t mates_count(const struct core *core, const struct live_job *member)
{
    size_t count = 0;
    LIST_EACH (link, &core->jobs)
        count += placed_with(LIST_ENTRY(link, struct live_job, link), member);
    return count;
}

void gang_back(struct core *core, struct live_job *live)
{
    const struct job_request *request = &live->job.request;
    if (!request->gang || !live->job.mustered || mates_count(core, live) + 1 < request->gang_size)
        return;
    live->job.mustered = false;
    LIST_EACH_SAFE (link, after, &core->jobs) {
        struct live_job *mate = LIST_ENTRY(link, struct live_job, link);
        if (!placed_with(mate, live))
            continue;
        mate->job.mustered = false;
        life_again(core, mate);
    }
}

void gang_break(struct core *core, const struct live_job *live)
{
    char text[96];
    if (!live->job.request.gang || !live->job.mustered)
        return;
    (void)snprintf(text, sizeof(text), "job %llu of its gang could not start",
                   (unsigned long long)live->job.id);
    LIST_EACH_SAFE (link, after, &core->jobs) {
        struct live_job *mate = LIST_ENTRY(link, struct live_job, link);
        if (placed_with(mate, live))
            life_fail(core, mate, "gang-broken", text);
    }
}
