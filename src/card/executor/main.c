/* The executor process: it leaves what it inherited behind, is handed its client, opens the device
 * and consumes records until the client leaves. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/slice.h"
#include "card/executor/build.h"
#include "card/executor/completion.h"
#include "card/executor/cuda.h"
#include "card/executor/device.h"
#include "card/executor/executor.h"
#include "card/executor/handover.h"
#include "card/executor/output.h"
#include "card/executor/park.h"
#include "card/executor/sandbox.h"
#include "card/executor/seat.h"
#include "card/executor/session.h"
#include "card/ledger/futex.h"
#include "card/ledger/ledger.h"
#include "card/meter/meter.h"

#define SWEEP_NS (50 * NS_PER_MS) /* commands in flight: a driver may fail one silently */
#define LOOK_NS (2 * NS_PER_MS)   /* several commands in flight whose end nobody reports */
#define IDLE_NS (3600 * NS_PER_S)

enum executor_exit { EXIT_CLIENT_LEFT = 0, EXIT_NO_DEVICE = 10, EXIT_BAD_RECORD = 11 };

static _Noreturn void leave(struct session *session, enum executor_exit status)
{
    /* Not exit(): the driver's own exit handlers wait for kernels that nobody wants any more. */
    if (session->shared) {
        __atomic_store_n(&session->shared->executor_ended, 1, __ATOMIC_SEQ_CST);
        __atomic_add_fetch(&session->shared->completion, 1, __ATOMIC_SEQ_CST);
        futex_wake(&session->shared->completion, INT_MAX);
    }
    _exit((int)status);
}

static void reset_signals(void)
{
    static const int handled[] = {SIGINT, SIGTERM, SIGHUP, SIGCHLD, SIGALRM, SIGUSR1, SIGUSR2};
    const struct sigaction plain = {.sa_handler = SIG_DFL}, ignore = {.sa_handler = SIG_IGN};
    sigset_t none;
    for (unsigned i = 0; i < sizeof(handled) / sizeof(handled[0]); i++)
        (void)sigaction(handled[i], &plain, NULL); /* cannot fail for these signals */
    (void)sigaction(SIGPIPE, &ignore, NULL);
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static int compare_fds(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

/* Close everything but standard streams and the descriptors of this session. */
static void close_others(const struct executor_params *params)
{
    int kept[2 + WIRE_CARDS_MAX] = {STDERR_FILENO, params->control_fd};
    const unsigned count = 2 + params->card_count;
    for (unsigned i = 0; i < params->card_count; i++)
        kept[2 + i] = params->cards[i].notify_fd;
    qsort(kept, count, sizeof(kept[0]), compare_fds);
    for (unsigned i = 0; i < count; i++) {
        unsigned first = (unsigned)kept[i] + 1;
        unsigned last = i + 1 < count ? (unsigned)kept[i + 1] : ~0u;
        if (kept[i] >= 0 && (i + 1 == count || first < last))
            (void)close_range(first, i + 1 < count ? last - 1 : last, 0); /* not there: fine */
    }
}

static void name_process(const char *what, const char *card)
{
    char name[16];
    (void)snprintf(name, sizeof(name), "%s:%s", what, card);
    (void)prctl(PR_SET_NAME, name);
}

/* Leave behind what leat-cardd had. 0 or a negative errno. */
static int settle(const struct executor_params *params, struct error *err)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* cannot fail for a valid signal */
    if (params->parent_pid && getppid() != params->parent_pid)
        _exit(EXIT_CLIENT_LEFT); /* leat-cardd died before the line above */
    name_process(params->is_spare ? "leat-spare" : "leat-exec", params->card_name);
    (void)setsid(); /* fails only for a group leader, which a fresh child is not */
    reset_signals();
    close_others(params);
    device_clean_environment();
    device_point_caches(params->cache_dir);
    int result = output_capture(err);
    if (result < 0)
        return result;
    result = sandbox_enter(err);
    if (result == -ENOSYS) {
        log_event(LOG_DEBUG, "session.open_files", "card=\"%s\" text=\"%s\"", params->card_name,
                  err->text);
        *err = (struct error){0};
        result = 0;
    }
    return result;
}

/* The client may be using the memory already, so nothing of it is changed here. */
static int map_session(struct session *session, const struct wire_session *layout,
                       struct error *err)
{
    const struct executor_client *client = &session->client;
    uint64_t bytes = layout->arena_offset + client->arena_bytes;
    uint8_t *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, client->session_fd, 0);
    if (memory == MAP_FAILED)
        return error_errno(err, -errno, "no-session-memory", "cannot map the session memory");
    session->shared = (struct wire_session *)(void *)memory;
    session->arena = client->arena_bytes ? memory + layout->arena_offset : NULL;
    session->arena_bytes = client->arena_bytes;
    return 0;
}

/* Everything a session needs but the driver. 0 or a negative errno. */
static int open_session(struct session *session, struct error *err)
{
    struct wire_session layout = {0};
    (void)wire_session_layout(&layout);
    if (map_session(session, &layout, err) < 0)
        return err->errnum;
    session->output_caught = 1;
    if (seats_open(session) < 0 || session_init(session, &layout) < 0)
        return error_set(err, -ENOMEM, "no-memory", "no memory for a session");
    return seats_place(session, err);
}

static _Noreturn void refuse(struct session *session, const struct error *err)
{
    log_event(LOG_ERROR, "session.refused", "card=\"%s\" text=\"%s\"", session->params.card_name,
              err->text);
    leave(session, EXIT_NO_DEVICE);
}

static void start_driver(struct session *session)
{
    const struct executor_params *params = &session->params;
    struct error err = {0};
    cl_platform_id platform;
    if (params->cuda) {
        if (cuda_open(session, &err) < 0)
            refuse(session, &err);
        return;
    }
    if (seats_find_devices(session, NULL, &platform, &err) < 0)
        refuse(session, &err);
    build_open(session, platform);
    seats_enter(session);
}

/* The first record has come. */
static void begin_work(struct session *session)
{
    session->begun = 1;
    __atomic_store_n(&session->ledger->slots[session->client.slot].begun, 1, __ATOMIC_SEQ_CST);
    if (!session->device) {
        meter_work_begin(session->meter);
        start_driver(session);
        meter_work_end(session->meter);
    }
    slice_shorten(); /* not of the driver's threads, which have begun: those compute */
    session->device_is_host = session->device && device_shares_memory(session->device);
    if (session->arena && !session->device_is_host) {
        session->arena = NULL; /* whoever places a buffer there is told so by the end */
        session->shared->arena_bytes = session->arena_bytes = 0;
    }
}

/* The client says nothing more on its socket: whatever comes is the end. Orders of leat-cardd are
 * handed to the consumer. */
static void *watch_outside(void *arg)
{
    struct session *session = arg;
    struct pollfd outside[] = {
        {.fd = session->client.socket_fd, .events = POLLIN | POLLRDHUP},
        {.fd = session->params.control_fd, .events = POLLIN},
    };
    for (;;) {
        if (poll(outside, 2, -1) < 0 && errno == EINTR)
            continue;
        if (outside[0].revents)
            leave(session, EXIT_CLIENT_LEFT);
        if (park_receive(session) < 0)
            outside[1].fd = -1; /* nobody is there any more; the death signal comes */
    }
}

/* The next record: 1, 0 when there is none yet, or -EPROTO. */
static int next_record(struct session *session, const struct wire_header **ret_record,
                       struct error *err)
{
    int taken = consumer_take(&session->consumer, ret_record, err);
    if (taken)
        return taken;
    session_flush(session);
    completion_rest(session);
    uint64_t limit_ns = IDLE_NS;
    int is_vain = 0; /* to look for a record */
    if (completion_pending(session)) {
        int unreported = __atomic_load_n(&session->quiet_count, __ATOMIC_RELAXED) > 1;
        limit_ns = unreported ? LOOK_NS : SWEEP_NS;
        is_vain = session->device_is_host ||
                  __atomic_load_n(&session->shared->sleepers, __ATOMIC_RELAXED) != 0;
    }
    if (park_looks(session))
        limit_ns = LOOK_NS;
    taken = is_vain ? consumer_sleep(&session->consumer, limit_ns, ret_record, err)
                    : consumer_wait(&session->consumer, limit_ns, ret_record, err);
    if (taken == 0 && limit_ns == SWEEP_NS)
        completion_sweep(session);
    return taken;
}

static _Noreturn void serve(struct session *session)
{
    const struct wire_header *record = (const void *)session->consumer.record;
    struct error err = {0};
    session->suspended = session->client.suspended;
    int taken = session->client.rebuild ? park_rebuild(session) : 0;
    if (taken < 0)
        leave(session, EXIT_NO_DEVICE);
    for (;; taken = 0) {
        if (session->suspended)
            taken = park_wait(session);
        if (!taken)
            taken = next_record(session, &record, &err);
        if (taken > 0 && !session->begun)
            begin_work(session);
        if (taken >= 0 && park_due(session, taken > 0))
            taken = park(session, taken);
        if (taken > 0)
            taken = session_dispatch(session, record, &err);
        if (taken < 0) {
            log_event(LOG_WARN, "session.bad_record", "card=\"%s\" pid=%d text=\"%s\"",
                      session->params.card_name, (int)getpid(), err.text);
            leave(session, EXIT_BAD_RECORD);
        }
    }
}

_Noreturn void executor_main(const struct executor_params *params)
{
    struct session *session = calloc(1, sizeof(*session)); /* too large for the stack */
    struct error err = {0};
    pthread_t watcher;
    if (!session)
        _exit(EXIT_NO_DEVICE);
    session->params = *params;
    session->builds_fd = -1;
    if (settle(params, &err) < 0)
        refuse(session, &err);
    if (params->is_spare)
        start_driver(session);
    if (handover_receive(params->control_fd, &session->client) < 0)
        leave(session, EXIT_CLIENT_LEFT); /* not wanted any more */
    name_process("leat-exec", params->card_name);
    if (open_session(session, &err) < 0)
        refuse(session, &err);
    if (pthread_create(&watcher, NULL, watch_outside, session) != 0)
        leave(session, EXIT_NO_DEVICE);
    serve(session);
}
