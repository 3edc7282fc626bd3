/* The small rest of base: lists, times, random identifiers, log lines, scope cleanup. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "base/random.h"

struct item {
    int number;
    struct list link;
};

static void test_list(void **state)
{
    struct list head = LIST_INIT(head);
    struct item items[4];
    assert_true(list_empty(&head));
    for (int i = 0; i < 4; i++) {
        items[i].number = i;
        list_append(&head, &items[i].link);
    }
    LIST_EACH_SAFE (link, after, &head) {
        if (LIST_ENTRY(link, struct item, link)->number % 2)
            list_remove(link);
    }
    int sum = 0, count = 0;
    LIST_EACH (link, &head) {
        sum += LIST_ENTRY(link, struct item, link)->number;
        count++;
    }
    assert_int_equal(count, 2);
    assert_int_equal(sum, 2);
    list_remove(&items[1].link); /* a removed link may be removed again */
}

static void test_time_text(void **state)
{
    static const struct {
        uint64_t us;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {1769850900123999ull, "2026-01-31T09:15:00.123Z"},
        {951782400000000ull, "2000-02-29T00:00:00.000Z"},
        {UINT64_MAX, NULL},
    };
    char text[TIME_TEXT_MAX];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_ptr_equal(time_text(cases[i].us, text), text);
        if (cases[i].text)
            assert_string_equal(text, cases[i].text);
    }
    assert_true(clock_realtime_us() > 1700000000000000ull);
    uint64_t before = clock_monotonic_ns();
    assert_true(clock_monotonic_ns() >= before);
}

static void test_random(void **state)
{
    char a[TOKEN_TEXT_MAX], b[TOKEN_TEXT_MAX];
    assert_int_equal(random_token(a), 0);
    assert_int_equal(random_token(b), 0);
    assert_int_equal(strlen(a), TOKEN_TEXT_MAX - 1);
    assert_int_equal(strspn(a, "0123456789abcdef"), TOKEN_TEXT_MAX - 1);
    assert_string_not_equal(a, b);
    assert_true(token_equal(a, a));
    assert_false(token_equal(a, b));
    assert_false(token_equal("", "a"));
    assert_false(token_equal("a", ""));
    assert_false(token_equal("abc", "ab"));
    assert_false(token_equal("ab", "abc"));
    assert_true(token_equal("", ""));
}

/* A line is one line whatever its values hold, and is cut at its limit. */
static void test_log_line(void **state)
{
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    int saved = dup(STDERR_FILENO);
    assert_true(saved >= 0);
    assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
    char text[4096];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    log_event(LOG_INFO, "test.event", "name=\"%s\"", "two\r\nlines");
    log_event(LOG_DEBUG, "test.hidden", "a=1");
    log_event(LOG_ERROR, "test.long", "name=\"%s\"", text);
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    (void)close(saved);
    (void)close(ends[1]);
    char got[8192];
    size_t length = 0;
    for (ssize_t n; (n = read(ends[0], got + length, sizeof(got) - 1 - length)) > 0;)
        length += (size_t)n;
    got[length] = '\0';
    (void)close(ends[0]);
    assert_non_null(strstr(got, " info test.event name=\"two  lines\"\n"));
    assert_null(strstr(got, "hidden"));
    char *second = strchr(got, '\n') + 1;
    assert_ptr_equal(strchr(second, '\n'), got + length - 1);
    assert_true(strlen(second) <= 2048);
}

static char *text_or_null(int take)
{
    AUTO_FREE char *text = strdup("text");
    return take ? TAKE(text) : NULL;
}

static void test_cleanup(void **state)
{
    char *text = text_or_null(1);
    assert_string_equal(text, "text");
    free(text);
    assert_null(text_or_null(0));
    int kept;
    {
        AUTO_FD int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        AUTO_FD int other = dup(fd);
        kept = take_fd(&fd);
        assert_int_equal(fd, -1);
        assert_true(other >= 0);
    }
    assert_int_equal(close(kept), 0);
}

int main(void)
{
    (void)setenv("LEAT_LOG", "info", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list),    cmocka_unit_test(test_time_text),
        cmocka_unit_test(test_random),  cmocka_unit_test(test_log_line),
        cmocka_unit_test(test_cleanup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
