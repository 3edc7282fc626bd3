/* What the verbs know about a job: see job.h. */
#include "cli/job.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "cli/ask.h"
#include "cli/patience.h"
#include "cli/verb.h"
#include "cli/view.h"
#include "leat/client.h"
#include "model/job.h"

#define WAIT_STEP_MS 30000u /* leatd holds a question this long; then it is asked again */

bool job_has_ended(const json_t *job)
{
    return job_state_ended(job_state_parse(view_text(job, "state", "")));
}

int job_exit(const json_t *job)
{
    int signal = (int)view_number(job, "signal");
    bool failed = job_state_parse(view_text(job, "state", "")) == JOB_FAILED;
    int status = (int)view_number(job, "exit_status");
    if (signal)
        return EXIT_SIGNALLED + signal;
    if (!view_member(job, "exit_status") || (failed && status == 0))
        return EXIT_LEAT;
    return status;
}

void job_say_end(const json_t *job)
{
    char id[JOB_ID_TEXT_MAX];
    view_id(job, "id", id, sizeof(id));
    const char *state = view_text(job, "state", "");
    if (job_state_parse(state) != JOB_SUCCEEDED)
        cli_say("job %s %s: %s", id, state, view_text(job, "text", "no reason is known"));
}

int job_wait(struct cli *cli, const char *id, uint64_t timeout_ms, json_t **ret_job,
             struct error *err)
{
    uint64_t deadline_ns = clock_monotonic_ns() + timeout_ms * NS_PER_MS;
    for (;;) {
        char rest[64];
        uint64_t now_ns = clock_monotonic_ns(), step_ms = WAIT_STEP_MS;
        if (timeout_ms && (deadline_ns - now_ns) / NS_PER_MS < step_ms)
            step_ms = deadline_ns > now_ns ? (deadline_ns - now_ns) / NS_PER_MS : 0;
        (void)snprintf(rest, sizeof(rest), "wait?timeout=%" PRIu64 "ms", step_ms);
        AUTO_FREE char *path = NULL;
        AUTO_JSON json_t *job = NULL;
        int r = ask_path("jobs", id, rest, &path, err);
        if (r < 0)
            return r;
        struct leat_request request = {.method = "GET", .path = path};
        r = patience_ask(cli, &request, &job, err);
        if (r < 0)
            return r;
        if (job_has_ended(job) || (timeout_ms && clock_monotonic_ns() >= deadline_ns)) {
            *ret_job = TAKE(job);
            return 0;
        }
    }
}
