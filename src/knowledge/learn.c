/* What runs teach the knowledge base: see learn.h. */
#include "knowledge/learn.h"

#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "knowledge/exchange_impl.h"
#include "model/knowledge.h"

json_t *learn_metrics(const char *text, size_t length)
{
    const size_t begin = strlen(LEARN_LINE);
    const char *end = text + length;
    json_t *found = NULL;
    for (const char *line = text; line < end;) {
        const char *next = memchr(line, '\n', (size_t)(end - line));
        size_t width = (size_t)((next ? next : end) - line);
        json_t *metrics = width > begin && memcmp(line, LEARN_LINE, begin) == 0
                              ? json_parse(line + begin, width - begin, LEARN_LINE_MAX_BYTES, NULL)
                              : NULL;
        if (json_is_object(metrics)) {
            json_decref(found);
            found = json_incref(metrics);
        }
        json_decref(metrics);
        line = next ? next + 1 : end;
    }
    return found;
}

static double number_of(const json_t *object, const char *name)
{
    return json_number_value(json_object_get(object, name));
}

/* A smaller peak of another run tells nothing new. */
static bool peak_stays(const json_t *known, const json_t *facts)
{
    const char *before = exchange_text(known, "run"), *now = exchange_text(facts, "run");
    return before && now && strcmp(before, now) == 0 &&
           number_of(facts, "memory_peak_bytes") < number_of(known, "memory_peak_bytes");
}

static bool is_of_peak(const char *name)
{
    static const char *const names[] = {"memory_peak_bytes", "batch", "sequence"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(name, names[i]) == 0)
            return true;
    }
    return false;
}

int learn_facts(struct knowledge *entry, const json_t *facts)
{
    struct exchange unused;
    json_t *known = entry->attributes, *value;
    bool stays = peak_stays(known, facts), good = exchange_init(&unused) == 0;
    double runs = number_of(known, "runs") + number_of(facts, "runs");
    const char *name;
    json_object_foreach ((json_t *)(uintptr_t)facts, name, value) {
        if (!good || (stays && is_of_peak(name)))
            continue;
        (void)json_object_del(known, name); /* it may be new */
        good = exchange_put(&unused, known, name, value);
    }
    if (good && runs > 0 && runs < 1e15)
        good = json_object_set_new(known, "runs", json_integer((json_int_t)runs)) == 0;
    exchange_finish(&unused);
    return good ? 0 : -ENOMEM;
}
