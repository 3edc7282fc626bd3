/* Asking, comparing and acting: see audit.h. */
#include "card/cardd/audit.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "base/units.h"
#include "card/cardd/card.h"
#include "card/cardd/cardd.h"
#include "card/cardd/control.h"
#include "card/cardd/process.h"
#include "card/cardd/session.h"
#include "card/cardd/watch.h"
#include "card/executor/executor.h"

#define ANSWER_MAX_BYTES (1u << 20)

struct audit {
    struct cardd *cardd;
    struct audit_options options;
    int fd; /* to the process that asks */
    pid_t pid;
    struct watch *answers;
    uv_timer_t timer;
    struct buf text; /* of an answer, so far */
    bool asked;
};

static const char *const policies[] = {
    [AUDIT_OFF] = "off",
    [AUDIT_WARN] = "warn",
    [AUDIT_PAUSE] = "pause",
    [AUDIT_KILL] = "kill",
};

static enum audit_policy policy_parse(const char *name)
{
    for (size_t i = AUDIT_OFF; i < sizeof(policies) / sizeof(policies[0]); i++)
        if (strcmp(policies[i], name) == 0)
            return (enum audit_policy)i;
    return AUDIT_INVALID;
}

int audit_options_parse(const char *text, struct audit_options *ret_options, struct error *err)
{
    struct audit_options options = {0};
    AUTO_FREE char *copy = strdup(text);
    char *rest = copy, *part = copy ? strsep(&rest, ",") : NULL;
    if (!part)
        return error_set(err, -ENOMEM, "out-of-memory", "reading --audit");
    options.policy = policy_parse(part);
    if (!options.policy)
        return error_set(err, -EINVAL, "usage", "the policy is off, warn, pause or kill; got '%s'",
                         part);
    while ((part = strsep(&rest, ","))) {
        int r = -EINVAL;
        if (strncmp(part, "allow=", 6) == 0)
            r = bytes_parse(part + 6, &options.allow_bytes, err);
        else if (strncmp(part, "every=", 6) == 0)
            r = duration_parse(part + 6, &options.every_ms, err);
        else
            (void)error_set(err, r, "usage", "'%s' is neither allow=BYTES nor every=TIME", part);
        if (r < 0)
            return r;
    }
    *ret_options = options;
    return 0;
}

struct audit *audit_open(struct cardd *cardd, const struct audit_options *options,
                         struct error *err)
{
    int ends[2];
    bool any = false;
    for (unsigned i = 0; i < cardd->devices.count; i++)
        any = any || cardd->devices.items[i].cuda;
    *err = (struct error){0};
    if (!any || options->policy == AUDIT_OFF)
        return NULL;
    AUTO_FREE struct audit *audit = calloc(1, sizeof(*audit));
    if (!audit || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
        (void)error_set(err, -ENOMEM, "out-of-memory", "preparing the auditor");
        return NULL;
    }
    *audit = (struct audit){.cardd = cardd, .options = *options, .fd = ends[0]};
    if (!audit->options.policy)
        audit->options.policy = AUDIT_WARN;
    if (!audit->options.allow_bytes)
        audit->options.allow_bytes = AUDIT_ALLOW_BYTES;
    if (!audit->options.every_ms)
        audit->options.every_ms = AUDIT_EVERY_MS;
    audit->pid = fork();
    if (audit->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* else it ends when it can ask nobody */
        process_close_others(&ends[1], 1);
        _exit(executor_audit(ends[1]));
    }
    (void)close(ends[1]);
    if (audit->pid > 0)
        return TAKE(audit);
    (void)error_errno(err, -errno, "audit-failed", "cannot fork the auditor");
    (void)close(ends[0]);
    return NULL;
}

/* ---- findings ---- */

static struct session *session_of(const struct cardd *cardd, pid_t pid, unsigned device)
{
    LIST_EACH (link, &cardd->sessions) {
        struct session *session = LIST_ENTRY(link, struct session, link);
        const struct device *own = session->card->device;
        if (session->process.pid == pid && own->cuda && own->device_index == device)
            return session;
    }
    return NULL;
}

/* What the program holds by its card: of all its slots, for it may have more than one. */
static uint64_t held_by(const struct cardd *cardd, const struct card *card, pid_t pid)
{
    uint64_t sum = 0;
    LIST_EACH (link, &cardd->sessions) {
        const struct session *session = LIST_ENTRY(link, struct session, link);
        if (session->card == card && session->client_pid == pid)
            sum +=
                __atomic_load_n(&card->ledger->slots[session->slot].used_bytes, __ATOMIC_RELAXED);
    }
    return sum;
}

static void act(struct audit *audit, struct session *session, uint64_t real, uint64_t held)
{
    const struct card *card = session->card;
    const char *policy = policies[audit->options.policy];
    log_event(LOG_WARN, "card.overdrawn",
              "card=%s pid=%d device_bytes=%llu ledger_bytes=%llu policy=%s", card->name,
              (int)session->client_pid, (unsigned long long)real, (unsigned long long)held, policy);
    control_event(audit->cardd->control, "card.overdrawn",
                  json_pack("{ss si sI sI ss}", "card", card->name, "pid", (int)session->client_pid,
                            "device_bytes", (json_int_t)real, "ledger_bytes", (json_int_t)held,
                            "policy", policy));
    if (audit->options.policy == AUDIT_KILL)
        session_kill(session);
    else if (audit->options.policy == AUDIT_PAUSE)
        (void)syscall(SYS_pidfd_send_signal, session->process.pidfd, SIGSTOP, NULL,
                      0); /* it may end */
}

/* Told once, until it is within its means again. */
static void compare(struct audit *audit, const json_t *process)
{
    int pid, device;
    json_int_t bytes;
    if (json_unpack((json_t *)(uintptr_t)process, "{s:i, s:i, s:I}", "pid", &pid, "device", &device,
                    "bytes", &bytes) < 0)
        return;
    struct session *session = session_of(audit->cardd, pid, (unsigned)device);
    if (!session)
        return;
    uint64_t held = held_by(audit->cardd, session->card, pid);
    bool over = (uint64_t)bytes > held && (uint64_t)bytes - held > audit->options.allow_bytes;
    if (over && !session->overdrawn)
        act(audit, session, (uint64_t)bytes, held);
    session->overdrawn = over;
}

static void answer_read(struct audit *audit)
{
    AUTO_JSON json_t *list = json_loadb(audit->text.data, audit->text.length, 0, NULL);
    size_t index;
    const json_t *process;
    json_array_foreach (list, index, process)
        compare(audit, process);
}

static void answers_stop(struct audit *audit)
{
    watch_stop(audit->answers);
    audit->answers = NULL;
    (void)uv_timer_stop(&audit->timer); /* cannot fail */
}

static void answer_arrived(void *arg)
{
    struct audit *audit = arg;
    if (buf_reserve(&audit->text, 4096) < 0 || audit->text.length > ANSWER_MAX_BYTES) {
        answers_stop(audit);
        return;
    }
    ssize_t got = recv(audit->fd, audit->text.data + audit->text.length, 4096, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        log_event(LOG_WARN, "audit.ended", "text=\"the management library cannot be asked\"");
        answers_stop(audit);
        return;
    }
    audit->text.length += (size_t)got;
    if (audit->text.data[audit->text.length - 1] != '\n')
        return;
    answer_read(audit);
    audit->text.length = 0;
    audit->asked = false;
}

static void ask(uv_timer_t *timer)
{
    struct audit *audit = timer->data;
    bool used = false;
    LIST_EACH (link, &audit->cardd->sessions)
        used = used || LIST_ENTRY(link, struct session, link)->card->device->cuda;
    if (used && !audit->asked)
        audit->asked = send(audit->fd, "?", 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1;
}

int audit_start(struct audit *audit)
{
    int r = uv_timer_init(&audit->cardd->loop, &audit->timer);
    audit->timer.data = audit;
    if (r == 0)
        r = uv_timer_start(&audit->timer, ask, audit->options.every_ms, audit->options.every_ms);
    if (r < 0)
        return r;
    audit->answers = watch_start(&audit->cardd->loop, audit->fd, answer_arrived, audit);
    return audit->answers ? 0 : -ENOMEM;
}

void audit_stop(struct audit *audit)
{
    if (!audit || uv_is_closing((uv_handle_t *)&audit->timer))
        return;
    watch_stop(audit->answers);
    audit->answers = NULL;
    uv_close((uv_handle_t *)&audit->timer, NULL);
}

void audit_close(struct audit *audit)
{
    if (!audit)
        return;
    (void)kill(audit->pid, SIGKILL); /* our child, not yet waited for */
    while (waitpid(audit->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    (void)close(audit->fd);
    buf_finish(&audit->text);
    free(audit);
}
