/* Predictions: from the same family, by work, from the same program, from the nearest in size, or
 * unknown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "estimate/estimate.h"
#include "estimate/memory.h"
#include "model/job.h"

static const struct estimate_input input = {
    .program_bytes = 999, .data_bytes = 9000, .share_permille = 500};

#define LIBRARY ESTIMATE_KIN_LIBRARY
#define PROGRAM ESTIMATE_KIN_PROGRAM
#define FAMILY ESTIMATE_KIN_FAMILY

static struct estimate_run run(uint64_t data_bytes, uint64_t wall_ms, enum estimate_kin kin)
{
    return (struct estimate_run){.program_bytes = 999,
                                 .data_bytes = data_bytes,
                                 .wall_ms = wall_ms,
                                 .share_permille = 500,
                                 .kin = kin};
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

/* The first job of a library and type: by what others computed, else by its device. */
static void test_the_first_of_its_kind(void **state)
{
    (void)state;
    struct estimate_run other = run(9000, 5000, ESTIMATE_KIN_OTHER);
    struct estimate_input first = input;
    struct job_prediction prediction;
    first.work = other.work = (struct estimate_work){.steps = 100, .step_kflop = 1000000};
    first.device_mflops = estimate_device_mflops("cpu", 4);
    assert_int_equal(first.device_mflops, 10000);
    assert_int_equal(estimate_device_mflops("abacus", 4), 0);
    estimate_predict(&first, NULL, 0, &prediction); /* 10 s on all of it, and it gets half */
    assert_in_range(prediction.duration_ms, 20000, 20500);
    assert_int_equal(prediction.device_time_ns, 10000000000ull);
    assert_int_equal(prediction.runs, 0);
    assert_true(prediction.duration_low_ms < 8000 && prediction.duration_high_ms > 50000);
    assert_non_null(strstr(prediction.basis, "such a device"));
    free(prediction.basis);
    first.interpreted = true;
    other.same_device = true;
    other.device_time_ns = 2000000000ull;
    estimate_predict(&first, &other, 1, &prediction);
    assert_in_range(prediction.duration_ms, 7500, 8500);
    assert_int_equal(prediction.runs, 1);
    free(prediction.basis);
    first.work.steps = 0; /* what it computes is not known: by size */
    estimate_predict(&first, &other, 1, &prediction);
    assert_int_equal(prediction.duration_ms, 5000);
    assert_non_null(strstr(prediction.basis, "other libraries"));
    free(prediction.basis);
}

static void test_same_program_counts_first(void **state)
{
    (void)state;
    const struct estimate_run runs[] = {run(9000, 100, PROGRAM), run(9000, 300, PROGRAM),
                                        run(9000, 200, PROGRAM), run(9000, 9999, LIBRARY)};
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
    const struct estimate_run runs[] = {run(4000, 50, LIBRARY), run(4000, 50, LIBRARY),
                                        run(4000, 50, LIBRARY), run(4000, 50, LIBRARY),
                                        run(4000, 50, LIBRARY), run(9000000, 1, LIBRARY)};
    struct job_prediction prediction;
    estimate_predict(&input, runs, 6, &prediction);
    assert_int_equal(prediction.runs, 5);
    assert_in_range(prediction.duration_ms, 95, 105);
    free(prediction.basis);
}

/* What a run was lent counts for one that keeps to its share, and not for one that may be lent as
 * much. */
static void test_a_run_that_was_lent_more(void **state)
{
    (void)state;
    struct estimate_run lent = run(9000, 1000, PROGRAM);
    struct estimate_input asked = input;
    struct job_prediction prediction;
    lent.share_permille = 1000;
    lent.device_time_ns = 1000 * 1000000ull;
    for (unsigned burst = 0; burst < 2; burst++) {
        asked.burst = burst;
        estimate_predict(&asked, &lent, 1, &prediction);
        assert_in_range(prediction.duration_ms, burst ? 999 : 1999, burst ? 1001 : 2001);
        free(prediction.basis);
    }
}

/* A run that used all of a quarter takes half as long on a half; one that computed nothing does not
 * change. */
static void test_share_scales_what_computes(void **state)
{
    (void)state;
    struct estimate_run busy = run(9000, 1000, PROGRAM), lazy = run(9000, 1000, PROGRAM);
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

static void test_family_goes_before_all(void **state)
{
    (void)state;
    /* Whatever the sizes say: the family's own times, unscaled. */
    const struct estimate_run runs[] = {run(1, 700, FAMILY), run(1, 720, FAMILY),
                                        run(9000, 100, PROGRAM)};
    struct job_prediction prediction;
    estimate_predict(&input, runs, 3, &prediction);
    assert_int_equal(prediction.duration_ms, 710);
    assert_int_equal(prediction.runs, 2);
    free(prediction.basis);
    /* A first run that compiled its kernels is no measure of the next. */
    const struct estimate_run cold[] = {run(1, 700, FAMILY), run(1, 9000, FAMILY)};
    estimate_predict(&input, cold, 2, &prediction);
    assert_int_equal(prediction.duration_ms, 700);
    free(prediction.basis);
}

static struct estimate_run work_run(uint64_t steps, uint64_t step_kflop, uint64_t wall_ms,
                                    uint64_t device_ms)
{
    return (struct estimate_run){.kin = LIBRARY,
                                 .same_device = true,
                                 .wall_ms = wall_ms,
                                 .device_time_ns = device_ms * 1000000,
                                 .share_permille = 1000,
                                 .work = {steps, step_kflop}};
}

/* A second to start, a millisecond a step of 1000 kflop and ten of one of 10000. */
static void test_time_follows_work(void **state)
{
    (void)state;
    const struct estimate_run runs[] = {work_run(1000, 1000, 2000, 1000),
                                        work_run(1000, 10000, 11000, 10000)};
    struct estimate_input asked = {.share_permille = 1000, .work = {500, 10000}};
    struct job_prediction prediction;
    estimate_predict(&asked, runs, 2, &prediction);
    assert_in_range(prediction.duration_ms, 5900, 6100);
    assert_non_null(strstr(prediction.basis, "by the work"));
    assert_true(prediction.duration_low_ms < 6000 && prediction.duration_high_ms > 6000);
    free(prediction.basis);
    asked.work.step_kflop = 3162; /* between them */
    estimate_predict(&asked, runs, 2, &prediction);
    assert_in_range(prediction.duration_ms, 2400, 2800);
    free(prediction.basis);
    estimate_predict(&asked, runs, 1, &prediction); /* one run: in proportion */
    assert_in_range(prediction.duration_ms, 2500, 2700);
    free(prediction.basis);
    /* A run on another device does not count beside one on this. */
    struct estimate_run mixed[] = {runs[0], work_run(1000, 3162, 100000, 1)};
    mixed[1].same_device = false;
    estimate_predict(&asked, mixed, 2, &prediction);
    assert_in_range(prediction.duration_ms, 2500, 2700);
    free(prediction.basis);
}

static void test_remaining_is_put_right(void **state)
{
    (void)state;
    struct job_prediction prediction = {.duration_ms = 10000, .device_time_ns = 5000000000};
    assert_int_equal(estimate_remaining_ms(&prediction, 1000, 0), 9000);
    assert_in_range(estimate_remaining_ms(&prediction, 4000, 1000000000), 15999,
                    16000);                                                           /* slower */
    assert_in_range(estimate_remaining_ms(&prediction, 4000, 4000000000), 999, 1000); /* faster */
    assert_int_equal(estimate_remaining_ms(&prediction, 20000, 6000000000), 0);
}

static void test_peaks(void **state)
{
    (void)state;
    struct estimate_input asked = {.memory_point_bytes = 2000};
    struct estimate_peak peak;
    struct estimate_run runs[] = {run(1, 1, FAMILY), run(1, 1, FAMILY), run(1, 1, LIBRARY)};
    estimate_peak(&asked, runs, 3, &peak);
    assert_int_equal(peak.expected_bytes, 0);
    runs[0].memory_peak_bytes = 1000;
    runs[1].memory_peak_bytes = 1010;
    estimate_peak(&asked, runs, 3, &peak);
    assert_int_equal(peak.expected_bytes, 1000); /* the newest */
    assert_int_equal(peak.reserve_bytes, 1060);  /* the highest, and a twentieth */
    runs[2].memory_peak_bytes = 1200; /* the formulas said 1000 of it: they are a fifth too low */
    runs[2].memory_point_bytes = 1000;
    runs[2].same_model = true;
    estimate_peak(&asked, runs + 2, 1, &peak);
    assert_int_equal(peak.expected_bytes, 2400);
    assert_in_range(peak.reserve_bytes, 2639, 2640);
    assert_int_equal(peak.kin, ESTIMATE_KIN_LIBRARY);
}

static void test_work_of_models(void **state)
{
    (void)state;
    /* Six operations a parameter and token, as Kaplan et al. count, for a model without a long
     * context or a large vocabulary. */
    const struct memory_request text = {
        .layers = 24, .hidden = 2048, .heads = 16, .batch = 4, .sequence = 128, .steps = 7};
    struct estimate_work work = estimate_work_of(&text);
    double params = 24.0 * 12 * 2048 * 2048;
    assert_int_equal(work.steps, 7);
    double wanted = 6 * params * 4 * 128 / 1e3;
    assert_in_range(work.step_kflop, wanted, wanted * 1.02);
    const struct memory_request small = {.params = 1000, .batch = 10, .samples = 95, .epochs = 2};
    work = estimate_work_of(&small);
    assert_int_equal(work.steps, 19);
    assert_int_equal(work.step_kflop, 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unknown_without_history),
        cmocka_unit_test(test_the_first_of_its_kind),
        cmocka_unit_test(test_same_program_counts_first),
        cmocka_unit_test(test_nearest_sizes_are_scaled),
        cmocka_unit_test(test_share_scales_what_computes),
        cmocka_unit_test(test_a_run_that_was_lent_more),
        cmocka_unit_test(test_family_goes_before_all),
        cmocka_unit_test(test_time_follows_work),
        cmocka_unit_test(test_remaining_is_put_right),
        cmocka_unit_test(test_peaks),
        cmocka_unit_test(test_work_of_models),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
