/* Likeness of tasks and the order of models. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "knowledge/rank.h"

static double alike(const char *left, const char *right)
{
    AUTO_JSON json_t *a = json_parse(left, strlen(left), 4096, NULL);
    AUTO_JSON json_t *b = json_parse(right, strlen(right), 4096, NULL);
    double one = rank_similarity(a, b), other = rank_similarity(b, a);
    assert_true(one >= 0 && one <= 1 && one - other < 1e-9 && other - one < 1e-9);
    return one;
}

static void test_likeness(void **state)
{
    (void)state;
    const char *task =
        "{\"classes\":10,\"modality\":\"image\",\"language\":[\"en\",\"de\"],\"grey\":true}";
    assert_true(alike(task, task) == 1);
    assert_true(alike("{}", "{}") == 0);
    assert_true(alike("{\"a\":1}", "{\"b\":1}") == 0);
    assert_true(alike("{\"a\":10}", "{\"a\":11}") > alike("{\"a\":10}", "{\"a\":1000}"));
    assert_true(alike("{\"a\":-5}", "{\"a\":5}") == 0);
    assert_true(alike("{\"a\":0}", "{\"a\":0}") == 1);
    assert_true(alike("{\"a\":\"Image-Classification\"}", "{\"a\":\"image-classification\"}") == 1);
    assert_true(alike("{\"a\":\"image classification\"}", "{\"a\":\"image segmentation\"}") == 0.5);
    assert_true(alike("{\"a\":[\"en\",\"de\"]}", "{\"a\":\"en\"}") == 0.5);
    assert_true(alike("{\"a\":[]}", "{\"a\":[]}") == 1);
    assert_true(alike("{\"a\":1}", "{\"a\":\"1\"}") == 0);
    assert_true(alike("{\"a\":1,\"b\":1}", "{\"a\":1}") < 1);
    assert_true(alike("{\"a\":\"\"}", "{\"a\":\" \"}") == 0);
}

static void test_order_of_models(void **state)
{
    (void)state;
    const struct rank_value values[] = {
        {0, 1, "clean", "wer", 2.5, 1},         {1, 1, "clean", "wer", 5.0, 1},
        {2, 1, "clean", "wer", 3.0, 1},         {1, 0.25, "other", "accuracy", 0.9, 0},
        {2, 0.25, "other", "accuracy", 0.5, 0},
    };
    const double params[] = {1e6, 1e6, 1e6, 2e6};
    double scores[4];
    assert_int_equal(rank_models(values, 5, params, 4, scores), 0);
    assert_true(scores[0] > scores[2] && scores[2] > scores[1] && scores[1] > 0);
    for (int i = 0; i < 4; i++)
        assert_true(scores[i] >= 0 && scores[i] <= 1);
    assert_int_equal(rank_models(NULL, 0, params, 4, scores), 0); /* size alone */
    assert_true(scores[3] > scores[0] && scores[0] == scores[1]);
    const double unknown[] = {0, 0};
    assert_int_equal(rank_models(NULL, 0, unknown, 2, scores), 0);
    assert_true(scores[0] == 0);
    assert_true(rank_smaller_is_better("WER") && rank_smaller_is_better("validation_loss"));
    assert_true(!rank_smaller_is_better("accuracy") && !rank_smaller_is_better(NULL));
    assert_true(!rank_smaller_is_better("answerable"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_likeness),
        cmocka_unit_test(test_order_of_models),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
