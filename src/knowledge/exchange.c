/* What the formats of others have in common: see exchange_impl.h. */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "knowledge/exchange_impl.h"
#include "model/knowledge.h"

int exchange_init(struct exchange *exchange)
{
    *exchange = (struct exchange){json_array(), json_array()};
    return exchange->entries && exchange->left_out ? 0 : -ENOMEM;
}

void exchange_finish(struct exchange *exchange)
{
    json_decref(exchange->entries);
    json_decref(exchange->left_out);
}

int exchange_no_memory(struct error *err)
{
    return error_set(err, -ENOMEM, "out-of-memory", "converting knowledge");
}

/* A text cut to `room` bytes at the end of a character. */
static json_t *text_cut(const char *text, size_t room)
{
    size_t length = strlen(text);
    if (length > room) {
        for (length = room; length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80;)
            length--;
    }
    return json_stringn(text, length);
}

json_t *exchange_add(struct exchange *exchange, const struct exchange_entry *entry)
{
    const struct {
        const char *member, *text;
        size_t room;
    } texts[] = {
        {"kind", entry->kind, KNOWLEDGE_NAME_MAX},     {"name", entry->name, KNOWLEDGE_NAME_MAX},
        {"task", entry->task, KNOWLEDGE_NAME_MAX},     {"model", entry->model, KNOWLEDGE_NAME_MAX},
        {"source", entry->source, KNOWLEDGE_NAME_MAX}, {"text", entry->text, KNOWLEDGE_TEXT_MAX},
    };
    AUTO_JSON json_t *body = json_pack("{s:{}}", "attributes");
    if (json_array_size(exchange->entries) >= EXCHANGE_ENTRIES_MAX)
        return NULL;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (texts[i].text && *texts[i].text &&
            json_object_set_new(body, texts[i].member, text_cut(texts[i].text, texts[i].room)) < 0)
            return NULL;
    }
    if (json_array_append(exchange->entries, body) < 0)
        return NULL;
    return json_object_get(body, "attributes");
}

/* Texts of a list; numbers and the like as they are written. NULL: it holds something else. */
static json_t *list_take(const json_t *list)
{
    AUTO_JSON json_t *texts = json_array();
    if (!texts || json_array_size(list) > KNOWLEDGE_LIST_MAX)
        return NULL;
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *item = json_array_get(list, i);
        char *text = json_is_string(item) || json_is_object(item) || json_is_array(item)
                         ? NULL
                         : json_text(item);
        json_t *taken = json_is_string(item) ? json_incref(item) : text ? json_string(text) : NULL;
        free(text);
        if (!taken || json_string_length(taken) > KNOWLEDGE_VALUE_MAX) {
            json_decref(taken);
            return NULL;
        }
        if (json_array_append_new(texts, taken) < 0)
            return NULL;
    }
    return json_incref(texts);
}

static json_t *value_take(const json_t *value)
{
    if (json_is_number(value) || json_is_boolean(value) ||
        (json_is_string(value) && json_string_length(value) <= KNOWLEDGE_VALUE_MAX))
        return json_copy((json_t *)(uintptr_t)value);
    return json_is_array(value) ? list_take(value) : NULL;
}

bool exchange_put(struct exchange *exchange, json_t *attributes, const char *name,
                  const json_t *value)
{
    char key[KNOWLEDGE_ATTRIBUTE_MAX + 1];
    size_t length = strlen(name);
    json_t *taken = length <= KNOWLEDGE_ATTRIBUTE_MAX ? value_take(value) : NULL;
    if (!value || json_is_null(value))
        return true;
    for (size_t i = 0; taken && i < length; i++) {
        unsigned char c = (unsigned char)name[i];
        key[i] = c < 0x80 && (isalnum(c) || strchr("_.-", c)) ? (char)tolower(c) : '_';
    }
    key[length <= KNOWLEDGE_ATTRIBUTE_MAX ? length : 0] = '\0';
    if (!taken || !*key || *key == '-' || json_object_get(attributes, key) ||
        json_object_size(attributes) >= KNOWLEDGE_ATTRIBUTES_MAX) {
        json_decref(taken);
        return json_array_append_new(exchange->left_out, json_string(name)) == 0;
    }
    return json_object_set_new(attributes, key, taken) == 0;
}

const char *exchange_text(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text && *text ? text : NULL;
}

const json_t *exchange_find(const json_t *entries, const char *kind)
{
    for (size_t i = 0; i < json_array_size(entries); i++) {
        const json_t *entry = json_array_get(entries, i);
        const char *is = exchange_text(entry, "kind");
        if (is && strcmp(is, kind) == 0)
            return entry;
    }
    return NULL;
}
