/* The REST interface alone, over a real Unix socket, on a core of a few lines: refusals, late
 * answers, vanished clients, streams with slow readers, and leaving in order. The loop runs in a
 * thread of its own; the test is the client. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <uv.h>

#include <cmocka.h>

#include "api/api.h"
#include "api/api_impl.h"
#include "api/problem.h"
#include "api/request.h"
#include "api/route.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "core/core.h"
#include "fake_core.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define MIB (1u << 20)

struct rig {
    uv_loop_t loop;
    uv_async_t async;
    pthread_t thread;
    sem_t done;
    void (*work)(struct rig *rig); /* to be run on the loop */
    struct core *core;
    struct api *api;
    char folder[32], path[64];
    uint64_t number; /* argument and result of `work` */
};

static void on_async(uv_async_t *async)
{
    struct rig *rig = async->data;
    rig->work(rig);
    (void)sem_post(&rig->done);
}

/* Run `work` on the loop and wait until it has run. */
static uint64_t rig_do(struct rig *rig, void (*work)(struct rig *rig), uint64_t number)
{
    rig->work = work;
    rig->number = number;
    (void)uv_async_send(&rig->async);
    while (sem_wait(&rig->done) < 0)
        ; /* interrupted */
    return rig->number;
}

static void *rig_thread(void *arg)
{
    struct rig *rig = arg;
    (void)uv_run(&rig->loop, UV_RUN_DEFAULT);
    return NULL;
}

static int rig_start(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    (void)snprintf(rig->folder, sizeof(rig->folder), "/tmp/leat-api-XXXXXX");
    if (!mkdtemp(rig->folder) || sem_init(&rig->done, 0, 0) < 0)
        return -1;
    (void)snprintf(rig->path, sizeof(rig->path), "%s/leatd.sock", rig->folder);
    (void)uv_loop_init(&rig->loop);
    (void)uv_async_init(&rig->loop, &rig->async, on_async);
    rig->async.data = rig;
    rig->core = fake_core_create(&rig->loop);
    struct error err;
    const struct api_options options = {
        .loop = &rig->loop, .core = rig->core, .socket_path = rig->path};
    if (api_create(&options, &rig->api, &err) < 0)
        return -1;
    *state = rig;
    return pthread_create(&rig->thread, NULL, rig_thread, rig);
}

static void on_api_stopped(void *arg)
{
    struct rig *rig = arg;
    uv_close((uv_handle_t *)&rig->async, NULL);
}

static void on_core_stopped(void *arg)
{
    struct rig *rig = arg;
    api_stop(rig->api, on_api_stopped, rig);
}

static void work_stop(struct rig *rig)
{
    api_drain(rig->api);
    core_stop(rig->core, on_core_stopped, rig);
}

static int rig_stop(void **state)
{
    struct rig *rig = *state;
    (void)rig_do(rig, work_stop, 0);
    (void)pthread_join(rig->thread, NULL);
    assert_int_equal(uv_loop_close(&rig->loop), 0);
    assert_int_equal(fake_core_open(rig->core), 0);
    assert_int_equal(access(rig->path, F_OK), -1);
    assert_true(list_empty(&rig->api->requests));
    assert_int_equal(rig->api->streams, 0);
    api_destroy(rig->api);
    core_destroy(rig->core);
    (void)sem_destroy(&rig->done);
    int r = rmdir(rig->folder);
    free(rig);
    return r;
}

static void work_count_open(struct rig *rig)
{
    rig->number = fake_core_open(rig->core);
}

static void work_answer(struct rig *rig)
{
    fake_core_answer(rig->core);
}

static void work_sweep(struct rig *rig)
{
    request_sweep(rig->api);
}

static void work_event(struct rig *rig)
{
    for (uint64_t i = 0; i < rig->number; i++)
        fake_core_event(rig->core, "test");
}

static void work_log(struct rig *rig)
{
    fake_core_log(rig->core, rig->number >> 1, (int)(rig->number & 1));
}

static void work_log_read(struct rig *rig)
{
    rig->number = fake_core_log_read(rig->core);
}

/* Until the fake core owes or holds `wanted` things. */
static void wait_for_open(struct rig *rig, uint64_t wanted)
{
    while (rig_do(rig, work_count_open, 0) != wanted)
        (void)sched_yield();
}

/* -- a client
 * ----------------------------------------------------------------------------------- */

static int client_connect(const struct rig *rig)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, rig->path, strlen(rig->path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void client_send(int fd, const char *text)
{
    assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
}

/* One read into `got`; false at the end of the connection. */
static int client_read(int fd, struct buf *got)
{
    char block[65536];
    ssize_t n = read(fd, block, sizeof(block));
    if (n <= 0)
        return 0;
    (void)buf_append(got, block, (size_t)n);
    return 1;
}

/* The answer's head and as much of its body as `Content-Length` says. */
static void client_receive(int fd, struct buf *got)
{
    for (;;) {
        const char *end = got->data ? strstr(got->data, "\r\n\r\n") : NULL;
        const char *length = end ? strstr(got->data, "Content-Length: ") : NULL;
        unsigned long long body = 0;
        if (length && length < end)
            (void)sscanf(length, "Content-Length: %llu", &body);
        if (end && got->length >= (size_t)(end + 4 - got->data) + body)
            return;
        if (!client_read(fd, got))
            return;
    }
}

static unsigned status_of(const struct buf *got)
{
    unsigned status = 0;
    if (got->data)
        (void)sscanf(got->data, "HTTP/1.1 %u", &status);
    return status;
}

/* -- tests
 * -------------------------------------------------------------------------------------- */

#define GET(path) "GET " path " HTTP/1.1\r\nHost: l\r\n"
#define POST(path) "POST " path " HTTP/1.1\r\nHost: l\r\n"
#define END "\r\n"
#define LENGTH(n) "Content-Length: " #n "\r\n"
#define JSON "Content-Type: application/json\r\n"

static const struct {
    const char *request;
    unsigned status;
    const char *part;
} answers[] = {
    {GET("/v1/version") END, 200, "\"version\""},
    {"HEAD /v1/version HTTP/1.1\r\nHost: l\r\n\r\n", 200, "application/json"},
    {GET("/v1/health") END, 200, "ok"},
    {GET("/metrics") END, 200, "leat_jobs{state=\"running\"} 0.5\n# HELP leat_http"},
    {GET("/v1/jobs/1") END, 200, "{\"id\":\"1\"}"},
    {GET("/v1/jobs/9") END, 404, "no-such-job"},
    {GET("/v1/jobs/") END, 404, "no-such-route"},
    {GET("/v1/jobs/..") END, 404, "no-such-route"},
    {GET("/v1/images/%2e%2e%2fx") END, 404, "no-such-route"},
    {GET("/v1/jobs/1/") END, 404, "no-such-route"},
    {GET("/") END, 404, "no-such-route"},
    {GET("/v2/jobs") END, 404, "no-such-route"},
    {"PUT /v1/jobs/1 HTTP/1.1\r\nHost: l\r\n\r\n", 405, "Allow: GET, DELETE\r\n"},
    {"BREW /v1/jobs HTTP/1.1\r\nHost: l\r\n\r\n", 405, "Allow: GET, POST\r\n"},
    {GET("/v1/jobs?limit=7&state=a,b&cursor=x") END, 200, "\"limit\":7"},
    {GET("/v1/jobs?limit=0") END, 400, "bad-parameter"},
    {GET("/v1/jobs?limit=501") END, 400, "bad-parameter"},
    {GET("/v1/jobs?limit=-1") END, 400, "bad-parameter"},
    {GET("/v1/jobs?limit=18446744073709551616") END, 400, "bad-parameter"},
    {GET("/v1/jobs?limit") END, 400, "bad-parameter"},
    {GET("/v1/jobs?state=a%00b") END, 400, "bad-parameter"},
    {GET("/v1/jobs?colour=red") END, 400, "state limit cursor"},
    {GET("/v1/version?x=1") END, 400, "no parameters"},
    {GET("/v1/jobs/1/logs?follow=maybe") END, 400, "bad-parameter"},
    {GET("/v1/jobs/1/wait?timeout=5") END, 400, "bad-duration"},
    {GET("/v1/events?since=x") END, 400, "bad-parameter"},
    {GET("/v1/events") "Accept: text/event-stream\r\nLast-Event-ID: x\r\n" END, 400,
     "Last-Event-ID"},
    {POST("/v1/jobs") JSON LENGTH(2) END "{}", 202, "Location: /v1/jobs/1\r\n"},
    {POST("/v1/jobs") LENGTH(2) END "{}", 202, "Location: /v1/jobs/1\r\n"},
    {POST("/v1/jobs") "Content-Type: application/json; charset=utf-8\r\n" LENGTH(2) END "{}", 202,
     "{\"id\":\"1\"}"},
    {POST("/v1/jobs?dry_run=true") JSON LENGTH(2) END "{}", 200, "description"},
    {POST("/v1/jobs?dry_run=1") JSON LENGTH(2) END "{}", 400, "bad-parameter"},
    {POST("/v1/jobs") "Content-Type: text/plain\r\n" LENGTH(2) END "{}", 415, "not-json"},
    {POST("/v1/jobs") "Content-Type: application/jsonp\r\n" LENGTH(2) END "{}", 415, "not-json"},
    {POST("/v1/jobs") JSON LENGTH(0) END, 400, "missing-body"},
    {POST("/v1/jobs") JSON LENGTH(1) END "{", 400, "bad-json"},
    {POST("/v1/jobs") JSON LENGTH(2) END "[]", 400, "bad-json"},
    {POST("/v1/jobs") JSON LENGTH(16) END "{\"name\":\"absent\"", 400, "bad-json"},
    {POST("/v1/jobs") JSON "Idempotency-Key: taken\r\n" LENGTH(2) END "{}", 409,
     "idempotency-conflict"},
    {POST("/v1/jobs") JSON "Idempotency-Key: a b\r\n" LENGTH(2) END "{}", 400,
     "bad-idempotency-key"},
    {POST("/v1/jobs/1/stop") LENGTH(0) END, 202, "Location: /v1/jobs/1\r\n"},
    {POST("/v1/images/a/build") LENGTH(2) END "{}", 202, "Location: /v1/images/a\r\n"},
    {POST("/v1/images") JSON LENGTH(13) END "{\"name\":\"im\"]", 400, "bad-json"},
    {POST("/v1/images") JSON LENGTH(13) END "{\"name\":\"im\"}", 202,
     "Location: /v1/images/im\r\n"},
    {"DELETE /v1/jobs/1 HTTP/1.1\r\nHost: l\r\n\r\n", 204, ""},
    {"DELETE /v1/jobs/2 HTTP/1.1\r\nHost: l\r\n\r\n", 409, "job-not-ended"},
    {"DELETE /v1/images/a HTTP/1.1\r\nHost: l\r\n\r\n", 204, ""},
    {GET("/v1/templates/opencl-c/training") END, 200, "opencl-c"},
};

static void test_answers(void **state)
{
    struct rig *rig = *state;
    AUTO_FD int kept = client_connect(rig);
    for (size_t i = 0; i < COUNT(answers); i++) {
        /* Each on a connection of its own, and all in a row on one that is kept. */
        AUTO_FD int own = client_connect(rig);
        const int fds[] = {own, kept};
        print_message("%s\n", answers[i].request);
        for (size_t k = 0; k < COUNT(fds); k++) {
            AUTO_BUF struct buf got = BUF_INIT;
            client_send(fds[k], answers[i].request);
            if (strncmp(answers[i].request, "HEAD", 4) == 0 && client_read(fds[k], &got) &&
                strstr(got.data, "\r\n\r\n"))
                ; /* no body follows */
            else
                client_receive(fds[k], &got);
            assert_int_equal(status_of(&got), answers[i].status);
            assert_non_null(strstr(got.data, answers[i].part));
            if (answers[i].status >= 400)
                assert_non_null(strstr(got.data, "Content-Type: application/problem+json\r\n"));
        }
    }
}

static void send_zeros(int fd, uint64_t bytes)
{
    static char zeros[65536];
    while (bytes) {
        size_t n = bytes < sizeof(zeros) ? (size_t)bytes : sizeof(zeros);
        if (fd_write_all(fd, zeros, n) < 0)
            return; /* the other side had enough */
        bytes -= n;
    }
}

static void test_large_bodies(void **state)
{
    static const struct {
        const char *head;
        uint64_t bytes;
        unsigned status;
    } cases[] = {
        {POST("/v1/jobs") LENGTH(1048576) END, MIB, 400},     /* read; not JSON */
        {POST("/v1/jobs") LENGTH(1048577) END, MIB + 1, 413}, /* read, to be polite */
        {POST("/v1/jobs") LENGTH(1073741824) END, 0, 413},    /* refused at once */
        {POST("/v1/jobs") LENGTH(2097152) "Expect: 100-continue\r\n" END, 0, 413},
        {POST("/v1/nowhere") LENGTH(2097152) END, 2 * MIB, 404},
        {POST("/v1/jobs") "Transfer-Encoding: chunked\r\n" END "200000\r\n", 2 * MIB, 413},
        {POST("/v1/jobs") "Transfer-Encoding: chunked\r\n" END "2000000\r\n", 32 * MIB, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_FD int fd = client_connect(*state);
        AUTO_BUF struct buf got = BUF_INIT;
        print_message("%s\n", cases[i].head);
        client_send(fd, cases[i].head);
        send_zeros(fd, cases[i].bytes);
        if (strstr(cases[i].head, "chunked"))
            (void)send(fd, "\r\n0\r\n\r\n", 7, MSG_NOSIGNAL);
        client_receive(fd, &got);
        assert_int_equal(status_of(&got), cases[i].status);
    }
}

/* What is wrong is answered, or closed at once. What is unfinished is left to the client, which
 * goes here: libmicrohttpd notices an end that came together with the last bytes only at its time
 * limit. */
static void test_broken_http(void **state)
{
    static const struct {
        const char *text;
        int is_unfinished;
    } cases[] = {
        {"\r\n\r\n\r\n", 1},
        {"\x16\x03\x01\x02", 1},
        {"GET\r\n\r\n", 0},
        {"GET / HTTP/9.9\r\n\r\n", 0},
        {"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 0},
        {"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\nHost: l\r\n\r\nxx", 0},
        {"GET / HTTP/1.1\r\n: x\r\n\r\n", 0},
        {"GET / HTTP/1.1\r\nHost: l\r\n folded: x\r\n\r\n", 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_FD int fd = client_connect(*state);
        AUTO_BUF struct buf got = BUF_INIT;
        print_message("%s\n", cases[i].text);
        client_send(fd, cases[i].text);
        if (cases[i].is_unfinished)
            continue;
        client_receive(fd, &got);
        assert_true(status_of(&got) == 0 || status_of(&got) >= 400);
    }
    AUTO_FD int fd = client_connect(*state);
    AUTO_BUF struct buf got = BUF_INIT;
    client_send(fd, "GET /v1/version HTTP/1.1\r\nX: ");
    send_zeros(fd, 2 * API_HEADER_MAX_BYTES);
    while (client_read(fd, &got))
        ;
    assert_true(status_of(&got) != 200);
    AUTO_FD int after = client_connect(*state);
    AUTO_BUF struct buf fine = BUF_INIT;
    client_send(after, GET("/v1/version") END);
    client_receive(after, &fine);
    assert_int_equal(status_of(&fine), 200);
}

static void test_late_answer(void **state)
{
    struct rig *rig = *state;
    AUTO_FD int first = client_connect(rig);
    AUTO_FD int second = client_connect(rig);
    AUTO_BUF struct buf got = BUF_INIT;
    client_send(first, GET("/v1/jobs/2/wait") END);
    client_send(second, GET("/v1/jobs/2") END);
    wait_for_open(rig, 2);
    (void)rig_do(rig, work_sweep, 0); /* both are there: nothing happens */
    assert_int_equal(rig_do(rig, work_count_open, 0), 2);
    (void)rig_do(rig, work_answer, 0);
    client_receive(first, &got);
    assert_int_equal(status_of(&got), 200);
    buf_clear(&got);
    client_receive(second, &got);
    assert_int_equal(status_of(&got), 200);
    buf_clear(&got);
    client_send(second, GET("/v1/jobs/1") END);
    client_receive(second, &got);
    assert_int_equal(status_of(&got), 200);
}

/* The client leaves before the answer: the connection goes with the sweep, the answer nowhere. */
static void test_client_leaves(void **state)
{
    struct rig *rig = *state;
    int fd = client_connect(rig);
    client_send(fd, GET("/v1/jobs/2/wait") END);
    wait_for_open(rig, 1);
    (void)close(fd);
    (void)rig_do(rig, work_sweep, 0);
    (void)rig_do(rig, work_answer, 0);
    assert_int_equal(rig_do(rig, work_count_open, 0), 0);
    for (size_t i = 0; i < 2; i++) {
        fd = client_connect(rig);
        client_send(fd, i ? GET("/v1/jobs/1/logs?follow=true") END
                          : GET("/v1/events") "Accept: text/event-stream\r\n" END);
        wait_for_open(rig, 1);
        AUTO_BUF struct buf got = BUF_INIT;
        client_receive(fd, &got);
        (void)close(fd);
        do
            (void)rig_do(rig, work_sweep, 0);
        while (rig_do(rig, work_count_open, 0));
    }
}

/* The chunks of a body joined, up to what has come. */
static void chunks_join(const struct buf *got, struct buf *body)
{
    const char *next = strstr(got->data, "\r\n\r\n");
    assert_non_null(next);
    next += 4;
    const char *end = got->data + got->length;
    for (;;) {
        unsigned long size = strtoul(next, NULL, 16);
        const char *data = memchr(next, '\n', (size_t)(end - next));
        if (!data || size == 0 || (size_t)(end - data - 1) < size + 2)
            return;
        (void)buf_append(body, data + 1, size);
        next = data + 1 + size + 2;
        if (next >= end)
            return;
    }
}

static void test_slow_log_reader(void **state)
{
    struct rig *rig = *state;
    const uint64_t bytes = 32 * MIB;
    AUTO_FD int fd = client_connect(rig);
    AUTO_BUF struct buf got = BUF_INIT;
    AUTO_BUF struct buf body = BUF_INIT;
    (void)rig_do(rig, work_log, bytes << 1 | 1);
    client_send(fd, GET("/v1/jobs/1/logs?follow=true") END);
    wait_for_open(rig, 1);
    for (int i = 0; i < 50; i++)
        (void)rig_do(rig, work_sweep, 0); /* give it turns of the loop to read ahead in vain */
    assert_true(rig_do(rig, work_log_read, 0) < MIB);
    while (client_read(fd, &got))
        ;
    chunks_join(&got, &body);
    assert_int_equal(body.length, bytes);
    for (size_t i = 0; i < body.length; i++) {
        if (body.data[i] != (char)('a' + i % 26))
            fail_msg("byte %zu differs", i);
    }
    wait_for_open(rig, 0);
}

static void test_log_follow_and_offset(void **state)
{
    struct rig *rig = *state;
    AUTO_FD int follower = client_connect(rig);
    AUTO_FD int reader = client_connect(rig);
    AUTO_BUF struct buf got = BUF_INIT;
    AUTO_BUF struct buf body = BUF_INIT;
    (void)rig_do(rig, work_log, 5 << 1);
    client_send(reader, GET("/v1/jobs/1/logs?offset=3") END);
    while (client_read(reader, &got))
        ;
    chunks_join(&got, &body);
    assert_string_equal(body.data, "de");
    buf_clear(&got);
    buf_clear(&body);
    client_send(follower, GET("/v1/jobs/1/logs?follow=true") END);
    while (!got.data || !strstr(got.data, "abcde"))
        assert_true(client_read(follower, &got));
    (void)rig_do(rig, work_log, 7 << 1);
    while (!strstr(got.data, "fg"))
        assert_true(client_read(follower, &got));
    (void)rig_do(rig, work_log, 8 << 1 | 1);
    while (client_read(follower, &got))
        ;
    chunks_join(&got, &body);
    assert_string_equal(body.data, "abcdefgh");
}

/* The numbers after "id: " follow each other from `first` on; returns the one after the last. */
static uint64_t ids_check(const struct buf *body, uint64_t first)
{
    /* Line by line: under ASan strstr measures all that follows, megabytes a time. */
    const char *end = body->data + body->length;
    for (const char *line = body->data; line && line < end; line++) {
        if (strncmp(line, "id: ", 4) == 0) {
            assert_int_equal(strtoull(line + 4, NULL, 10), first);
            first++;
        }
        line = memchr(line, '\n', (size_t)(end - line));
        if (!line)
            break;
    }
    return first;
}

static void test_event_stream(void **state)
{
    struct rig *rig = *state;
    AUTO_FD int fd = client_connect(rig);
    AUTO_BUF struct buf got = BUF_INIT;
    (void)rig_do(rig, work_event, 250);
    client_send(fd,
                GET("/v1/events?since=3") "Accept: text/event-stream\r\nLast-Event-ID: 7\r\n" END);
    wait_for_open(rig, 1);
    uint64_t next = 8;
    for (int round = 0; next < 1251; round++) {
        if (round < 100)
            (void)rig_do(rig, work_event, 10);
        assert_true(client_read(fd, &got));
        AUTO_BUF struct buf body = BUF_INIT;
        chunks_join(&got, &body);
        next = ids_check(&body, 8);
    }
    assert_int_equal(next, 1251);
    (void)rig_do(rig, work_event, 20000); /* more than is held for a reader */
    while (next < 21251) {
        assert_true(client_read(fd, &got));
        AUTO_BUF struct buf body = BUF_INIT;
        chunks_join(&got, &body);
        next = ids_check(&body, 8);
    }
    for (int tick = 0; tick < API_KEEPALIVE_SWEEPS + 1; tick++)
        (void)rig_do(rig, work_sweep, 0);
    while (!strstr(got.data, ": nothing new"))
        assert_true(client_read(fd, &got));
}

static void test_stream_limit(void **state)
{
    struct rig *rig = *state;
    int fds[API_STREAMS_MAX];
    for (int i = 0; i < API_STREAMS_MAX; i++) {
        fds[i] = client_connect(rig);
        client_send(fds[i], GET("/v1/jobs/1/logs?follow=true") END);
    }
    wait_for_open(rig, API_STREAMS_MAX);
    AUTO_FD int fd = client_connect(rig);
    AUTO_BUF struct buf got = BUF_INIT;
    client_send(fd, GET("/v1/events") "Accept: text/event-stream\r\n" END);
    client_receive(fd, &got);
    assert_int_equal(status_of(&got), 503);
    assert_non_null(strstr(got.data, "too-many-streams"));
    for (int i = 0; i < API_STREAMS_MAX; i++)
        (void)close(fds[i]);
}

/* Leaving: who waits is told, streams end, the socket goes. */
static void test_leaving(void **state)
{
    struct rig *rig = NULL;
    assert_int_equal(rig_start((void **)&rig), 0);
    AUTO_FD int waiter = client_connect(rig);
    AUTO_FD int follower = client_connect(rig);
    AUTO_BUF struct buf got = BUF_INIT;
    (void)rig_do(rig, work_log, 3 << 1);
    client_send(waiter, GET("/v1/jobs/2/wait") END);
    client_send(follower, GET("/v1/jobs/1/logs?follow=true") END);
    wait_for_open(rig, 2);
    assert_int_equal(rig_stop((void **)&rig), 0);
    client_receive(waiter, &got);
    assert_int_equal(status_of(&got), 503);
    assert_non_null(strstr(got.data, "shutting-down"));
    buf_clear(&got);
    while (client_read(follower, &got))
        ;
    assert_non_null(strstr(got.data, "abc\r\n0\r\n\r\n"));
}

static void test_only_one_serves(void **state)
{
    struct rig *rig = *state;
    uv_loop_t loop;
    struct api *second = NULL;
    struct error err = {0};
    (void)uv_loop_init(&loop);
    const struct api_options options = {.loop = &loop, .core = rig->core, .socket_path = rig->path};
    assert_int_equal(api_create(&options, &second, &err), -EADDRINUSE);
    assert_null(second);
    assert_string_equal(err.code, "cannot-listen");
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void test_problem_table(void **state)
{
    static const struct {
        int errnum;
        unsigned status;
    } cases[] = {
        {-EINVAL, 400}, {-ENOENT, 404}, {-EBUSY, 409},      {-EEXIST, 409}, {-EFBIG, 413},
        {-ENOSPC, 422}, {-EDQUOT, 422}, {-EAGAIN, 503},     {-EIO, 503},    {-ECANCELED, 503},
        {-EACCES, 403}, {-EXDEV, 500},  {-EOPNOTSUPP, 501},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(problem_status(cases[i].errnum), cases[i].status);
        assert_string_not_equal(problem_title(cases[i].status), "Error");
    }
    struct error err;
    error_set(&err, -EINVAL, "bad", "a \"quoted\" \n text");
    AUTO_FREE char *text = problem_text(400, &err);
    assert_string_equal(text, "{\"type\":\"urn:leat:problem:bad\",\"title\":\"Bad Request\","
                              "\"status\":400,\"detail\":\"a \\\"quoted\\\" \\n text\","
                              "\"code\":\"bad\"}");
}

#define WITH_RIG(test) cmocka_unit_test_setup_teardown(test, rig_start, rig_stop)

int main(void)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void)sigaction(SIGPIPE, &ignore, NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_problem_table), WITH_RIG(test_answers),
        WITH_RIG(test_large_bodies),          WITH_RIG(test_broken_http),
        WITH_RIG(test_late_answer),           WITH_RIG(test_client_leaves),
        WITH_RIG(test_slow_log_reader),       WITH_RIG(test_log_follow_and_offset),
        WITH_RIG(test_event_stream),          WITH_RIG(test_stream_limit),
        cmocka_unit_test(test_leaving),       WITH_RIG(test_only_one_serves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
