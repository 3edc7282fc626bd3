/* Growable bytes: content, growth, the remembered failure and taking the text out. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"

static void test_append_and_print(void **state)
{
    AUTO_BUF struct buf buf = BUF_INIT;
    assert_int_equal(buf_puts(&buf, "one "), 0);
    assert_int_equal(buf_append(&buf, "t\0o", 3), 0);
    assert_int_equal(buf_printf(&buf, " %d%s", 3, "!"), 0);
    assert_int_equal(buf.length, 10);
    assert_memory_equal(buf.data, "one t\0o 3!", 11);
}

static void test_grows_far(void **state)
{
    AUTO_BUF struct buf buf = BUF_INIT;
    for (unsigned i = 0; i < 5000; i++)
        assert_int_equal(buf_printf(&buf, "%04u,", i), 0);
    assert_int_equal(buf.length, 25000);
    assert_string_equal(buf.data + 24995, "4999,");
    assert_true(buf.room > buf.length);
}

static void test_drop_front(void **state)
{
    static const struct {
        size_t drop;
        const char *rest;
    } cases[] = {{0, "abcdef"}, {1, "bcdef"}, {5, "f"}, {6, ""}, {7, ""}, {SIZE_MAX, ""}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        AUTO_BUF struct buf buf = BUF_INIT;
        (void)buf_puts(&buf, "abcdef");
        buf_drop_front(&buf, cases[i].drop);
        assert_string_equal(buf.data, cases[i].rest);
        assert_int_equal(buf.length, strlen(cases[i].rest));
    }
}

static void test_impossible_growth_is_remembered(void **state)
{
    AUTO_BUF struct buf buf = BUF_INIT;
    (void)buf_puts(&buf, "kept");
    assert_int_equal(buf_reserve(&buf, SIZE_MAX), -ENOMEM);
    assert_int_equal(buf_puts(&buf, "more"), -ENOMEM);
    assert_string_equal(buf.data, "kept");
    assert_null(buf_take(&buf));
    assert_int_equal(buf.failed, 0);
    assert_int_equal(buf_puts(&buf, "again"), 0);
}

static void test_take_and_clear(void **state)
{
    struct buf buf = BUF_INIT;
    char *empty = buf_take(&buf);
    assert_string_equal(empty, "");
    free(empty);
    (void)buf_puts(&buf, "text");
    buf_clear(&buf);
    assert_int_equal(buf.length, 0);
    assert_string_equal(buf.data, "");
    (void)buf_puts(&buf, "other");
    char *text = buf_take(&buf);
    assert_string_equal(text, "other");
    assert_null(buf.data);
    free(text);
    buf_finish(&buf);
    buf_finish(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_append_and_print),
        cmocka_unit_test(test_grows_far),
        cmocka_unit_test(test_drop_front),
        cmocka_unit_test(test_impossible_growth_is_remembered),
        cmocka_unit_test(test_take_and_clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
