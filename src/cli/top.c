/* leat top: devices and jobs with what they are granted and what they use, again and again. */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <termios.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/units.h"
#include "cli/ask.h"
#include "cli/jobs.h"
#include "cli/resource.h"
#include "cli/verb.h"
#include "cli/verbs.h"
#include "cli/view.h"
#include "leat/client.h"

#define INTERVAL_DEFAULT_MS 1000u
#define JOBS_SHOWN 200
#define CTRL_C 3
#define SCREEN_START "\033[H\033[J" /* home, clear to the end */

static const struct option_spec top_options[] = {
    {"interval", 'i', "TIME", "between two looks: 1s"},
    {"once", '1', NULL, "look once; also when standard output is no terminal"},
    {0},
};

static const struct view_column top_columns[] = {
    {"JOB", "id", VIEW_TEXT},
    {"NAME", "name", VIEW_TEXT},
    {"STATE", "state", VIEW_STATE},
    {"DEVICE", "device", VIEW_TEXT},
    {"GRANTED", "usage.share_granted_permille", VIEW_SHARE},
    {"USED", "share_now_permille", VIEW_SHARE},
    {"MEMORY", "memory_bytes", VIEW_BYTES},
    {"USED", "usage.memory_used_bytes", VIEW_BYTES},
    {"CALLS/S", "calls_per_s", VIEW_COUNT},
    {"IDLE", "usage.idle_ms", VIEW_MS},
    {0},
};

/* One look; rates are against the one before, or since the job's start in the first. */
struct look {
    json_t *devices, *jobs; /* owned */
    uint64_t time_ns;
};

static void look_finish(struct look *look)
{
    json_decref(look->devices);
    json_decref(look->jobs);
    *look = (struct look){0};
}

static uint64_t job_calls(const json_t *job)
{
    return view_number(job, "usage.calls_local") + view_number(job, "usage.calls_posted") +
           view_number(job, "usage.calls_waited");
}

static const json_t *look_find(const struct look *look, const json_t *job)
{
    size_t i;
    json_t *other;
    json_array_foreach (json_object_get(look->jobs, "jobs"), i, other) {
        if (json_equal(json_object_get(other, "id"), json_object_get(job, "id")))
            return other;
    }
    return NULL;
}

static uint64_t rate(uint64_t now, uint64_t before, uint64_t per, uint64_t passed)
{
    return now > before && passed
               ? (uint64_t)((double)(now - before) * (double)per / (double)passed)
               : 0;
}

/* Add to every job what is computed here: calls and share of the time between two looks. */
static void look_compare(struct look *look, const struct look *before)
{
    size_t i;
    json_t *job;
    uint64_t passed_ns = look->time_ns - before->time_ns;
    json_array_foreach (json_object_get(look->jobs, "jobs"), i, job) {
        const json_t *old = before->time_ns ? look_find(before, job) : NULL;
        uint64_t share = view_number(job, "usage.share_measured_permille");
        json_t *calls = NULL;
        if (old) {
            calls =
                json_integer((json_int_t)rate(job_calls(job), job_calls(old), NS_PER_S, passed_ns));
            share = rate(view_number(job, "usage.device_time_ns"),
                         view_number(old, "usage.device_time_ns"), 1000, passed_ns);
        }
        (void)json_object_set_new(job, "calls_per_s", calls ? calls : json_null());
        (void)json_object_set_new(job, "share_now_permille", json_integer((json_int_t)share));
    }
}

static int look_take(struct cli *cli, struct look *ret_look, struct error *err)
{
    struct look look = {0};
    int r = ask_get(cli, &look.devices, err, "/v1/devices");
    if (r == 0)
        r = jobs_list(cli, JOBS_ALIVE, JOBS_SHOWN, &look.jobs, err);
    look.time_ns = clock_monotonic_ns();
    if (r < 0)
        look_finish(&look);
    else
        *ret_look = look;
    return r;
}

static void look_print(const struct look *look, const struct cli *cli, const char *start)
{
    AUTO_BUF struct buf out = BUF_INIT;
    const json_t *devices = json_object_get(look->devices, "devices");
    const json_t *jobs = json_object_get(look->jobs, "jobs");
    if (cli->json) {
        AUTO_JSON json_t *both = json_pack("{s:O, s:O}", "devices", devices, "jobs", jobs);
        ask_print(both);
        return;
    }
    (void)buf_printf(&out, "%sleatd at %s; devices: %zu; jobs alive: %zu\n\n", start,
                     leat_client_place(cli->client), json_array_size(devices),
                     json_array_size(jobs));
    view_list(&out, devices, device_resource.columns);
    (void)buf_puts(&out, "\n");
    view_list(&out, jobs, top_columns);
    view_flush(&out);
}

/* Waits for the next look; 1: the user wants to leave. */
static int top_pause(uint64_t interval_ms)
{
    struct pollfd key = {.fd = STDIN_FILENO, .events = POLLIN};
    char pressed = 0;
    if (poll(&key, 1, (int)interval_ms) > 0 && read(STDIN_FILENO, &pressed, 1) <= 0)
        return 1; /* the terminal is gone */
    return pressed == 'q' || pressed == CTRL_C;
}

static int top_loop(struct cli *cli, uint64_t interval_ms, struct error *err)
{
    struct look before = {0};
    int r = 0, done = 0;
    while (r == 0 && !done) {
        struct look look = {0};
        r = look_take(cli, &look, err);
        if (r < 0)
            break;
        look_compare(&look, &before);
        look_print(&look, cli, SCREEN_START);
        (void)fflush(stdout); /* main looks at the state of standard output */
        look_finish(&before);
        before = look;
        done = top_pause(interval_ms);
    }
    look_finish(&before);
    return r;
}

/* Keys come one by one and are not shown; an interrupt is a key too, so that the terminal is always
 * put back as it was. */
static void terminal_prepare(struct termios *saved)
{
    struct termios raw = *saved;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ISIG);
    (void)tcsetattr(STDIN_FILENO, TCSANOW, &raw); /* without it q needs an Enter, no more */
}

static int top_once(struct cli *cli, struct error *err)
{
    struct look look = {0}, none = {0};
    int r = look_take(cli, &look, err);
    if (r < 0)
        return r;
    look_compare(&look, &none);
    look_print(&look, cli, "");
    look_finish(&look);
    return 0;
}

static int top_main(struct cli *cli, const struct args *args, struct error *err)
{
    const char *text = args_text(args, "interval");
    uint64_t interval_ms = INTERVAL_DEFAULT_MS;
    struct termios saved;
    int r = text ? duration_parse(text, &interval_ms, err) : 0;
    if (r < 0)
        return error_context(err, "--interval");
    if (interval_ms == 0 || interval_ms > INT_MAX)
        return error_set(err, -EINVAL, "bad-duration", "--interval must be longer than nothing");
    if (args_has(args, "once") || cli->json || !isatty(STDOUT_FILENO) ||
        tcgetattr(STDIN_FILENO, &saved) < 0)
        return top_once(cli, err);
    terminal_prepare(&saved);
    r = top_loop(cli, interval_ms, err);
    (void)tcsetattr(STDIN_FILENO, TCSANOW, &saved); /* nothing to do about a lost terminal */
    return r;
}

const struct verb verb_top = {
    .name = "top",
    .summary = "Show devices and jobs with what they use, refreshed",
    .details = "Keys: q leaves.",
    .example = "leat top --interval 2s",
    .options = top_options,
    .run = top_main,
};
