/* libleat without a leatd: where it would connect, how failures are told, how paths are escaped. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "client/endpoint.h"
#include "client/problem.h"
#include "leat/card.h"
#include "leat/client.h"

static char folder[] = "/tmp/leat-test-client-XXXXXX";

static int folder_make(void **state)
{
    return mkdtemp(folder) ? 0 : -1;
}

static int folder_remove(void **state)
{
    return rmdir(folder);
}

static void environment_is(const char *host, const char *run_dir)
{
    assert_int_equal(host ? setenv("LEAT_HOST", host, 1) : unsetenv("LEAT_HOST"), 0);
    assert_int_equal(setenv("LEAT_RUN_DIR", run_dir, 1), 0);
}

static void endpoint_follows_the_rules(void **state)
{
    static const struct {
        const char *host, *environment, *socket, *base;
    } cases[] = {
        {NULL, NULL, "/run/x/leatd.sock", "http://leatd"},
        {"", "", "/run/x/leatd.sock", "http://leatd"},
        {NULL, "/a/b.sock", "/a/b.sock", "http://leatd"},
        {"/c.sock", "/a/b.sock", "/c.sock", "http://leatd"},
        {"unix:c.sock", NULL, "c.sock", "http://leatd"},
        {"unix:/c.sock", NULL, "/c.sock", "http://leatd"},
        {"./c.sock", NULL, "./c.sock", "http://leatd"},
        {"centre:8311", "/a/b.sock", NULL, "http://centre:8311"},
        {"http://centre:8311/", NULL, NULL, "http://centre:8311"},
        {"https://centre///", NULL, NULL, "https://centre"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct endpoint endpoint;
        struct error err = {0};
        environment_is(cases[i].environment, "/run/x");
        assert_int_equal(endpoint_init(&endpoint, cases[i].host, &err), 0);
        if (cases[i].socket) {
            assert_string_equal(endpoint.socket, cases[i].socket);
            assert_string_equal(endpoint.place, cases[i].socket);
        } else {
            assert_null(endpoint.socket);
            assert_string_equal(endpoint.place, cases[i].base);
        }
        assert_string_equal(endpoint.base, cases[i].base);
        endpoint_finish(&endpoint);
    }
}

static void folder_means_its_socket(void **state)
{
    struct endpoint endpoint;
    char socket[PATH_MAX];
    (void)snprintf(socket, sizeof(socket), "%s/leatd.sock", folder);
    assert_int_equal(endpoint_init(&endpoint, folder, NULL), 0);
    assert_string_equal(endpoint.socket, socket);
    endpoint_finish(&endpoint);
}

static void answers_become_errors(void **state)
{
    static const struct {
        int status;
        const char *body;
        int errnum;
        const char *code, *text;
    } cases[] = {
        {404, "{\"code\":\"unknown-job\",\"detail\":\"there is no job 9\"}", -ENOENT, "unknown-job",
         "there is no job 9"},
        {409, "{\"title\":\"Conflict\"}", -EBUSY, "http-409", "Conflict"},
        {401, "{\"code\":7,\"detail\":\"\"}", -EACCES, "http-401", "http-401"},
        {500, "<html>", -EIO, "http-500", "the server answered with status 500: <html>"},
        {418, "", -EINVAL, "http-418", "the server answered with status 418: "},
        {413, "[1]", -E2BIG, "http-413", "the server answered with status 413: [1]"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct leat_error err = {0};
        assert_int_equal(
            problem_from_answer(&err, cases[i].status, cases[i].body, strlen(cases[i].body)),
            cases[i].errnum);
        assert_int_equal(err.errnum, cases[i].errnum);
        assert_int_equal(err.status, cases[i].status);
        assert_string_equal(err.code, cases[i].code);
        assert_string_equal(err.text, cases[i].text);
        assert_int_equal(
            problem_from_answer(NULL, cases[i].status, cases[i].body, strlen(cases[i].body)),
            cases[i].errnum);
    }
}

static void nobody_there_is_said(void **state)
{
    leat_client *client = NULL;
    struct leat_error err = {0};
    struct leat_reply reply = {0};
    const struct leat_request request = {.method = "GET", .path = "/v1/version"};
    assert_int_equal(leat_client_create(folder, NULL, &client, &err), 0);
    assert_int_equal(leat_client_request(client, &request, &reply, &err), -ECONNREFUSED);
    assert_string_equal(err.code, "leatd-unreachable");
    assert_non_null(strstr(err.text, leat_client_place(client)));
    assert_null(reply.text);
    assert_int_equal(leat_client_request(client, &request, &reply, NULL), -ECONNREFUSED);
    leat_reply_finish(&reply);
    leat_client_destroy(client);
    leat_client_destroy(NULL);
}

static void bad_place_is_said(void **state)
{
    static const char *const places[] = {"ftp://centre", "http://", "http://a b"};
    for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
        leat_client *client = NULL;
        struct leat_error err = {0};
        struct leat_reply reply = {0};
        const struct leat_request request = {.method = "GET", .path = "/v1/version"};
        int r = leat_client_create(places[i], NULL, &client, &err);
        if (r == 0)
            r = leat_client_request(client, &request, &reply, &err);
        assert_int_equal(r, -EINVAL);
        assert_string_equal(err.code, "bad-host");
        leat_client_destroy(client);
    }
}

static int listener_make(const char *name, struct sockaddr_un *ret_address)
{
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    *ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
    (void)snprintf(ret_address->sun_path, sizeof(ret_address->sun_path), "%s/%s", folder, name);
    assert_int_equal(bind(listener, (struct sockaddr *)ret_address, sizeof(*ret_address)), 0);
    assert_int_equal(listen(listener, 1), 0);
    return listener;
}

/* A listener that nobody serves: without the interrupt this would wait for ever. */
static void interrupt_ends_at_once(void **state)
{
    struct sockaddr_un address;
    int ends[2], listener = listener_make("leatd.sock", &address);
    leat_client *client = NULL;
    struct leat_error err = {0};
    struct leat_reply reply = {0};
    const struct leat_request request = {.method = "GET", .path = "/v1/version"};
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "x", 1), 1);
    assert_int_equal(leat_client_create(folder, NULL, &client, &err), 0);
    leat_client_interrupt_on(client, ends[0]);
    assert_int_equal(leat_client_request(client, &request, &reply, &err), -ECANCELED);
    assert_string_equal(err.code, "interrupted");
    leat_client_destroy(client);
    (void)close(ends[0]);
    (void)close(ends[1]);
    (void)close(listener);
    assert_int_equal(unlink(address.sun_path), 0);
}

/* Says what it has to say without having heard a word, and hangs up. */
static void *speak_first(void *arg)
{
    static const char words[] = "{\"id\":1,\"result\":{}}\n"
                                "{\"id\":null,\"error\":{\"errno\":-113,\"code\":\"host-"
                                "unreachable\",\"text\":\"gone\"}}\n";
    int fd = accept(*(const int *)arg, NULL, NULL);
    const ssize_t sent = send(fd, words, sizeof(words) - 1, MSG_NOSIGNAL);
    (void)close(fd);
    return sent == (ssize_t)sizeof(words) - 1 ? NULL : arg;
}

static void who_hangs_up_may_have_said_why(void **state)
{
    struct sockaddr_un address;
    int listener = listener_make("cardd.sock", &address);
    struct leat_card_control *control = NULL;
    struct leat_card_status status;
    struct leat_error err = {0};
    pthread_t speaker;
    void *failed;
    assert_int_equal(pthread_create(&speaker, NULL, speak_first, &listener), 0);
    assert_int_equal(leat_card_control_connect(folder, &control, &err), 0);
    assert_int_equal(pthread_join(speaker, &failed), 0);
    assert_null(failed);
    assert_int_equal(leat_card_show(control, "one", &status, &err), -EHOSTUNREACH);
    assert_string_equal(err.code, "host-unreachable");
    assert_int_equal(leat_card_show(control, "one", &status, &err), -ECONNRESET);
    assert_string_equal(err.code, "cardd-lost");
    leat_card_control_close(control);
    (void)close(listener);
    assert_int_equal(unlink(address.sun_path), 0);
}

static void escape_keeps_only_plain(void **state)
{
    static const char *const cases[][2] = {
        {"", ""}, {"aZ09-._~", "aZ09-._~"}, {"a/b?c d", "a%2Fb%3Fc%20d"}, {"\xc3\xa9", "%C3%A9"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char *escaped = leat_escape(cases[i][0]);
        assert_string_equal(escaped, cases[i][1]);
        free(escaped);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(endpoint_follows_the_rules),
        cmocka_unit_test(folder_means_its_socket),
        cmocka_unit_test(answers_become_errors),
        cmocka_unit_test(nobody_there_is_said),
        cmocka_unit_test(bad_place_is_said),
        cmocka_unit_test(interrupt_ends_at_once),
        cmocka_unit_test(escape_keeps_only_plain),
        cmocka_unit_test(who_hangs_up_may_have_said_why),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
