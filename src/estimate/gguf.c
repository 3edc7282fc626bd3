/* GGUF: keys with typed values, then the list of tensors. Walked through a window, so that a
 * vocabulary of a million words costs no memory. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "estimate/memory.h"
#include "estimate/reader.h"

#define WINDOW_BYTES (64u << 10)
#define NAME_MAX_BYTES 256u
#define DIMENSIONS_MAX 8
#define TENSORS_MAX 1000000 /* and keys: more is not a model */
#define WORDS_MAX 16000000  /* of a vocabulary */

enum value_type { VALUE_STRING = 8, VALUE_ARRAY = 9, VALUE_TYPES = 13 };

/* By type: uint8, int8, uint16, int16, uint32, int32, float32, bool, -, -, uint64, int64,
 * float64. */
static const uint8_t value_bytes[VALUE_TYPES] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

/* ggml's types by number: elements and bytes of a block. */
static const struct {
    const char *name;
    unsigned elements, bytes;
} types[] = {
    [0] = {"fp32", 1, 4},      [1] = {"fp16", 1, 2},      [2] = {"q4_0", 32, 18},
    [3] = {"q4_1", 32, 20},    [6] = {"q5_0", 32, 22},    [7] = {"q5_1", 32, 24},
    [8] = {"q8_0", 32, 34},    [10] = {"q2_k", 256, 84},  [11] = {"q3_k", 256, 110},
    [12] = {"q4_k", 256, 144}, [13] = {"q5_k", 256, 176}, [14] = {"q6_k", 256, 210},
    [24] = {"int8", 1, 1},     [25] = {"int16", 1, 2},    [26] = {"int32", 1, 4},
    [27] = {"int64", 1, 8},    [28] = {"fp64", 1, 8},     [30] = {"bf16", 1, 2},
};

/* A key is its architecture's name and one of these. */
static const struct {
    const char *name;
    size_t offset;
} keys[] = {
    {"block_count", offsetof(struct memory_request, layers)},
    {"embedding_length", offsetof(struct memory_request, hidden)},
    {"feed_forward_length", offsetof(struct memory_request, ffn)},
    {"attention.head_count", offsetof(struct memory_request, heads)},
    {"attention.head_count_kv", offsetof(struct memory_request, kv_heads)},
    {"attention.key_length", offsetof(struct memory_request, head_dim)},
    {"vocab_size", offsetof(struct memory_request, vocab)},
    {"expert_count", offsetof(struct memory_request, experts)},
};

struct cursor {
    const struct source *source;
    uint64_t next; /* offset in the file of what is read next */
    uint64_t window_at;
    size_t window_length;
    uint8_t window[WINDOW_BYTES];
};

static int take(struct cursor *cursor, void *data, size_t length)
{
    if (length > WINDOW_BYTES || length > cursor->source->size_bytes - cursor->next)
        return -EINVAL;
    uint64_t inside = cursor->next - cursor->window_at;
    if (cursor->next < cursor->window_at || inside + length > cursor->window_length) {
        uint64_t left = cursor->source->size_bytes - cursor->next;
        size_t wanted = left < WINDOW_BYTES ? (size_t)left : WINDOW_BYTES;
        int r = cursor->source->read_at(cursor->source->arg, cursor->next, cursor->window, wanted);
        if (r < 0)
            return r;
        cursor->window_at = cursor->next;
        cursor->window_length = wanted;
        inside = 0;
    }
    memcpy(data, cursor->window + inside, length);
    cursor->next += length;
    return 0;
}

static int skip(struct cursor *cursor, uint64_t length)
{
    if (length > cursor->source->size_bytes - cursor->next)
        return -EINVAL;
    cursor->next += length;
    return 0;
}

/* A little-endian number of 1, 2, 4 or 8 bytes; 0 on failure. */
static int take_number(struct cursor *cursor, size_t width, uint64_t *ret_number)
{
    uint8_t bytes[8];
    uint64_t number = 0;
    int r = take(cursor, bytes, width);
    for (size_t i = width; r == 0 && i-- > 0;)
        number = number << 8 | bytes[i];
    *ret_number = number;
    return r;
}

/* A name, cut to the room there is; a longer one is only passed over. */
static int take_name(struct cursor *cursor, char ret_name[NAME_MAX_BYTES])
{
    uint64_t length;
    int r = take_number(cursor, 8, &length);
    if (r < 0)
        return r;
    size_t kept = length < NAME_MAX_BYTES ? (size_t)length : NAME_MAX_BYTES - 1;
    r = take(cursor, ret_name, kept);
    if (r < 0)
        return r;
    ret_name[kept] = '\0';
    return skip(cursor, length - kept);
}

static int skip_array(struct cursor *cursor, uint64_t *ret_count)
{
    uint64_t type = 0, count = 0, bytes, length;
    int r = take_number(cursor, 4, &type);
    if (r == 0)
        r = take_number(cursor, 8, &count);
    if (r < 0 || type >= VALUE_TYPES || type == VALUE_ARRAY)
        return r < 0 ? r : -EINVAL;
    *ret_count = count;
    if (type != VALUE_STRING)
        return __builtin_mul_overflow(count, value_bytes[type], &bytes) ? -EINVAL
                                                                        : skip(cursor, bytes);
    if (count > WORDS_MAX)
        return -EINVAL;
    for (uint64_t i = 0; r == 0 && i < count; i++) {
        r = take_number(cursor, 8, &length);
        if (r == 0)
            r = skip(cursor, length);
    }
    return r;
}

static void key_apply(const char *key, uint64_t number, struct memory_request *request)
{
    const char *rest = strchr(key, '.');
    uint32_t side = number < UINT32_MAX ? (uint32_t)number : UINT32_MAX;
    for (size_t i = 0; rest && i < sizeof(keys) / sizeof(*keys); i++) {
        if (strcmp(rest + 1, keys[i].name) == 0)
            memcpy((char *)request + keys[i].offset, &side, sizeof(side));
    }
}

static int key_read(struct cursor *cursor, struct memory_request *request)
{
    char key[NAME_MAX_BYTES], text[NAME_MAX_BYTES];
    uint64_t type = 0, number = 0;
    int r = take_name(cursor, key);
    if (r == 0)
        r = take_number(cursor, 4, &type);
    if (r < 0)
        return r;
    if (type >= VALUE_TYPES)
        return -EINVAL;
    if (type == VALUE_STRING)
        return take_name(cursor, text);
    if (type != VALUE_ARRAY) {
        r = take_number(cursor, value_bytes[type], &number);
        if (r == 0)
            key_apply(key, number, request);
        return r;
    }
    r = skip_array(cursor, &number);
    if (r == 0 && !request->vocab && strcmp(key, "tokenizer.ggml.tokens") == 0)
        key_apply("tokenizer.vocab_size", number, request);
    return r;
}

static int tensor_read(struct cursor *cursor, struct tally *tally)
{
    char name[NAME_MAX_BYTES];
    uint64_t dimensions = 0, side, type, offset, params = 1;
    int r = take_name(cursor, name);
    if (r == 0)
        r = take_number(cursor, 4, &dimensions);
    if (r < 0 || dimensions > DIMENSIONS_MAX)
        return r < 0 ? r : -EINVAL;
    for (uint64_t i = 0; i < dimensions; i++) {
        r = take_number(cursor, 8, &side);
        if (r < 0 || __builtin_mul_overflow(params, side, &params))
            return r < 0 ? r : -EINVAL;
    }
    r = take_number(cursor, 4, &type);
    if (r == 0)
        r = take_number(cursor, 8, &offset);
    if (r < 0)
        return r;
    if (type >= sizeof(types) / sizeof(*types) || !types[type].name)
        return tally_add(tally, name, "other", params, 0);
    uint64_t blocks = params / types[type].elements, bytes;
    if (__builtin_mul_overflow(blocks, types[type].bytes, &bytes))
        return -EINVAL;
    return tally_add(tally, name, types[type].name, params, bytes);
}

static int file_walk(struct cursor *cursor, struct tally *tally, struct memory_request *request)
{
    uint64_t magic = 0, version, tensors, entries;
    int r = take_number(cursor, 4, &magic);
    if (r == 0)
        r = take_number(cursor, 4, &version);
    if (r < 0 || magic != 0x46554747 || version < 2 || version > 3)
        return -EINVAL;
    r = take_number(cursor, 8, &tensors);
    if (r == 0)
        r = take_number(cursor, 8, &entries);
    if (r == 0 && (tensors > TENSORS_MAX || entries > TENSORS_MAX))
        r = -EINVAL;
    for (uint64_t i = 0; r == 0 && i < entries; i++)
        r = key_read(cursor, request);
    for (uint64_t i = 0; r == 0 && i < tensors; i++)
        r = tensor_read(cursor, tally);
    return r;
}

int gguf_read(const struct source *source, struct tally *tally, struct memory_request *request,
              struct error *err)
{
    struct cursor cursor = {.source = source};
    int r = file_walk(&cursor, tally, request);
    if (r < 0)
        return error_errno(err, r, "bad-gguf",
                           "not GGUF of version 2 or 3, or damaged, near byte %llu",
                           (unsigned long long)cursor.next);
    return 0;
}
