/* The YAML edge: values by the core schema, refusals, and that what is written reads back alike. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/json.h"
#include "base/yaml.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static void test_values(void **state)
{
    static const struct {
        const char *yaml, *json;
    } cases[] = {
        {"a: 1", "{\"a\":1}"},
        {"a: -5\nb: 0.5\nc: 1e3", "{\"a\":-5,\"b\":0.5,\"c\":1000.0}"},
        {"[true, false, null, ~, '', yes]", "[true,false,null,null,\"\",\"yes\"]"},
        {"- '1'\n- \"true\"\n- 25%\n- 2GiB\n- 0x10", "[\"1\",\"true\",\"25%\",\"2GiB\",\"0x10\"]"},
        {"a:\n  b:\n  - c: d\n    e: []\n  - {}", "{\"a\":{\"b\":[{\"c\":\"d\",\"e\":[]},{}]}}"},
        {"a: |\n  two\n  lines\n", "{\"a\":\"two\\nlines\\n\"}"},
        {"1: x\ntrue: y", "{\"1\":\"x\",\"true\":\"y\"}"},
        {"18446744073709551616", "1.8446744073709552e19"},
        {"- .\n- -\n- 1.2.3\n- 1e999", "[\".\",[null],\"1.2.3\",\"1e999\"]"},
        {"# only a scalar\ntext", "\"text\""},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct error err = {0};
        print_message("%s\n", cases[i].yaml);
        AUTO_JSON json_t *value = yaml_parse(cases[i].yaml, strlen(cases[i].yaml), 4096, &err);
        assert_string_equal(err.text, "");
        assert_non_null(value);
        char *text = json_text(value);
        assert_string_equal(text, cases[i].json);
        free(text);
    }
}

static void test_refusals(void **state)
{
    static const struct {
        const char *yaml, *part;
    } cases[] = {
        {"", "empty"},
        {"# nothing", "empty"},
        {"a: &x 1\nb: 2", "line 1, column 4: anchors"},
        {"a: *x", "anchors"},
        {"a: !!int 1", "tags"},
        {"!x [1]", "tags"},
        {"a: 1\nb: 2\na: 3", "line 3, column 1: this key stands twice"},
        {"[a]: 1", "plain text"},
        {"{a: 1}: 1", "plain text"},
        {"~: 1", "plain text"},
        {"a: 1\n---\nb: 2", "one document"},
        {"a: [1", "line"},
        {"a: \"\\0\"", "NUL"},
        {"\xff", "line"},
        {"\ta: 1", "line"},
        {"<<: {a: 1}\n<<: 2", "twice"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct error err = {0};
        print_message("%s\n", cases[i].yaml);
        assert_null(yaml_parse(cases[i].yaml, strlen(cases[i].yaml), 4096, &err));
        assert_string_equal(err.code, "bad-yaml");
        assert_non_null(strstr(err.text, cases[i].part));
    }
}

static void test_limits(void **state)
{
    struct error err = {0};
    assert_null(yaml_parse("a: 12345", 8, 7, &err));
    assert_string_equal(err.code, "body-too-large");
    char text[4 * JSON_DEPTH_MAX];
    for (int depth = JSON_DEPTH_MAX; depth <= JSON_DEPTH_MAX + 1; depth++) {
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        AUTO_JSON json_t *value = yaml_parse(text, (size_t)depth * 2, sizeof(text), &err);
        assert_true((value != NULL) == (depth <= JSON_DEPTH_MAX));
    }
}

/* Texts that a careless writer would let change their type or break the document. */
static void test_round_trip(void **state)
{
    static const char *const cases[] = {
        "{\"a\":\"1\",\"b\":\"true\",\"c\":\"null\",\"d\":\"\",\"e\":\"~\",\"f\":\"-\"}",
        "{\"a\":[],\"b\":{},\"c\":[[],[{}]],\"d\":[[1,[2]],{\"x\":[{\"y\":null}]}]}",
        "[\"- x\",\"a: b\",\"#no\",\"a #b\",\"&a\",\"*a\",\"!t\",\"%d\",\"@\",\"`\",\"[\",\"{\"]",
        "[\"two\\nlines\",\"tab\\t\",\" lead\",\"trail \",\"\\\"quoted\\\"\",\"back\\\\slash\"]",
        ("[\"\\u007f\",\"\\u0085\",\"\\u2028\",\"\\ufeff\",\"\\u0001\",\"gr\xc3\xbc\xc3\x9f\","
         "\"\xf0\x9f\x98\x80\",\"\\ufffe\"]"),
        "{\"\":1,\"1\":2,\"true\":3,\"a b\":4,\"---\":5,\"...\":6}",
        "[0.25,0.1,100.0,1e20,0.30000000000000004,-0.0,1e300,-1,9223372036854775807,true,null]",
        "\"...\"",
        "\"plain\"",
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        print_message("%s\n", cases[i]);
        AUTO_JSON json_t *value = json_parse(cases[i], strlen(cases[i]), 4096, NULL);
        assert_non_null(value);
        char *text = yaml_text(value);
        assert_non_null(text);
        struct error err = {0};
        AUTO_JSON json_t *again = yaml_parse(text, strlen(text), 65536, &err);
        assert_string_equal(err.text, "");
        assert_true(json_equal(value, again));
        free(text);
    }
}

static void test_long_key(void **state)
{
    char key[3000];
    memset(key, 'k', sizeof(key) - 1);
    key[sizeof(key) - 1] = '\0';
    AUTO_JSON json_t *value = json_pack("{s:[s]}", key, "v");
    char *text = yaml_text(value);
    AUTO_JSON json_t *again = yaml_parse(text, strlen(text), 65536, NULL);
    assert_true(json_equal(value, again));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),   cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_limits),   cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_long_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
