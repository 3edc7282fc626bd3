/* Cheaper ways and suitable cards: see advice.h. */
#include "estimate/advice.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/json.h"

#define CARDS_MAX 64

static bool is(const char *text, const char *name, const char *otherwise)
{
    return strcmp(text ? text : otherwise, name) == 0;
}

static bool infers(const struct memory_request *request)
{
    return is(request->task, "infer", "train");
}

enum when {
    WHEN_TRAINS = 1,
    WHEN_FULL = 2,
    WHEN_INFERS = 4,
    WHEN_BLOCKS = 8, /* a transformer */
    WHEN_WIDE = 16,  /* weights are not quantised yet */
    WHEN_BATCH = 32, /* of more than one sample */
};

/* A change and when it can be made; texts that are NULL stay as they are. */
static const struct change {
    const char *text;
    unsigned when;
    const char *method, *optimizer, *weights, *kv_cache;
    bool checkpointing, halves_batch;
} changes[ALTERNATIVES_MAX] = {
    {"--batch half as large", WHEN_BATCH, .halves_batch = true},
    {"--optimizer adamw-8bit", WHEN_FULL, .optimizer = "adamw-8bit"},
    {"--checkpointing", WHEN_TRAINS | WHEN_BLOCKS, .checkpointing = true},
    {"--method lora", WHEN_FULL | WHEN_BLOCKS, .method = "lora"},
    {"--method qlora --weights nf4", WHEN_TRAINS | WHEN_BLOCKS | WHEN_WIDE, .method = "qlora",
     .weights = "nf4"},
    {"--weights nf4", WHEN_INFERS | WHEN_BLOCKS | WHEN_WIDE, .weights = "nf4"},
    {"--kv-cache int8", WHEN_INFERS | WHEN_BLOCKS, .kv_cache = "int8"},
};

static unsigned situation(const struct memory_request *request)
{
    const char *weights = request->weights ? request->weights : "bf16";
    unsigned when = infers(request) ? WHEN_INFERS : WHEN_TRAINS;
    if (when == WHEN_TRAINS && is(request->method, "full", "full"))
        when |= WHEN_FULL;
    if (request->layers)
        when |= WHEN_BLOCKS;
    if (memory_format_bytes(weights) >= 2)
        when |= WHEN_WIDE;
    return request->batch > 1 ? when | WHEN_BATCH : when;
}

/* The request's texts are only borrowed here: a changed request is never finished. */
static void text_change(char **text, const char *changed)
{
    if (changed)
        *text = (char *)(uintptr_t)changed;
}

static struct memory_request request_change(const struct memory_request *request,
                                            const struct change *change)
{
    struct memory_request changed = *request;
    text_change(&changed.method, change->method);
    text_change(&changed.optimizer, change->optimizer);
    text_change(&changed.weights, change->weights);
    text_change(&changed.kv_cache, change->kv_cache);
    changed.checkpointing |= change->checkpointing;
    changed.batch /= change->halves_batch ? 2 : 1;
    changed.trainable_params = change->method ? 0 : request->trainable_params;
    return changed;
}

static int by_cost(const void *left, const void *right)
{
    const struct alternative *a = left, *b = right;
    return (a->estimate.point_bytes < b->estimate.point_bytes) -
           (a->estimate.point_bytes > b->estimate.point_bytes);
}

size_t memory_alternatives(const struct memory_request *request, const struct profiles *profiles,
                           struct alternative alternatives[ALTERNATIVES_MAX])
{
    struct memory_estimate base;
    size_t count = 0;
    unsigned when = situation(request);
    if (memory_estimate(request, profiles, &base, NULL) < 0)
        return 0;
    for (size_t i = 0; i < ALTERNATIVES_MAX; i++) {
        if ((changes[i].when & when) != changes[i].when)
            continue;
        struct memory_request changed = request_change(request, &changes[i]);
        struct memory_estimate *estimate = &alternatives[count].estimate;
        if (memory_estimate(&changed, profiles, estimate, NULL) == 0 &&
            estimate->point_bytes < base.point_bytes)
            alternatives[count++].change = changes[i].text;
    }
    qsort(alternatives, count, sizeof(*alternatives), by_cost);
    return count;
}

uint32_t memory_cards(const struct memory_request *request, const struct profiles *profiles,
                      uint64_t device_bytes, uint64_t *ret_card_bytes)
{
    char zero3[] = "zero3", layers[] = "layers";
    struct memory_request split = *request; /* borrows the texts: never finished */
    struct memory_estimate estimate;
    uint32_t first = request->gpus ? request->gpus : 1;
    for (uint32_t cards = first; cards <= CARDS_MAX; cards *= 2) {
        split.gpus = cards;
        if (cards > 1 && is(request->sharding, "none", "none"))
            split.sharding = infers(request) ? layers : zero3;
        if (memory_estimate(&split, profiles, &estimate, NULL) == 0 &&
            estimate.safe_bytes <= device_bytes) {
            *ret_card_bytes = estimate.safe_bytes;
            return cards;
        }
    }
    return 0;
}

static json_t *alternatives_encode(const struct memory_request *request,
                                   const struct profiles *profiles)
{
    struct alternative alternatives[ALTERNATIVES_MAX];
    size_t count = memory_alternatives(request, profiles, alternatives);
    json_t *list = json_array();
    for (size_t i = 0; list && i < count; i++) {
        const struct memory_estimate *estimate = &alternatives[i].estimate;
        json_t *one = json_pack("{s:s, s:I, s:I}", "change", alternatives[i].change, "point_bytes",
                                (json_int_t)estimate->point_bytes, "safe_bytes",
                                (json_int_t)estimate->safe_bytes);
        if (json_array_append_new(list, one) < 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

/* Whether a device of that name and size is among the answers already. */
static bool is_listed(const json_t *list, const char *name, json_int_t memory_bytes)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        const char *listed = json_string_value(json_object_get(one, "device"));
        if (strcmp(listed, name) == 0 &&
            json_integer_value(json_object_get(one, "memory_bytes")) == memory_bytes)
            return true;
    }
    return false;
}

static json_t *cards_encode(const struct memory_request *request, const struct profiles *profiles,
                            const json_t *devices)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < json_array_size(devices); i++) {
        const json_t *device = json_array_get(devices, i);
        const char *name = json_string_value(json_object_get(device, "name"));
        json_int_t memory = json_integer_value(json_object_get(device, "memory_bytes"));
        uint64_t card_bytes = 0;
        if (!name || memory <= 0 || is_listed(list, name, memory))
            continue;
        uint32_t cards = memory_cards(request, profiles, (uint64_t)memory, &card_bytes);
        json_t *one = json_pack("{s:s, s:I, s:I, s:I}", "device", name, "memory_bytes", memory,
                                "cards", (json_int_t)cards, "card_bytes", (json_int_t)card_bytes);
        if (json_array_append_new(list, one) < 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

json_t *memory_advise(const struct memory_request *request, const struct profiles *profiles,
                      const json_t *devices, struct error *err)
{
    struct memory_estimate estimate;
    if (memory_estimate(request, profiles, &estimate, err) < 0)
        return NULL;
    json_t *answer = memory_estimate_encode(&estimate);
    if (!answer ||
        json_object_set_new(answer, "alternatives", alternatives_encode(request, profiles)) < 0 ||
        json_object_set_new(answer, "cards", cards_encode(request, profiles, devices)) < 0) {
        json_decref(answer);
        (void)error_set(err, -ENOMEM, "out-of-memory", "making the answer");
        return NULL;
    }
    return answer;
}
