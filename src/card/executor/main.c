/* The executor process: it leaves what it inherited behind, opens the device, welcomes the client
 * and consumes records until the client leaves. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "card/executor/build.h"
#include "card/executor/completion.h"
#include "card/executor/device.h"
#include "card/executor/executor.h"
#include "card/executor/output.h"
#include "card/executor/park.h"
#include "card/executor/sandbox.h"
#include "card/executor/session.h"
#include "card/executor/snapshot.h"
#include "card/ledger/futex.h"
#include "card/meter/meter.h"

#define SWEEP_NS \
    (50 * NS_PER_MS) /* while commands are in flight: a driver may fail one silently \
                      */
#define LOOK_NS \
    (2 * NS_PER_MS) /* while several commands are in flight whose end nobody reports \
                     */
#define IDLE_NS (3600 * NS_PER_S)
#define WELCOME_FDS 3

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
    static const int handled[] = {SIGINT, SIGTERM, SIGHUP, SIGCHLD, SIGUSR1, SIGUSR2};
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
    int kept[] = {STDERR_FILENO,     params->socket_fd, params->session_fd, params->ledger_fd,
                  params->claims_fd, params->notify_fd, params->control_fd};
    const unsigned count = sizeof(kept) / sizeof(kept[0]);
    qsort(kept, count, sizeof(kept[0]), compare_fds);
    for (unsigned i = 0; i < count; i++) {
        unsigned first = (unsigned)kept[i] + 1;
        unsigned last = i + 1 < count ? (unsigned)kept[i + 1] : ~0u;
        if (kept[i] >= 0 && (i + 1 == count || first < last))
            (void)close_range(first, i + 1 < count ? last - 1 : last, 0); /* not there: fine */
    }
}

/* Leave behind what leat-cardd had. 0 or a negative errno. */
static int settle(const struct executor_params *params, struct error *err)
{
    char name[16];
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* cannot fail for a valid signal */
    if (params->parent_pid && getppid() != params->parent_pid)
        _exit(EXIT_CLIENT_LEFT); /* leat-cardd died before the line above */
    (void)snprintf(name, sizeof(name), "leat-exec:%s", params->card_name);
    (void)prctl(PR_SET_NAME, name);
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

static int map_session(struct session *session, struct wire_session *ret_layout, struct error *err)
{
    uint64_t bytes = wire_session_layout(ret_layout);
    session->shared =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, session->params.session_fd, 0);
    if (session->shared == MAP_FAILED) {
        session->shared = NULL;
        return error_errno(err, -errno, "no-session-memory", "cannot map the session memory");
    }
    (void)wire_session_layout(session->shared);
    return 0;
}

/* What the session memory has beyond its layout is the arena, if the driver can work in there. */
static int map_arena(struct session *session, const struct wire_session *layout, struct error *err)
{
    struct stat memory;
    if (fstat(session->params.session_fd, &memory) < 0)
        return error_errno(err, -errno, "no-session-memory",
                           "cannot see the session memory's size");
    uint64_t bytes = (uint64_t)memory.st_size - layout->arena_offset;
    if (bytes == 0 || !device_shares_memory(session->device))
        return 0;
    void *arena = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, session->params.session_fd,
                       (off_t)layout->arena_offset);
    if (arena == MAP_FAILED)
        return 0; /* no room in this process: buffers are the driver's own */
    session->arena = arena;
    session->arena_bytes = bytes;
    session->shared->arena_bytes = bytes;
    return 0;
}

static int put_snapshot(struct session *session, const struct wire_session *layout,
                        cl_platform_id platform, struct error *err)
{
    AUTO_BUF struct buf snapshot = BUF_INIT;
    int result = snapshot_write(platform, session->device, session->params.quota_bytes, &snapshot);
    if (result < 0 || snapshot.length > WIRE_SNAPSHOT_BYTES)
        return error_set(err, result < 0 ? result : -EFBIG, "no-snapshot",
                         "cannot describe the device in %u bytes", WIRE_SNAPSHOT_BYTES);
    memcpy((uint8_t *)session->shared + layout->snapshot_offset, snapshot.data, snapshot.length);
    session->shared->snapshot_length = snapshot.length;
    return 0;
}

/* Everything a session needs before it can say welcome. 0 or a negative errno. */
static int open_session(struct session *session, uint64_t *ret_bytes, struct error *err)
{
    const struct executor_params *params = &session->params;
    struct wire_session layout = {0};
    cl_platform_id platform;
    if (device_find(params->platform_index, params->device_index, &platform, &session->device,
                    err) < 0 ||
        map_session(session, &layout, err) < 0 || map_arena(session, &layout, err) < 0 ||
        put_snapshot(session, &layout, platform, err) < 0)
        return err->errnum;
    build_open(session, platform);
    session->output_caught = 1;
    session->ledger = params->ledger;
    session->meter = meter_create(params->ledger, params->device, (uint32_t)getpid(), params->slot,
                                  params->notify_fd);
    if (!session->meter || session_init(session, &layout) < 0)
        return error_set(err, -ENOMEM, "no-memory", "no memory for a session");
    *ret_bytes = layout.arena_offset + session->arena_bytes;
    return 0;
}

/* Answer the client's hello; with status 0 the three descriptors go along. */
static int send_welcome(const struct session *session, uint64_t session_bytes,
                        const struct error *err)
{
    const struct executor_params *params = &session->params;
    const int fds[WELCOME_FDS] = {params->session_fd, params->ledger_fd, params->claims_fd};
    struct wire_welcome welcome = {.magic = WIRE_MAGIC,
                                   .version = WIRE_VERSION,
                                   .status = err->errnum,
                                   .slot = params->slot,
                                   .session_bytes = session_bytes};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(fds))] = {0};
    struct iovec part = {&welcome, sizeof(welcome)};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    (void)snprintf(welcome.text, sizeof(welcome.text), "%.*s", (int)sizeof(welcome.text) - 1,
                   err->text);
    if (err->errnum == 0) {
        message.msg_control = control;
        message.msg_controllen = sizeof(control);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        *header = (struct cmsghdr){CMSG_LEN(sizeof(fds)), SOL_SOCKET, SCM_RIGHTS};
        memcpy(CMSG_DATA(header), fds, sizeof(fds));
    }
    ssize_t sent = sendmsg(params->socket_fd, &message, MSG_NOSIGNAL);
    return sent == (ssize_t)sizeof(welcome) ? 0 : -EPIPE;
}

/* The client says nothing more on its socket: whatever comes is the end. Orders of leat-cardd are
 * handed to the consumer. */
static void *watch_outside(void *arg)
{
    struct session *session = arg;
    struct pollfd outside[] = {
        {.fd = session->params.socket_fd, .events = POLLIN | POLLRDHUP},
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
    int pending = completion_pending(session);
    if (pending && __atomic_load_n(&session->quiet_count, __ATOMIC_RELAXED) > 1)
        return consumer_wait(&session->consumer, LOOK_NS, ret_record, err);
    taken = consumer_wait(&session->consumer, pending ? SWEEP_NS : IDLE_NS, ret_record, err);
    if (taken == 0 && pending)
        completion_sweep(session);
    return taken;
}

static _Noreturn void serve(struct session *session)
{
    struct error err = {0};
    session->suspended = session->params.suspended;
    for (;;) {
        const struct wire_header *record;
        int taken = session->suspended ? park_wait(session, &record, 0, &err)
                                       : next_record(session, &record, &err);
        if (taken >= 0 && park_due(session))
            taken = park(session, &record, taken, &err);
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
    uint64_t session_bytes = 0;
    pthread_t watcher;
    if (!session)
        _exit(EXIT_NO_DEVICE);
    session->params = *params;
    if (settle(params, &err) == 0)
        (void)open_session(session, &session_bytes, &err); /* the welcome says why not */
    if (err.errnum)
        log_event(LOG_ERROR, "session.refused", "card=\"%s\" text=\"%s\"", params->card_name,
                  err.text);
    if (send_welcome(session, session_bytes, &err) < 0)
        leave(session, EXIT_CLIENT_LEFT);
    if (err.errnum)
        leave(session, EXIT_NO_DEVICE);
    if (pthread_create(&watcher, NULL, watch_outside, session) != 0)
        leave(session, EXIT_NO_DEVICE);
    serve(session);
}
