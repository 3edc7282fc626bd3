/* The first compute prediction: from the same program, from the nearest in size, or unknown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "estimate/estimate.h"
#include "model/job.h"

static const struct estimate_input input = {
    .program_bytes = 999, .data_bytes = 9000, .share_permille = 500};

static struct estimate_run run(uint64_t data_bytes, uint64_t wall_ms, int same_program)
{
    return (struct estimate_run){.program_bytes = 999,
                                 .data_bytes = data_bytes,
                                 .wall_ms = wall_ms,
                                 .share_permille = 500,
                                 .same_program = same_program};
}

static void test_unknown_without_history(void **state)
{
    (void)state;
    struct job_prediction prediction;
    estimate_predict(&input, NULL, 0, &prediction);
    assert_int_equal(prediction.duration_ms, 0);
    assert_int_equal(prediction.runs, 0);
    assert_non_null(strstr(prediction.basis, "unknown"));
    free(prediction.basis);
}

static void test_same_program_counts_first(void **state)
{
    (void)state;
    const struct estimate_run runs[] = {run(9000, 100, 1), run(9000, 300, 1), run(9000, 200, 1),
                                        run(9000, 9999, 0)};
    struct job_prediction prediction;
    estimate_predict(&input, runs, 4, &prediction);
    assert_int_equal(prediction.duration_ms, 200);
    assert_int_equal(prediction.duration_low_ms, 100);
    assert_int_equal(prediction.duration_high_ms, 300);
    assert_int_equal(prediction.runs, 3);
    assert_non_null(strstr(prediction.basis, "the same program"));
    free(prediction.basis);
}

static void test_nearest_sizes_are_scaled(void **state)
{
    (void)state;
    /* Half the size took 50, so this takes 100; one a thousand times larger says little. */
    const struct estimate_run runs[] = {run(4000, 50, 0), run(4000, 50, 0), run(4000, 50, 0),
                                        run(4000, 50, 0), run(4000, 50, 0), run(9000000, 1, 0)};
    struct job_prediction prediction;
    estimate_predict(&input, runs, 6, &prediction);
    assert_int_equal(prediction.runs, 5);
    assert_in_range(prediction.duration_ms, 95, 105);
    free(prediction.basis);
}

/* A run that used all of a quarter takes half as long on a half; one that computed nothing does not
 * change. */
static void test_share_scales_what_computes(void **state)
{
    (void)state;
    struct estimate_run busy = run(9000, 1000, 1), lazy = run(9000, 1000, 1);
    struct job_prediction prediction;
    busy.share_permille = lazy.share_permille = 250;
    busy.device_time_ns = 250 * 1000000ull;
    estimate_predict(&input, &busy, 1, &prediction);
    assert_in_range(prediction.duration_ms, 499, 501);
    assert_int_equal(prediction.share_permille, 250);
    free(prediction.basis);
    estimate_predict(&input, &lazy, 1, &prediction);
    assert_int_equal(prediction.duration_ms, 1000);
    assert_int_equal(prediction.share_permille, 0);
    free(prediction.basis);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unknown_without_history),
        cmocka_unit_test(test_same_program_counts_first),
        cmocka_unit_test(test_nearest_sizes_are_scaled),
        cmocka_unit_test(test_share_scales_what_computes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
