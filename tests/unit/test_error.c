/* Failure reasons: what is filled, what is cut, and that a caller without interest passes NULL. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/error.h"

static void test_set_fills_all(void **state)
{
    struct error err = {0};
    assert_int_equal(error_set(&err, -EINVAL, "bad-share", "asked %d of %d", 3, 2), -EINVAL);
    assert_int_equal(err.errnum, -EINVAL);
    assert_string_equal(err.code, "bad-share");
    assert_string_equal(err.text, "asked 3 of 2");
}

static void test_errno_adds_its_text(void **state)
{
    struct error err = {0};
    assert_int_equal(error_errno(&err, -ENOENT, "cannot-read", "cannot open '%s'", "x"), -ENOENT);
    assert_string_equal(err.text, "cannot open 'x': No such file or directory");
}

static void test_context_goes_in_front(void **state)
{
    struct error err = {0};
    error_set(&err, -EINVAL, "bad-bytes", "'x' is not an amount");
    assert_int_equal(error_context(&err, "field '%s'", "memory"), -EINVAL);
    assert_string_equal(err.text, "field 'memory': 'x' is not an amount");
    assert_string_equal(err.code, "bad-bytes");
}

static void test_long_texts_are_cut(void **state)
{
    struct error err = {0};
    char text[2 * ERROR_TEXT_MAX];
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    error_set(&err, -EINVAL, text, "%s", text);
    assert_int_equal(strlen(err.code), ERROR_CODE_MAX - 1);
    assert_int_equal(strlen(err.text), ERROR_TEXT_MAX - 1);
    error_errno(&err, -EIO, "x", "%s", text);
    error_context(&err, "%s", text);
    assert_int_equal(strlen(err.text), ERROR_TEXT_MAX - 1);
}

static void test_copy_and_null(void **state)
{
    struct error err = {0}, copy = {0};
    error_set(&err, -EBUSY, "busy", "why");
    assert_int_equal(error_copy(&copy, &err), -EBUSY);
    assert_memory_equal(&copy, &err, sizeof(err));
    assert_int_equal(error_copy(NULL, &err), -EBUSY);
    assert_int_equal(error_set(NULL, -EINVAL, "x", "y"), -EINVAL);
    assert_int_equal(error_errno(NULL, -EINVAL, "x", "y"), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set_fills_all),         cmocka_unit_test(test_errno_adds_its_text),
        cmocka_unit_test(test_context_goes_in_front), cmocka_unit_test(test_long_texts_are_cut),
        cmocka_unit_test(test_copy_and_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
