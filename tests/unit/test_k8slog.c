/* Decoding conmon's log lines, cut at every place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "engine/k8slog.h"

#define TIME "2026-11-21T20:10:41.877730855+00:00 "

static const struct {
    const char *file, *text;
} cases[] = {
    {"", ""},
    {TIME "stdout F hi\n", "hi\n"},
    {TIME "stdout P no newline\n", "no newline"},
    {TIME "stdout P a\n" TIME "stdout F b\n", "ab\n"},
    {TIME "stderr F \n" TIME "stdout F two  words \n", "\ntwo  words \n"},
    {TIME "stdout F cut off in the mid", "cut off in the mid"},
    {"garbage\n" TIME "stdout F after\n", "after\n"},
    {"one two\n\n" TIME "stdout F after\n", "after\n"},
    {"a-line-whose-head-is-far-too-long-to-be-the-head-of-any-line-that-conmon-writes F x y "
     "z\n" TIME "stdout F after\n",
     "after\n"},
};

static void decodes_cut_anywhere(void **state)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t length = strlen(cases[i].file);
        for (size_t cut = 0; cut <= length; cut++) {
            struct k8slog decoder = {0};
            struct buf out = BUF_INIT;
            k8slog_decode(&decoder, cases[i].file, cut, &out);
            k8slog_decode(&decoder, cases[i].file + cut, length - cut, &out);
            assert_string_equal(out.data ? out.data : "", cases[i].text);
            buf_finish(&out);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(decodes_cut_anywhere)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
