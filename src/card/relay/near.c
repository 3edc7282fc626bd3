/* The program's host: give out a session in shared memory as an executor does, forward what the
 * program posts, and write what comes back. The main thread forwards; another receives, and looks
 * for what the program posts next once it has its answer. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "card/ledger/futex.h"
#include "card/relay/near.h"
#include "card/relay/relay.h"

#define HELLO_LIMIT_S 5
#define GATHER_BYTES 8192 /* records worth a packet */
#define LINGER_NS 50000u  /* while something is outstanding, more may follow at once */
#define SHORT_TRIP_US 500
#define HAND_ON_NS 100000u

enum { MEMORY_SESSION, MEMORY_LEDGER, MEMORY_CLAIMS };

/* ---- sending ---- */

int near_put(struct near *near, enum frame_kind kind, const void *head, size_t head_bytes,
             uint64_t more_bytes)
{
    const struct frame_header header = {.length = (uint32_t)(head_bytes + more_bytes),
                                        .kind = (uint16_t)kind,
                                        .lane = (uint16_t)near->consumer.lane};
    int r = conn_put(near->conn, &header, sizeof(header));
    return r == 0 && head_bytes ? conn_put(near->conn, head, head_bytes) : r;
}

/* Whether somebody else wants the thread that forwards. */
static int is_called(const struct near *near)
{
    return near->is_called && near->is_called(near->called_arg);
}

static uint64_t claimed(const struct near *near)
{
    return __atomic_load_n(&near->claims->slots[near->slot].claimed_total_bytes, __ATOMIC_SEQ_CST);
}

/* Program and threads count meanwhile. */
static struct wire_stats stats_read(const struct wire_stats *stats)
{
    union {
        struct wire_stats stats;
        uint64_t words[sizeof(struct wire_stats) / sizeof(uint64_t)];
    } copy;
    for (size_t i = 0; i < sizeof(copy.words) / sizeof(copy.words[0]); i++)
        copy.words[i] = __atomic_load_n((const uint64_t *)stats + i, __ATOMIC_RELAXED);
    return copy.stats;
}

int near_put_account(struct near *near)
{
    const uint64_t claimed_bytes = claimed(near), freed_bytes = near->moved.freed_bytes;
    const struct frame_account account = {claimed_bytes > freed_bytes ? claimed_bytes - freed_bytes
                                                                      : 0,
                                          stats_read(&near->mirror.session->stats)};
    near->claim_told = claimed_bytes;
    return near_put(near, FRAME_ACCOUNT, &account, sizeof(account), 0);
}

int near_flush(struct near *near)
{
    int r = 0;
    pthread_mutex_lock(&near->send_lock);
    if (claimed(near) != near->claim_told)
        r = near_put_account(near);
    if (r == 0)
        r = conn_flush(near->conn);
    near->sent_ns = clock_monotonic_ns();
    pthread_mutex_unlock(&near->send_lock);
    return r;
}

void near_ping(struct near *near)
{
    pthread_mutex_lock(&near->send_lock);
    if (near_put(near, FRAME_PING, NULL, 0, 0) == 0)
        (void)conn_flush(near->conn); /* its end shows when it is used */
    pthread_mutex_unlock(&near->send_lock);
}

/* Whether the record is a command that adds to its queue's count. */
static int is_command(const struct wire_header *record)
{
    return record->opcode != WIRE_FLUSH && wire_record_shape(record->opcode)->queue;
}

/* Only kernels print: without a launch since it was empty, it still is. */
static int is_output_known(const struct output *output)
{
    return output->asked_quiet && output->launches == output->launches_asked &&
           __atomic_load_n(&output->is_empty, __ATOMIC_ACQUIRE);
}

static int answer_output(struct near *near, const struct wire_header *record, struct error *err)
{
    const struct frame_reply nothing = {.sequence = record->sequence};
    const struct frame_header header = {
        .length = sizeof(nothing), .kind = FRAME_REPLY, .lane = (uint16_t)near->consumer.lane};
    uint64_t none;
    return mirror_apply(&near->mirror, &header, &nothing, &none, err);
}

static void ask_output(struct near *near, const struct wire_header *record)
{
    struct output *output = &near->output;
    output->asked_quiet = near->forwarded == __atomic_load_n(&near->ended, __ATOMIC_ACQUIRE);
    output->launches_asked = output->launches;
    __atomic_store_n(&output->is_empty, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&output->sequence, record->sequence, __ATOMIC_RELEASE);
}

int near_forward(struct near *near, const struct wire_header *record, struct error *err)
{
    struct spans spans;
    near->output.launches += record->opcode == WIRE_LAUNCH;
    if (record->opcode == WIRE_OUTPUT_READ) {
        if (is_output_known(&near->output))
            return answer_output(near, record, err);
        ask_output(near, record);
    }
    if (relay_spans(record, &spans, err) < 0)
        return -EPROTO;
    near->brings_data = spans.to_device.bytes > 0 || spans.from_device.bytes > 0;
    near->forwarded += is_command(record);
    near->waited += wire_opcode_waits(record->opcode) != 0;
    pthread_mutex_lock(&near->send_lock);
    int r = near_put(near, FRAME_RECORD, record, record->length, spans.to_device.bytes);
    if (r == 0)
        r = bulk_put(&near->to_device, near->conn, near->mirror.slab + spans.to_device.offset,
                     spans.to_device.bytes);
    pthread_mutex_unlock(&near->send_lock);
    if (r == 0 && (conn_gathered(near->conn) >= GATHER_BYTES || wire_opcode_waits(record->opcode)))
        r = near_flush(near);
    return r < 0 ? error_errno(err, r, "host-lost", "cannot send to the card's host") : 0;
}

/* Nothing outstanding: at once. Else the program is ahead of the device, and more may follow. */
static int is_worth_lingering(const struct near *near)
{
    const struct wire_session *session = near->mirror.session;
    return near->forwarded - __atomic_load_n(&near->ended, __ATOMIC_ACQUIRE) > 1 &&
           __atomic_load_n(&session->waiters, __ATOMIC_SEQ_CST) == 0 &&
           __atomic_load_n(&session->sleepers, __ATOMIC_SEQ_CST) == 0;
}

/* The next record within the time worth waiting for it, else 0 with all sent. */
static int take_more(struct near *near, const struct wire_header **ret_record, struct error *err)
{
    uint64_t end_ns = clock_monotonic_ns() + LINGER_NS;
    do {
        int taken = consumer_take(&near->consumer, ret_record, err);
        if (taken)
            return taken;
        __builtin_ia32_pause();
    } while (is_worth_lingering(near) && clock_monotonic_ns() < end_ns);
    int r = near_flush(near);
    return r < 0 ? error_errno(err, r, "host-lost", "cannot send to the card's host") : 0;
}

/* As consumer_sleep, and lets the receiver take records meanwhile. */
static int doze(struct near *near, const struct wire_header **ret_record, struct error *err)
{
    uint32_t *asleep = &near->mirror.session->asleep;
    __atomic_store_n(asleep, 1, __ATOMIC_SEQ_CST);
    int taken = consumer_take(&near->consumer, ret_record, err);
    if (!taken && !is_called(near)) {
        pthread_mutex_unlock(&near->ring_lock);
        futex_sleep(asleep, 1, CONN_PING_MS * NS_PER_MS / 2);
        pthread_mutex_lock(&near->ring_lock);
    }
    __atomic_store_n(asleep, 0, __ATOMIC_SEQ_CST);
    return taken ? taken : consumer_take(&near->consumer, ret_record, err);
}

static int rest(struct near *near, const struct wire_header **ret_record, struct error *err)
{
    int taken = consumer_look(&near->consumer, ret_record, err);
    if (!taken)
        taken = doze(near, ret_record, err);
    if (taken || clock_monotonic_ns() - near->sent_ns < CONN_PING_MS * NS_PER_MS / 2)
        return taken;
    pthread_mutex_lock(&near->send_lock);
    int r = near_put_account(near); /* says that we live, too */
    pthread_mutex_unlock(&near->send_lock);
    if (r == 0)
        r = near_flush(near);
    return r < 0 ? error_errno(err, r, "host-lost", "cannot send to the card's host") : 0;
}

int near_forward_all(struct near *near, struct error *err)
{
    while (!is_called(near)) {
        const struct wire_header *record;
        int taken = consumer_take(&near->consumer, &record, err);
        if (taken == 0 && conn_gathered(near->conn))
            taken = take_more(near, &record, err);
        if (taken == 0)
            taken = rest(near, &record, err);
        if (taken > 0)
            taken = near_forward(near, record, err);
        if (taken < 0)
            return taken;
    }
    return 0;
}

/* ---- receiving ---- */

_Noreturn void near_leave(struct near *near, const struct error *err)
{
    struct wire_session *session = near->mirror.session;
    if (err->errnum)
        log_event(LOG_WARN, "session.lost", "code=%s text=\"%s\"", err->code, err->text);
    __atomic_store_n(&session->executor_ended, 1, __ATOMIC_SEQ_CST);
    (void)__atomic_add_fetch(&session->completion, 1, __ATOMIC_SEQ_CST);
    futex_wake(&session->completion, INT_MAX);
    _exit(err->errnum ? EXIT_FAILURE : EXIT_SUCCESS);
}

/* The program has gone. Its last figures go over; a sender that is stuck is not waited for. */
static _Noreturn void say_farewell(struct near *near)
{
    const struct error none = {0};
    if (pthread_mutex_trylock(&near->send_lock) == 0 && near_put_account(near) == 0 &&
        conn_flush(near->conn) == 0)
        conn_close(near->conn);
    near_leave(near, &none);
}

static int is_fetched(const struct near *near)
{
    return __atomic_load_n(&near->fetched, __ATOMIC_SEQ_CST);
}

static int receive_data(struct near *near, uint32_t length)
{
    struct frame_data data;
    if (length < sizeof(data))
        return -EPROTO;
    int r = conn_read(near->conn, &data, sizeof(data));
    if (r < 0)
        return r;
    uint64_t bytes = length - sizeof(data);
    if (data.slab_offset > WIRE_SLAB_BYTES || bytes > WIRE_SLAB_BYTES - data.slab_offset)
        return -EPROTO;
    uint8_t *place = is_fetched(near) ? recall_place(&near->recall, data.slab_offset, bytes)
                                      : near->mirror.slab + data.slab_offset;
    return place ? bulk_read(&near->from_device, near->conn, place, bytes) : -EPROTO;
}

/* Before the program sees the reply: it may ask again at once. */
static void note_reply(struct near *near)
{
    struct frame_reply reply;
    memcpy(&reply, near->body, sizeof(reply));
    (void)__atomic_add_fetch(&near->replied, 1, __ATOMIC_RELEASE);
    if (reply.sequence == __atomic_load_n(&near->output.sequence, __ATOMIC_ACQUIRE))
        __atomic_store_n(&near->output.is_empty, reply.value == 0, __ATOMIC_RELEASE);
}

/* One frame, its body in near->body unless it is data, which goes where it belongs. */
static int receive_frame(struct near *near, struct frame_header *ret_header, struct error *err)
{
    int r = conn_read(near->conn, ret_header, sizeof(*ret_header));
    if (r == 0 && ret_header->kind == FRAME_DATA)
        r = receive_data(near, ret_header->length);
    else if (r == 0)
        r = ret_header->length <= NEAR_BODY_MAX
                ? conn_read(near->conn, near->body, ret_header->length)
                : -EPROTO;
    return r < 0 ? error_errno(err, r, "host-lost", "the card's host is lost") : 0;
}

/* The program has its answer and nothing is under way: its next record will probably come soon. To
 * wake the forwarder for it takes longer than to look for it, where a CPU is to spare. What brings
 * data is the last that is taken: who sends much must not be the one who receives. */
static int take_over(struct near *near, struct error *err)
{
    uint32_t *asleep = &near->mirror.session->asleep;
    const struct wire_header *record;
    if (pthread_mutex_trylock(&near->ring_lock) != 0)
        return 0; /* the forwarder is awake */
    if (near->forwarded != __atomic_load_n(&near->ended, __ATOMIC_ACQUIRE)) {
        pthread_mutex_unlock(&near->ring_lock);
        return 0;
    }
    near->brings_data = 0;
    __atomic_store_n(asleep, 0, __ATOMIC_SEQ_CST); /* nobody needs to be woken */
    int taken = consumer_look(&near->consumer, &record, err);
    while (taken > 0) {
        taken = near_forward(near, record, err);
        if (taken == 0 && !near->brings_data)
            taken = consumer_take(&near->consumer, &record, err);
    }
    if (taken == 0 && conn_gathered(near->conn) && near_flush(near) < 0)
        taken = error_set(err, -EPIPE, "host-lost", "cannot send to the card's host");
    __atomic_store_n(asleep, 1, __ATOMIC_SEQ_CST); /* as the forwarder left it */
    const int is_wanted = consumer_has_more(&near->consumer) || is_called(near);
    if (is_wanted && __atomic_exchange_n(asleep, 0, __ATOMIC_SEQ_CST))
        futex_wake(asleep, 1);
    pthread_mutex_unlock(&near->ring_lock);
    return taken;
}

/* What has come is the program's, or the answer to a question of ours. */
static int take_frame(struct near *near, const struct frame_header *header, struct error *err)
{
    uint64_t ended = 0;
    const int is_reply =
        header->kind == FRAME_REPLY && header->length == sizeof(struct frame_reply);
    if (is_reply && header->lane == RECALL_LANE) {
        struct frame_reply reply;
        memcpy(&reply, near->body, sizeof(reply));
        return recall_answer(&near->recall, &reply) == 0
                   ? 0
                   : error_set(err, -EPROTO, "bad-frame", "an answer that nobody asked for");
    }
    if (is_fetched(near)) {
        near_ping(near); /* the other thread may be at something that takes long */
        return 0;
    }
    if (is_reply)
        note_reply(near);
    int r = mirror_apply(&near->mirror, header, near->body, &ended, err);
    (void)__atomic_add_fetch(&near->ended, ended, __ATOMIC_RELEASE);
    return r == 0 && (ended || header->kind == FRAME_REPLY) ? take_over(near, err) : r;
}

/* The connection has ended, and with it the session, unless that is here. */
static void give_up(struct near *near, const struct error *err)
{
    __atomic_store_n(&near->lost, 1, __ATOMIC_SEQ_CST);
    if (!near->mirror.moved || __atomic_load_n(&near->needed, __ATOMIC_SEQ_CST))
        near_leave(near, err);
}

static void *receive_all(void *arg)
{
    struct near *near = arg;
    struct error err = {0};
    int r = 0;
    while (r == 0) {
        struct frame_header header;
        int client_left = 0;
        int ready = conn_wait(near->conn, near->client_fd, CONN_SILENCE_MS, &client_left);
        if (client_left)
            say_farewell(near);
        if (!ready)
            r = error_set(&err, -ETIMEDOUT, "host-lost", "the card's host says nothing any more");
        if (r == 0)
            r = receive_frame(near, &header, &err);
        if (r == 0)
            r = take_frame(near, &header, &err);
    }
    give_up(near, &err);
    return NULL;
}

int near_receive(struct near *near, struct error *err)
{
    pthread_mutex_lock(&near->ring_lock);
    near->receives = pthread_create(&near->receiver, NULL, receive_all, near) == 0;
    return near->receives ? 0 : error_set(err, -EAGAIN, "no-thread", "no thread for a session");
}

/* ---- beginning ---- */

static int read_hello(int fd, struct wire_hello *ret_hello, struct error *err)
{
    const struct timeval limit = {.tv_sec = HELLO_LIMIT_S};
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)); /* cannot fail */
    if (recv(fd, ret_hello, sizeof(*ret_hello), MSG_WAITALL) != (ssize_t)sizeof(*ret_hello))
        return error_set(err, -EPROTO, "bad-hello", "the program did not say hello");
    if (ret_hello->magic != WIRE_MAGIC || ret_hello->version != WIRE_VERSION)
        return error_set(err, -EPROTO, "bad-version", "the program's library speaks version %u",
                         ret_hello->version);
    if (ret_hello->further_count > 0)
        return error_set(err, -EOPNOTSUPP, "several-cards",
                         "cards of another host cannot be devices of one platform");
    ret_hello->token[WIRE_TOKEN_MAX - 1] = '\0';
    return 0;
}

void near_serve(struct near *near, struct wire_session *session, struct ledger_card *ledger)
{
    mirror_init(&near->mirror, session, ledger);
    near->to_device.count = &session->stats.carried_to_device;
    near->from_device.count = &session->stats.carried_from_device;
}

static void *make_memory(size_t bytes, int *ret_fd)
{
    int fd = memfd_create("leat-session", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return NULL;
    *ret_fd = fd;
    void *memory = MAP_FAILED;
    if (ftruncate(fd, (off_t)bytes) == 0 &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0)
        memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

/* The program may look so much longer for an answer before it sleeps, for the line and for who
 * hands on at either end. Where the line takes long a wake-up does not matter. */
static uint32_t line_ns(const struct conn *conn)
{
    const uint64_t trip_us = conn_round_trip_us(conn);
    return trip_us > 0 && trip_us <= SHORT_TRIP_US ? (uint32_t)(trip_us * 1000 + HAND_ON_NS) : 0;
}

/* Pages of this session alone: a program that writes into them deceives itself only, for the
 * device's host keeps the true account. */
static int make_session(struct near *near, struct error *err)
{
    struct wire_session layout = {0};
    uint64_t bytes = wire_session_layout(&layout);
    struct wire_session *session = make_memory(bytes, &near->memory_fds[MEMORY_SESSION]);
    struct ledger_card *ledger = make_memory(sizeof(*ledger), &near->memory_fds[MEMORY_LEDGER]);
    near->claims = make_memory(sizeof(*near->claims), &near->memory_fds[MEMORY_CLAIMS]);
    near->body = malloc(NEAR_BODY_MAX);
    if (!session || !ledger || !near->claims || !near->body)
        return error_set(err, -ENOMEM, "out-of-memory", "making a session");
    (void)wire_session_layout(session);
    session->line_ns = line_ns(near->conn);
    ledger->magic = LEDGER_MAGIC;
    near_serve(near, session, ledger);
    consumer_init(&near->consumer, session, &layout);
    return 0;
}

/* Frames up to the snapshot, which ends the beginning. */
static int receive_beginning(struct near *near, struct error *err)
{
    struct wire_session *session = near->mirror.session;
    for (;;) {
        struct frame_header header;
        uint64_t ended;
        int r = receive_frame(near, &header, err);
        if (r < 0)
            return r;
        if (header.kind != FRAME_SNAPSHOT) {
            r = mirror_apply(&near->mirror, &header, near->body, &ended, err);
            if (r < 0)
                return r;
            continue;
        }
        if (header.length > WIRE_SNAPSHOT_BYTES)
            return error_set(err, -EPROTO, "bad-frame", "the device's description is too long");
        memcpy((uint8_t *)session + session->snapshot_offset, near->body, header.length);
        session->snapshot_length = header.length;
        return 0;
    }
}

static int send_welcome(const struct near *near, const struct error *err)
{
    struct wire_session layout;
    struct wire_welcome welcome = {.magic = WIRE_MAGIC,
                                   .version = WIRE_VERSION,
                                   .status = err->errnum,
                                   .slot = near->slot,
                                   .session_bytes = wire_session_layout(&layout)};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(near->memory_fds))] = {0};
    struct iovec part = {&welcome, sizeof(welcome)};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    (void)snprintf(welcome.text, sizeof(welcome.text), "%.255s", err->text);
    if (err->errnum == 0) {
        message.msg_control = control;
        message.msg_controllen = sizeof(control);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        *header = (struct cmsghdr){CMSG_LEN(sizeof(near->memory_fds)), SOL_SOCKET, SCM_RIGHTS};
        memcpy(CMSG_DATA(header), near->memory_fds, sizeof(near->memory_fds));
    }
    return sendmsg(near->client_fd, &message, MSG_NOSIGNAL) == (ssize_t)sizeof(welcome) ? 0
                                                                                        : -EPIPE;
}

static int begin(struct near *near, const struct relay_host *host, struct error *err)
{
    struct wire_hello hello;
    int r = read_hello(near->client_fd, &hello, err);
    if (r == 0)
        r = relay_call(host, &hello, &near->conn, &near->slot, err);
    if (r == 0 && near->slot >= LEDGER_SLOTS)
        r = error_set(err, -EPROTO, "bad-frame", "there is no slot %u", near->slot);
    if (r == 0)
        r = make_session(near, err);
    return r == 0 ? receive_beginning(near, err) : r;
}

int near_session(int fd, const struct relay_host *host, struct error *err)
{
    struct near *near = calloc(1, sizeof(*near)); /* lives as long as the process */
    struct error why = {0};
    if (!near)
        return error_set(err, -ENOMEM, "out-of-memory", "making a session");
    near->client_fd = fd;
    near->output.asked_quiet = near->output.is_empty = 1; /* nothing was launched yet */
    pthread_mutex_init(&near->send_lock, NULL);
    pthread_mutex_init(&near->ring_lock, NULL);
    int r = begin(near, host, &why);
    if (send_welcome(near, &why) < 0 && r == 0)
        r = error_set(&why, -EPIPE, "program-left", "the program left at once");
    if (r == 0)
        r = near_receive(near, &why);
    if (r < 0)
        return error_copy(err, &why);
    (void)near_forward_all(near, &why);
    near_leave(near, &why);
}
