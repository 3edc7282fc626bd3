/* The control protocol's lines: what is understood, what is refused and how. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "card/cardd/protocol.h"

static int decode(const char *line, struct control_request *request, struct error *err)
{
    return control_request_decode(line, strlen(line), request, err);
}

static void create_is_understood(void **state)
{
    struct control_request request;
    struct error error;
    assert_int_equal(
        decode("{\"id\":7,\"op\":\"card.create\",\"card\":\"job-12\",\"device\":\"cpu-0\","
               "\"memory_bytes\":1073741824,\"share_permille\":250,\"bound\":true}",
               &request, &error),
        0);
    assert_int_equal(request.id, 7);
    assert_int_equal(request.op, CONTROL_CARD_CREATE);
    assert_string_equal(request.card, "job-12");
    assert_string_equal(request.device, "cpu-0");
    assert_null(request.token);
    assert_int_equal(request.memory_bytes, 1073741824);
    assert_int_equal(request.share_permille, 250);
    assert_true(request.bound);
    control_request_finish(&request);
    assert_null(request.card);
}

static void every_operation_is_understood(void **state)
{
    static const struct {
        const char *line;
        enum control_op op;
    } cases[] = {
        {"{\"id\":1,\"op\":\"hello\"}", CONTROL_HELLO},
        {"{\"id\":1,\"op\":\"device.list\"}", CONTROL_DEVICE_LIST},
        {"{\"id\":1,\"op\":\"card.remove\",\"card\":\"a\"}", CONTROL_CARD_REMOVE},
        {"{\"id\":1,\"op\":\"card.set_share\",\"card\":\"a\",\"share_permille\":0}",
         CONTROL_CARD_SET_SHARE},
        {"{\"id\":1,\"op\":\"card.list\"}", CONTROL_CARD_LIST},
        {"{\"id\":1,\"op\":\"card.show\",\"card\":\"a\"}", CONTROL_CARD_SHOW},
        {"{\"id\":1,\"op\":\"subscribe\"}", CONTROL_SUBSCRIBE},
        {"{\"id\":1,\"op\":\"card.save\",\"card\":\"a\",\"file\":\"/f\"}", CONTROL_CARD_SAVE},
        {"{\"id\":1,\"op\":\"card.load\",\"card\":\"a\",\"file\":\"/f\"}", CONTROL_CARD_LOAD},
        {"{\"id\":1,\"op\":\"card.trace\",\"card\":\"a\",\"on\":true}", CONTROL_CARD_TRACE},
        {"{\"id\":1,\"op\":\"card.resize\",\"card\":\"a\",\"memory_bytes\":\"2GiB\"}",
         CONTROL_CARD_RESIZE},
        {"{\"id\":1,\"op\":\"card.resize\",\"card\":\"a\",\"share_permille\":5,\"suspend\":true}",
         CONTROL_CARD_RESIZE},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct control_request request;
        assert_int_equal(decode(cases[i].line, &request, NULL), 0);
        assert_int_equal(request.op, cases[i].op);
        control_request_finish(&request);
    }
}

#define CREATE "{\"id\":3,\"op\":\"card.create\",\"memory_bytes\":1,\"share_permille\":1,"

static void refusals_have_codes(void **state)
{
    static const struct {
        const char *line, *code;
        uint64_t id;
    } cases[] = {
        {"", "bad-json", 0},
        {"{", "bad-json", 0},
        {"[]", "missing-field", 0},
        {"{\"id\":3}", "missing-field", 3},
        {"{\"op\":\"hello\"}", "missing-field", 0},
        {"{\"id\":3,\"op\":\"card.burn\"}", "unknown-op", 3},
        {"{\"id\":3,\"op\":\"hello\",\"card\":\"a\"}", "unknown-field", 3},
        {"{\"id\":-3,\"op\":\"hello\"}", "bad-field", 0},
        {"{\"id\":3,\"op\":\"card.show\"}", "missing-field", 3},
        {"{\"id\":3,\"op\":\"card.show\",\"card\":1}", "bad-field", 3},
        {"{\"id\":3,\"op\":\"card.show\",\"card\":\"\"}", "bad-card-name", 3},
        {"{\"id\":3,\"op\":\"card.show\",\"card\":\"..\"}", "bad-card-name", 3},
        {"{\"id\":3,\"op\":\"card.show\",\"card\":\"a/b\"}", "bad-card-name", 3},
        {"{\"id\":3,\"op\":\"card.set_share\",\"card\":\"a\",\"share_permille\":1001}",
         "share-exceeds-device", 3},
        {"{\"id\":3,\"op\":\"card.create\",\"card\":\"a\",\"share_permille\":1}", "missing-field",
         3},
        {"{\"id\":3,\"op\":\"card.resize\",\"card\":\"a\",\"suspend\":true}", "missing-field", 3},
        {"{\"id\":3,\"op\":\"card.resize\",\"card\":\"a\",\"share_permille\":1001}",
         "share-exceeds-device", 3},
        {"{\"id\":3,\"op\":\"card.create\",\"card\":\"a\",\"share_permille\":1,\"memory_bytes\":0}",
         "bad-memory", 3},
        {CREATE "\"card\":\"a\",\"token\":\"abc\"}", "bad-token", 3},
        {CREATE "\"card\":\"a\",\"token\":\"ABCDEFABCDEFABCDEFABCDEFABCDEFABCDEF\"}", "bad-token",
         3},
        {CREATE "\"card\":\"a\",\"bound\":1}", "bad-field", 3},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct control_request request;
        struct error error = {0};
        assert_true(decode(cases[i].line, &request, &error) < 0);
        assert_string_equal(error.code, cases[i].code);
        assert_int_equal(request.id, cases[i].id);
    }
}

static void answers_are_lines(void **state)
{
    struct error error;
    error_set(&error, -EEXIST, "card-exists", "there is a card '%s' already", "a\nb");
    AUTO_FREE char *result = control_result_line(9, json_pack("{si}", "n", 1));
    AUTO_FREE char *refusal = control_error_line(9, &error);
    AUTO_FREE char *event = control_event_line("card.wants_share", json_pack("{ss}", "card", "a"));
    assert_string_equal(result, "{\"id\":9,\"result\":{\"n\":1}}\n");
    assert_string_equal(refusal, "{\"id\":9,\"error\":{\"errno\":-17,\"code\":\"card-exists\","
                                 "\"text\":\"there is a card 'a\\nb' already\"}}\n");
    assert_string_equal(event, "{\"card\":\"a\",\"event\":\"card.wants_share\"}\n");
    assert_null(control_result_line(9, NULL));
    error_set(&error, -EIO, "resume-failed", "an executor's \xff\xc3\xa4");
    AUTO_FREE char *strange = control_error_line(9, &error);
    assert_string_equal(strange, "{\"id\":9,\"error\":{\"errno\":-5,\"code\":\"resume-failed\","
                                 "\"text\":\"an executor's ???\"}}\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(create_is_understood),
        cmocka_unit_test(every_operation_is_understood),
        cmocka_unit_test(refusals_have_codes),
        cmocka_unit_test(answers_are_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
