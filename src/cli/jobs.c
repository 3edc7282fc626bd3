/* Lists of jobs: see jobs.h. */
#include "cli/jobs.h"

#include <errno.h>
#include <inttypes.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "cli/ask.h"
#include "cli/view.h"
#include "leat/client.h"

#define PAGE_MAX 500 /* what leatd gives at once */

static int page_get(struct cli *cli, const char *states, uint64_t limit, const char *cursor,
                    json_t **ret_page, struct error *err)
{
    AUTO_FREE char *state_text = leat_escape(states ? states : "");
    AUTO_FREE char *cursor_text = leat_escape(cursor ? cursor : "");
    if (!state_text || !cursor_text)
        return error_set(err, -ENOMEM, "out-of-memory", "making a path");
    return ask_get(cli, ret_page, err, "/v1/jobs?limit=%" PRIu64 "%s%s%s%s",
                   limit < PAGE_MAX ? limit : PAGE_MAX, states ? "&state=" : "", state_text,
                   cursor ? "&cursor=" : "", cursor_text);
}

int jobs_list(struct cli *cli, const char *states, uint64_t limit, json_t **ret_jobs,
              struct error *err)
{
    AUTO_JSON json_t *all = NULL;
    for (;;) {
        AUTO_JSON json_t *page = NULL;
        json_t *jobs = json_object_get(all, "jobs");
        const char *cursor = view_text(all, "next_cursor", NULL);
        int r = page_get(cli, states, limit - json_array_size(jobs), cursor, &page, err);
        if (r < 0)
            return r;
        if (!all)
            all = json_incref(page);
        else if (json_array_extend(jobs, json_object_get(page, "jobs")) < 0 ||
                 json_object_set(all, "next_cursor", json_object_get(page, "next_cursor")) < 0)
            return error_set(err, -EPROTO, "bad-answer", "the pages of jobs do not fit together");
        jobs = json_object_get(all, "jobs");
        if (!view_text(page, "next_cursor", NULL) || json_array_size(jobs) >= limit ||
            json_array_size(json_object_get(page, "jobs")) == 0) {
            *ret_jobs = TAKE(all);
            return 0;
        }
    }
}
