/* Amounts as people write them: one table per kind, good and bad. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/units.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

struct amount_case {
    const char *text;
    int result;
    uint64_t value;
};

static void test_bytes(void **state)
{
    static const struct amount_case cases[] = {
        {"0", 0, 0},
        {"4096", 0, 4096},
        {"4096B", 0, 4096},
        {"2GiB", 0, 2147483648ull},
        {"2 GiB", 0, 2147483648ull},
        {"1.5GiB", 0, 1610612736ull},
        {"512MiB", 0, 536870912ull},
        {"1.15G", 0, 1150000000ull},
        {"1.23MB", 0, 1230000ull},
        {"4.35T", 0, 4350000000000ull},
        {"9223372036854775807", 0, 9223372036854775807ull},
        {"9223372036854775808", -ERANGE, 0},
        {"99999999999999999999999", -ERANGE, 0},
        {"0.3B", -ERANGE, 0},
        {"1.1GiB", -ERANGE, 0},
        {"9000000TiB", -ERANGE, 0},
        {"", -EINVAL, 0},
        {"GiB", -EINVAL, 0},
        {"-1", -EINVAL, 0},
        {"+1", -EINVAL, 0},
        {" 1", -EINVAL, 0},
        {"1gib", -EINVAL, 0},
        {"1GiB ", -EINVAL, 0},
        {"0x10", -EINVAL, 0},
        {"1e3", -EINVAL, 0},
        {"nan", -EINVAL, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint64_t value = 77;
        struct error err = {0};
        print_message("bytes '%s'\n", cases[i].text);
        assert_int_equal(bytes_parse(cases[i].text, &value, &err), cases[i].result);
        assert_int_equal(value, cases[i].result ? 77 : cases[i].value);
        assert_string_equal(err.code, cases[i].result ? "bad-bytes" : "");
        assert_int_equal(bytes_parse(cases[i].text, &value, NULL), cases[i].result);
    }
}

static void test_share(void **state)
{
    static const struct amount_case cases[] = {
        {"25%", 0, 250},      {"12.5%", 0, 125},   {"12.5 %", 0, 125},   {"0.25", 0, 250},
        {"250m", 0, 250},     {"1", 0, 1000},      {"100%", 0, 1000},    {"0.1%", 0, 1},
        {"0.29", 0, 290},     {"0", -ERANGE, 0},   {"0%", -ERANGE, 0},   {"0.04%", -ERANGE, 0},
        {"101%", -ERANGE, 0}, {"1.2", -ERANGE, 0}, {"50", -ERANGE, 0},   {"", -EINVAL, 0},
        {"%", -EINVAL, 0},    {"-5%", -EINVAL, 0}, {"half", -EINVAL, 0}, {"25%%", -EINVAL, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint32_t value = 77;
        struct error err = {0};
        print_message("share '%s'\n", cases[i].text);
        assert_int_equal(share_parse(cases[i].text, &value, &err), cases[i].result);
        assert_int_equal(value, cases[i].result ? 77 : cases[i].value);
        assert_string_equal(err.code, cases[i].result ? "bad-share" : "");
    }
}

static void test_duration(void **state)
{
    static const struct amount_case cases[] = {
        {"0", 0, 0},           {"250ms", 0, 250},
        {"90s", 0, 90000},     {"10m", 0, 600000},
        {"10min", 0, 600000},  {"1.5h", 0, 5400000},
        {"2d", 0, 172800000},  {"0.1s", 0, 100},
        {"1.001s", 0, 1001},   {"30", -EINVAL, 0},
        {"", -EINVAL, 0},      {"s", -EINVAL, 0},
        {"-1s", -EINVAL, 0},   {"1w", -EINVAL, 0},
        {"1h30m", -EINVAL, 0}, {"999999999999d", -ERANGE, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint64_t value = 77;
        struct error err = {0};
        print_message("duration '%s'\n", cases[i].text);
        assert_int_equal(duration_parse(cases[i].text, &value, &err), cases[i].result);
        assert_int_equal(value, cases[i].result ? 77 : cases[i].value);
        assert_string_equal(err.code, cases[i].result ? "bad-duration" : "");
    }
}

static void test_whole_numbers(void **state)
{
    static const struct amount_case cases[] = {
        {"0", 0, 0},
        {"007", 0, 7},
        {"18446744073709551615", 0, UINT64_MAX},
        {"18446744073709551616", -ERANGE, 0},
        {"184467440737095516150", -ERANGE, 0},
        {"", -EINVAL, 0},
        {"-1", -EINVAL, 0},
        {"1 ", -EINVAL, 0},
        {"1.0", -EINVAL, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint64_t value = 77;
        print_message("number '%s'\n", cases[i].text);
        assert_int_equal(u64_parse(cases[i].text, &value, NULL), cases[i].result);
        assert_int_equal(value, cases[i].result ? 77 : cases[i].value);
    }
}

static void test_texts(void **state)
{
    static const struct {
        uint64_t amount;
        const char *bytes, *duration;
    } cases[] = {
        {0, "0 B", "0 ms"},
        {999, "999 B", "999 ms"},
        {1536, "1.5 KiB", "1.5 s"},
        {61000, "59.6 KiB", "1m01s"},
        {3720000, "3.5 MiB", "1h02m"},
        {2147483648ull, "2 GiB", "24d20h"},
        {UINT64_MAX, "16 EiB", NULL},
    };
    char text[UNITS_TEXT_MAX];
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_string_equal(bytes_text(cases[i].amount, text), cases[i].bytes);
        if (cases[i].duration)
            assert_string_equal(duration_text(cases[i].amount, text), cases[i].duration);
    }
    assert_string_equal(share_text(125, text), "12.5 %");
    assert_string_equal(share_text(250, text), "25 %");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),    cmocka_unit_test(test_share),
        cmocka_unit_test(test_duration), cmocka_unit_test(test_whole_numbers),
        cmocka_unit_test(test_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
