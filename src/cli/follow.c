/* Following a job's log: see follow.h. */
#include "cli/follow.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/signalfd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "cli/ask.h"
#include "cli/job.h"
#include "cli/patience.h"
#include "cli/verb.h"
#include "cli/view.h"
#include "leat/client.h"

#define LINE_MAX_BYTES (64u << 10) /* a longer line is cut into several in JSON */
#define END_WAIT_MS 1000 /* for a job whose log has ended to end; then its log is read on */

struct follow {
    struct cli *cli;
    const char *id;
    uint64_t offset;
    enum follow_mode mode;
    int interrupts;
    struct patience patience;
    struct buf line; /* JSON only: the part of a line that is here */
};

/* Log bytes need not be UTF-8: what is not becomes '?'. */
static json_t *line_json(struct buf *line)
{
    json_t *text = json_stringn(line->data ? line->data : "", line->length);
    if (text)
        return text;
    for (size_t i = 0; i < line->length; i++) {
        if ((unsigned char)line->data[i] >= 0x80)
            line->data[i] = '?';
    }
    return json_stringn(line->data, line->length);
}

static void line_flush(struct follow *follow)
{
    AUTO_JSON json_t *entry =
        json_pack("{s:s, s:o}", "job", follow->id, "line", line_json(&follow->line));
    buf_clear(&follow->line);
    ask_print(entry);
    (void)fflush(stdout); /* main looks at the state of standard output */
}

static int line_add(struct follow *follow, const char *data, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (data[i] == '\n' || follow->line.length >= LINE_MAX_BYTES)
            line_flush(follow);
        if (data[i] != '\n' && buf_append(&follow->line, &data[i], 1) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int follow_take(const char *data, size_t length, void *context)
{
    struct follow *follow = context;
    int r = follow->cli->json ? line_add(follow, data, length)
                              : fd_write_all(STDOUT_FILENO, data, length);
    if (r == 0)
        follow->offset += length;
    follow->patience = (struct patience){0};
    return r;
}

/* One stream of the log, to its end. */
static int follow_stream(struct follow *follow, const char *parameters, struct error *err)
{
    char rest[64];
    AUTO_FREE char *path = NULL;
    (void)snprintf(rest, sizeof(rest), "logs?%soffset=%" PRIu64, parameters, follow->offset);
    int r = ask_path("jobs", follow->id, rest, &path, err);
    if (r == 0)
        r = cli_connect(follow->cli, err);
    if (r < 0)
        return r;
    struct leat_request request = {.method = "GET", .path = path, .accept = "text/plain"};
    struct leat_error reason = {0};
    r = leat_client_stream(follow->cli->client, &request, follow_take, follow, &reason);
    follow->cli->answered |= r == 0 || reason.status || r == -ECONNRESET;
    return r < 0 ? ask_failed(err, &reason) : 0;
}

static int follow_stop(struct follow *follow, const char *body, struct error *err)
{
    AUTO_FREE char *path = NULL;
    AUTO_JSON json_t *job = NULL;
    int r = ask_path("jobs", follow->id, "stop", &path, err);
    if (r < 0)
        return r;
    struct leat_request request = {.method = "POST", .path = path, .body = body};
    r = ask(follow->cli, &request, &job, err);
    if (r < 0 && r != -ECANCELED) /* the user may try again; following goes on */
        cli_say("job %s could not be stopped: %s", follow->id, err->text);
    return 0;
}

/* 0: go on following. */
static int follow_interrupted(struct follow *follow, struct error *err)
{
    struct signalfd_siginfo taken;
    if (read(follow->cli->interrupt_fd, &taken, sizeof(taken)) < 0 && errno != EAGAIN)
        return error_errno(err, -errno, "signal-failed", "reading an interrupt");
    follow->interrupts++;
    if (follow->mode == FOLLOW_OWN && follow->interrupts == 1) {
        cli_say("asking job %s to stop; interrupt again to kill it", follow->id);
        return follow_stop(follow, NULL, err);
    }
    if (follow->mode == FOLLOW_OWN && follow->interrupts == 2) {
        cli_say("killing job %s; interrupt again to leave it", follow->id);
        return follow_stop(follow, "{\"grace\":0}", err);
    }
    return error_set(err, -ECANCELED, "interrupted", "left; `leat logs -f %s` follows it again",
                     follow->id);
}

/* One stream, and then whether the job has ended: the log also ends when leatd is stopped, and a
 * moment before the job does. */
static int follow_step(struct follow *follow, json_t **ret_job, struct error *err)
{
    int r = follow_stream(follow, "follow=true&", err);
    return r < 0 ? r : job_wait(follow->cli, follow->id, END_WAIT_MS, ret_job, err);
}

static int follow_run(struct follow *follow, json_t **ret_job, struct error *err)
{
    for (;;) {
        AUTO_JSON json_t *job = NULL;
        int r = follow_step(follow, &job, err);
        if (r == 0 && job_has_ended(job)) {
            *ret_job = TAKE(job);
            return 0;
        }
        if (r == -ECANCELED)
            r = follow_interrupted(follow, err);
        else if (r < 0)
            r = patience_wait(&follow->patience, follow->cli, err);
        if (r < 0)
            return r;
    }
}

/* SIGINT becomes readable instead of deadly, for as long as the descriptor lives. */
static int interrupt_open(struct error *err)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return error_errno(err, -errno, "signal-failed", "blocking SIGINT");
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? error_errno(err, -errno, "signal-failed", "taking SIGINT") : fd;
}

int follow_job(struct cli *cli, const char *id, uint64_t offset, enum follow_mode mode,
               json_t **ret_job, struct error *err)
{
    struct follow follow = {.cli = cli, .id = id, .offset = offset, .mode = mode};
    AUTO_FD int fd = interrupt_open(err);
    if (fd < 0)
        return fd;
    int r = cli_interrupt_on(cli, fd, err);
    if (r == 0)
        r = follow_run(&follow, ret_job, err);
    if (follow.line.length)
        line_flush(&follow);
    buf_finish(&follow.line);
    (void)cli_interrupt_on(cli, -1, NULL); /* connected already */
    return r;
}

int follow_once(struct cli *cli, const char *id, uint64_t offset, struct error *err)
{
    struct follow follow = {.cli = cli, .id = id, .offset = offset, .mode = FOLLOW_WATCH};
    int r = follow_stream(&follow, "", err);
    if (follow.line.length)
        line_flush(&follow);
    buf_finish(&follow.line);
    return r;
}
