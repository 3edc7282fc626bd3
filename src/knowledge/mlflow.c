/* Runs of MLflow: see exchange.h. Read is the answer of its "runs/get", {"run":{"info","data"}}, or
 * the run alone; metrics, params and tags may be lists of {"key","value"} or objects. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "knowledge/exchange_impl.h"
#include "model/knowledge.h"

#define TAG_TASK "leat.task"
#define TAG_MODEL "leat.model"
#define TAG_TEXT "mlflow.note.content"
#define TAG_NAME "mlflow.runName"

/* -- reading -- */

/* A list of {"key","value"} as an object; the last value of a key counts. A new reference. */
static json_t *pairs_read(const json_t *pairs)
{
    if (json_is_object(pairs))
        return json_incref((json_t *)(uintptr_t)pairs);
    AUTO_JSON json_t *object = json_object();
    for (size_t i = 0; object && i < json_array_size(pairs); i++) {
        const json_t *pair = json_array_get(pairs, i);
        const char *key = exchange_text(pair, "key");
        json_t *value = json_object_get(pair, "value");
        if (key && value && json_object_set(object, key, value) < 0)
            return NULL;
    }
    return json_incref(object);
}

/* Parameters are texts there; those that are numbers become numbers. A new reference. */
static json_t *param_value(const json_t *value)
{
    const char *text = json_string_value(value);
    json_t *number = text ? json_parse(text, strlen(text), KNOWLEDGE_VALUE_MAX, NULL) : NULL;
    if (json_is_number(number))
        return number;
    json_decref(number);
    return json_incref((json_t *)(uintptr_t)value);
}

static bool values_put(struct exchange *exchange, json_t *attributes, const json_t *values)
{
    const char *name;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)values, name, value) {
        AUTO_JSON json_t *taken = param_value(value);
        if (!exchange_put(exchange, attributes, name, taken))
            return false;
    }
    return true;
}

static bool info_put(struct exchange *exchange, json_t *attributes, const json_t *info)
{
    const json_t *start = json_object_get(info, "start_time"),
                 *end = json_object_get(info, "end_time");
    double wall_ms = json_number_value(end) - json_number_value(start);
    AUTO_JSON json_t *wall =
        json_is_number(start) && json_is_number(end) && wall_ms >= 0 && wall_ms < 1e15
            ? json_integer((json_int_t)wall_ms)
            : NULL;
    return exchange_put(exchange, attributes, "wall_ms", wall) &&
           exchange_put(exchange, attributes, "run_id", json_object_get(info, "run_id")) &&
           exchange_put(exchange, attributes, "status", json_object_get(info, "status"));
}

static bool tags_name(struct exchange *exchange, const json_t *tags)
{
    static const char *const known[] = {TAG_TASK, TAG_MODEL, TAG_TEXT, TAG_NAME};
    const char *name;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)tags, name, value) {
        bool is_known = false;
        for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
            is_known |= strcmp(name, known[i]) == 0;
        if (!is_known && json_array_append_new(exchange->left_out, json_string(name)) < 0)
            return false;
    }
    return true;
}

static int run_read(const json_t *run, const char *name, struct exchange *exchange,
                    struct error *err)
{
    const json_t *info = json_object_get(run, "info"), *data = json_object_get(run, "data");
    AUTO_JSON json_t *metrics = pairs_read(json_object_get(data, "metrics"));
    AUTO_JSON json_t *params = pairs_read(json_object_get(data, "params"));
    AUTO_JSON json_t *tags = pairs_read(json_object_get(data, "tags"));
    const char *const names[] = {name, exchange_text(info, "run_name"),
                                 exchange_text(tags, TAG_NAME), exchange_text(info, "run_id")};
    const char *is = NULL;
    for (size_t i = 0; !is && i < sizeof(names) / sizeof(names[0]); i++)
        is = names[i];
    if (!json_is_object(data) || !is)
        return error_set(err, -EINVAL, "bad-run",
                         "this is no run of MLflow: 'run.data' and 'run.info' must be there, and a "
                         "name or a 'run_id'");
    struct exchange_entry entry = {.kind = "metric",
                                   .name = is,
                                   .task = exchange_text(tags, TAG_TASK),
                                   .model = exchange_text(tags, TAG_MODEL),
                                   .text = exchange_text(tags, TAG_TEXT),
                                   .source = "mlflow"};
    json_t *attributes = exchange_add(exchange, &entry);
    bool good = attributes && info_put(exchange, attributes, info) &&
                values_put(exchange, attributes, metrics) && tags_name(exchange, tags);
    entry.kind = "hyperparameter";
    entry.text = NULL;
    if (good && json_object_size(params))
        good = (attributes = exchange_add(exchange, &entry)) &&
               values_put(exchange, attributes, params);
    return good ? 0 : exchange_no_memory(err);
}

int mlflow_read(const char *text, size_t length, const char *name, struct exchange *exchange,
                struct error *err)
{
    AUTO_JSON json_t *answer = json_parse(text, length, EXCHANGE_LIMIT_BYTES, err);
    const json_t *run = json_object_get(answer, "run");
    return answer ? run_read(run ? run : answer, name, exchange, err) : -EINVAL;
}

/* -- writing -- */

static bool pair_add(json_t *list, const char *key, json_t *value)
{
    return json_array_append_new(list, json_pack("{s:s, s:o}", "key", key, "value", value)) == 0;
}

/* What MLflow holds as text. */
static json_t *as_text(const json_t *value)
{
    if (json_is_string(value))
        return json_incref((json_t *)(uintptr_t)value);
    AUTO_FREE char *text = json_text(value);
    return text ? json_string(text) : NULL;
}

static bool params_write(const json_t *entry, json_t *params)
{
    const char *name;
    json_t *value;
    json_object_foreach (json_object_get(entry, "attributes"), name, value) {
        if (!pair_add(params, name, as_text(value)))
            return false;
    }
    return true;
}

static bool metrics_write(const json_t *entry, json_t *metrics, json_t *info)
{
    const char *name;
    json_t *value;
    json_object_foreach (json_object_get(entry, "attributes"), name, value) {
        bool of_run = strcmp(name, "run_id") == 0 || strcmp(name, "status") == 0;
        bool good = true;
        if (strcmp(name, "wall_ms") == 0)
            good = json_object_set_new(info, "start_time", json_integer(0)) == 0 &&
                   json_object_set(info, "end_time", value) == 0;
        else if (of_run)
            good = json_object_set(info, name, value) == 0;
        else if (json_is_number(value))
            good = pair_add(metrics, name, json_incref(value));
        if (!good)
            return false;
    }
    return true;
}

static bool tags_write(const json_t *entry, json_t *tags)
{
    static const char *const named[][2] = {
        {TAG_TASK, "task"}, {TAG_MODEL, "model"}, {TAG_TEXT, "text"}};
    for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++) {
        const char *text = exchange_text(entry, named[i][1]);
        if (text && !pair_add(tags, named[i][0], json_string(text)))
            return false;
    }
    return true;
}

char *mlflow_write(const json_t *entries, struct error *err)
{
    const json_t *metric = exchange_find(entries, "metric"),
                 *parameters = exchange_find(entries, "hyperparameter"),
                 *first = metric ? metric : parameters;
    AUTO_JSON json_t *info = json_object();
    AUTO_JSON json_t *metrics = json_array();
    AUTO_JSON json_t *params = json_array();
    AUTO_JSON json_t *tags = json_array();
    if (!first) {
        (void)error_set(err, -ENOENT, "unknown-entry",
                        "a run is made of metrics and hyper-parameters, and there are none");
        return NULL;
    }
    bool good = info && metrics && params && tags &&
                json_object_set(info, "run_name", json_object_get(first, "name")) == 0 &&
                (!metric || metrics_write(metric, metrics, info)) &&
                (!parameters || params_write(parameters, params)) && tags_write(first, tags);
    AUTO_JSON json_t *run =
        good ? json_pack("{s:{s:O, s:{s:O, s:O, s:O}}}", "run", "info", info, "data", "metrics",
                         metrics, "params", params, "tags", tags)
             : NULL;
    char *text = run ? json_text(run) : NULL;
    if (!text)
        (void)exchange_no_memory(err);
    return text;
}
