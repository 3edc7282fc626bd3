/* Every allocation of base, of the decoding of requests and of the REST interface fails once in its
 * turn: the call says so, nothing leaks (the sanitizers look), and the next call works. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <uv.h>

#include <cmocka.h>

#include "api/api.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/map.h"
#include "base/yaml.h"
#include "core/core.h"
#include "fail_alloc.h"
#include "fake_core.h"
#include "model/job.h"

#define BAD_JSON 400 /* what Jansson calls a failed allocation of its own */

static const char request_text[] =
    "{\"name\":\"n\",\"args\":[\"a\",\"b\"],\"env\":{\"A\":\"b\"},\"memory\":\"2GiB\",\"cpus\":\"1."
    "5\","
    "\"command\":[\"x\",\"y\"],\"device\":\"cpu-0\",\"workdir\":\"/w\"}";

static int try_buf(void)
{
    AUTO_BUF struct buf buf = BUF_INIT;
    for (int i = 0; i < 300; i++)
        (void)buf_printf(&buf, "%d %s", i, "some text");
    AUTO_FREE char *text = buf_take(&buf);
    return text ? 0 : -ENOMEM;
}

static int try_map(void)
{
    struct map *map = map_create();
    char key[16];
    int r = map ? 0 : -ENOMEM;
    for (int i = 0; r == 0 && i < 100; i++) {
        (void)snprintf(key, sizeof(key), "%d", i);
        r = map_put(map, key, key, NULL);
        assert_int_equal(map_count(map), (size_t)(r == 0 ? i + 1 : i));
    }
    map_destroy(map);
    return r;
}

static int try_texts(void)
{
    const char *const texts[] = {"a", "b", "c", NULL};
    char **copy = texts_copy(texts);
    texts_free(copy);
    return copy ? 0 : -ENOMEM;
}

static int try_request(void)
{
    struct job_request request;
    AUTO_JSON json_t *body = json_parse(request_text, strlen(request_text), 4096, NULL);
    if (!body)
        return -ENOMEM; /* Jansson takes it for a syntax error */
    job_request_init(&request);
    int r = job_request_decode(body, &request, NULL);
    AUTO_JSON json_t *encoded = r == 0 ? job_request_encode(&request) : NULL;
    job_request_finish(&request);
    return r == 0 && !encoded ? -ENOMEM : r;
}

static int try_yaml(void)
{
    static const char text[] = "a: [1, 'x', {b: true}]\nc: |\n  lines\n\"d e\": ~\n";
    struct error err = {0};
    AUTO_JSON json_t *value = yaml_parse(text, strlen(text), 4096, &err);
    AUTO_FREE char *again = value ? yaml_text(value) : NULL;
    return again ? 0 : -ENOMEM;
}

static int try_file(void)
{
    struct error err = {0};
    AUTO_BUF struct buf text = BUF_INIT;
    int r = file_read(AT_FDCWD, "/proc/self/maps", 1 << 20, &text, &err);
    if (r < 0)
        assert_string_equal(err.code, "out-of-memory");
    return r;
}

/* Fail each allocation of `call` in its turn, until it runs through without meeting the failing
 * one. */
static void try_each(const char *name, int (*call)(void))
{
    long n = 0;
    for (int failed = 1; failed; n++) {
        fail_alloc_after(n);
        int r = call();
        failed = fail_alloc_happened();
        fail_alloc_after(-1);
        assert_true(failed ? r == -ENOMEM || r == 0 : r == 0);
        assert_int_equal(call(), 0);
    }
    print_message("%s: %ld allocations\n", name, n - 1);
    assert_true(n > 1);
}

static void test_base_and_model(void **state)
{
    try_each("buf", try_buf);
    try_each("map", try_map);
    try_each("texts", try_texts);
    try_each("request", try_request);
    try_each("yaml", try_yaml);
    try_each("file", try_file);
}

/* -- the interface
 * ------------------------------------------------------------------------------ */

struct rig {
    uv_loop_t loop;
    struct core *core;
    struct api *api;
    char folder[32], path[64];
};

static void stop_turning(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

/* Send a request and let the loop run until there is an answer or the connection is closed; the
 * status, 0 when it was closed without one. */
static unsigned ask(struct rig *rig, const char *request)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, rig->path, strlen(rig->path) + 1);
    AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(fd_write_all(fd, request, strlen(request)), 0);
    for (;;) {
        char answer[4096];
        unsigned status = 0;
        ssize_t n = recv(fd, answer, sizeof(answer) - 1, MSG_DONTWAIT);
        if (n > 0) {
            answer[n] = '\0';
            (void)sscanf(answer, "HTTP/1.1 %u", &status);
        }
        if (n >= 0 || errno != EAGAIN)
            return status;
        (void)uv_run(&rig->loop, UV_RUN_ONCE);
    }
}

/* Let the loop close what the last client left. */
static void settle(struct rig *rig)
{
    uv_timer_t timer;
    (void)uv_timer_init(&rig->loop, &timer);
    (void)uv_timer_start(&timer, stop_turning, 1, 0);
    (void)uv_run(&rig->loop, UV_RUN_DEFAULT);
    uv_close((uv_handle_t *)&timer, NULL);
    (void)uv_run(&rig->loop, UV_RUN_NOWAIT);
}

static void stopped(void *arg)
{
}

static void test_api(void **state)
{
    static const char *const requests[] = {
        "GET /v1/version HTTP/1.1\r\nHost: l\r\n\r\n",
        "GET /metrics HTTP/1.1\r\nHost: l\r\n\r\n",
        "GET /v1/nowhere HTTP/1.1\r\nHost: l\r\n\r\n",
        "PUT /v1/jobs HTTP/1.1\r\nHost: l\r\n\r\n",
        "GET /v1/jobs/1/logs HTTP/1.1\r\nHost: l\r\n\r\n",
        "GET /v1/events HTTP/1.1\r\nHost: l\r\nAccept: text/event-stream\r\n\r\n",
        "POST /v1/jobs HTTP/1.1\r\nHost: l\r\nContent-Length: 12\r\n\r\n{\"name\":\"1\"}",
    };
    struct rig rig = {.folder = "/tmp/leat-nomem-XXXXXX"};
    assert_non_null(mkdtemp(rig.folder));
    (void)snprintf(rig.path, sizeof(rig.path), "%s/leatd.sock", rig.folder);
    assert_int_equal(uv_loop_init(&rig.loop), 0);
    rig.core = fake_core_create(&rig.loop);
    fake_core_log(rig.core, 10, 1);
    fake_core_event(rig.core, "test");
    const struct api_options options = {
        .loop = &rig.loop, .core = rig.core, .socket_path = rig.path};
    struct error err;
    assert_int_equal(api_create(&options, &rig.api, &err), 0);
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        unsigned usual = ask(&rig, requests[i]);
        assert_true(usual != 0);
        long n = 0;
        for (int failed = 1; failed; n++) {
            fail_alloc_after(n);
            unsigned status = ask(&rig, requests[i]);
            failed = fail_alloc_happened();
            fail_alloc_after(-1);
            assert_true(status == usual || failed);
            assert_true(status == usual || status == 0 || status == 503 || status == BAD_JSON);
            assert_int_equal(ask(&rig, requests[i]), usual);
        }
        print_message("%.20s: %ld allocations\n", requests[i], n - 1);
    }
    settle(&rig);
    api_drain(rig.api);
    core_stop(rig.core, stopped, NULL);
    api_stop(rig.api, stopped, NULL);
    (void)uv_run(&rig.loop, UV_RUN_DEFAULT);
    api_destroy(rig.api);
    core_destroy(rig.core);
    assert_int_equal(uv_loop_close(&rig.loop), 0);
    assert_int_equal(rmdir(rig.folder), 0);
}

int main(void)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void)sigaction(SIGPIPE, &ignore, NULL);
    json_set_alloc_funcs(malloc, free); /* so that Jansson's allocations are caught too */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_base_and_model),
        cmocka_unit_test(test_api),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
