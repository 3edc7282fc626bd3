/* The JSON edge: what is refused as text, and decoding against a table of fields. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/json.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

struct record {
    char *name;
    uint64_t number;
    uint32_t small;
    bool flag;
    uint64_t memory_bytes;
    uint32_t share_permille;
    uint64_t idle_ms;
    char **args;
    json_t *rest;
};

#define FIELD(name, kind, member, flags) \
    { \
        name, kind, offsetof(struct record, member), flags \
    }
static const struct json_field fields[] = {
    FIELD("name", JSON_KIND_TEXT, name, JSON_REQUIRED),
    FIELD("number", JSON_KIND_U64, number, JSON_OPTIONAL),
    FIELD("small", JSON_KIND_U32, small, JSON_OPTIONAL),
    FIELD("flag", JSON_KIND_BOOL, flag, JSON_OPTIONAL),
    FIELD("memory", JSON_KIND_BYTES, memory_bytes, JSON_OPTIONAL),
    FIELD("share", JSON_KIND_SHARE, share_permille, JSON_OPTIONAL),
    FIELD("idle", JSON_KIND_DURATION, idle_ms, JSON_OPTIONAL),
    FIELD("args", JSON_KIND_TEXTS, args, JSON_OPTIONAL),
    FIELD("rest", JSON_KIND_VALUE, rest, JSON_OPTIONAL),
    {0},
};

static void record_finish(struct record *record)
{
    free(record->name);
    texts_free(record->args);
    json_decref(record->rest);
}

static int decode(const char *text, struct record *record, struct error *err)
{
    AUTO_JSON json_t *value = json_parse(text, strlen(text), 4096, NULL);
    assert_non_null(value);
    return json_decode(value, fields, record, err);
}

static void test_decodes_every_kind(void **state)
{
    struct record record = {.small = 9};
    assert_int_equal(decode("{\"name\":\"a\",\"number\":7,\"small\":null,\"flag\":true,"
                            "\"memory\":\"2KiB\",\"share\":0.25,\"idle\":\"2s\","
                            "\"args\":[\"x\",\"\"],\"rest\":{\"k\":[1]}}",
                            &record, NULL),
                     0);
    assert_string_equal(record.name, "a");
    assert_int_equal(record.number, 7);
    assert_int_equal(record.small, 9);
    assert_true(record.flag);
    assert_int_equal(record.memory_bytes, 2048);
    assert_int_equal(record.share_permille, 250);
    assert_int_equal(record.idle_ms, 2000);
    assert_string_equal(record.args[0], "x");
    assert_string_equal(record.args[1], "");
    assert_null(record.args[2]);
    assert_true(json_is_object(record.rest));
    /* A second decode frees what it replaces. */
    assert_int_equal(
        decode("{\"name\":\"b\",\"args\":[],\"memory\":5,\"idle\":6,\"share\":\"40%\"}", &record,
               NULL),
        0);
    assert_string_equal(record.name, "b");
    assert_null(record.args[0]);
    assert_int_equal(record.memory_bytes, 5);
    assert_int_equal(record.idle_ms, 6);
    assert_int_equal(record.share_permille, 400);
    record_finish(&record);
}

static void test_refuses_wrong_members(void **state)
{
    static const struct {
        const char *text, *code, *part;
    } cases[] = {
        {"[]", "bad-json", "object"},
        {"3", "bad-json", "object"},
        {"{}", "missing-field", "'name'"},
        {"{\"name\":null}", "missing-field", "'name'"},
        {"{\"name\":1}", "bad-field", "'name'"},
        {"{\"name\":\"a\",\"nmae\":1}", "unknown-field", "name, number, small"},
        {"{\"name\":\"a\",\"number\":-1}", "bad-field", "'number'"},
        {"{\"name\":\"a\",\"number\":1.5}", "bad-field", "'number'"},
        {"{\"name\":\"a\",\"number\":\"1\"}", "bad-field", "'number'"},
        {"{\"name\":\"a\",\"small\":4294967296}", "bad-field", "'small'"},
        {"{\"name\":\"a\",\"flag\":0}", "bad-field", "'flag'"},
        {"{\"name\":\"a\",\"memory\":-1}", "bad-field", "'memory'"},
        {"{\"name\":\"a\",\"memory\":1.5}", "bad-field", "'memory'"},
        {"{\"name\":\"a\",\"memory\":\"lots\"}", "bad-bytes", "'memory': 'lots'"},
        {"{\"name\":\"a\",\"share\":0}", "bad-share", "'share'"},
        {"{\"name\":\"a\",\"share\":1e300}", "bad-share", "'share'"},
        {"{\"name\":\"a\",\"share\":[]}", "bad-field", "'share'"},
        {"{\"name\":\"a\",\"idle\":\"5\"}", "bad-duration", "'idle'"},
        {"{\"name\":\"a\",\"args\":\"x\"}", "bad-field", "'args'"},
        {"{\"name\":\"a\",\"args\":[\"x\",1]}", "bad-field", "'args'"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct record record = {0};
        struct error err = {0};
        print_message("%s\n", cases[i].text);
        assert_true(decode(cases[i].text, &record, &err) < 0);
        assert_string_equal(err.code, cases[i].code);
        assert_non_null(strstr(err.text, cases[i].part));
        /* The result is the same for a caller who does not ask for the reason. */
        assert_int_equal(decode(cases[i].text, &record, NULL), err.errnum);
        record_finish(&record);
    }
}

static void test_parse_refuses(void **state)
{
    static const struct {
        const char *text;
        int errnum;
    } cases[] = {
        {"", -EINVAL},
        {"{", -EINVAL},
        {"{} {}", -EINVAL},
        {"{\"a\":1,\"a\":2}", -EINVAL},
        {"\"\xff\"", -EINVAL},
        {"nul", -EINVAL},
        {"{'a':1}", -EINVAL},
        {"\"\\u0000\"", -EINVAL},
        {"123456789012345678901234567890123", -EFBIG},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct error err = {0};
        print_message("%s\n", cases[i].text);
        assert_null(json_parse(cases[i].text, strlen(cases[i].text), 32, &err));
        assert_int_equal(err.errnum, cases[i].errnum);
    }
}

static void test_depth_limit(void **state)
{
    char text[4 * JSON_DEPTH_MAX];
    for (int depth = JSON_DEPTH_MAX - 1; depth <= JSON_DEPTH_MAX + 1; depth++) {
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        AUTO_JSON json_t *value = json_parse(text, (size_t)depth * 2, sizeof(text), NULL);
        assert_true((value != NULL) == (depth <= JSON_DEPTH_MAX));
    }
    /* Brackets inside a text do not nest. */
    static const char quoted[] =
        "\"[[[[\\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["
        "[[[[[[[[[[[[[[[\"";
    AUTO_JSON json_t *value = json_parse(quoted, sizeof(quoted) - 1, 4096, NULL);
    assert_non_null(value);
}

static void test_texts(void **state)
{
    const char *const texts[] = {"a", "", NULL};
    char **copy = texts_copy(texts);
    assert_string_equal(copy[0], "a");
    assert_string_equal(copy[1], "");
    assert_null(copy[2]);
    texts_free(copy);
    copy = texts_copy(NULL);
    assert_null(copy[0]);
    texts_free(copy);
    texts_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decodes_every_kind),
        cmocka_unit_test(test_refuses_wrong_members),
        cmocka_unit_test(test_parse_refuses),
        cmocka_unit_test(test_depth_limit),
        cmocka_unit_test(test_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
