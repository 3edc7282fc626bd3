/* Model cards: see exchange.h. The metadata is that of Hugging Face's model cards: flat members,
 * "pipeline_tag" for the task, and "model-index" with results of task, data set and metrics. */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/yaml.h"
#include "knowledge/exchange_impl.h"
#include "model/knowledge.h"

#define FENCE "---"

/* Members of a result's task, data set and metric, and the attributes that hold them. */
static const struct part {
    const char *part, *member, *attribute;
} parts[] = {
    {"task", "name", "task_name"},         {"dataset", "type", "dataset"},
    {"dataset", "name", "dataset_name"},   {"dataset", "config", "dataset_config"},
    {"dataset", "split", "dataset_split"}, {"dataset", "revision", "dataset_revision"},
    {"metric", "type", "metric"},          {"metric", "name", "metric_name"},
    {"metric", "value", "value"},          {"metric", "verified", "verified"},
};
#define PARTS_COUNT (sizeof(parts) / sizeof(parts[0]))

/* -- reading -- */

/* The metadata between two fences, and what follows; without fences all is metadata. */
static void card_split(const char *text, size_t length, const char **ret_yaml,
                       size_t *ret_yaml_length, const char **ret_body, size_t *ret_body_length)
{
    const size_t fence = strlen(FENCE);
    const char *end = text + length, *line = text;
    *ret_yaml = text;
    *ret_yaml_length = length;
    *ret_body = end;
    *ret_body_length = 0;
    if (length < fence + 1 || memcmp(text, FENCE "\n", fence + 1) != 0)
        return;
    *ret_yaml = line = text + fence + 1;
    *ret_yaml_length = (size_t)(end - line);
    while (line < end) {
        const char *next = memchr(line, '\n', (size_t)(end - line));
        size_t width = (size_t)((next ? next : end) - line);
        if (width == fence && memcmp(line, FENCE, fence) == 0) {
            *ret_yaml_length = (size_t)(line - *ret_yaml);
            *ret_body = next ? next + 1 : end;
            *ret_body_length = (size_t)(end - *ret_body);
            return;
        }
        line = next ? next + 1 : end;
    }
}

/* Markdown without the space around it, as valid UTF-8; NULL: it is none, or no memory. */
static char *body_text(const char *body, size_t length)
{
    while (length && isspace((unsigned char)*body)) {
        body++;
        length--;
    }
    while (length && isspace((unsigned char)body[length - 1]))
        length--;
    AUTO_JSON json_t *text = json_stringn(body, length);
    return text && strlen(json_string_value(text)) == length ? strdup(json_string_value(text))
                                                             : NULL;
}

static const json_t *part_get(const json_t *result, const json_t *metric, const struct part *part)
{
    if (strcmp(part->part, "metric") == 0)
        return json_object_get(metric, part->member);
    return json_object_get(json_object_get(result, part->part), part->member);
}

static const char *or_unknown(const char *text)
{
    return text ? text : "unknown";
}

/* "MODEL/DATASET/METRIC", with a number when the card has several of them. */
static void metric_name(const struct exchange *exchange, const char *model, const json_t *result,
                        const json_t *metric, char ret_name[KNOWLEDGE_NAME_MAX + 1])
{
    char base[KNOWLEDGE_NAME_MAX + 1];
    const char *dataset = exchange_text(json_object_get(result, "dataset"), "type");
    (void)snprintf(base, sizeof(base), "%.120s/%.60s/%.60s", model, or_unknown(dataset),
                   or_unknown(exchange_text(metric, "type")));
    for (unsigned number = 1;; number++) {
        bool taken = false;
        if (number == 1)
            memcpy(ret_name, base, sizeof(base));
        else
            (void)snprintf(ret_name, KNOWLEDGE_NAME_MAX + 1, "%.240s (%u)", base, number);
        for (size_t i = 0; !taken && i < json_array_size(exchange->entries); i++)
            taken = strcmp(json_string_value(
                               json_object_get(json_array_get(exchange->entries, i), "name")),
                           ret_name) == 0;
        if (!taken)
            return;
    }
}

static int metric_read(struct exchange *exchange, const char *model, const json_t *result,
                       const json_t *metric, struct error *err)
{
    char name[KNOWLEDGE_NAME_MAX + 1];
    const char *type = exchange_text(metric, "type");
    metric_name(exchange, model, result, metric, name);
    json_t *attributes = exchange_add(
        exchange,
        &(struct exchange_entry){.kind = "metric",
                                 .name = name,
                                 .task = exchange_text(json_object_get(result, "task"), "type"),
                                 .model = model,
                                 .source = "card"});
    if (!attributes)
        return error_set(err, -EINVAL, "bad-card", "the card has more than %d metrics",
                         EXCHANGE_ENTRIES_MAX);
    for (size_t i = 0; i < PARTS_COUNT; i++) {
        if (!exchange_put(exchange, attributes, parts[i].attribute,
                          part_get(result, metric, &parts[i])))
            return exchange_no_memory(err);
    }
    const json_t *value = json_object_get(metric, "value"); /* to be searched for by its name */
    if (type && json_is_number(value) && !json_object_get(attributes, type) &&
        !exchange_put(exchange, attributes, type, value))
        return exchange_no_memory(err);
    return 0;
}

static int index_read(struct exchange *exchange, const char *model, const json_t *index,
                      struct error *err)
{
    for (size_t i = 0; i < json_array_size(index); i++) {
        const json_t *results = json_object_get(json_array_get(index, i), "results");
        for (size_t k = 0; k < json_array_size(results); k++) {
            const json_t *result = json_array_get(results, k);
            const json_t *metrics = json_object_get(result, "metrics");
            for (size_t m = 0; m < json_array_size(metrics); m++) {
                int r = metric_read(exchange, model, result, json_array_get(metrics, m), err);
                if (r < 0)
                    return r;
            }
        }
    }
    return 0;
}

static int members_read(struct exchange *exchange, const json_t *card, json_t *attributes,
                        struct error *err)
{
    const char *name;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)card, name, value) {
        bool kept = strcmp(name, "model-index") == 0 ||
                    (strcmp(name, "pipeline_tag") == 0 && json_is_string(value));
        if (!kept && !exchange_put(exchange, attributes, name, value))
            return exchange_no_memory(err);
    }
    return 0;
}

int card_read(const char *text, size_t length, const char *name, struct exchange *exchange,
              struct error *err)
{
    const char *yaml, *body;
    size_t yaml_length, body_length;
    card_split(text, length, &yaml, &yaml_length, &body, &body_length);
    AUTO_JSON json_t *card = yaml_parse(yaml, yaml_length, EXCHANGE_LIMIT_BYTES, err);
    if (!card)
        return error_context(err, "the card's metadata");
    const json_t *index = json_object_get(card, "model-index");
    if (!name)
        name = exchange_text(json_array_get(index, 0), "name");
    if (!json_is_object(card) || !name)
        return error_set(err, -EINVAL, "bad-card", "the card does not name its model: give a name");
    AUTO_FREE char *about = body_text(body, body_length);
    json_t *attributes =
        exchange_add(exchange, &(struct exchange_entry){.kind = "model",
                                                        .name = name,
                                                        .task = exchange_text(card, "pipeline_tag"),
                                                        .text = about,
                                                        .source = "card"});
    if (!attributes)
        return exchange_no_memory(err);
    int r = members_read(exchange, card, attributes, err);
    return r < 0 ? r : index_read(exchange, name, index, err);
}

/* -- writing -- */

static bool set(json_t *object, const char *name, const json_t *value)
{
    return !value || json_is_null(value) ||
           json_object_set(object, name, (json_t *)(uintptr_t)value) == 0;
}

/* {"task":{},"dataset":{},"metrics":[{}]} */
static json_t *result_make(const json_t *entry)
{
    const json_t *attributes = json_object_get(entry, "attributes");
    AUTO_JSON json_t *task = json_object();
    AUTO_JSON json_t *dataset = json_object();
    AUTO_JSON json_t *metric = json_object();
    bool good = task && dataset && metric && set(task, "type", json_object_get(entry, "task"));
    for (size_t i = 0; good && i < PARTS_COUNT; i++) {
        json_t *part = strcmp(parts[i].part, "metric") == 0    ? metric
                       : strcmp(parts[i].part, "dataset") == 0 ? dataset
                                                               : task;
        good = set(part, parts[i].member, json_object_get(attributes, parts[i].attribute));
    }
    return good
               ? json_pack("{s:O, s:O, s:[O]}", "task", task, "dataset", dataset, "metrics", metric)
               : NULL;
}

static bool is_result(const json_t *entry, const char *model)
{
    const json_t *attributes = json_object_get(entry, "attributes");
    const char *kind = exchange_text(entry, "kind"), *of = exchange_text(entry, "model");
    return kind && of && strcmp(kind, "metric") == 0 && strcmp(of, model) == 0 &&
           json_object_get(attributes, "metric") && json_object_get(attributes, "value");
}

static json_t *card_make(const json_t *entries, const json_t *model)
{
    const char *name = exchange_text(model, "name");
    json_t *attributes = json_object_get(model, "attributes");
    AUTO_JSON json_t *results = json_array();
    AUTO_JSON json_t *card = json_object();
    bool good = results && card && set(card, "pipeline_tag", json_object_get(model, "task")) &&
                json_object_update(card, attributes) == 0;
    for (size_t i = 0; good && i < json_array_size(entries); i++) {
        const json_t *entry = json_array_get(entries, i);
        if (is_result(entry, name))
            good = json_array_append_new(results, result_make(entry)) == 0;
    }
    good = good &&
           json_object_set_new(card, "model-index",
                               json_pack("[{s:s, s:O}]", "name", name, "results", results)) == 0;
    return good ? json_incref(card) : NULL;
}

char *card_write(const json_t *entries, struct error *err)
{
    AUTO_BUF struct buf out = BUF_INIT;
    const json_t *model = exchange_find(entries, "model");
    if (!model || !exchange_text(model, "name")) {
        (void)error_set(err, -ENOENT, "unknown-entry",
                        "a card is made of a model, and there is none of that name");
        return NULL;
    }
    const char *text = exchange_text(model, "text");
    AUTO_JSON json_t *card = card_make(entries, model);
    AUTO_FREE char *yaml = card ? yaml_text(card) : NULL;
    if (yaml)
        (void)buf_printf(&out, FENCE "\n%s" FENCE "\n%s%s", yaml, text ? text : "",
                         text ? "\n" : "");
    char *written = yaml ? buf_take(&out) : NULL;
    if (!written)
        (void)exchange_no_memory(err);
    return written;
}
