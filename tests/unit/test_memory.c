/* The memory estimate: hand-counted cases, the phase that sets the peak, refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "estimate/advice.h"
#include "estimate/memory.h"
#include "estimate/profile.h"

static struct profiles *profiles;

#define LLAMA \
    "\"layers\":32,\"hidden\":4096,\"heads\":32,\"kv_heads\":32,\"ffn\":11008,\"mlp_matrices\":3," \
    "\"vocab\":32000"

static int estimate(const char *text, struct memory_estimate *ret_estimate, struct error *err)
{
    struct memory_request request;
    memory_request_init(&request);
    AUTO_JSON json_t *object = json_parse(text, strlen(text), JSON_TEXT_LIMIT_BYTES, err);
    assert_non_null(object);
    int r = memory_request_decode(object, &request, err);
    if (r == 0)
        r = memory_estimate(&request, profiles, ret_estimate, err);
    memory_request_finish(&request);
    return r;
}

static struct memory_estimate estimated(const char *text)
{
    struct memory_estimate result;
    struct error err = {0};
    if (estimate(text, &result, &err) < 0)
        fail_msg("%s: %s", text, err.text);
    return result;
}

static void test_parameters_are_counted(void **state)
{
    (void)state;
    struct memory_estimate full = estimated("{" LLAMA ",\"batch\":1,\"sequence\":512}");
    assert_int_equal(full.params, 6738415616); /* Llama 2 7B, as its card says */
    assert_int_equal(full.trainable_params, full.params);
    struct memory_estimate lora = estimated(
        "{" LLAMA ",\"method\":\"lora\",\"rank\":8,\"targets\":\"q,v\",\"sequence\":512}");
    assert_int_equal(lora.trainable_params, 4194304); /* 32 blocks x 2 matrices x 8 x (4096+4096) */
    assert_int_equal(lora.term_bytes[MEMORY_WEIGHTS], 2 * 6738415616);
    assert_int_equal(lora.term_bytes[MEMORY_ADAPTERS], 16 * 4194304);
}

static void test_terms_add_up(void **state)
{
    (void)state;
    static const char *const requests[] = {
        "{" LLAMA ",\"sequence\":512}",
        "{" LLAMA ",\"sequence\":512,\"sharding\":\"zero3\",\"gpus\":4}",
        "{" LLAMA ",\"sequence\":512,\"method\":\"qlora\",\"weights\":\"nf4\",\"rank\":64}",
        "{" LLAMA ",\"task\":\"infer\",\"sequence\":100,\"new_tokens\":50}",
        "{\"params\":1000000,\"saved_elements\":5000,\"widest_elements\":900,\"batch\":64}",
    };
    for (size_t i = 0; i < sizeof(requests) / sizeof(*requests); i++) {
        struct memory_estimate result = estimated(requests[i]);
        uint64_t sum = 0;
        for (int term = 0; term < MEMORY_TERM_COUNT; term++)
            sum += result.term_bytes[term];
        assert_int_equal(sum, result.point_bytes);
        assert_true(result.safe_bytes > result.point_bytes);
        assert_true(result.term_bytes[MEMORY_CONTEXT] > 0);
    }
}

/* Each setting on the right needs less than the one on the left. */
static void test_order(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"", ",\"method\":\"lora\",\"rank\":16"},
        {"", ",\"checkpointing\":true"},
        {"", ",\"optimizer\":\"adamw-8bit\""},
        {"", ",\"optimizer\":\"sgd\""},
        {",\"no_flash\":true", ""},
        {",\"batch\":8", ",\"batch\":4"},
        {",\"sharding\":\"zero1\",\"gpus\":8", ",\"sharding\":\"zero2\",\"gpus\":8"},
        {",\"sharding\":\"zero2\",\"gpus\":8", ",\"sharding\":\"zero3\",\"gpus\":8"},
        {",\"method\":\"lora\",\"rank\":16",
         ",\"method\":\"qlora\",\"rank\":16,\"weights\":\"nf4\""},
        {",\"task\":\"infer\",\"new_tokens\":9000", ",\"task\":\"infer\",\"new_tokens\":90"},
        {"", ",\"allocated_only\":true"},
    };
    for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++) {
        char left[512], right[512];
        (void)snprintf(left, sizeof(left), "{" LLAMA ",\"sequence\":2048%s}", pairs[i][0]);
        (void)snprintf(right, sizeof(right), "{" LLAMA ",\"sequence\":2048%s}", pairs[i][1]);
        if (estimated(left).point_bytes <= estimated(right).point_bytes)
            fail_msg("'%s' needs no more than '%s'", pairs[i][0], pairs[i][1]);
    }
}

/* A gradient that is used up at once is never beside the others; of a mixture two experts work. */
static void test_special_runs(void **state)
{
    (void)state;
    struct memory_estimate lomo = estimated("{" LLAMA ",\"sequence\":512,\"optimizer\":\"lomo\"}");
    assert_int_equal(lomo.term_bytes[MEMORY_GRADIENTS], 2 * 32000ull * 4096); /* the head's */
    assert_int_equal(lomo.term_bytes[MEMORY_OPTIMIZER], 0);
    struct memory_estimate one = estimated("{" LLAMA ",\"sequence\":512,\"method\":\"lora\"}");
    struct memory_estimate eight =
        estimated("{" LLAMA ",\"sequence\":512,\"method\":\"lora\",\"experts\":8}");
    assert_int_equal(eight.term_bytes[MEMORY_ACTIVATIONS] - one.term_bytes[MEMORY_ACTIVATIONS],
                     512ull * 32 * 2 * 4 * 11008);
    assert_true(eight.params > 5 * one.params);
}

static void test_phase(void **state)
{
    (void)state;
    assert_string_equal(estimated("{" LLAMA ",\"sequence\":16}").phase, "step");
    assert_string_equal(estimated("{" LLAMA ",\"sequence\":8192}").phase, "backward");
    assert_string_equal(estimated("{" LLAMA ",\"task\":\"infer\"}").phase, "generate");
}

static void test_assumptions(void **state)
{
    (void)state;
    struct memory_estimate result = estimated("{" LLAMA ",\"framework\":\"unheard of\"}");
    assert_non_null(strstr(result.assumptions[0], "no profile"));
    assert_string_equal(result.profile, "pytorch");
    assert_string_equal(estimated("{" LLAMA ",\"framework\":\"litgpt/PyTorch 2.1\"}").profile,
                        "litgpt-2.1");
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *request, *says;
    } cases[] = {
        {"{}", "shapes"},
        {"{" LLAMA ",\"optimizer\":\"magic\"}", "adamw-8bit"},
        {"{" LLAMA ",\"method\":\"magic\"}", "qlora"},
        {"{" LLAMA ",\"sharding\":\"magic\"}", "zero3"},
        {"{" LLAMA ",\"weights\":\"magic\"}", "nf4"},
        {"{" LLAMA ",\"colour\":1}", "colour"},
        {"{\"params\":9000000000000000000}", "more than a model"},
        {"{" LLAMA ",\"sequence\":900000000000000,\"batch\":900000000000000}", "no machine"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct memory_estimate result;
        struct error err = {0};
        assert_true(estimate(cases[i].request, &result, &err) < 0);
        if (!strstr(err.text, cases[i].says))
            fail_msg("%s: %s", cases[i].request, err.text);
    }
}

static void test_profiles_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"profiles: []",
                                        "other: 1",
                                        "profiles: [{block_scale: 1}]",
                                        "profiles: [{name: a, colour: 1}]",
                                        "profiles: [{name: a, block_scale: -1}]",
                                        "profiles: [{name: a, frameworks: 7}]",
                                        "profiles: [{name: a}, {name: 7}]"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        struct error err = {0};
        assert_null(profiles_parse(texts[i], strlen(texts[i]), &err));
        assert_true(err.text[0]);
    }
}

static json_t *advised(const char *text, const char *devices)
{
    struct memory_request request;
    struct error err = {0};
    memory_request_init(&request);
    AUTO_JSON json_t *object = json_parse(text, strlen(text), JSON_TEXT_LIMIT_BYTES, &err);
    AUTO_JSON json_t *list = json_parse(devices, strlen(devices), JSON_TEXT_LIMIT_BYTES, &err);
    assert_int_equal(memory_request_decode(object, &request, &err), 0);
    json_t *answer = memory_advise(&request, profiles, list, &err);
    memory_request_finish(&request);
    assert_non_null(answer);
    return answer;
}

static void test_alternatives_are_cheaper(void **state)
{
    (void)state;
    AUTO_JSON json_t *answer = advised("{" LLAMA ",\"sequence\":2048,\"batch\":4}", "[]");
    json_int_t last = json_integer_value(json_object_get(answer, "point_bytes"));
    const json_t *list = json_object_get(answer, "alternatives");
    assert_int_equal(json_array_size(list), 5);
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_int_t next =
            json_integer_value(json_object_get(json_array_get(list, i), "point_bytes"));
        assert_true(next < last);
        last = next;
    }
}

static void test_cards(void **state)
{
    (void)state;
    AUTO_JSON json_t *answer = advised("{" LLAMA ",\"sequence\":2048,\"checkpointing\":true}",
                                       "[{\"name\":\"small\",\"memory_bytes\":1000000000},"
                                       "{\"name\":\"large\",\"memory_bytes\":50000000000},"
                                       "{\"name\":\"large\",\"memory_bytes\":50000000000},"
                                       "{\"name\":\"huge\",\"memory_bytes\":900000000000}]");
    const json_t *list = json_object_get(answer, "cards");
    static const json_int_t cards[] = {0, 4, 1};
    assert_int_equal(json_array_size(list), 3);
    for (size_t i = 0; i < 3; i++) {
        const json_t *one = json_array_get(list, i);
        assert_int_equal(json_integer_value(json_object_get(one, "cards")), cards[i]);
        assert_true(json_integer_value(json_object_get(one, "card_bytes")) <=
                    json_integer_value(json_object_get(one, "memory_bytes")));
    }
}

static int load(void **state)
{
    (void)state;
    AUTO_BUF struct buf text = BUF_INIT;
    if (file_read(AT_FDCWD, PROFILES_FILE, 1 << 20, &text, NULL) < 0)
        return -1;
    profiles = profiles_parse(text.data, text.length, NULL);
    return profiles ? 0 : -1;
}

static int unload(void **state)
{
    (void)state;
    profiles_destroy(profiles);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parameters_are_counted),
        cmocka_unit_test(test_terms_add_up),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_special_runs),
        cmocka_unit_test(test_phase),
        cmocka_unit_test(test_assumptions),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_profiles_refused),
        cmocka_unit_test(test_alternatives_are_cheaper),
        cmocka_unit_test(test_cards),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
