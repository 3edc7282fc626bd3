/* Model cards and MLflow runs: they become the documented entries, and what is written of entries
 * reads back as the same. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "knowledge/exchange.h"
#include "knowledge/learn.h"
#include "model/knowledge.h"

typedef int read_fn(const char *text, size_t length, const char *name, struct exchange *exchange,
                    struct error *err);

static json_t *read_entries(read_fn *read, const char *text, const char *name, size_t left_out)
{
    struct exchange exchange;
    struct error err = {0};
    assert_int_equal(exchange_init(&exchange), 0);
    if (read(text, strlen(text), name, &exchange, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(json_array_size(exchange.left_out), left_out);
    for (size_t i = 0; i < json_array_size(exchange.entries); i++) {
        struct knowledge entry;
        knowledge_init(&entry);
        if (knowledge_decode(json_array_get(exchange.entries, i), &entry, &err) < 0)
            fail_msg("%s", err.text);
        knowledge_finish(&entry);
    }
    json_t *entries = json_incref(exchange.entries);
    exchange_finish(&exchange);
    return entries;
}

/* The text of a seed of the fuzzers. */
static char *seed(const char *name)
{
    char path[512];
    AUTO_BUF struct buf text = BUF_INIT;
    (void)snprintf(path, sizeof(path), CORPUS_FOLDER "/%s", name);
    assert_int_equal(file_read(AT_FDCWD, path, 1 << 16, &text, NULL), 0);
    return strdup(text.data);
}

static const json_t *member(const json_t *entries, size_t index, const char *name)
{
    const json_t *entry = json_array_get(entries, index);
    const json_t *value = json_object_get(json_object_get(entry, "attributes"), name);
    return value ? value : json_object_get(entry, name);
}

static const char *text(const json_t *entries, size_t index, const char *name)
{
    const char *value = json_string_value(member(entries, index, name));
    return value ? value : "";
}

static void same(const json_t *left, const json_t *right)
{
    AUTO_FREE char *a = json_dumps(left, JSON_SORT_KEYS), *b = json_dumps(right, JSON_SORT_KEYS);
    assert_string_equal(a, b);
}

static void test_a_card_and_back(void **state)
{
    (void)state;
    AUTO_FREE char *card = seed("model_card/whole");
    AUTO_JSON json_t *entries = read_entries(card_read, card, NULL, 1); /* the widget */
    assert_int_equal(json_array_size(entries), 3);
    assert_string_equal(text(entries, 0, "name"), "org/resnet-50");
    assert_string_equal(text(entries, 0, "task"), "image-classification");
    assert_string_equal(text(entries, 0, "license"), "apache-2.0");
    assert_string_equal(text(entries, 0, "text"), "# ResNet-50\n\nA network of residual blocks.");
    assert_string_equal(json_string_value(json_array_get(member(entries, 0, "tags"), 1)), "2023");
    assert_int_equal(json_integer_value(member(entries, 0, "params")), 25557032);
    assert_string_equal(text(entries, 1, "name"), "org/resnet-50/imagenet-1k/accuracy");
    assert_string_equal(text(entries, 2, "name"), "org/resnet-50/imagenet-1k/accuracy (2)");
    assert_string_equal(text(entries, 1, "model"), "org/resnet-50");
    assert_string_equal(text(entries, 1, "dataset_split"), "validation");
    assert_true(json_real_value(member(entries, 1, "accuracy")) == 0.761);
    assert_true(json_is_true(member(entries, 1, "verified")));

    AUTO_FREE char *written = card_write(entries, NULL);
    AUTO_JSON json_t *again = read_entries(card_read, written, NULL, 0);
    same(entries, again);
    AUTO_JSON json_t *renamed = read_entries(card_read, written, "mine", 0);
    assert_string_equal(text(renamed, 1, "model"), "mine");
}

static void test_a_run_and_back(void **state)
{
    (void)state;
    AUTO_FREE char *run = seed("mlflow/run");
    AUTO_JSON json_t *entries = read_entries(mlflow_read, run, NULL, 1); /* mlflow.user */
    assert_int_equal(json_array_size(entries), 2);
    assert_string_equal(text(entries, 0, "kind"), "metric");
    assert_string_equal(text(entries, 0, "name"), "calm-fox-3");
    assert_string_equal(text(entries, 0, "task"), "digits");
    assert_string_equal(text(entries, 0, "model"), "mlp");
    assert_true(json_real_value(member(entries, 0, "val_acc")) == 0.97);
    assert_int_equal(json_integer_value(member(entries, 0, "wall_ms")), 60000);
    assert_string_equal(text(entries, 1, "kind"), "hyperparameter");
    assert_true(json_real_value(member(entries, 1, "lr")) == 0.001);
    assert_string_equal(text(entries, 1, "optimizer"), "adamw");

    AUTO_FREE char *written = mlflow_write(entries, NULL);
    AUTO_JSON json_t *again = read_entries(mlflow_read, written, NULL, 0);
    same(entries, again);
}

static void learns(struct knowledge *entry, const char *facts)
{
    AUTO_JSON json_t *object = json_parse(facts, strlen(facts), 4096, NULL);
    assert_int_equal(learn_facts(entry, object), 0);
}

static json_int_t known(const struct knowledge *entry, const char *name)
{
    return json_integer_value(json_object_get(entry->attributes, name));
}

static void test_what_runs_teach(void **state)
{
    (void)state;
    const char *log = "LEAT_METRICS {\"accuracy\":0.5}\nepoch 2\n LEAT_METRICS {\"accuracy\":1}\n"
                      "LEAT_METRICS {\"accuracy\":0.75}\nLEAT_METRICS [1]\nLEAT_METRICS {\n"
                      "LEAT_METRICS ";
    AUTO_JSON json_t *metrics = learn_metrics(log, strlen(log));
    assert_true(json_real_value(json_object_get(metrics, "accuracy")) == 0.75);
    assert_null(learn_metrics("", 0));

    struct knowledge entry = {.attributes = json_object()};
    learns(&entry, "{\"run\":\"train\",\"memory_peak_bytes\":900,\"batch\":8,\"runs\":1,\"x\":1}");
    learns(&entry, "{\"run\":\"train\",\"memory_peak_bytes\":500,\"batch\":4,\"runs\":1,\"x\":2,"
                   "\"nested\":{}}");
    assert_int_equal(known(&entry, "memory_peak_bytes"), 900);
    assert_int_equal(known(&entry, "batch"), 8);
    assert_int_equal(known(&entry, "runs"), 2);
    assert_int_equal(known(&entry, "x"), 2);
    assert_null(json_object_get(entry.attributes, "nested"));
    learns(&entry, "{\"run\":\"infer\",\"memory_peak_bytes\":300,\"batch\":2,\"runs\":1}");
    assert_int_equal(known(&entry, "memory_peak_bytes"), 300);
    assert_int_equal(known(&entry, "batch"), 2);
    knowledge_finish(&entry);
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        read_fn *read;
        const char *text, *code;
    } cases[] = {
        {card_read, "---\nlicense: mit\n---\n", "bad-card"},
        {card_read, "---\n- 1\n---\n", "bad-card"},
        {card_read, "---\na: *x\n---\n", "bad-yaml"},
        {card_read, "", "bad-yaml"},
        {mlflow_read, "[]", "bad-run"},
        {mlflow_read, "{\"data\":{}}", "bad-run"},
        {mlflow_read, "{", "bad-json"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct exchange exchange;
        struct error err = {0};
        assert_int_equal(exchange_init(&exchange), 0);
        assert_true(cases[i].read(cases[i].text, strlen(cases[i].text), NULL, &exchange, &err) < 0);
        if (strcmp(err.code, cases[i].code) != 0)
            fail_msg("'%s': %s: %s", cases[i].text, err.code, err.text);
        exchange_finish(&exchange);
    }
    AUTO_JSON json_t *none = json_array();
    assert_null(card_write(none, NULL));
    assert_null(mlflow_write(none, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_card_and_back),
        cmocka_unit_test(test_a_run_and_back),
        cmocka_unit_test(test_what_runs_teach),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
